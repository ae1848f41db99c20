//! One session of a front end: from what somebody asks for to what became of it.
//!
//! The command and the Python module ask for the same things in other words. Here stands what both have in
//! common: which of several places counts ([`Setup`]), what is contacted ([`Setup::open`]), and the whole of
//! an apply ([`apply`]): lock, observe, plan, gates, record the intent, execute, observe again; and of a
//! rotation, which is framed and recorded alike. What is said
//! to people meanwhile is the front end's own, see [`Frontend`].

mod apply;
mod cancellation;
mod error;
mod open;
mod records;
#[cfg(feature = "aws")]
mod rotate;
mod setup;

pub use apply::{ApplyOptions, Completion, Frontend, Outcome, PlanSource, apply, delegate};
pub use cancellation::Cancellation;
pub use error::{Error, Kind, Unreadable};
#[cfg(feature = "aws")]
pub use open::AdminAuth;
pub use open::{Secrets, ServerOptions};
#[cfg(feature = "aws")]
pub use rotate::rotate;
pub use setup::{
    ConfigText, DefinitionOptions, Delegation, Setup, config, declared, read, validated,
};

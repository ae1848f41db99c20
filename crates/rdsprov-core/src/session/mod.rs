//! The operations that front ends share: from options to a result.
//!
//! - [`Setup::builder`] combines options, `rdsprov.toml` and definitions, and contacts nothing.
//! - [`Setup::open`] fetches the secrets and connects.
//! - [`apply`] executes the whole operation: lock, observe, plan, check the gates, record the
//!   intent, execute, and observe again. [`retire`], [`teardown`], [`delegate`] and `rotate` follow the same
//!   order.
//! - [`Cancellation`] stops an operation, and [`Error`] contains all errors.
//!
//! A front end implements [`Frontend`] to show progress and to ask for confirmation. This module
//! does not know terminals.

mod apply;
mod cancellation;
mod credential_sources;
mod error;
#[cfg(feature = "aws")]
mod examples;
mod exit_code;
mod failure;
mod files;
mod fleet;
mod fleet_instance;
mod frontend;
mod in_force;
mod left_out;
mod left_out_reasons;
mod listener;
mod notice;
#[cfg(feature = "aws")]
mod objects;
mod open;
mod outcome;
mod preflight;
mod record_files;
mod records;
mod retire;
#[cfg(feature = "aws")]
mod rotate;
#[cfg(feature = "aws")]
mod rotation_function;
mod run_options;
mod run_report;
mod setup;
mod system_certificates;
mod unanswered;
mod unreadable;
mod usage_error;

pub use apply::{Outcome, apply, delegate};
pub use cancellation::{Cancellation, StopReason};
pub use error::{Error, Kind};
#[cfg(feature = "aws")]
#[doc(hidden)]
pub use examples::error_examples;
pub use exit_code::ExitCode;
pub use failure::{Committed, Continuation, NoSpaceForRecords, NotRecorded, StatementFailure};
pub use files::{
    ConfigText, DefinitionOptions, config, find_definitions, fleet, packaged_fleet, read,
    site_policy,
};
pub use fleet::{
    FleetFrontend, FleetOutcome, apply_fleet, fleet_access, fleet_setups, plan_fleet,
    preflight_fleet,
};
pub use fleet_instance::{FleetOptions, InstanceRun};
pub use frontend::Frontend;
pub use left_out_reasons::LeftOutReasons;
pub use notice::Notice;
#[cfg(feature = "aws")]
pub use objects::{fleet_object, object_store, read_object};
pub use open::{AdminAuth, Secrets, ServerOptions};
pub use preflight::preflight;
pub use record_files::configured_ledger;
pub use retire::{retire, teardown};
#[cfg(feature = "aws")]
pub use rotate::rotate;
#[cfg(feature = "aws")]
pub use rotation_function::rotation_function;
pub use run_options::{ApplyOptions, Completion, PlanSource, RunOptions, saved_plan};
pub use setup::{
    Delegation, Retirement, Setup, SetupBuilder, parse_definitions, parse_for_environment,
};
pub use unreadable::Unreadable;
pub use usage_error::{UsageError, check_retired};

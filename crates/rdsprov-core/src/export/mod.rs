//! Definitions of a live server, for `rdsprov export`: the first step of an adoption.
//!
//! The desired state of [`survey`] names what must be observed. A [`Draft`] contains the entries that
//! are nearest to the observed state, and the [`Export`] also what a plan of these entries would
//! change. The planner itself says that: no rule about privileges is repeated here.
//!
//! This module does not know connections or files.

mod context;
mod draft;
mod entry_text;
mod export_text;
mod held;
mod keys;
mod level;
mod refine;
mod scope;
mod survey;
#[cfg(test)]
mod tests;
mod value_text;

pub use context::ExportContext;
pub use draft::{Draft, LeftOut};
pub use export_text::Export;
pub use scope::{ExportFormat, ExportScope};
pub use survey::{survey, unmatched};

//! A fleet: several instances, which one command plans, checks or applies side by side.
//!
//! `file` contains the model of `fleet.toml`, and `report` the result: the digest over all plans, and
//! the summary. This module does not read files, and contacts nothing: `session` does.

mod file;
mod report;

pub use file::{Fleet, Instance, KEYS, OF_AN_INSTANCE};
pub use report::{FleetReport, InstanceReport, InstanceStatus};

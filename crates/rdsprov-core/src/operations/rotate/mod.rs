//! Replaces passwords: plans a rotation of a locked run, and executes it.

mod execute;
mod plan;

pub use execute::RotateOptions;
pub use plan::{PlannedRotation, check_source};

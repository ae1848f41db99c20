//! Replaces passwords: plans a rotation of a locked run and executes it, or executes one step of a
//! rotation by Secrets Manager.

mod execute;
mod function;
mod function_error;
mod plan;
mod steps;

pub use execute::RotateOptions;
pub use function::{RotationFunction, RotationStep, StepEffect};
pub use function_error::RotationStepError;
pub use plan::{PlannedRotation, check_source};

//! Rotations: which passwords can be replaced, and the steps for each.
//!
//! This module knows the ids of secrets and their versions, but must not know their contents.

mod password_change;
mod selection;
mod steps;
#[cfg(test)]
mod tests;

pub use password_change::PasswordChange;
pub use selection::{Rotation, RotationError, choose};
pub use steps::{ActivePassword, RotationState, restore};

//! The function as Lambda runs it: through the runtime API, against servers that resemble RDS and a
//! Secrets Manager.

#![allow(clippy::unwrap_used, reason = "a test")]

mod documents;
mod fixture;
mod fleet;
mod measure;
mod objects;
mod provision;
mod records;
mod rotation;
mod time;

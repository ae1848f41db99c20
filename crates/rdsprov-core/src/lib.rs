//! Declared roles, databases and grants for PostgreSQL on Amazon RDS.
//!
//! Data runs one way: [`definitions`] become [`desired`] state, a server (or a test) gives
//! [`observed`] state, [`plan`] is the pure difference of the two, [`gate`] says whether it may
//! run, `server` runs it, and [`audit`] keeps the record. `session` is all of that for a front end.
#![deny(missing_docs)]

pub mod access_report;
pub mod audit;
pub mod config;
pub mod definitions;
pub mod desired;
mod digest;
pub mod gate;
pub mod hint;
pub mod marker;
pub mod name;
pub mod observed;
pub mod plan;
pub mod privilege;
pub mod rotation;
pub mod schema;
pub mod secrets;
#[cfg(feature = "postgres")]
pub mod server;
#[cfg(feature = "postgres")]
pub mod session;
pub mod setting;

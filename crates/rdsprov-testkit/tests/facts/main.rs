//! Assumptions of the product about PostgreSQL, verified on each version.
//!
//! The administrator resembles the master user of Amazon RDS: it is not a superuser, and since
//! PostgreSQL 16 it has only the ADMIN option on roles that it created. All tests share one server
//! of each version, so that each test uses its own roles, databases and schemas.

#![allow(clippy::unwrap_used, reason = "tests")]

mod administrator;
mod assertions;
mod catalog_races;
mod concurrency;
mod default_privileges;
mod extensions;
mod memberships;
mod names;
mod new_database;
mod ownership;
mod passwords;
mod privileges;
mod test_server;

//! What this program takes for granted about PostgreSQL, asked of each version.
//!
//! The administrator is shaped like the master user of Amazon RDS: no superuser, and on 16 and later
//! with no more than `ADMIN` on the roles that it created. All tests share one server of a version, so
//! each has roles, databases and schemas of its own, and none changes what others look at.

#![allow(clippy::unwrap_used, reason = "tests")]

mod administrator;
mod ask;
mod catalog_races;
mod concurrency;
mod default_privileges;
mod memberships;
mod names;
mod ownership;
mod passwords;
mod privileges;
mod the_server;
mod the_way;

//! The command as people run it, against servers in the shape of RDS: PostgreSQL says what is true.

#![allow(clippy::unwrap_used, reason = "a test")]

mod bench;
mod canary;
mod guardrails;
mod iam;
mod passwords;
mod path;
mod races;
mod rotate;
mod scale;
mod scenarios;
mod secrets;
mod tls;

//! The command as people run it, against servers in the shape of RDS: PostgreSQL says what is true.

#![allow(clippy::unwrap_used, reason = "a test")]

mod access;
mod bench;
mod canary;
mod definitions;
mod delegate;
mod embedded;
mod extensions;
mod failures;
mod guardrails;
mod handover;
mod iam;
mod ledger;
mod passwords;
mod path;
mod races;
mod rotate;
mod saved;
mod scale;
mod scenarios;
mod schema;
mod secrets;
mod surroundings;
mod tls;

//! The command as users run it, against servers that resemble RDS. PostgreSQL verifies the results.

#![allow(clippy::unwrap_used, reason = "a test")]

mod access;
mod bystanders;
mod canary;
mod definitions;
mod delegate;
mod embedded;
mod extension_attacks;
mod extensions;
mod failures;
mod fixture;
mod foreign_role;
mod guardrails;
mod handed_over_code;
mod hazards;
mod hostile_names;
mod hostile_server;
mod iam;
mod input_files;
mod ledger;
mod library;
mod lock;
mod memberships;
mod mistakes;
mod output_files;
mod owners;
mod ownership;
mod passwords;
mod path;
mod races;
mod recording;
mod records;
mod remedies;
mod rotate;
mod saved;
mod scale;
mod scenarios;
mod schema;
mod secrets;
mod selection;
mod settings;
mod site_policy;
mod stored_settings;
mod tls;
mod waiting;

//! Declares roles, databases and privileges inside PostgreSQL on Amazon RDS.
//!
//! This library contains all rules of rdsprov. The command and the Python package are front ends:
//! they read arguments, call `session`, and print the results. Other programs embed it in the same
//! way. The library prints nothing. Only `session`, the AWS SDK and the loader of the system's
//! certificates read environment variables.
//!
//! # Data flow
//!
//! ```text
//!  definitions ──► desired ──┐
//!  secrets ──────► refusals ─┼──► plan ──► gate ──► apply ──► records
//!  server ───────► observed ─┘   (pure)            (effects)
//! ```
//!
//! - [`Definitions`] is the content of the definitions files. It declares applications: a role in a
//!   database, with an access level.
//! - [`Desired`] contains the roles, databases and privileges that follow from the definitions.
//! - [`Observed`] contains the roles, databases and privileges that the catalogs of the server show.
//! - [`Plan`] is the difference: ordered transactions with steps, and refusals if something must be
//!   solved first. Planning is a pure function, and equal inputs give equal plans.
//! - [`Policy`] is what an environment requires before a plan is applied: an approval, allowed
//!   hazards, or neither.
//!
//! With the feature `postgres`, `Setup` contains the validated inputs of a run and connects to the
//! server. `session::apply` takes the lock, plans, checks the policy, records the intent, executes
//! the plan and verifies the result, in this order. [`audit`] records what a run did in a CSV file
//! and in a ledger.
//!
//! # Planning without a server
//!
//! An observed state can be read from JSON:
//!
//! ```
//! use rdsprov_core::definitions::{Rules, SourceText, Syntax};
//! use rdsprov_core::plan::SecretFindings;
//! use rdsprov_core::secret_id::Templates;
//! use rdsprov_core::{Definitions, Desired, Observed, Plan};
//!
//! let source = SourceText {
//!     path: "dev.toml".to_owned(),
//!     text: r#"
//!         [application_databases.shop]
//!         database_name = "shop"
//!         username = "shop_user"
//!     "#
//!     .to_owned(),
//!     syntax: Syntax::Toml,
//! };
//! let definitions = Definitions::parse(&[source], &Rules::default())?;
//! let desired = Desired::new(&definitions, "dev", &Templates::default(), None)?;
//! let observed: Observed = serde_json::from_str(
//!     r#"{
//!         "server_version": 150004,
//!         "admin_database": "postgres",
//!         "administrator": {
//!             "name": "platform_admin", "superuser": false, "create_role": true,
//!             "create_database": true, "rds_superuser": true
//!         }
//!     }"#,
//! )?;
//! let plan = Plan::new(&desired, &observed, SecretFindings::default());
//! assert!(plan.to_text().contains("shop_user"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Applying a plan
//!
//! `examples/rust/embed.rs` is a complete program with its own source of secrets.
//!
#![cfg_attr(feature = "postgres", doc = "```no_run")]
#![cfg_attr(not(feature = "postgres"), doc = "```ignore")]
//! use rdsprov_core::session::{self, ApplyOptions, Cancellation};
//! use rdsprov_core::{Error, Setup};
//!
//! # async fn run() -> Result<(), Error> {
//! let setup = Setup::builder().environment("prod").files(["prod.tfvars"]);
//! let mut options = ApplyOptions::default();
//! options.run.server.secrets = "file:secrets".parse().expect("the directory exists");
//!
//! // Connect and plan. Nothing is changed.
//! let mut run = setup.clone().build()?.open(&options.run.server).await?;
//! let planned = run.plan().await?;
//! println!("{}", planned.plan().to_text());
//!
//! // Plan again with the lock, check the policy, and apply.
//! options.run.approval = Some(planned.plan().digest.clone());
//! let outcome = session::apply(setup, &options, &(), &Cancellation::default()).await;
//! outcome.result?;
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! Each error enum has `code()`, a stable [`ErrorCode`], and `hints()`, what to do next. `Error`
//! contains all of them; its `kind()` tells wrong usage, a refusal and a failure apart. A problem
//! that must be solved before anything changes is a refusal of the plan and not an error.
//!
//! # Features
//!
//! Without features, the library parses definitions, plans, and reads ledgers, but does not connect
//! to a server. Features only add items: no enum has other variants with another set of features.
//!
//! - `postgres` adds `server`, `operations` and `session`.
//! - `aws` adds AWS Secrets Manager, IAM tokens and the rotation of passwords, and contains
//!   `postgres`. Without it, `Secrets::Aws` and `AdminAuth::Iam` give an error.
//!
//! # Types of other crates
//!
//! [`Timestamp`] of the crate `jiff` is the type of each point in time, and `server::SqlState` of
//! `tokio-postgres` that of a SQLSTATE. No other type of another crate is part of the API, except traits and types of `serde`, `serde_json` and `schemars` where a value is converted to or from
//! JSON.
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod access_report;
pub mod audit;
pub mod audit_table;
pub mod blue_green;
pub mod config;
mod definition_digest;
pub mod definitions;
pub mod desired;
pub mod diagnostic;
mod digest;
pub mod error_code;
pub mod explain;
pub mod export;
pub mod extension_reach;
pub mod fleet;
pub mod gate;
pub mod graph;
pub mod hint;
pub mod input_file;
mod input_schema;
pub mod marker;
pub mod name;
mod named_enum;
pub mod object_identity;
pub mod observed;
#[cfg(feature = "postgres")]
pub mod operations;
pub mod plan;
pub mod policy;
pub mod predefined_role;
pub mod preflight;
pub mod privilege;
pub mod probe;
pub mod rotation_clone;
pub mod run_report;
pub mod run_setting;
pub mod schema;
pub mod secret_id;
pub mod secrets;
#[cfg(feature = "postgres")]
pub mod server;
#[cfg(feature = "postgres")]
pub mod session;
pub mod setting;
pub mod site_policy;
pub mod step_result;
pub mod text;
pub mod valid_until;

pub use definitions::Definitions;
pub use desired::Desired;
pub use error_code::ErrorCode;
pub use jiff::Timestamp;
pub use observed::Observed;
pub use plan::Plan;
pub use policy::Policy;
#[cfg(feature = "postgres")]
pub use session::{Error, Setup};

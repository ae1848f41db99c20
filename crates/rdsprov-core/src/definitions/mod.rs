//! Reads definitions files, and reports every error in them with its file, line and column.
//!
//! One parser for each syntax (`hcl`, `json`, `toml`) turns the text into the same kind of tree
//! (`tree`). `model` reads the trees into [`Definitions`]: `entry` checks one application,
//! `cross_checks` compares the applications with each other, and `role_home` decides which of them
//! says what concerns a role.
//!
//! This module must not know secrets, plans or the server. Whether a declared role or database
//! exists is decided by [`crate::plan`].

mod application;
mod auth;
mod cross_checks;
mod defaults;
mod delimiters;
mod duplicate;
mod entry;
mod error;
mod file;
mod hcl;
mod hcl_parts;
mod heredoc;
mod json;
mod keys;
mod limits;
mod model;
mod parse_tree;
mod role_home;
mod rules;
mod shown;
mod source;
mod syntax;
mod terraform_compat;
mod toml;
mod tree;

pub use application::{Application, Definitions, UnknownApplication};
pub use auth::Auth;
pub use defaults::Defaults;
pub use error::{DefinitionError, DefinitionErrors, Excerpt, Location};
pub(crate) use file::{Entries, File, given};
pub use keys::KEYS;
pub(crate) use parse_tree::parse_tree;
pub use rules::{DEFAULT_NAMING_PATTERN, Mode, RoleFiles, Rules};
pub use source::{SourceText, Syntax, sha256};
pub(crate) use tree::{Node, Span, Value};

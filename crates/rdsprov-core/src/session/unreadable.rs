//! The definitions files that cannot be read.

use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};

/// A definitions file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The file extension selects no syntax.
    #[error("{path} is not a *.tfvars, *.tfvars.json, *.json or *.toml file")]
    Syntax {
        /// The path of the file, as given.
        path: String,
    },
    /// The file is given twice.
    #[error("{path} is given twice")]
    Twice {
        /// The path of the file, as given.
        path: String,
    },
    /// The operating system reports an error.
    #[error("{path} cannot be read: {reason}")]
    System {
        /// The path of the file, as given.
        path: String,
        /// The error of the operating system.
        reason: String,
        /// A definitions file with a similar name, if this one does not exist.
        similar: Option<String>,
    },
    /// `rdsprov.toml` names the file, and it is not below the directory of `rdsprov.toml`.
    #[error("{path} is outside the directory of the configuration file that names it")]
    Outside {
        /// The path of the file.
        path: String,
    },
}

impl Unreadable {
    /// Returns the path of the file, as given.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Syntax { path }
            | Self::Twice { path }
            | Self::System { path, .. }
            | Self::Outside { path } => path,
        }
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Syntax { .. } => ErrorCode::UnknownFileType,
            Self::Twice { .. } => ErrorCode::FileGivenTwice,
            Self::System { .. } => ErrorCode::FileUnreadable,
            Self::Outside { .. } => ErrorCode::FileOutside,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::Syntax { path } if path.ends_with(".tf") => {
                "name the variable file (*.tfvars) instead of the Terraform module".into()
            }
            Self::Syntax { .. } => "name a definitions file, or rename this one".into(),
            Self::Twice { .. } => "name it once".into(),
            Self::System { similar: Some(similar), .. } => {
                format!("name an existing file: is {similar} meant?").into()
            }
            Self::System { similar: None, .. } => {
                "check the path and the permissions of the file".into()
            }
            Self::Outside { .. } => {
                hint!["name the file with ", Opt::Definitions, " if it is to be read"]
            }
        }]
    }
}

//! Hints: what the reader of a message can do next.
//!
//! The core does not know how a front end spells an option. A [`Hint`] therefore names options and
//! operations as values, and the front end words them with its [`Wording`]: the command writes
//! `--ca-file FILE`, Python writes `ca_file=`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::named_enum::named_enum;

named_enum! {
    /// An option that the front ends offer under their own spelling.
    #[allow(missing_docs, reason = "each is documented where the front ends define it")]
    "kebab-case" pub enum Opt {
        Actor,
        AdminAuth,
        AdminSecret,
        AdminUser,
        Additive,
        Adopt,
        AdoptFrom,
        Allow,
        Approval,
        Approver,
        AuditLedger,
        AuditTable,
        Auth,
        AuditOutput,
        AuditStdout,
        Backup,
        BuildId,
        CaFile,
        ClientCert,
        ClientKey,
        Color,
        Config,
        Confirm,
        ConnectTimeout,
        ConnectTo,
        Dbname,
        Definitions,
        DeleteSecret,
        DropDatabase,
        DropRole,
        EndSessions,
        Env,
        Format,
        Host,
        LockTimeout,
        LogFormat,
        MaxConnections,
        MetricsFile,
        Mode,
        NoProgress,
        ObservationTimeout,
        Only,
        Out,
        Port,
        Region,
        RequestId,
        RunId,
        SecretKmsKey,
        SecretStage,
        SecretTags,
        Secrets,
        StatementTimeout,
        Tls,
        To,
        ToSecret,
        VerifyPasswords,
        WithVerifiers,
        WithoutBackup,
    }
}

named_enum! {
    /// An operation that the front ends offer: a subcommand, or a function of the Python module.
    #[allow(missing_docs, reason = "each is documented where the front ends define it")]
    "kebab-case" pub enum Operation {
        Access,
        Apply,
        Check,
        Delegate,
        Plan,
        Retire,
        Rotate,
        Validate,
    }
}

/// The spelling in front ends whose options are keys with values: keyword arguments of Python, or JSON.
impl Opt {
    /// Returns the key: `ca_file`.
    #[must_use]
    pub fn key(self) -> String {
        match self {
            Self::Env => "environment".to_owned(),
            other => other.name().replace('-', "_"),
        }
    }

    /// Returns a value as a literal: `["shop"]`, `5432` or `"eu-west-2"`.
    #[must_use]
    pub fn literal(self, value: &str) -> String {
        match self {
            Self::Adopt | Self::Allow | Self::Only => format!("[{value:?}]"),
            Self::Port => value.to_owned(),
            _ => format!("{value:?}"),
        }
    }

    /// Names an option that only the command has.
    #[must_use]
    pub fn of_command(self) -> String {
        format!("the option `{}` of the command", self.name())
    }
}

impl Operation {
    /// Names an operation that only the command has.
    #[must_use]
    pub fn of_command(self) -> String {
        format!("the command `rdsprov {}`", self.name())
    }
}

/// A part of a hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Part {
    /// Words that are the same in every front end.
    Text(Cow<'static, str>),
    /// An option, with the value to give it where there is one.
    Option(Opt, Option<String>),
    /// An option with several values.
    Options(Opt, Vec<String>),
    /// An operation.
    Operation(Operation),
    /// An operation on these applications.
    OperationOn(Operation, Vec<String>),
}

/// How a front end spells options and operations.
pub trait Wording {
    /// Spells an option, with its value where there is one: `--region eu-west-2`.
    fn option(&self, option: Opt, value: Option<&str>) -> String;
    /// Spells an option that has no value in the text: `--region`.
    fn option_name(&self, option: Opt) -> String {
        self.option(option, None)
    }
    /// Spells an option with several values: `--adopt shop --adopt wiki`.
    fn option_values(&self, option: Opt, values: &[&str]) -> String {
        let each = values.iter().map(|value| self.option(option, Some(value)));
        each.collect::<Vec<_>>().join(" ")
    }
    /// Spells an operation: `rdsprov plan`.
    fn operation(&self, operation: Operation) -> String;
    /// Spells an operation on some applications: `rdsprov retire shop wiki`.
    fn operation_on(&self, operation: Operation, applications: &[&str]) -> String {
        let names = applications.join(", ");
        let word = if applications.len() == 1 { "application" } else { "applications" };
        format!("{} for {word} {names}", self.operation(operation))
    }
}

/// The spelling in records and JSON, which belong to no front end: `region` = `eu-west-2`.
#[derive(Debug, Clone, Copy)]
pub struct Neutral;

impl Wording for Neutral {
    fn option(&self, option: Opt, value: Option<&str>) -> String {
        match value {
            Some(value) => format!("the option `{}` with the value `{value}`", option.name()),
            None => format!("the option `{}`", option.name()),
        }
    }

    fn operation(&self, operation: Operation) -> String {
        format!("`{}`", operation.name())
    }
}

/// What the reader of a message can do next, in the imperative.
///
/// ```
/// use rdsprov_core::hint::{Hint, Opt};
/// use rdsprov_core::hint;
///
/// let hint = hint!["name the file of certificates with ", Opt::CaFile];
/// assert_eq!(hint.to_string(), "name the file of certificates with the option `ca-file`");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint(Vec<Part>);

impl Hint {
    /// Returns the hint as a front end words it.
    #[must_use]
    pub fn worded(&self, wording: &dyn Wording) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Option(option, value) => wording.option(*option, value.as_deref()).into(),
                Part::Options(option, values) => {
                    let values: Vec<&str> = values.iter().map(String::as_str).collect();
                    wording.option_values(*option, &values).into()
                }
                Part::Operation(operation) => wording.operation(*operation).into(),
                Part::OperationOn(operation, applications) => {
                    let names: Vec<&str> = applications.iter().map(String::as_str).collect();
                    wording.operation_on(*operation, &names).into()
                }
            })
            .collect()
    }

    /// Returns one hint that contains several, separated by semicolons.
    #[must_use]
    pub fn joined(hints: &[Self]) -> Self {
        let mut parts = Vec::new();
        for hint in hints {
            if !parts.is_empty() {
                parts.push(Part::from("; "));
            }
            parts.extend_from_slice(&hint.0);
        }
        Self(parts)
    }

    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.worded(&Neutral))
    }
}

impl FromIterator<Part> for Hint {
    fn from_iter<T: IntoIterator<Item = Part>>(parts: T) -> Self {
        Self(parts.into_iter().collect())
    }
}

impl From<&'static str> for Hint {
    fn from(text: &'static str) -> Self {
        Self(vec![text.into()])
    }
}

impl From<String> for Hint {
    fn from(text: String) -> Self {
        Self(vec![text.into()])
    }
}

impl From<&'static str> for Part {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<Opt> for Part {
    fn from(option: Opt) -> Self {
        Self::Option(option, None)
    }
}

impl<T: fmt::Display> From<(Opt, T)> for Part {
    fn from((option, value): (Opt, T)) -> Self {
        Self::Option(option, Some(value.to_string()))
    }
}

impl From<Operation> for Part {
    fn from(operation: Operation) -> Self {
        Self::Operation(operation)
    }
}

/// Makes a [`Hint`] of texts, options (with a value as a pair) and operations.
///
/// ```
/// use rdsprov_core::hint;
/// use rdsprov_core::hint::Opt;
///
/// let region = "eu-west-2";
/// let hint = hint![(Opt::Region, region), " is the region of the secret"];
/// assert!(hint.to_string().starts_with("the option `region` with the value `eu-west-2`"));
/// ```
#[macro_export]
macro_rules! hint {
    ($($part:expr),+ $(,)?) => {
        <$crate::hint::Hint as ::std::iter::FromIterator<$crate::hint::Part>>::from_iter(
            [$($crate::hint::Part::from($part)),+]
        )
    };
}

//! The report of `rdsprov preflight`: what was checked before a run, and with which result.
//!
//! This module does not know how a check is made: `operations` and `session` make the checks.

mod render;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::diagnostic::Diagnostic;
use crate::error_code::ErrorCode;
use crate::hint::Hint;
use crate::named_enum::named_enum;
use crate::text::pretty_json;

/// The value of `format_version` in the JSON form; it increases with each incompatible change.
pub const FORMAT_VERSION: u32 = 1;

named_enum! {
    /// What a check is about, in the order of the report.
    "kebab-case" pub enum CheckName {
        /// The definitions are valid.
        Definitions,
        /// The CSV file and the ledger can be written.
        Records,
        /// The administrator's secret can be used, or an IAM token can be created.
        AdminCredentials,
        /// The applications' secrets exist and agree with the definitions.
        Secrets,
        /// No rotation of a secret is in progress.
        Rotation,
        /// The host name can be resolved.
        Dns,
        /// The port accepts connections.
        Port,
        /// The connection is protected, and the server certificate is trusted and does not expire soon.
        Tls,
        /// The administrator can log in.
        Login,
        /// No proxy or connection pooler shares the session with other clients.
        Session,
        /// The server is not a reader or a standby.
        Writer,
        /// The catalogs can be read.
        Server,
        /// No blue/green deployment is in progress.
        BlueGreen,
        /// No rule refuses the changes, and the administrator may make them.
        Changes,
        /// No session uses the template of new databases.
        Template,
        /// The server, the administrator and its database have connections left.
        Connections,
        /// No other run holds the lock.
        Lock,
    }
}

named_enum! {
    /// The result of a check, from the best to the worst.
    "snake_case" pub enum CheckStatus {
        /// The check found nothing wrong.
        Passed,
        /// The check was not made.
        Skipped,
        /// A run can succeed, but a user should know the fact.
        Warning,
        /// A run would be refused, apart from its approval and its hazards, which only a plan shows.
        Refused,
        /// A run would fail.
        Failed,
    }
}

impl CheckStatus {
    /// Returns whether a run would not succeed.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self >= Self::Refused
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Check {
    /// What the check is about.
    pub name: CheckName,
    /// The result.
    pub status: CheckStatus,
    /// The secret, application, file or host that was checked; `null` if the check is about all of them.
    pub subject: Option<String>,
    /// What was found, in one sentence.
    pub message: String,
    /// The stable code of the error, refusal or note; `rdsprov explain CODE` describes it.
    pub code: Option<String>,
    /// What to do next: each hint is one way or one step.
    #[serde(serialize_with = "neutral")]
    #[schemars(with = "Vec<String>")]
    pub hints: Vec<Hint>,
}

/// The hints in JSON, which belongs to no front end.
fn neutral<S: Serializer>(hints: &[Hint], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(hints.iter().map(Hint::to_string))
}

impl Check {
    /// Creates a check without subject, code and hints.
    #[must_use]
    pub fn new(name: CheckName, status: CheckStatus, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { name, status, subject: None, message, code: None, hints: Vec::new() }
    }

    /// Creates the check that an error has failed.
    #[must_use]
    pub fn from_diagnostic(name: CheckName, status: CheckStatus, error: &Diagnostic) -> Self {
        let check = Self::new(name, status, error.fact.as_str())
            .with_code(error.code.name())
            .with_hints(&error.hints);
        match error.position() {
            Some(position) => check.about(position),
            None => check,
        }
    }

    /// Sets the subject.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the code.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// Sets the hints.
    #[must_use]
    pub fn with_hints(mut self, hints: &[Hint]) -> Self {
        self.hints = hints.to_vec();
        self
    }
}

/// Collects the checks of a report.
#[derive(Debug, Default)]
pub struct Checks(Vec<Check>);

impl Checks {
    /// Adds a check.
    pub fn add(&mut self, check: Check) {
        self.0.push(check);
    }

    /// Adds a check that found nothing wrong.
    pub fn pass(&mut self, name: CheckName, message: impl Into<String>) {
        self.add(Check::new(name, CheckStatus::Passed, message));
    }

    /// Adds a check that was not made, with the reason.
    pub fn skip(&mut self, name: CheckName, reason: impl Into<String>) {
        self.add(Check::new(name, CheckStatus::Skipped, reason));
    }

    /// Adds a check that was not made, because another one has failed.
    pub fn skip_because_of(&mut self, name: CheckName, failed: CheckName) {
        self.skip(name, format!("not checked, because `{failed}` has failed"));
    }

    /// Adds each check that the report does not contain yet: it was not made, because another one has
    /// failed.
    pub fn skip_rest(&mut self, failed: CheckName) {
        for name in CheckName::all() {
            if !self.contains(name) {
                self.skip_because_of(name, failed);
            }
        }
    }

    /// Returns whether there is a check of this name.
    #[must_use]
    pub fn contains(&self, name: CheckName) -> bool {
        self.0.iter().any(|check| check.name == name)
    }

    /// Returns whether a check of this name has failed.
    #[must_use]
    pub fn has_failed(&self, name: CheckName) -> bool {
        self.0.iter().any(|check| check.name == name && check.status.is_failure())
    }

    /// Returns the first check that the site policy has failed: nothing may be contacted after it.
    #[must_use]
    pub fn forbidden(&self) -> Option<CheckName> {
        let code = ErrorCode::SitePolicyViolated.name();
        self.0.iter().find(|check| check.code.as_deref() == Some(code)).map(|check| check.name)
    }

    /// Makes the report, in which the checks are in the order of their names.
    #[must_use]
    pub fn report(self, environment: Option<String>, server: Option<String>) -> PreflightReport {
        let Self(mut checks) = self;
        checks.sort_by_key(|check| check.name);
        // What was skipped because of a failure has this failure beside it.
        let made = checks.iter().filter(|check| check.status != CheckStatus::Skipped);
        let status = made.map(|check| check.status).max();
        PreflightReport {
            format_version: FORMAT_VERSION,
            environment,
            server,
            status: status.unwrap_or(CheckStatus::Passed),
            checks,
        }
    }
}

/// The checks before a run, and their results.
///
/// ```
/// use rdsprov_core::hint::Neutral;
/// use rdsprov_core::preflight::{Check, CheckName, CheckStatus, Checks};
///
/// let mut checks = Checks::default();
/// checks.pass(CheckName::Definitions, "1 application");
/// checks.add(Check::new(CheckName::Port, CheckStatus::Failed, "connection refused"));
/// let report = checks.report(Some("dev".to_owned()), None);
/// assert_eq!(report.status, CheckStatus::Failed);
/// assert!(report.to_text(&Neutral).contains("✗ port: connection refused\n"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PreflightReport {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The environment; `null` if it is not known.
    pub environment: Option<String>,
    /// The server, as `host:port`; `null` if it is not known.
    pub server: Option<String>,
    /// The worst result of all checks.
    pub status: CheckStatus,
    /// The checks. A check that finds several facts has a line for each.
    pub checks: Vec<Check>,
}

impl PreflightReport {
    /// Returns the document in JSON.
    ///
    /// # Errors
    /// Returns an error if a value cannot be serialized.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
    }

    /// Returns the number of checks with a result.
    #[must_use]
    pub fn count(&self, status: CheckStatus) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_that_were_not_made_name_the_failed_one() {
        let mut checks = Checks::default();
        checks.pass(CheckName::Dns, "resolved");
        checks.add(Check::new(CheckName::Port, CheckStatus::Failed, "connection refused"));
        checks.pass(CheckName::Definitions, "1 application");
        checks.skip_rest(CheckName::Port);
        let report = checks.report(None, None);
        let names: Vec<CheckName> = report.checks.iter().map(|check| check.name).collect();
        assert_eq!(names, CheckName::all().collect::<Vec<_>>());
        assert_eq!(report.status, CheckStatus::Failed);
        assert_eq!(report.count(CheckStatus::Skipped), names.len() - 3);
        let lock = report.checks.last().unwrap();
        assert_eq!(lock.message, "not checked, because `port` has failed");
    }

    #[test]
    fn refused_is_better_than_failed_and_worse_than_a_warning() {
        use CheckStatus::{Failed, Passed, Refused, Skipped, Warning};
        for (statuses, worst, is_failure) in [
            (&[Passed, Skipped][..], Passed, false),
            (&[Warning, Skipped], Warning, false),
            (&[Refused, Warning], Refused, true),
            (&[Refused, Failed], Failed, true),
            (&[], Passed, false),
        ] {
            let mut checks = Checks::default();
            for status in statuses {
                checks.add(Check::new(CheckName::Lock, *status, "x"));
            }
            let status = checks.report(None, None).status;
            assert_eq!((status, status.is_failure()), (worst, is_failure));
        }
    }
}

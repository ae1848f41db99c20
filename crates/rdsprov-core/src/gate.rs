//! The gates between a plan and its execution: the approval and the allowed hazards.
//!
//! This module does not know where the [`Policy`], the approval and the allowed hazards come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt, Part};
#[cfg(feature = "postgres")]
use crate::name::ApplicationName;
use crate::name::DatabaseName;
use crate::plan::{Hazard, Plan, Step};
use crate::policy::{ApprovalPolicy, Policy};
use crate::text;

/// A gate does not allow a plan to be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The approval policy is `required`, and no approval was given.
    #[error(
        "environment `{environment}` requires an approval of this plan ({digest}) or of any plan"
    )]
    ApprovalMissing {
        /// The name of the environment.
        environment: String,
        /// The digest of the current plan.
        digest: String,
    },
    /// The approval policy is `plan`, and the digest of the plan was not given.
    #[error("environment `{environment}` requires the approval of this plan ({digest})")]
    PlanApprovalMissing {
        /// The name of the environment.
        environment: String,
        /// The digest of the current plan.
        digest: String,
    },
    /// The approved digest is not the digest of the current plan.
    #[error("the approved plan ({approved}) is stale: the current plan is {digest}")]
    Stale {
        /// The digest that was approved.
        approved: String,
        /// The digest of the current plan.
        digest: String,
    },
    /// The plan is for another environment than the policy.
    #[error(
        "the plan is for environment `{plan}`, but the policy is that of environment `{policy}`"
    )]
    OtherEnvironment {
        /// The environment of the policy.
        policy: String,
        /// The environment of the plan.
        plan: String,
    },
    /// The approval is neither `true` nor `false` nor a digest.
    #[error("`{value}` is not a valid approval")]
    InvalidApproval {
        /// The text of the approval.
        value: String,
    },
    /// A teardown is only for ephemeral environments.
    #[error(
        "environment `{environment}` is not declared as ephemeral, so that nothing in it is torn down"
    )]
    NotEphemeral {
        /// The name of the environment.
        environment: String,
    },
    /// The names of databases that are to be dropped were not given, or not on the terminal.
    #[error("{} to be dropped, and {} given as a confirmation", match databases.as_slice() {
        [one] => format!("database {one} is"),
        several => format!("databases {} are", listed(several)),
    }, if databases.len() == 1 { "its name was not" } else { "their names were not" })]
    DropUnconfirmed {
        /// The names of the databases.
        databases: Vec<DatabaseName>,
    },
    /// The user has given the name of a database that exists and that the plan does not drop.
    #[error("the plan does not drop database {database}, and its name was given as a confirmation")]
    ConfirmedNotDropped {
        /// The name of the database.
        database: DatabaseName,
        /// The databases that the plan drops, and that were not confirmed.
        unconfirmed: Vec<DatabaseName>,
        /// Whether the run is a teardown, which drops what its build has created.
        is_teardown: bool,
    },
    /// The plan contains hazards that were not allowed by name.
    #[error(
        "the plan contains hazards that are not allowed in environment `{environment}`: {}",
        counted(.hazards)
    )]
    Hazards {
        /// The name of the environment.
        environment: String,
        /// The hazards, each with the number of its steps.
        hazards: BTreeMap<Hazard, usize>,
    },
}

/// Returns hazards with the number of their steps: `adopts (1 change)`.
fn counted(hazards: &BTreeMap<Hazard, usize>) -> String {
    let one = |(hazard, count): (&Hazard, &usize)| {
        format!("{hazard} ({})", text::counted(*count, "change"))
    };
    hazards.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What a run needs in addition, so that the gates allow its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// The digest to approve, if the environment requires an approval.
    pub digest: Option<String>,
    /// The hazards to allow.
    pub allow: Vec<Hazard>,
    /// The databases that the plan drops, which the user must name.
    pub confirm: BTreeSet<DatabaseName>,
}

impl GateError {
    /// Returns everything that a plan lacks, and not only what this gate requires; `None` if no option passes
    /// the gate.
    #[must_use]
    pub fn missing(&self, plan: &Plan) -> Option<Missing> {
        let digest = match self {
            Self::ApprovalMissing { digest, .. }
            | Self::PlanApprovalMissing { digest, .. }
            | Self::Stale { digest, .. } => Some(digest.clone()),
            Self::Hazards { .. } | Self::DropUnconfirmed { .. } => None,
            Self::OtherEnvironment { .. }
            | Self::InvalidApproval { .. }
            | Self::NotEphemeral { .. }
            | Self::ConfirmedNotDropped { .. } => return None,
        };
        let is_required = plan.origin.approval.as_deref() != Some(ApprovalPolicy::None.name());
        Some(Missing {
            digest: digest.or_else(|| is_required.then(|| plan.digest.clone())),
            allow: plan.hazards_to_allow(),
            confirm: plan.dropped_databases().into_iter().cloned().collect(),
        })
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::ApprovalMissing { .. } => ErrorCode::ApprovalMissing,
            Self::PlanApprovalMissing { .. } => ErrorCode::PlanApprovalMissing,
            Self::Stale { .. } => ErrorCode::PlanStale,
            Self::OtherEnvironment { .. } => ErrorCode::EnvironmentMismatch,
            Self::InvalidApproval { .. } => ErrorCode::InvalidApproval,
            Self::NotEphemeral { .. } => ErrorCode::EnvironmentNotEphemeral,
            Self::DropUnconfirmed { .. } | Self::ConfirmedNotDropped { .. } => {
                ErrorCode::DropNotConfirmed
            }
            Self::Hazards { .. } => ErrorCode::HazardsNotAllowed,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::ApprovalMissing { digest, .. } => hint![
                "review the plan, then set ",
                (Opt::Approval, digest),
                " to approve exactly this plan; ",
                (Opt::Approval, "true"),
                " approves any plan"
            ],
            Self::PlanApprovalMissing { digest, .. } => {
                hint!["review the plan, then set ", (Opt::Approval, digest)]
            }
            Self::Stale { digest, .. } => {
                hint!["review the current plan, then set ", (Opt::Approval, digest)]
            }
            Self::OtherEnvironment { .. } => {
                hint!["make the plan and the policy for one environment; check ", Opt::Env]
            }
            Self::InvalidApproval { .. } => hint![
                "set ",
                (Opt::Approval, "true"),
                ", or ",
                (Opt::Approval, "sha256:…"),
                " with the digest of a plan"
            ],
            Self::NotEphemeral { environment } => format!(
                "check the environment; if each build may be torn down in it, write `ephemeral = true` below `[environments.{environment}]` in rdsprov.toml"
            )
            .into(),
            Self::DropUnconfirmed { databases } => {
                confirm("review the plan, then add", databases)
            }
            Self::ConfirmedNotDropped { database, unconfirmed, is_teardown } => {
                return hints_about_confirmation(database, unconfirmed, *is_teardown);
            }
            Self::Hazards { hazards, .. } => {
                let allow =
                    hazards.keys().flat_map(|hazard| [" ".into(), (Opt::Allow, hazard).into()]);
                std::iter::once(Part::from("review the steps with these hazards, then add"))
                    .chain(allow)
                    .collect()
            }
        }]
    }
}

/// Returns what to do about the confirmation of a database that a plan does not drop.
fn hints_about_confirmation(
    database: &DatabaseName,
    unconfirmed: &[DatabaseName],
    is_teardown: bool,
) -> Vec<Hint> {
    let mut hints = vec![if is_teardown {
        hint![format!(
            "check which build created database {database}, then name that build, or remove the confirmation"
        )]
    } else {
        hint![
            "check which role owns the database, and which applications use it, then add ",
            Opt::DropDatabase,
            ", or remove the confirmation"
        ]
    }];
    if !unconfirmed.is_empty() {
        hints.push(confirm("to confirm what the plan drops, add", unconfirmed));
    }
    hints
}

/// Returns the hint to confirm that databases are dropped.
fn confirm(begin: &'static str, databases: &[DatabaseName]) -> Hint {
    let names = databases.iter().map(|one| one.as_str().to_owned()).collect();
    [Part::from(begin), " ".into(), Part::Options(Opt::Confirm, names)].into_iter().collect()
}

/// Returns the names of databases, separated by commas.
fn listed(databases: &[DatabaseName]) -> String {
    databases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// An approval, as a caller gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Approval {
    /// No approval: not given, empty or `false`.
    Nothing,
    /// `true`: the approval of any plan.
    AnyPlan,
    /// The approval of the plan with this digest.
    Digest(String),
}

/// Returns whether a text is a digest, or the beginning of one: errors and records contain it.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() <= 64 && hex.chars().all(|c| c.is_ascii_hexdigit()))
}

impl Approval {
    /// Parses the text of an approval; `None` means that none was given.
    ///
    /// # Errors
    /// Returns [`GateError::InvalidApproval`] if the value is neither a boolean nor a digest.
    ///
    /// ```
    /// use rdsprov_core::gate::Approval;
    /// assert_eq!(Approval::parse(Some("TRUE")), Ok(Approval::AnyPlan));
    /// assert_eq!(Approval::parse(None), Ok(Approval::Nothing));
    /// assert!(Approval::parse(Some("yes please")).is_err());
    /// assert!(Approval::parse(Some(&format!("sha256:{}", "a".repeat(65)))).is_err());
    /// ```
    pub fn parse(value: Option<&str>) -> Result<Self, GateError> {
        match value.map(str::trim) {
            None | Some("") => Ok(Self::Nothing),
            Some(v) if v.eq_ignore_ascii_case("true") => Ok(Self::AnyPlan),
            Some(v) if v.eq_ignore_ascii_case("false") => Ok(Self::Nothing),
            Some(v) if is_digest(v) => Ok(Self::Digest(v.to_owned())),
            Some(v) => Err(GateError::InvalidApproval { value: text::brief(v).into_owned() }),
        }
    }

    /// Returns the approval of what is left of an approved plan: an approval of the whole plan, by
    /// its digest, is one of its rest.
    #[must_use]
    pub(crate) fn of_remainder(self, whole: &str, rest: &str) -> Self {
        match self {
            Self::Digest(digest) if digest == whole => Self::Digest(rest.to_owned()),
            other => other,
        }
    }
}

impl fmt::Display for Approval {
    /// Writes `sha256:…`, `true` or `not_required`, as records contain it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "not_required",
            Self::AnyPlan => "true",
            Self::Digest(digest) => digest,
        })
    }
}

impl Policy {
    /// Parses a given approval. If the environment requires no approval, an invalid value counts as none.
    ///
    /// # Errors
    /// Returns [`GateError::InvalidApproval`].
    pub fn parse_approval(&self, value: Option<&str>) -> Result<Approval, GateError> {
        match (self.approval(), Approval::parse(value)) {
            (ApprovalPolicy::None, Err(_)) => Ok(Approval::Nothing),
            (_, approval) => approval,
        }
    }

    /// Checks that the roles and databases of a build may be torn down.
    ///
    /// # Errors
    /// Returns [`GateError::NotEphemeral`].
    pub fn check_ephemeral(&self) -> Result<(), GateError> {
        if self.is_ephemeral() {
            return Ok(());
        }
        Err(GateError::NotEphemeral { environment: self.environment().to_owned() })
    }

    /// Checks that a plan may be applied: that it is approved, and that each of its hazards is
    /// allowed. [`Hazard::ResetsPassword`] is always allowed, and some hazards must be allowed in every
    /// environment: see [`Hazard::must_always_be_allowed`]. An empty plan passes.
    ///
    /// # Errors
    /// Returns the first gate that does not allow it, and [`GateError::OtherEnvironment`] if the
    /// plan is for another environment than the policy.
    pub fn check(
        &self,
        plan: &Plan,
        approval: &Approval,
        allowed: &BTreeSet<Hazard>,
    ) -> Result<(), GateError> {
        if plan.environment != self.environment() {
            return Err(GateError::OtherEnvironment {
                policy: self.environment().to_owned(),
                plan: plan.environment.clone(),
            });
        }
        if plan.is_empty() {
            return Ok(());
        }
        if let Approval::Digest(approved) = approval
            && *approved != plan.digest
        {
            let (approved, digest) = (approved.clone(), plan.digest.clone());
            return Err(GateError::Stale { approved, digest });
        }
        self.check_approved(&plan.digest, approval)?;
        self.check_hazards(plan, allowed)
    }

    /// Checks that an approval is given, if the environment requires one for the plan with this digest.
    ///
    /// # Errors
    /// Returns [`GateError::ApprovalMissing`] or [`GateError::PlanApprovalMissing`].
    fn check_approved(&self, digest: &str, approval: &Approval) -> Result<(), GateError> {
        let (environment, digest) = (self.environment().to_owned(), digest.to_owned());
        match (self.approval(), approval) {
            (ApprovalPolicy::Required, Approval::Nothing) => {
                Err(GateError::ApprovalMissing { environment, digest })
            }
            (ApprovalPolicy::Plan, Approval::Nothing | Approval::AnyPlan) => {
                Err(GateError::PlanApprovalMissing { environment, digest })
            }
            (ApprovalPolicy::None, _)
            | (ApprovalPolicy::Required, Approval::AnyPlan | Approval::Digest(_))
            | (ApprovalPolicy::Plan, Approval::Digest(_)) => Ok(()),
        }
    }

    /// Checks that each hazard of a plan is allowed.
    ///
    /// # Errors
    /// Returns [`GateError::Hazards`] with the hazards that are not.
    pub(crate) fn check_hazards(
        &self,
        plan: &Plan,
        allowed: &BTreeSet<Hazard>,
    ) -> Result<(), GateError> {
        let mut hazards: BTreeMap<Hazard, usize> = BTreeMap::new();
        for hazard in plan.steps().flat_map(|step| self.hazards_not_allowed(step, allowed)) {
            *hazards.entry(hazard).or_default() += 1;
        }
        if hazards.is_empty() {
            Ok(())
        } else {
            Err(GateError::Hazards { environment: self.environment().to_owned(), hazards })
        }
    }

    /// Returns the applications with a step that has a hazard which is not allowed.
    #[cfg(feature = "postgres")]
    pub(crate) fn applications_with_hazards(
        &self,
        plan: &Plan,
        allowed: &BTreeSet<Hazard>,
    ) -> BTreeSet<ApplicationName> {
        let steps =
            plan.steps().filter(|step| self.hazards_not_allowed(step, allowed).next().is_some());
        steps.map(|step| step.application.clone()).collect()
    }

    fn hazards_not_allowed(
        &self,
        step: &Step,
        allowed: &BTreeSet<Hazard>,
    ) -> impl Iterator<Item = Hazard> {
        let hazards = step.hazards.iter().copied();
        hazards.filter(move |hazard| hazard.must_be_allowed(self) && !allowed.contains(hazard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::definitions::{Definitions, Rules, SourceText, Syntax};
    use crate::desired::Desired;
    use crate::plan::SecretFindings;
    use crate::secret_id::Templates;

    /// Returns a plan for a new database, with hazards in its first step.
    fn plan(environment: &str, hazards: &[Hazard]) -> Plan {
        let source = SourceText {
            path: "shop.toml".to_owned(),
            text:
                "[application_databases.shop]\ndatabase_name = \"shop\"\nusername = \"shop_user\""
                    .to_owned(),
            syntax: Syntax::Toml,
        };
        let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
        let desired = Desired::new(&definitions, environment, &Templates::default(), None).unwrap();
        let observed = serde_json::from_str(
            r#"{
                "server_version": 150004,
                "admin_database": "postgres",
                "administrator": {
                    "name": "platform_admin", "superuser": false, "create_role": true,
                    "create_database": true, "rds_superuser": true
                }
            }"#,
        )
        .unwrap();
        let mut plan = Plan::new(&desired, &observed, SecretFindings::default());
        plan.transactions[0].steps[0].hazards.extend(hazards);
        plan
    }

    fn policy(toml: &str, environment: &str) -> Policy {
        Config::from_toml("rdsprov.toml", toml).unwrap().policy(environment).unwrap()
    }

    /// Returns the hazards of a plan that must be allowed, if the plan is approved.
    fn not_allowed(policy: &Policy, allowed: &[Hazard]) -> Vec<Hazard> {
        let plan = plan(policy.environment(), &[Hazard::RevokesAccess, Hazard::ResetsPassword]);
        let approval = Approval::Digest(plan.digest.clone());
        match policy.check(&plan, &approval, &allowed.iter().copied().collect()) {
            Ok(()) => Vec::new(),
            Err(GateError::Hazards { hazards, .. }) => hazards.into_keys().collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn hazards_are_free_only_where_no_approval_is_required() {
        let none = "[environments.dev]\napproval = \"none\"";
        for toml in ["", none, "[environments.dev]"] {
            assert_eq!(not_allowed(&policy(toml, "dev"), &[]), [], "{toml}");
        }
        for (toml, environment) in [
            ("", "test"),
            ("", "prod"),
            ("[environments.dev]\napproval = \"required\"", "dev"),
            ("[environments.dev]\napproval = \"plan\"", "dev"),
            ("[environments.qa]", "qa"),
            // An environment that requires no approval is not `dev` for this reason.
            ("[environments.qa]\napproval = \"none\"", "qa"),
            ("[environments.prod]\napproval = \"none\"", "prod"),
        ] {
            let policy = policy(toml, environment);
            assert_eq!(not_allowed(&policy, &[]), [Hazard::RevokesAccess], "{toml} {environment}");
            assert_eq!(not_allowed(&policy, &[Hazard::RevokesAccess]), [], "{toml} {environment}");
        }
    }

    #[test]
    fn approval_policies() {
        let digest = plan("dev", &[]).digest;
        let given = [None, Some("false"), Some("true"), Some("sha256:00"), Some(digest.as_str())];
        for (approval, passes) in [
            ("none", [true, true, true, false, true]),
            ("required", [false, false, true, false, true]),
            ("plan", [false, false, false, false, true]),
        ] {
            let policy = policy(&format!("[environments.dev]\napproval = \"{approval}\""), "dev");
            let passed = given.map(|value| {
                let parsed = policy.parse_approval(value);
                parsed.is_ok_and(|approval| {
                    policy.check(&plan("dev", &[]), &approval, &BTreeSet::new()).is_ok()
                })
            });
            assert_eq!(passed, passes, "{approval}");
            // Without the check before connecting, the same approvals pass.
            let passed = given.map(|value| {
                let approval = Approval::parse(value).unwrap();
                policy.check(&plan("dev", &[]), &approval, &BTreeSet::new()).is_ok()
            });
            assert_eq!(passed, passes, "{approval}");
            assert_eq!(policy.parse_approval(Some("yes")).is_ok(), approval == "none");
        }
    }

    #[test]
    fn policy_of_another_environment_does_not_count() {
        let check = |plan: &Plan| {
            Policy::built_in("dev").unwrap().check(plan, &Approval::AnyPlan, &BTreeSet::new())
        };
        assert_eq!(check(&plan("dev", &[])), Ok(()));
        assert!(matches!(check(&plan("prod", &[])), Err(GateError::OtherEnvironment { .. })));
    }

    /// Errors, plans and records contain an approval.
    #[test]
    fn approvals_are_of_limited_length() {
        let digest = |hex: &str| Approval::parse(Some(&format!("sha256:{hex}")));
        for hex in ["0", &"0aF".repeat(21), &"b".repeat(64)] {
            assert_eq!(digest(hex), Ok(Approval::Digest(format!("sha256:{hex}"))));
        }
        for hex in ["x", "0 0", "\u{202e}", &"a".repeat(65), &"a".repeat(100_000)] {
            let error = digest(hex).unwrap_err();
            assert!(matches!(error, GateError::InvalidApproval { .. }), "{error}");
            assert!(error.to_string().chars().count() < 250, "{error}");
        }
    }
}

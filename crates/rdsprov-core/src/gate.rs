//! The gates between a plan and its execution: the approval and the allowed hazards.

use std::collections::BTreeSet;

use crate::config::ApprovalPolicy;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation, Opt, Part};
use crate::plan::{Hazard, Plan};

/// A gate does not allow a plan to be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The approval policy is `required`, and no approval was given.
    #[error("environment `{environment}` requires an approval")]
    ApprovalMissing {
        /// The name of the environment.
        environment: String,
    },
    /// The approval policy is `plan`, and the digest of the plan was not given.
    #[error("environment `{environment}` requires the approval of this plan ({digest})")]
    PlanApprovalMissing {
        /// The name of the environment.
        environment: String,
        /// The digest of the current plan.
        digest: String,
    },
    /// The approval policy is `plan`, no digest was given, and no plan was made yet.
    #[error("environment `{environment}` requires the approval of one particular plan")]
    NoPlanApproved {
        /// The name of the environment.
        environment: String,
    },
    /// The approved digest is not the digest of the current plan.
    #[error("the approved plan ({approved}) is stale: the current plan is {digest}")]
    Stale {
        /// The digest that was approved.
        approved: String,
        /// The digest of the current plan.
        digest: String,
    },
    /// The approval is neither `true` nor `false` nor a digest.
    #[error("`{value}` is not a valid approval")]
    InvalidApproval {
        /// The value of the variable.
        value: String,
    },
    /// The plan contains hazards that were not allowed by name.
    #[error(
        "the plan contains hazards that are not allowed in environment `{environment}`: {}",
        .hazards.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Hazards {
        /// The name of the environment.
        environment: String,
        /// The hazards, each once.
        hazards: Vec<Hazard>,
    },
}

impl GateError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::ApprovalMissing { .. } => ErrorCode::ApprovalMissing,
            Self::PlanApprovalMissing { .. } | Self::NoPlanApproved { .. } => {
                ErrorCode::PlanApprovalMissing
            }
            Self::Stale { .. } => ErrorCode::PlanStale,
            Self::InvalidApproval { .. } => ErrorCode::InvalidApproval,
            Self::Hazards { .. } => ErrorCode::HazardsNotAllowed,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::ApprovalMissing { .. } => {
                hint!["review the plan, then set ", (Opt::Approval, "true")]
            }
            Self::PlanApprovalMissing { digest, .. } => {
                hint!["review the plan, then set ", (Opt::Approval, digest)]
            }
            Self::NoPlanApproved { .. } => hint![
                "run ",
                Operation::Plan,
                ", review the plan, then set ",
                (Opt::Approval, "sha256:…"),
                " with its digest"
            ],
            Self::Stale { digest, .. } => {
                hint!["review the current plan, then set ", (Opt::Approval, digest)]
            }
            Self::InvalidApproval { .. } => hint![
                "set ",
                (Opt::Approval, "true"),
                ", or ",
                (Opt::Approval, "sha256:…"),
                " with the digest of a plan"
            ],
            Self::Hazards { hazards, .. } => {
                let allow =
                    hazards.iter().flat_map(|hazard| [" ".into(), (Opt::Allow, hazard).into()]);
                std::iter::once(Part::from("review the steps with these hazards, then add"))
                    .chain(allow)
                    .collect()
            }
        }]
    }
}

/// An approval, as `ALLOW_DB_PROVISION` contains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// No approval: the variable is not set, empty or `false`.
    Nothing,
    /// `true`: the approval of any plan.
    AnyPlan,
    /// The approval of the plan with this digest.
    Digest(String),
}

impl Approval {
    /// Parses the value of the variable.
    ///
    /// # Errors
    /// Returns [`GateError::InvalidApproval`] if the value is neither a boolean nor a digest.
    ///
    /// ```
    /// use rdsprov_core::gate::Approval;
    /// assert_eq!(Approval::parse(Some("TRUE")), Ok(Approval::AnyPlan));
    /// assert_eq!(Approval::parse(None), Ok(Approval::Nothing));
    /// assert!(Approval::parse(Some("yes please")).is_err());
    /// ```
    pub fn parse(value: Option<&str>) -> Result<Self, GateError> {
        match value.map(str::trim) {
            None | Some("") => Ok(Self::Nothing),
            Some(v) if v.eq_ignore_ascii_case("true") => Ok(Self::AnyPlan),
            Some(v) if v.eq_ignore_ascii_case("false") => Ok(Self::Nothing),
            Some(v) if v.starts_with("sha256:") => Ok(Self::Digest(v.to_owned())),
            Some(v) => Err(GateError::InvalidApproval { value: v.to_owned() }),
        }
    }
}

/// Checks the approval without a plan, before the run contacts anything.
///
/// # Errors
/// Returns [`GateError::ApprovalMissing`] or [`GateError::NoPlanApproved`] if no approval was given that can be
/// valid for a plan.
pub fn check_before_connecting(
    environment: &str,
    policy: ApprovalPolicy,
    approval: &Approval,
) -> Result<(), GateError> {
    match (policy, approval) {
        (ApprovalPolicy::Required, Approval::Nothing) => {
            Err(GateError::ApprovalMissing { environment: environment.to_owned() })
        }
        (ApprovalPolicy::Plan, Approval::Nothing | Approval::AnyPlan) => {
            Err(GateError::NoPlanApproved { environment: environment.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Checks that a plan may be applied: the approval and, outside `dev`, each hazard.
///
/// # Errors
/// Returns the first gate that does not allow it.
pub fn check(
    plan: &Plan,
    policy: ApprovalPolicy,
    approval: &Approval,
    allowed: &BTreeSet<Hazard>,
) -> Result<(), GateError> {
    if plan.is_empty() {
        return Ok(());
    }
    let environment = || plan.environment.clone();
    match (policy, approval) {
        (_, Approval::Digest(approved)) if *approved != plan.digest => {
            return Err(GateError::Stale {
                approved: approved.clone(),
                digest: plan.digest.clone(),
            });
        }
        (ApprovalPolicy::Required, Approval::Nothing) => {
            return Err(GateError::ApprovalMissing { environment: environment() });
        }
        (ApprovalPolicy::Plan, Approval::Nothing | Approval::AnyPlan) => {
            return Err(GateError::PlanApprovalMissing {
                environment: environment(),
                digest: plan.digest.clone(),
            });
        }
        _ => {}
    }
    if plan.environment == "dev" {
        return Ok(());
    }
    let missing: Vec<Hazard> = plan
        .hazards()
        .into_iter()
        .filter(|hazard| *hazard != Hazard::ResetsPassword && !allowed.contains(hazard))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(GateError::Hazards { environment: environment(), hazards: missing })
    }
}

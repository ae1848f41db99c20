//! The gates between a plan and its execution: may this plan run here?

use std::collections::BTreeSet;

use crate::config::ApprovalPolicy;
use crate::plan::{Hazard, Plan};

/// Why a plan may not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The environment asks for approval and none was given.
    #[error(
        "environment {environment:?} asks for approval; set ALLOW_DB_PROVISION=true once somebody has read the plan"
    )]
    ApprovalMissing {
        /// The environment.
        environment: String,
    },
    /// The environment takes only the digest of the plan.
    #[error(
        "environment {environment:?} asks for the approval of one plan; set ALLOW_DB_PROVISION={digest} once somebody has read it"
    )]
    PlanApprovalMissing {
        /// The environment.
        environment: String,
        /// The digest of the plan at hand.
        digest: String,
    },
    /// The environment takes only the digest of a plan, and none was given.
    #[error(
        "environment {environment:?} asks for the approval of one plan: run `rdsprov plan`, read it, and set ALLOW_DB_PROVISION to the digest that it prints"
    )]
    NoPlanApproved {
        /// The environment.
        environment: String,
    },
    /// The digest approved is not this plan's.
    #[error(
        "the plan approved ({approved}) is not the plan at hand ({digest}): it is stale; read the new plan and approve it"
    )]
    Stale {
        /// What was approved.
        approved: String,
        /// What is at hand.
        digest: String,
    },
    /// The approval is neither `true` nor a digest.
    #[error(
        "ALLOW_DB_PROVISION={value:?} is no approval; use `true`, or the plan's digest as `sha256:…`"
    )]
    NoApproval {
        /// What was given.
        value: String,
    },
    /// Hazards that nobody allowed.
    #[error(
        "environment {environment:?} needs each hazard allowed by name; add {flags} once they are wanted"
    )]
    Hazards {
        /// The environment.
        environment: String,
        /// The flags to add.
        flags: String,
    },
}

/// An approval as somebody gave it, in `ALLOW_DB_PROVISION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// Nothing, or `false`.
    Nothing,
    /// Any plan.
    AnyPlan,
    /// The plan of this digest.
    Digest(String),
}

impl Approval {
    /// Reads the variable's value.
    ///
    /// # Errors
    /// [`GateError::NoApproval`] where it means nothing.
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
            Some(v) => Err(GateError::NoApproval { value: v.to_owned() }),
        }
    }
}

/// The part of the gate that needs no plan, so that it can say no before anything is contacted.
///
/// # Errors
/// [`GateError::ApprovalMissing`] and [`GateError::NoPlanApproved`] where approval is asked for and
/// nothing was given that could be it.
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

/// Whether the plan may run.
///
/// # Errors
/// See [`GateError`].
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
    let missing: Vec<String> = plan
        .hazards()
        .into_iter()
        .filter(|hazard| *hazard != Hazard::ResetsPassword && !allowed.contains(hazard))
        .map(|hazard| format!("--allow {hazard}"))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(GateError::Hazards { environment: environment(), flags: missing.join(" ") })
    }
}

//! What an environment requires before a plan is applied: the only place that decides it.
//!
//! This module does not know plans. The gates are in [`crate::gate`].

use crate::named_enum::named_enum;

named_enum! {
    /// The approval that an environment requires before a plan is applied. A later variant requires
    /// more than an earlier one.
    "snake_case" pub enum ApprovalPolicy {
        /// No approval is required.
        None,
        /// An approval is required: `true`, or the digest of the plan.
        Required,
        /// An approval that contains the digest of the plan is required.
        Plan,
    }
}

named_enum! {
    /// What a plan does with a role that the definitions do not declare and that has access to a declared
    /// database. A later variant is stricter than an earlier one.
    #[derive(Default)]
    "snake_case" pub enum UndeclaredAccess {
        /// The plan does not mention it.
        Allow,
        /// The plan contains a note.
        #[default]
        Report,
        /// The plan refuses the application of the database.
        Refuse,
    }
}

/// The built-in environments with their approval policies; only `dev` requires no approval.
const BUILT_IN: [(&str, ApprovalPolicy); 4] = [
    ("dev", ApprovalPolicy::None),
    ("test", ApprovalPolicy::Required),
    ("staging", ApprovalPolicy::Required),
    ("prod", ApprovalPolicy::Required),
];

/// What one environment requires before a plan is applied: an approval,
/// allowed hazards, or neither.
///
/// A built-in environment without approval (`dev`) allows all hazards, except those that must be
/// allowed everywhere. If the configuration
/// requires an approval there, its hazards must be allowed, too. In each other environment, hazards
/// must be allowed whether it requires an approval or not.
///
/// ```
/// use rdsprov_core::policy::{ApprovalPolicy, Policy};
///
/// let dev = Policy::built_in("dev").unwrap();
/// assert!(dev.allows_all_hazards());
///
/// let strict = Policy::declared("dev", Some(ApprovalPolicy::Required));
/// assert!(!strict.allows_all_hazards());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    environment: String,
    approval: ApprovalPolicy,
    allows_all_hazards: bool,
    is_ephemeral: bool,
}

impl Policy {
    /// Returns the names of the built-in environments.
    pub fn built_in_environments() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Returns the policy of a built-in environment, or `None` if no environment of this
    /// name is built in.
    #[must_use]
    pub fn built_in(environment: &str) -> Option<Self> {
        let (_, approval) = BUILT_IN.iter().find(|(name, _)| *name == environment)?;
        Some(Self {
            environment: environment.to_owned(),
            approval: *approval,
            allows_all_hazards: *approval == ApprovalPolicy::None,
            is_ephemeral: false,
        })
    }

    /// Returns the policy of an environment that the configuration declares. Without
    /// an approval policy of its own, it has that of the built-in environment of
    /// this name, otherwise [`ApprovalPolicy::Required`].
    #[must_use]
    pub fn declared(environment: &str, approval: Option<ApprovalPolicy>) -> Self {
        let built_in = Self::built_in(environment).unwrap_or_else(|| Self {
            environment: environment.to_owned(),
            approval: ApprovalPolicy::Required,
            allows_all_hazards: false,
            is_ephemeral: false,
        });
        let approval = approval.unwrap_or(built_in.approval);
        Self {
            allows_all_hazards: built_in.allows_all_hazards && approval == ApprovalPolicy::None,
            approval,
            ..built_in
        }
    }

    /// Returns the policy with an approval that requires at least as much as another one.
    #[must_use]
    pub(crate) fn with_at_least(self, approval: ApprovalPolicy) -> Self {
        let approval = self.approval.max(approval);
        Self {
            allows_all_hazards: self.allows_all_hazards && approval == ApprovalPolicy::None,
            approval,
            ..self
        }
    }

    /// Returns the policy with each hazard to be allowed by name.
    #[must_use]
    pub(crate) fn without_free_hazards(self) -> Self {
        Self { allows_all_hazards: false, ..self }
    }

    /// Returns the policy of an environment that is ephemeral, or not: what a build has created in an
    /// ephemeral one may be torn down. No built-in environment is ephemeral.
    #[must_use]
    pub fn ephemeral(self, is_ephemeral: bool) -> Self {
        Self { is_ephemeral, ..self }
    }

    /// Returns the name of the environment.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Returns the approval that the environment requires.
    #[must_use]
    pub fn approval(&self) -> ApprovalPolicy {
        self.approval
    }

    /// Returns whether the configuration declares the environment as ephemeral.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        self.is_ephemeral
    }

    /// Returns whether a plan may contain hazards without their being allowed by name. It may not
    /// contain those that must be allowed in every environment.
    #[must_use]
    pub fn allows_all_hazards(&self) -> bool {
        self.allows_all_hazards
    }
}

//! The plan: the difference between the desired and the observed state, as an
//! ordered list of transactions.
//!
//! This module does not know connections, clocks, environment variables or randomness: equal inputs
//! give equal bytes. Values that are known only at execution, such as a verifier or the build id,
//! are slots in a [`Statement`].
//!
//! The order of the comparison is in `compare.rs`. Each other module compares one kind of object.

mod acl;
mod audit_table;
mod authority;
mod basis;
mod blocked;
mod blue_green;
mod clones;
mod compare;
mod counts;
mod database;
mod database_marker;
mod database_planner;
mod databases;
mod default_privileges;
mod delegation;
mod drift;
mod drops;
mod environments;
mod executor;
mod explanations;
mod extension_privileges;
mod extension_schemas;
mod extension_users;
mod extensions;
mod github;
mod groups;
mod hazard;
mod head;
mod home;
mod identities;
mod identity;
mod locked_out;
mod markdown;
mod note;
mod origin;
mod orphans;
mod ownership;
mod part;
mod pending;
#[allow(clippy::module_inception, reason = "the plan itself; the other modules make it")]
mod plan;
mod planner;
mod predefined_groups;
mod recorded;
mod refusal;
mod relations;
mod render;
mod retire;
mod role_marker;
mod role_memberships;
mod roles;
pub mod rotation;
mod saved;
mod schemas;
mod scopes;
mod secret_deletion;
mod selection;
mod settings;
mod sql;
mod stale_part;
mod step;
mod template_objects;
#[cfg(test)]
pub(crate) mod test_states;
mod undeclared_access;
mod undeclared_role_access;
mod unique_keys;
mod widening;
mod words;

pub use basis::{Basis, DatabaseBasis, RoleBasis};
pub use compare::required_relation_names;
pub use counts::Counts;
pub(crate) use database_marker::has_believed_marker;
pub use groups::Detail;
pub use hazard::Hazard;
#[cfg(feature = "postgres")]
pub(crate) use identity::GlobalObject;
pub use identity::{DatabaseIdentity, DatabaseOid, Identities, PrivilegedAttribute, RoleIdentity};
pub use note::{Note, NoteCode, NoteKind};
pub use origin::{Origin, RetirementOptions};
pub use plan::{
    Deferred, FORMAT_VERSION, Finding, Orphan, OrphanKind, Plan, PlannedApplication,
    SecretFindings, UndeclaredDatabase,
};
#[cfg(feature = "postgres")]
pub(crate) use predefined_groups::predefined_groups;
pub(crate) use recorded::Recorded;
pub(crate) use refusal::adoption;
pub use refusal::{
    AdminOptionPurpose, Executor, ManualFix, Preparation, Refusal, RefusalCode, RefusalKind,
    Remedy, WordedFix, WordedRefusal,
};
pub(crate) use render::line as step_line;
#[cfg(feature = "postgres")]
pub(crate) use retire::with_orphans;
pub(crate) use roles::administrator_power;
pub use saved::{Differences, Remainder, SavedPlan, SavedPlanError, Stale};
#[cfg(feature = "postgres")]
pub(crate) use secret_deletion::secrets_of_retired_roles;
use sql::AuditRow;
pub use sql::{
    BEGIN_SESSION, CHANGED_SINCE_PLAN, Line, Moment, SESSION_SETTINGS, SessionSetting, SlotError,
    Slots, Statement, probe as probe_statements, session_settings,
};
#[cfg(feature = "postgres")]
pub(crate) use sql::{HidingKey, choose_keys, exchanged, expected_columns};
pub(crate) use step::DATABASE_OWNER;
pub use step::{
    Action, AuditTarget, ChangedSecret, ExecuteAs, MembershipOption, Memberships, Scope, Step,
    TemporaryUsage, Transaction,
};
pub use undeclared_role_access::{EndOfAccess, UndeclaredRoleAccess};

//! The reaction of a user to the refusals of a plan.

use rdsprov_core::plan::{Executor, Plan, Refusal, RefusalCode, RefusalKind, Remedy};

use crate::initial_state::{ADMINISTRATOR, Base, Case, Kind, ManualChange, Scope};

/// What a user does because of one refusal.
pub enum Fix<'a> {
    /// Executes the statements of the refusal, as this role or as the bootstrap superuser.
    OfRefusal {
        code: RefusalCode,
        executor: Option<String>,
        scope: Scope,
        sql: String,
        message: String,
    },
    /// Undoes these manual changes of the case.
    OfCase(Vec<&'a ManualChange>),
    /// Allows the run to change owners.
    ChangesOwner,
    /// Only other definitions would help.
    None,
    /// A role or database is not managed: expected only after the statements of another refusal, which can
    /// remove its marker or the reason to believe it.
    NotManaged(String),
    /// The test does not expect the refusal.
    Unexpected(String),
}

/// Returns the reactions to the refusals of a plan, in their order.
pub fn fixes<'a>(plan: &Plan, case: &'a Case) -> Vec<Fix<'a>> {
    plan.refusals.iter().map(|refusal| fix(refusal, case)).collect()
}

fn fix<'a>(refusal: &Refusal, case: &'a Case) -> Fix<'a> {
    if let Some(fix) = of_refusal(refusal) {
        return fix;
    }
    match &refusal.kind {
        RefusalKind::DatabaseOwnerDiffers { can_be_allowed: true, .. }
        | RefusalKind::SchemaOwnerDiffers { can_be_allowed: true, .. } => return Fix::ChangesOwner,
        // The last one has no statement if the role also owns large objects.
        RefusalKind::DatabaseOwnerDiffers { .. }
        | RefusalKind::ObjectNotTransferable { .. }
        | RefusalKind::ExtensionWithoutSchema { .. }
        | RefusalKind::ObjectsOfDeclaredRole { .. } => return Fix::None,
        // A killed run has not written the marker of its database yet, which got another owner since.
        RefusalKind::DatabaseNotManaged { .. }
            if matches!(case.base, Base::Interrupted(..))
                && case.drift.iter().any(|one| one.kind == Kind::DatabaseOfAnotherOwner) =>
        {
            return Fix::None;
        }
        _ => {}
    }
    let changes = case.drift.iter().filter(|change| !change.manual_fix.is_empty());
    let changes: Vec<&ManualChange> = changes.collect();
    if changes.is_empty() {
        let (code, message, hint) = (refusal.code(), refusal.message(), refusal.hint());
        let what = format!("{code}: {message}; {hint}");
        return match refusal.kind {
            RefusalKind::RoleNotManaged { .. } | RefusalKind::DatabaseNotManaged { .. } => {
                Fix::NotManaged(what)
            }
            _ => Fix::Unexpected(what),
        };
    }
    Fix::OfCase(changes)
}

/// Returns the statements of a refusal, if it has some.
pub fn of_refusal(refusal: &Refusal) -> Option<Fix<'static>> {
    let fix = refusal.manual_fix()?;
    Some(Fix::OfRefusal {
        code: refusal.code(),
        executor: match &refusal.remedy {
            Remedy::Run(Executor::Superuser, _) => None,
            Remedy::Run(Executor::Role(role), _) => Some(role.to_string()),
            _ => Some(ADMINISTRATOR.to_owned()),
        },
        scope: match &fix.database {
            Some(name) => Scope::Database(name.to_string()),
            None => Scope::Cluster,
        },
        sql: fix.sql.clone(),
        message: refusal.message().to_string(),
    })
}

/// The error of a statement that would give code to another role.
pub const WOULD_GIVE_CODE: &str = "would receive code that its sessions execute";

/// Returns the statements of a user that has reviewed the code which objects contain, and gives them to another
/// role without the check of the hint.
pub fn reviewed(sql: &str) -> String {
    let checked = |sql: &str| -> Option<String> {
        let (before, block) = sql.split_once("DO 'DECLARE new_owner oid;")?;
        let (_, rest) = block.split_once("AND s.deptype = ''o''); ")?;
        let (statements, check) = rest.split_once("; code := (")?;
        let (_, after) = check.split_once("END IF; END'")?;
        Some(format!("{before}{}{after}", statements.replace("''", "'")))
    };
    checked(sql).unwrap_or_else(|| sql.to_owned())
}

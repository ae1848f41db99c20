//! Plans the deletion of the secrets of retired roles. Secrets Manager keeps each one for a recovery window.
//!
//! The marker of a role names its secret. So the secrets come before the roles are dropped: if one cannot
//! be deleted, the next run still finds it.

use super::planner::Planner;
use super::{Action, ChangedSecret, Hazard, NoteKind, Scope, Step, Transaction, retire};
use crate::desired::{self, Desired};
use crate::name::{ApplicationName, RoleName};
use crate::observed::Observed;
use crate::secret_id::SecretId;

/// Returns the secrets that the markers of retired roles name, each with the application of its role.
pub(crate) fn secrets_of_retired_roles(
    desired: &Desired,
    observed: &Observed,
) -> Vec<(ApplicationName, SecretId)> {
    let desired = &*retire::with_orphans(desired, observed);
    let of_role = |(name, role): (&RoleName, &desired::Role)| {
        let secret = retired_secret(desired, observed, name, role)?.ok()?;
        Some((role.application.clone(), secret))
    };
    desired.selected_roles().filter_map(of_role).collect()
}

/// Returns the secret in the marker of a role, if the role is retired and managed. If its id contains a build
/// id, this is that of the marker.
///
/// # Errors
/// Returns the id with the placeholder if a later build can have another secret.
fn retired_secret(
    desired: &Desired,
    observed: &Observed,
    name: &RoleName,
    role: &desired::Role,
) -> Option<Result<SecretId, SecretId>> {
    let marker = observed.roles.get(name)?.marker().filter(|_| role.is_retired())?;
    let marker = Some(marker).filter(|one| one.environment == desired.environment)?;
    let expanded = marker.secret_of_build();
    let named = SecretId(marker.secret?);
    let is_known = |one: &SecretId| *one == named || desired.torn_down_build.is_some();
    Some(expanded.filter(is_known).ok_or(named))
}

impl Planner<'_> {
    /// Plans the deletion of the secrets of retired roles that exist, and notes those that are kept.
    pub(super) fn delete_secrets(&mut self) -> Option<Transaction> {
        let (desired, observed) = (self.desired, self.observed);
        let window = desired.deletes_secrets?;
        let mut steps: Vec<Step> = Vec::new();
        for (name, role) in desired.selected_roles() {
            let secret = match retired_secret(desired, observed, name, role) {
                None => continue,
                Some(Ok(secret)) => secret,
                Some(Err(secret)) => {
                    let reason = "its id contains the id of a build, and builds after that of the \
                                  marker can have others";
                    let (role, reason) = (name.clone(), reason.to_owned());
                    self.note(NoteKind::SecretKept { secret, role, reason });
                    continue;
                }
            };
            if !self.findings.retired_secrets.contains(&secret) {
                continue;
            }
            if let Some(reason) = self.other_use(&secret, name) {
                let role = name.clone();
                self.note(NoteKind::SecretKept { secret, role, reason });
                continue;
            }
            let is_planned = |step: &Step| {
                let planned = step.changed_secret.as_ref().and_then(|one| one.old.as_ref());
                planned.is_some_and(|planned| SecretId(planned.clone()).is_same(&secret))
            };
            if steps.iter().any(is_planned) {
                continue;
            }
            let days = window.days();
            let summary =
                format!("secret {secret} of role {name}, which can be restored for {days} days");
            let step = Step::on_role(name, &role.application, Action::DeleteSecret, summary, []);
            let mut step = step.with_hazards([Hazard::RevokesAccess]);
            step.changed_secret = Some(ChangedSecret { old: Some(secret.0), new: None });
            steps.push(step);
        }
        self.transaction(Scope::Secrets, steps)
    }

    /// Returns why the secret of a retired role is kept: what else uses it, as a sentence.
    fn other_use(&self, secret: &SecretId, role: &RoleName) -> Option<String> {
        let is_same = |other: &SecretId| other.is_same(secret);
        if self.observed.connection.admin_secret.as_ref().is_some_and(is_same) {
            return Some("it is that of the administrator".to_owned());
        }
        let stays = |other: &RoleName| {
            let declared = self.desired.roles.get(other);
            !(declared.is_some_and(desired::Role::is_retired) && self.desired.selects_role(other))
        };
        let mut recorded = self.recorded().roles_with_secret(secret);
        if let Some(other) = recorded.find(|other| other.role != role && stays(other.role)) {
            let marker = if other.is_proven { "marker" } else { "comment" };
            return Some(format!("the {marker} of role {} names it", other.role));
        }
        let declares = |other: &desired::Role| {
            let named = other.secret().into_iter().chain(&other.recorded_secret);
            named.chain(other.other_secrets.keys()).any(is_same)
        };
        let mut declared = self.desired.roles.iter();
        let (other, _) = declared.find(|(_, other)| declares(other))?;
        Some(format!("the definitions name it for role {other}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_states::{desired_from, marker, observed_with};
    use crate::plan::{Plan, SecretFindings};
    use crate::secret_id::RecoveryWindow;

    const SECRET: &str = "goldenpath/dev/shop/postgres";

    /// Two applications, of which the first one has ended.
    fn desired(other_level: &str) -> Desired {
        desired_from(&format!(
            "[application_databases]
             shop = {{ database_name = \"shop\", username = \"shop_owner\", access_level = \"none\" }}
             wiki = {{ database_name = \"wiki\", username = \"wiki_owner\", access_level = \"{other_level}\" }}"
        ))
    }

    fn observed() -> Observed {
        let secret = format!(" secret=\"{SECRET}\"");
        let (shop, wiki) =
            (marker("shop", "shop_owner", &secret), marker("wiki", "wiki_owner", &secret));
        observed_with(&[("shop_owner", &shop), ("wiki_owner", &wiki)], &[])
    }

    /// Only the marker of a managed role that is retired names a secret to delete.
    #[test]
    fn secrets_are_those_of_retired_roles_of_the_environment() {
        let roles = |desired: &Desired, observed: &Observed| -> Vec<String> {
            let all = secrets_of_retired_roles(desired, observed);
            all.into_iter().map(|(application, _)| application.to_string()).collect()
        };
        assert_eq!(roles(&desired("none"), &observed()), ["shop", "wiki"]);
        assert_eq!(roles(&desired("owner"), &observed()), ["shop"]);
        let mut of_prod = observed();
        for role in of_prod.roles.values_mut() {
            role.comment = role.comment.take().map(|text| text.replace("=dev", "=prod"));
        }
        assert!(roles(&desired("none"), &of_prod).is_empty());
    }

    /// A role that this run does not retire keeps its secret, also if it has no access.
    #[test]
    fn secret_of_a_role_that_is_not_selected_is_kept() {
        let deleted = |selected: &[&str]| {
            let mut desired = desired("none");
            let selected: Vec<String> = selected.iter().map(|one| (*one).to_owned()).collect();
            desired.retire(&selected).unwrap();
            desired.deletes_secrets = Some(RecoveryWindow::default());
            let mut findings = SecretFindings::default();
            findings.retired_secrets.insert(SecretId(SECRET.to_owned()));
            let plan = Plan::new(&desired, &observed(), findings);
            plan.steps().filter(|step| step.action == Action::DeleteSecret).count()
        };
        assert_eq!(deleted(&["shop"]), 0);
        assert_eq!(deleted(&["shop", "wiki"]), 1);
    }
}

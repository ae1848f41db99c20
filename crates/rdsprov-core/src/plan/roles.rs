//! Plans the attributes, passwords and memberships of roles.

use std::collections::BTreeSet;

use super::authority::AdministratorAttribute;
use super::planner::{Adoptable, Planner, Takeover};
use super::sql::RoleAttribute;
use super::{Action, ChangedSecret, ExecuteAs, Executor, Hazard, NoteKind, RefusalKind, Step, sql};
use crate::desired::{self, Adoption, Credential};
use crate::marker::Marker;
use crate::name::{ApplicationName, RoleName};
use crate::observed::{self, Membership, PasswordCheck, RDS_IAM};
use crate::probe::{MembershipRevocation, Probe, RevocationScope};
use crate::secret_id::SecretId;
use crate::valid_until::ValidUntil;

impl Planner<'_> {
    /// Plans the steps of all declared roles.
    pub(super) fn roles(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (name, role) in self.desired.selected_roles() {
            if self.refuse_administrator(name, role) {
                continue;
            }
            match self.observed.roles.get(name) {
                Some(seen) => self.role_that_exists(name, role, seen, &mut steps),
                None => self.new_role(name, role, &mut steps),
            }
        }
        if let Some(first) = steps.iter().find(|step| step.sets_password()) {
            self.check_password_rules(&first.application);
        }
        steps
    }

    /// Returns whether the administrator may set the password of a managed role, or refuses it.
    pub(super) fn may_set_password(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
    ) -> bool {
        if self.refuse_administrator(name, role) {
            return false;
        }
        if self.role_takeover(name, role, seen, Adoption::Refused).is_none() {
            return false;
        }
        if !self.can_administer(name) {
            self.refuse_without_admin_option(&role.application, name);
            return false;
        }
        self.require(AdministratorAttribute::CreateRole, &role.application)
    }

    /// Refuses a declared role that is the administrator itself. Returns whether it refused.
    fn refuse_administrator(&mut self, name: &RoleName, role: &desired::Role) -> bool {
        let is_administrator = *name == self.observed.administrator.name;
        if is_administrator {
            let kind = RefusalKind::RoleIsAdministrator { role: name.clone() };
            self.refuse(&role.application, kind);
        }
        is_administrator
    }

    /// Checks the rules of the server for passwords, before the first one is set.
    pub(super) fn check_password_rules(&mut self, application: &ApplicationName) {
        let rules = &self.observed.passwords;
        let administrator = self.observed.administrator.clone();
        if rules.restricted && !rules.in_rds_password && !administrator.superuser {
            let group = RoleName::new_unchecked("rds_password");
            self.refuse_with_fix(
                application,
                RefusalKind::SetPasswordRestricted { administrator: administrator.name.clone() },
                Executor::MasterUser,
                sql::grant_role(&group, &administrator.name),
            );
        }
        if rules.encryption != "scram-sha-256" {
            let encryption = rules.encryption.clone();
            self.note(NoteKind::PasswordEncryptionDiffers { encryption });
        }
    }

    /// Refuses a missing role if the marker of another role contains its name.
    /// Returns whether it refused.
    pub(super) fn refuse_renamed(&mut self, name: &RoleName, role: &desired::Role) -> bool {
        let renamed = self.observed.roles.iter().find(|(other, seen)| {
            *other != name && self.is_marked_as(seen.marker().as_ref(), name.as_str())
        });
        if let Some((other, _)) = renamed {
            let executor = self.who_administers(other);
            self.refuse_with_fix(
                &role.application,
                RefusalKind::RoleRenamed { role: name.clone(), renamed_to: other.clone() },
                executor,
                sql::rename_role(other, name),
            );
        }
        renamed.is_some()
    }

    fn new_role(&mut self, name: &RoleName, role: &desired::Role, steps: &mut Vec<Step>) {
        if self.refuse_renamed(name, role)
            || !self.require(AdministratorAttribute::CreateRole, &role.application)
        {
            return;
        }
        let mut attributes = vec![RoleAttribute::Login];
        if role.create_database {
            attributes.push(RoleAttribute::CreateDatabase(true));
        }
        if role.create_role {
            attributes.push(RoleAttribute::CreateRole(true));
        }
        if role.connection_limit != -1 {
            attributes.push(RoleAttribute::ConnectionLimit(role.connection_limit));
        }
        if role.valid_until.is_some() {
            attributes.push(RoleAttribute::ValidUntil(role.valid_until));
        }
        let authentication = match &role.credential {
            Credential::Password(secret) => self.password_from(secret),
            Credential::Iam => "IAM token".to_owned(),
        };
        let marker = self.role_marker(role, name);
        steps.push(Step::on_role(
            name,
            &role.application,
            Action::CreateRole,
            format!("role {name}: {}, {authentication}", sql::attributes_sql(&attributes)),
            vec![
                sql::create_role(name, role.secret(), &attributes),
                sql::set_role_marker(name, None, marker),
            ],
        ));
        if role.credential == Credential::Iam {
            self.join_rds_iam(name, role, Vec::new(), steps);
        }
    }

    /// Returns the secret of a password with its version: an approval is valid
    /// for this version only.
    fn password_from(&self, secret: &SecretId) -> String {
        match self.findings.versions.get(secret) {
            Some(version) => format!("password from {secret} (version {version})"),
            None => format!("password from {secret}"),
        }
    }

    /// Makes a role a member of `rds_iam`, after the statements in `before`.
    fn join_rds_iam(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        mut before: Vec<sql::Statement>,
        steps: &mut Vec<Step>,
    ) {
        let group = RoleName::new_unchecked(RDS_IAM);
        if !self.observed.roles.contains_key(&group) {
            let kind = RefusalKind::RdsIamMissing { role: name.clone() };
            self.refuse(&role.application, kind);
            return;
        }
        if !self.can_administer(&group) {
            self.refuse_without_admin_option(&role.application, &group);
            return;
        }
        let administrator = &self.observed.administrator;
        if self.observed.major() >= 16 && !administrator.superuser {
            self.note(NoteKind::AdministratorInRdsIam {
                role: name.clone(),
                administrator: administrator.name.clone(),
            });
        }
        let summary = format!("membership of role {name} in {RDS_IAM}");
        let (summary, hazard) = if before.is_empty() {
            (summary, None)
        } else {
            (format!("{summary}; removes its password"), Some(Hazard::ResetsPassword))
        };
        before.push(sql::grant_role(&group, name));
        steps.push(
            Step::on_role(name, &role.application, Action::Grant, summary, before)
                .with_hazards(hazard),
        );
    }

    fn role_that_exists(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        steps: &mut Vec<Step>,
    ) {
        let Some(takeover) = self.role_takeover(name, role, seen, role.adoption) else { return };
        let before = steps.len();
        attributes(name, role, seen, steps);
        self.credential(name, role, seen, steps);
        let sets_password = steps[before..].iter().any(Step::sets_password);
        if let Some(marked) = self.marker_step(name, role, seen, takeover, sets_password) {
            if self.refuse_undecodable(
                &role.application,
                format!("role {name}"),
                seen.comment.as_ref(),
            ) {
                steps.truncate(before);
                return;
            }
            steps.insert(before, marked);
        }
        if steps.len() > before && !self.can_administer(name) {
            steps.truncate(before);
            self.refuse_without_admin_option(&role.application, name);
        }
        if steps.len() > before
            && !self.require(AdministratorAttribute::CreateRole, &role.application)
        {
            steps.truncate(before);
        }
        self.memberships(name, role, seen, steps);
    }

    /// Returns the step that writes the marker of an existing role, if the role is adopted or if its
    /// marker is not up to date.
    ///
    /// A marker without a secret gets it only when the password is set: a run that finds nothing
    /// else to do writes nothing.
    fn marker_step(
        &self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        takeover: Takeover,
        sets_password: bool,
    ) -> Option<Step> {
        let wanted = self.role_marker(role, name);
        let step = |action, summary| {
            // The old marker is replaced, and the text of people stays.
            let rest = seen.comment.as_deref().and_then(Marker::removed_from);
            let statement = sql::set_role_marker(name, rest, wanted.clone());
            Step::on_role(name, &role.application, action, summary, [statement])
        };
        let recorded = seen.marker().filter(|_| takeover == Takeover::Managed);
        let Some(recorded) = recorded else {
            return Some(
                step(Action::Adopt, format!("role {name}")).with_hazards([Hazard::Adopts]),
            );
        };
        let mut changes = Vec::new();
        let mut hazards = Vec::new();
        let mut changed_secret = None;
        if recorded.name != wanted.name {
            changes.push(format!("{} instead of {}", wanted.name, recorded.name));
        }
        if recorded.application != wanted.application {
            hazards.push(Hazard::ChangesApplication);
            changes.push(format!(
                "application {} instead of {}",
                wanted.application, recorded.application
            ));
        }
        match (recorded.secret, &wanted.secret) {
            (Some(old), Some(new)) if old != *new => {
                hazards.push(Hazard::ChangesSecret);
                changes.push(format!("secret {new} instead of {old}"));
                changed_secret = Some(ChangedSecret { old: Some(old), new: Some(new.clone()) });
            }
            // Between a password and IAM tokens, in both directions: otherwise two runs would
            // replace a secret without this hazard.
            (Some(old), None) => {
                hazards.push(Hazard::ChangesSecret);
                changes.push(format!("no secret instead of {old}"));
                changed_secret = Some(ChangedSecret { old: Some(old), new: None });
            }
            (None, Some(new)) if seen.uses_iam_auth() => {
                hazards.push(Hazard::ChangesSecret);
                changes.push(format!("secret {new} instead of none"));
                changed_secret = Some(ChangedSecret { old: None, new: Some(new.clone()) });
            }
            (None, Some(new)) if sets_password => changes.push(format!("secret {new}")),
            (_, _) => {}
        }
        if changes.is_empty() {
            return None;
        }
        let summary = format!("role {name}: marker names {}", changes.join(", "));
        let mut step = step(Action::AlterRole, summary).with_hazards(hazards);
        step.changed_secret = changed_secret;
        Some(step)
    }

    /// Returns the application and secret that the marker of a role names, and those that the
    /// definitions name, if they differ.
    pub(super) fn other_home(
        &self,
        name: &RoleName,
        seen: &observed::Role,
    ) -> Option<(String, String)> {
        let declared = self.role_marker(self.desired.roles.get(name)?, name);
        let mut recorded = seen.marker()?;
        if recorded.secret.is_none() {
            recorded.secret.clone_from(&declared.secret);
        }
        let in_words = |marker: &Marker| match &marker.secret {
            Some(secret) => format!("application {} and secret {secret}", marker.application),
            None => format!("application {}", marker.application),
        };
        let same =
            recorded.application == declared.application && recorded.secret == declared.secret;
        (!same).then(|| (in_words(&recorded), in_words(&declared)))
    }

    /// Returns whether an existing role is managed already or must be adopted, or refuses it.
    fn role_takeover(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        adoption: Adoption,
    ) -> Option<Takeover> {
        if self.refuse_privileged(name, &role.application, seen) {
            return None;
        }
        let kind = match (self.desired.is_delegate(name), seen.marker()) {
            (true, Some(marker)) if !self.is_delegate(seen) => RefusalKind::RoleOfApplication {
                role: name.clone(),
                application: marker.application,
            },
            (false, _) if self.is_delegate(seen) => {
                RefusalKind::RoleIsDelegate { role: name.clone() }
            }
            (_, marker) => {
                return self.takeover(&role.application, Adoptable::Role(name), marker, adoption);
            }
        };
        self.refuse(&role.application, kind);
        None
    }

    /// Refuses a role with attributes that it must not have and that the administrator may not
    /// remove. Returns whether it refused.
    fn refuse_privileged(
        &mut self,
        name: &RoleName,
        application: &ApplicationName,
        seen: &observed::Role,
    ) -> bool {
        let (held, revoked): (Vec<&str>, Vec<RoleAttribute>) = [
            (seen.superuser, "SUPERUSER", RoleAttribute::NoSuperuser),
            (seen.replication, "REPLICATION", RoleAttribute::NoReplication),
            (seen.bypass_rls, "BYPASSRLS", RoleAttribute::NoBypassRls),
        ]
        .into_iter()
        .filter_map(|(held, attribute, revoked)| held.then_some((attribute, revoked)))
        .unzip();
        if held.is_empty() {
            return false;
        }
        self.refuse_with_fix(
            application,
            RefusalKind::RoleAttributesForbidden {
                role: name.clone(),
                attributes: held.iter().map(ToString::to_string).collect(),
            },
            Executor::Superuser,
            sql::alter_role(name, &revoked),
        );
        true
    }

    fn credential(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        steps: &mut Vec<Step>,
    ) {
        let with_token = seen.uses_iam_auth();
        let secret = match &role.credential {
            Credential::Iam => {
                if !with_token {
                    self.join_rds_iam(name, role, vec![sql::clear_password(name)], steps);
                }
                return;
            }
            Credential::Password(secret) => secret,
        };
        let password = self.password_from(secret);
        let set = |steps: &mut Vec<Step>| {
            let summary = format!("role {name}, {password}");
            let statements = vec![sql::set_password(name, secret)];
            let set =
                Step::on_role(name, &role.application, Action::SetPassword, summary, statements);
            steps.push(set.with_hazards([Hazard::ResetsPassword]));
        };
        match self.observed.password_checks.get(name) {
            // A freshly generated password cannot be in use yet.
            _ if self.findings.new_secrets.contains(secret) => set(steps),
            Some(PasswordCheck::WrongPassword | PasswordCheck::ToBeSet) => set(steps),
            // A role with IAM authentication has no password.
            _ if with_token => set(steps),
            Some(PasswordCheck::Inconclusive(reason)) => self
                .note(NoteKind::PasswordNotChecked { role: name.clone(), reason: reason.clone() }),
            None if !seen.login || seen.expired => self.deferred.push(format!(
                "whether the password of role {name} is correct: the role cannot log in yet"
            )),
            Some(PasswordCheck::Accepted | PasswordCheck::NotChecked) | None => {}
        }
    }

    /// Revokes every undeclared membership; `rds_iam` is declared by `auth = "iam"`. From
    /// PostgreSQL 16 on, several grantors can grant one membership, and each grant depends on the
    /// `ADMIN OPTION` of its grantor.
    fn memberships(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        steps: &mut Vec<Step>,
    ) {
        let grants_depend_on_grantors = self.observed.major() >= 16;
        let is_revoked_with_grantor = |membership: &Membership| {
            grants_depend_on_grantors && self.desired.selects_role(&membership.grantor)
        };
        if self.desired.is_delegate(name) {
            let excess = seen.memberships.iter().filter(|one| !self.is_membership_of_delegate(one));
            for membership in excess.collect::<Vec<_>>() {
                self.revoke_membership(name, role, seen, membership, steps);
            }
            return;
        }
        let wanted = |membership: &Membership| {
            role.credential == Credential::Iam && membership.role.as_str() == RDS_IAM
        };
        let kept: Vec<&Membership> = seen
            .memberships
            .iter()
            .filter(|membership| !is_revoked_with_grantor(membership))
            .collect();
        if seen.memberships.iter().any(wanted) && !kept.iter().any(|one| wanted(one)) {
            self.join_rds_iam(name, role, Vec::new(), steps);
        }
        for membership in kept {
            if !wanted(membership) {
                self.revoke_membership(name, role, seen, membership, steps);
            } else if membership.admin {
                let scope = RevocationScope::AdminOption;
                self.revoke_from_membership(name, role, seen, membership, scope, steps);
            }
        }
    }

    fn revoke_membership(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        membership: &Membership,
        steps: &mut Vec<Step>,
    ) {
        let scope = RevocationScope::Membership;
        self.revoke_from_membership(name, role, seen, membership, scope, steps);
    }

    /// Revokes a membership, or a part of it.
    fn revoke_from_membership(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        membership: &Membership,
        scope: RevocationScope,
        steps: &mut Vec<Step>,
    ) {
        let group = &membership.role;
        let major = self.observed.major();
        let dependents: BTreeSet<&RoleName> = seen
            .granted
            .iter()
            .filter(|granted| major >= 16 && membership.admin && granted.role == *group)
            .map(|granted| &granted.member)
            .collect();
        let plain = MembershipRevocation {
            role: group.clone(),
            member: name.clone(),
            grantor: None,
            scope,
            cascade: !dependents.is_empty(),
        };
        let by_grantor =
            MembershipRevocation { grantor: Some(membership.grantor.clone()), ..plain.clone() };
        let unmanaged: Vec<&RoleName> = dependents
            .iter()
            .copied()
            .filter(|member| !self.desired.roles.contains_key(*member))
            .collect();
        if !unmanaged.is_empty() {
            let again = unmanaged.iter().map(|member| sql::grant_role(group, member));
            let executor = self.executor(&membership.grantor);
            // The grantor needs no `GRANTED BY`.
            let revocation = if executor == Executor::Superuser { &by_grantor } else { &plain };
            let statements: Vec<_> = again.chain([sql::revoke_membership(revocation)]).collect();
            self.refuse_with_fix(
                &role.application,
                RefusalKind::DependentMembership {
                    role: name.clone(),
                    group: group.clone(),
                    members: unmanaged.into_iter().cloned().collect(),
                },
                executor,
                statements,
            );
            return;
        }
        let administrator = &self.observed.administrator;
        let of_administrator = membership.grantor == administrator.name;
        let group_is_super = self.observed.roles.get(group).is_some_and(|group| group.superuser);
        let authority = self.authority;
        let from_server = |revocation: &MembershipRevocation| {
            authority.if_server_allows(Probe::RevokeMembership(revocation.clone()))
        };
        let (execute_as, revocation) = if major < 16 {
            let may = administrator.superuser
                || (administrator.create_role && !group_is_super)
                || self.check(from_server(&plain)).is_ok();
            (may.then_some(ExecuteAs::Administrator), plain)
        } else if administrator.superuser {
            (Some(ExecuteAs::Administrator), by_grantor)
        } else if of_administrator {
            (Some(ExecuteAs::Administrator), plain)
        } else if let Some(execute_as) = self.act_as(&membership.grantor) {
            (Some(execute_as), plain)
        } else {
            let may = self.check(from_server(&by_grantor)).is_ok();
            (may.then_some(ExecuteAs::Administrator), by_grantor)
        };
        let statement = sql::revoke_membership(&revocation);
        let object = match scope {
            RevocationScope::Membership => "membership of role",
            RevocationScope::AdminOption => "ADMIN OPTION of role",
        };
        match execute_as {
            Some(execute_as) => {
                let words = match dependents.into_iter().map(RoleName::as_str).collect::<Vec<_>>() {
                    none if none.is_empty() => String::new(),
                    some => format!(", and with it that of {}", some.join(", ")),
                };
                let summary = format!("{object} {name} in {group}{words}");
                let revoked = Step::on_role(
                    name,
                    &role.application,
                    Action::Revoke,
                    summary,
                    vec![statement],
                );
                steps.push(revoked.executed_as(execute_as).with_hazards([Hazard::RevokesAccess]));
            }
            None => self.refuse_with_fix(
                &role.application,
                RefusalKind::MembershipNotRevocable {
                    role: name.clone(),
                    group: group.clone(),
                    grantor: membership.grantor.clone(),
                },
                self.executor(&membership.grantor),
                statement,
            ),
        }
    }
}

/// Adds a step with the attributes of a role that differ.
fn attributes(name: &RoleName, role: &desired::Role, seen: &observed::Role, steps: &mut Vec<Step>) {
    let seen_expiry = seen.valid_until.as_deref().map(ValidUntil::new);
    let expiry_differs = seen_expiry != role.valid_until.map(Ok);
    // A role without an expiry is valid longer than with any.
    let (expires_later, expires_earlier) = match (&seen_expiry, role.valid_until) {
        (Some(Ok(seen)), Some(declared)) => (declared > *seen, declared < *seen),
        (Some(Err(_)), _) | (Some(_), None) => (true, false),
        (None, declared) => (false, declared.is_some()),
    };
    let loses_createdb = seen.create_database && !role.create_database;
    let loses_createrole = seen.create_role && !role.create_role;
    let attributes: Vec<RoleAttribute> = [
        (!seen.login, RoleAttribute::Login),
        (!seen.inherit, RoleAttribute::Inherit),
        (loses_createrole, RoleAttribute::CreateRole(false)),
        (!seen.create_role && role.create_role, RoleAttribute::CreateRole(true)),
        (loses_createdb, RoleAttribute::CreateDatabase(false)),
        (!seen.create_database && role.create_database, RoleAttribute::CreateDatabase(true)),
        (
            seen.connection_limit != role.connection_limit,
            RoleAttribute::ConnectionLimit(role.connection_limit),
        ),
        (expiry_differs, RoleAttribute::ValidUntil(role.valid_until)),
    ]
    .into_iter()
    .filter_map(|(differs, attribute)| differs.then_some(attribute))
    .collect();
    if attributes.is_empty() {
        return;
    }
    let revokes = loses_createrole || loses_createdb || expires_earlier;
    let revokes = revokes.then_some(Hazard::RevokesAccess);
    // A DBA may have locked the role on purpose.
    let is_unlocked = seen.connection_limit == 0 && role.connection_limit != 0;
    let widens = !seen.login || is_unlocked || expires_later;
    let widens = widens.then_some(Hazard::WidensAccess);
    let summary = format!("role {name}: {}", sql::attributes_sql(&attributes));
    let statements = vec![sql::alter_role(name, &attributes)];
    let altered = Step::on_role(name, &role.application, Action::AlterRole, summary, statements);
    steps.push(altered.with_hazards(revokes.into_iter().chain(widens)));
}

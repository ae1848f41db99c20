//! Plans the attributes and passwords of roles.

use super::authority::AdministratorAttribute;
use super::home::is_home;
use super::planner::Planner;
use super::sql::{Dependents, RoleAttribute};
use super::{
    Action, AdminOptionPurpose, Executor, Hazard, NoteKind, RefusalKind, SecretFindings, Step, sql,
};
use crate::desired::{self, Adoption, Credential};
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, LOCK_DATABASE, RoleName, TEMPLATE};
use crate::observed::{self, PasswordCheck, RDS_IAM, RDS_SUPERUSER};
use crate::probe::{MembershipRevocation, RevocationScope};
use crate::secret_id::SecretId;
use crate::valid_until::ValidUntil;

/// What a role with `CREATEROLE` does, see [`Planner::administrator_power`].
const HAS_CREATEROLE: &str = "has CREATEROLE";

impl Planner<'_> {
    /// Plans the steps of all declared roles.
    pub(super) fn roles(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (name, role) in self.desired.selected_roles() {
            if self.refuse_administrator(name, role) || self.refuse_name_of_clone(name, role) {
                continue;
            }
            let (desired, observed) = (self.desired, self.observed);
            let is_home = |other: &RoleName| is_home(desired, observed, other);
            // Otherwise the same plan takes over the other role, which needs the permission for a hazard.
            let is_of_others = |other: &RoleName| !is_home(other) && !desired.selects_role(other);
            if self.refuse_secret_of_other_role(role, is_of_others) {
                continue;
            }
            let others = self.others_with_secret(role, |other| !is_home(other));
            let homes: Vec<_> = others.filter_map(|other| desired.roles.get(other.role)).collect();
            for home in homes {
                let dependents = self.after_takeover.entry(home.application.clone()).or_default();
                dependents.insert(role.application.clone());
            }
            match self.observed.roles.get(name) {
                Some(seen) if role.is_retired() => {
                    self.retired_role(name, role, seen, &mut steps);
                }
                Some(seen) => self.role_that_exists(name, role, seen, &mut steps),
                None if role.is_retired() => {}
                None => self.new_role(name, role, &mut steps),
            }
            self.rotation_clone(name, role, &mut steps);
        }
        self.check_password_rules(&steps);
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
    pub(super) fn refuse_administrator(&mut self, name: &RoleName, role: &desired::Role) -> bool {
        let is_administrator = *name == self.observed.administrator.name;
        if is_administrator {
            let kind = RefusalKind::RoleIsAdministrator { role: name.clone(), power: None };
            self.refuse(&role.application, kind);
        }
        is_administrator
    }

    /// Checks the rules of the server for the passwords that steps set, remove or let expire.
    ///
    /// With `rds.restrict_password_commands`, RDS allows `PASSWORD`, also `PASSWORD NULL`, and `VALID
    /// UNTIL` only to members of `rds_password`.
    pub(super) fn check_password_rules(&mut self, steps: &[Step]) {
        let rules = &self.observed.passwords;
        let administrator = self.observed.administrator.clone();
        if rules.restricted && !rules.in_rds_password && !administrator.superuser {
            let group = RoleName::new_unchecked("rds_password");
            let mut changes = std::mem::take(&mut self.password_changes);
            let sets_password = steps.iter().filter(|step| step.sets_password());
            changes.extend(sets_password.map(|step| step.application.clone()));
            for application in changes {
                self.refuse_with_fix(
                    &application,
                    RefusalKind::SetPasswordRestricted {
                        administrator: administrator.name.clone(),
                    },
                    Executor::MasterUser,
                    sql::grant_role(&group, &administrator.name),
                );
            }
        }
        if rules.encryption != "scram-sha-256" && steps.iter().any(Step::sets_password) {
            let encryption = rules.encryption.clone();
            self.note(NoteKind::PasswordEncryptionDiffers { encryption });
        }
    }

    /// Refuses a missing role if the marker of another role contains its name.
    /// Returns whether it refused.
    pub(super) fn refuse_renamed(&mut self, name: &RoleName, role: &desired::Role) -> bool {
        let renamed = self.recorded().renamed_from(name);
        if let Some(other) = renamed {
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
            self.password_changes.insert(role.application.clone());
            attributes.push(RoleAttribute::ValidUntil(role.valid_until));
        }
        let clone = self.observed.current_clone(name);
        let secret = role.secret().filter(|_| clone.is_none());
        let authentication = match (&role.credential, clone) {
            (Credential::Password(_), Some(clone)) => {
                format!("without a password: its secret contains {clone}")
            }
            (Credential::Password(secret), None) => self.password_from(secret),
            (Credential::Iam, _) => "IAM token".to_owned(),
            (Credential::Retired, _) => return,
        };
        let marker = self.role_marker(role, name);
        // The marker also records the adoption of databases without an owner entry.
        let adopts = self.adopts_with(name).then_some(Hazard::Adopts);
        let created = Step::on_role(
            name,
            &role.application,
            Action::CreateRole,
            format!("role {name}: {}, {authentication}", sql::attributes_sql(&attributes)),
            vec![
                sql::create_role(name, secret, &attributes),
                sql::set_role_marker(name, None, marker),
            ],
        );
        steps.push(created.with_hazards(adopts));
        if role.credential == Credential::Iam {
            self.join_rds_iam(name, role, steps);
        }
        for group in &role.memberships {
            if self.may_be_member(name, role, group) {
                self.grant_membership(name, role, group, None, steps);
            }
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

    /// Makes a role a member of `rds_iam`.
    pub(super) fn join_rds_iam(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
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
        let has_password = !self
            .observed
            .roles
            .get(&administrator.name)
            .is_some_and(observed::Role::uses_iam_auth);
        if self.observed.major() >= 16 && !administrator.superuser && has_password {
            self.note(NoteKind::AdministratorInRdsIam {
                role: name.clone(),
                administrator: administrator.name.clone(),
            });
        }
        let summary = format!("membership of role {name} in {RDS_IAM}");
        let (statement, reverting) = if self.desired.is_delegate(name) {
            self.iam_membership_of_delegate(name)
        } else {
            let revocation = sql::revoke_granted(&group, name, Dependents::Kept);
            (sql::grant_role(&group, name), revocation)
        };
        let granted = Step::on_role(name, &role.application, Action::Grant, summary, [statement]);
        // The creator of the role has ADMIN OPTION on it, from PostgreSQL 16 on. Whether a server
        // counts this as membership in `rds_iam` is known only after the commit.
        let reverting = vec![reverting];
        // The server no longer accepts the password of the role.
        let granted = granted.replacing(self.observed.roles.contains_key(name));
        steps.push(granted.for_membership_in(&group).reverted_by(reverting));
    }

    /// Removes the password of a role with IAM tokens. The step follows the proof that no other role is
    /// locked out: a role that leaves `rds_iam` again needs its password.
    fn remove_password(&mut self, name: &RoleName, role: &desired::Role, steps: &mut Vec<Step>) {
        self.password_changes.insert(role.application.clone());
        let summary = format!("role {name}: PASSWORD NULL");
        let statements = [sql::clear_password(name)];
        let removed =
            Step::on_role(name, &role.application, Action::AlterRole, summary, statements);
        steps.push(removed.with_hazards([Hazard::ResetsPassword]).after_logins());
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
        self.attributes(name, role, seen, steps);
        if expiry_differs(role, seen) {
            self.password_changes.insert(role.application.clone());
        }
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
            // Until the password is removed, the marker names its secret, or the role is not managed.
            let keeps_secret = steps[before..].iter().any(|step| step.after_logins);
            let marked = if keeps_secret { marked.after_logins() } else { marked };
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

    /// Refuses a role that others than administrators can alter. Returns whether it refused.
    pub(super) fn refuse_controlled_by_others(
        &mut self,
        name: &RoleName,
        application: &ApplicationName,
        seen: &observed::Role,
    ) -> bool {
        let is_controlled = !seen.controllers.is_empty();
        if is_controlled {
            let kind = RefusalKind::RoleControlledByOthers {
                role: name.clone(),
                controllers: seen.controllers.clone(),
                has_marker: seen.claimed().is_some(),
            };
            match seen.controllers.first() {
                Some(first) => {
                    self.refuse_with_end_of_power(application, kind, (name, seen), first)
                }
                None => self.refuse(application, kind),
            }
        }
        is_controlled
    }

    /// Refuses a role whose marker would not count, also after its adoption. Returns whether it refused.
    pub(super) fn refuse_unproven_marker(
        &mut self,
        name: &RoleName,
        application: &ApplicationName,
        seen: &observed::Role,
        adoption: Adoption,
    ) -> bool {
        let is_unproven =
            !seen.administered && (adoption == Adoption::Allowed || seen.has_unproven_marker());
        if is_unproven {
            let kind = RefusalKind::AdminOptionMissing {
                administrator: self.observed.administrator.name.clone(),
                role: name.clone(),
                purpose: if seen.has_unproven_marker() {
                    AdminOptionPurpose::Marker
                } else {
                    AdminOptionPurpose::Adoption
                },
            };
            let remedy = self.remedy_for_authority(name);
            self.refuse_with(application, kind, remedy);
        }
        is_unproven
    }

    /// Notes a role whose comment contains a marker that any role with `CREATEROLE` can have written: it
    /// must not stop what concerns others.
    pub(super) fn note_unproven_marker(&mut self, name: &RoleName, marker: Marker) {
        let (role, application) = (name.clone(), marker.application);
        self.note(NoteKind::MarkerNotProven { role, application });
    }

    /// Refuses a role until a role with more power has ended that of another one. The marker is removed, too:
    /// the other role may have written it, so that a person has to adopt the role.
    fn refuse_with_end_of_power(
        &mut self,
        application: &ApplicationName,
        kind: RefusalKind,
        (name, seen): (&RoleName, &observed::Role),
        controller: &RoleName,
    ) {
        let observed = self.observed;
        let memberships = observed.roles.get(controller).map(|one| one.memberships.as_slice());
        let mut held = memberships.unwrap_or_default().iter();
        let held = held.find(|one| one.admin && one.role == *name);
        let grantor = held.map(|one| one.grantor.clone()).filter(|grantor| {
            observed.roles.get(grantor).is_some_and(|grantor| !grantor.superuser)
        });
        // The membership of the creator of a role is that of the first superuser.
        let executor = match grantor {
            Some(_) => self.who_administers(name),
            None => Executor::Superuser,
        };
        let comment = seen.comment.as_deref().filter(|one| Marker::find(one).is_some());
        let unmarked =
            comment.map(|comment| sql::remove_marker(sql::MarkedObject::Role(name), Some(comment)));
        let revoked = sql::revoke_membership(&MembershipRevocation {
            role: name.clone(),
            member: controller.clone(),
            grantor,
            scope: RevocationScope::Membership,
            cascade: true,
        });
        let fix: Vec<_> = unmarked.into_iter().chain([revoked]).collect();
        self.refuse_with_fix(application, kind, executor, fix);
    }

    /// Refuses a role that is not managed and has the power of an administrator: its password would
    /// give this power to who reads the secret. Returns whether it refused.
    pub(super) fn refuse_other_administrator(
        &mut self,
        name: &RoleName,
        application: &ApplicationName,
        seen: &observed::Role,
    ) -> bool {
        let is_managed = self.desired.manages(seen.marker().as_ref());
        if is_managed || self.desired.is_delegate(name) {
            return false;
        }
        let Some(power) = self.administrator_power(name, seen) else { return false };
        // With CREATEROLE only, it may be the role of an application all the same; a person decides.
        let fix = (power == HAS_CREATEROLE)
            .then(|| sql::alter_role(name, &[RoleAttribute::CreateRole(false)]));
        let kind = RefusalKind::RoleIsAdministrator {
            role: name.clone(),
            power: Some(format!("it {power}")),
        };
        match fix {
            Some(fix) => {
                let executor = self.who_administers(name);
                self.refuse_with_fix(application, kind, executor, fix);
            }
            None => self.refuse(application, kind),
        }
        true
    }

    /// Returns what makes a role an administrator, as the end of a sentence about it; `None` if it is
    /// not one. Superusers are refused separately.
    pub(super) fn administrator_power(
        &self,
        name: &RoleName,
        seen: &observed::Role,
    ) -> Option<String> {
        let owned = [TEMPLATE, LOCK_DATABASE].into_iter().find(|database| {
            let present = self.observed.databases.get(&DatabaseName::new_unchecked(*database));
            present.is_some_and(|present| present.owner == *name)
        });
        if let Some(database) = owned {
            Some(format!("owns database {database}"))
        } else if self.authority.leads_to(seen, RDS_SUPERUSER) {
            Some(format!("is a member of {RDS_SUPERUSER}"))
        } else {
            seen.create_role.then(|| HAS_CREATEROLE.to_owned())
        }
    }

    /// Refuses a role with attributes that it must not have and that the administrator may not
    /// remove. Returns whether it refused.
    pub(super) fn refuse_privileged(
        &mut self,
        name: &RoleName,
        application: &ApplicationName,
        seen: &observed::Role,
    ) -> bool {
        let (held, revoked): (Vec<&str>, Vec<RoleAttribute>) = forbidden_attributes(seen).unzip();
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
                    self.join_rds_iam(name, role, steps);
                }
                // An interrupted run may have left the password. The marker still names its secret, or the
                // role is not managed yet.
                let marker = seen.marker().filter(|marker| self.desired.manages(Some(marker)));
                let may_have_password = marker.is_none_or(|marker| marker.secret.is_some());
                if !with_token || may_have_password {
                    self.remove_password(name, role, steps);
                }
                return;
            }
            // The secret contains the password of the clone, and the next rotation sets that of the role.
            Credential::Password(_) if self.observed.current_clone(name).is_some() => return,
            Credential::Retired => return,
            Credential::Password(secret) => secret,
        };
        let password = self.password_from(secret);
        // A role that is locked or has expired gets its password together with `LOGIN` or the new expiry.
        // Otherwise a person who knows another password would get access until the password is set.
        let opens = !seen.login || seen.expired && expiry_differs(role, seen);
        let set = |steps: &mut Vec<Step>| {
            let summary = format!("role {name}, {password}");
            let statements = vec![sql::set_password(name, secret)];
            let set =
                Step::on_role(name, &role.application, Action::SetPassword, summary, statements);
            steps.push(set.with_hazards((!opens).then_some(Hazard::ResetsPassword)));
        };
        match self.observed.password_checks.get(name) {
            // A freshly generated password cannot be in use yet.
            _ if self.findings.new_secrets.contains(secret) => set(steps),
            Some(PasswordCheck::WrongPassword | PasswordCheck::ToBeSet) => set(steps),
            // A superuser has compared the verifier.
            Some(PasswordCheck::Accepted) if opens => {}
            // A role with IAM authentication has no password.
            _ if with_token || opens => set(steps),
            Some(PasswordCheck::Inconclusive(reason)) => self
                .note(NoteKind::PasswordNotChecked { role: name.clone(), reason: reason.clone() }),
            None if seen.expired => self.note(NoteKind::PasswordNotChecked {
                role: name.clone(),
                reason: "it has expired, as the definitions say (`valid_until`)".to_owned(),
            }),
            Some(PasswordCheck::Accepted | PasswordCheck::NotChecked) | None => {}
        }
    }
}

/// Returns what makes a role an administrator, as [`Planner::administrator_power`] does.
pub(crate) fn administrator_power(
    desired: &desired::Desired,
    observed: &observed::Observed,
    name: &RoleName,
    seen: &observed::Role,
) -> Option<String> {
    Planner::new(desired, observed, SecretFindings::default()).administrator_power(name, seen)
}

/// Returns the attributes of a role that the role of an application must not have, each with the clause
/// that removes it.
pub(super) fn forbidden_attributes(
    seen: &observed::Role,
) -> impl Iterator<Item = (&'static str, RoleAttribute)> {
    [
        (seen.superuser, "SUPERUSER", RoleAttribute::NoSuperuser),
        (seen.replication, "REPLICATION", RoleAttribute::NoReplication),
        (seen.bypass_rls, "BYPASSRLS", RoleAttribute::NoBypassRls),
    ]
    .into_iter()
    .filter_map(|(held, attribute, revoked)| held.then_some((attribute, revoked)))
}

/// Returns whether the plan changes `VALID UNTIL` of a role.
pub(super) fn expiry_differs(role: &desired::Role, seen: &observed::Role) -> bool {
    !role.is_retired()
        && seen.valid_until.as_deref().map(ValidUntil::new) != role.valid_until.map(Ok)
}

impl Planner<'_> {
    /// Adds a step with the attributes of a role that differ. In an additive plan, those that the role
    /// loses are in a step of their own.
    pub(super) fn attributes(
        &self,
        name: &RoleName,
        role: &desired::Role,
        seen: &observed::Role,
        steps: &mut Vec<Step>,
    ) {
        let is_retired = role.is_retired();
        let seen_expiry = seen.valid_until.as_deref().map(ValidUntil::new);
        // A role without an expiry is valid longer than with any.
        let (expires_later, expires_earlier) = match (&seen_expiry, role.valid_until) {
            _ if is_retired => (false, false),
            (Some(Ok(seen)), Some(declared)) => (declared > *seen, declared < *seen),
            (Some(Err(_)), _) | (Some(_), None) => (true, false),
            (None, declared) => (false, declared.is_some()),
        };
        let limit_differs = seen.connection_limit != role.connection_limit && !is_retired;
        let limit = RoleAttribute::ConnectionLimit(role.connection_limit);
        let is_limited = role.connection_limit >= 0
            && (seen.connection_limit < 0 || role.connection_limit < seen.connection_limit);
        let expiry = RoleAttribute::ValidUntil(role.valid_until);
        let expiry_differs = expiry_differs(role, seen);
        let loses_createdb = seen.create_database && !role.create_database;
        let loses_createrole = seen.create_role && !role.create_role;
        // Each with whether it differs, and whether the role loses something with it.
        let attributes = [
            (!seen.login && !is_retired, false, RoleAttribute::Login),
            (seen.login && is_retired, true, RoleAttribute::NoLogin),
            (!seen.inherit && !is_retired, false, RoleAttribute::Inherit),
            (loses_createrole, true, RoleAttribute::CreateRole(false)),
            (!seen.create_role && role.create_role, false, RoleAttribute::CreateRole(true)),
            (loses_createdb, true, RoleAttribute::CreateDatabase(false)),
            (
                !seen.create_database && role.create_database,
                false,
                RoleAttribute::CreateDatabase(true),
            ),
            (limit_differs, is_limited, limit),
            (expiry_differs, expires_earlier, expiry),
        ];
        let differing = attributes.into_iter().filter(|(differs, ..)| *differs);
        let (lost, others): (Vec<_>, Vec<_>) = match self.desired.additive {
            true => differing.partition(|(_, is_lost, _)| *is_lost),
            false => (Vec::new(), differing.collect()),
        };
        // A DBA may have locked the role on purpose.
        let is_unlocked = seen.connection_limit == 0 && role.connection_limit != 0;
        for (attributes, is_lost) in [(others, false), (lost, true)] {
            if attributes.is_empty() {
                continue;
            }
            let is_revocation =
                |one: &RoleAttribute| !matches!(one, RoleAttribute::ConnectionLimit(_));
            let revokes = attributes.iter().any(|(_, is_lost, one)| *is_lost && is_revocation(one));
            let revokes = revokes.then_some(Hazard::RevokesAccess);
            let widens = !is_lost && !is_retired && (!seen.login || is_unlocked || expires_later);
            let widens = widens.then_some(Hazard::WidensAccess);
            let attributes: Vec<RoleAttribute> =
                attributes.into_iter().map(|(.., attribute)| attribute).collect();
            let summary = format!("role {name}: {}", sql::attributes_sql(&attributes));
            let statements = vec![sql::alter_role(name, &attributes)];
            let altered =
                Step::on_role(name, &role.application, Action::AlterRole, summary, statements);
            let altered = altered.replacing(is_lost);
            steps.push(altered.with_hazards(revokes.into_iter().chain(widens)));
        }
    }
}

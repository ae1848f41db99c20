//! Plans what a delegate needs to administer an environment instead of the master user: `ADMIN
//! OPTION` on the managed roles, `CONNECT` on their databases and, before PostgreSQL 15, the
//! ownership of schema `public`.
//!
//! On the roles that the delegate creates later, it has `ADMIN OPTION` as their creator.

use super::planner::{Planner, is_public};
use super::sql::{self, Dependents, GrantTarget};
use super::words::granted_words;
use super::{
    Action, AdminOptionPurpose, ExecuteAs, Executor, Hazard, MembershipOption, NoteKind,
    Preparation, RefusalKind, Remedy, Scope, Statement, Step, Transaction,
};
use crate::desired::{self, Credential};
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, LOCK_DATABASE, RoleName, TEMPLATE};
use crate::observed::{self, Contents, Grantee, Membership, RDS_EXTENSION, RDS_IAM};
use crate::predefined_role::is_grantable;
use crate::privilege::{Privilege, Privileges};
use crate::probe::{MembershipRevocation, RevocationScope};

const RDS_PASSWORD: &str = "rds_password";

impl Planner<'_> {
    /// Adds the steps on roles and databases to `steps`, and the transactions in
    /// single databases to `inside`.
    pub(super) fn delegate(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        steps: &mut Vec<Step>,
        inside: &mut Vec<Transaction>,
    ) {
        self.refuse_undelegated(role);
        for secret in self.findings.new_secrets.clone() {
            let summary = format!("secret {secret} with a new password for role {name}");
            let created = Step::on_role(name, &role.application, Action::CreateSecret, summary, []);
            steps.insert(0, created);
        }
        if self.observed.major() >= 16 {
            self.grant_role_administration(name, role, steps);
        }
        if self.observed.passwords.restricted {
            self.grant_password_administration(name, role, steps);
        }
        self.grant_extension_creation(name, role, steps);
        self.grant_connect(name, role, steps);
        self.transfer_public_schemas(name, role, inside);
    }

    /// Refuses to leave out roles of the environment over which others than administrators have power, and
    /// notes those whose markers are not proven.
    fn refuse_undelegated(&mut self, role: &desired::Role) {
        let (desired, observed) = (self.desired, self.observed);
        let is_of_environment = |marker: &Marker| {
            marker.environment == desired.environment
                && marker.application != role.application.as_str()
        };
        for (other, seen) in &observed.roles {
            let marker = seen.claimed().filter(is_of_environment);
            let Some(marker) = marker.filter(|_| !desired.roles.contains_key(other)) else {
                continue;
            };
            if seen.administered {
                self.refuse_controlled_by_others(other, &role.application, seen);
            } else {
                self.note_unproven_marker(other, marker);
            }
        }
    }

    /// Returns whether the marker of a role says that it is a delegate.
    pub(super) fn is_delegate(&self, seen: &observed::Role) -> bool {
        let delegates = ApplicationName::for_delegates();
        seen.marker().is_some_and(|marker| marker.application == delegates.as_str())
    }

    fn is_managed_here(&self, seen: &observed::Role) -> bool {
        let environment = &self.desired.environment;
        // What another environment manages is not delegated, also if its delegate is taken over.
        !self.is_delegate(seen)
            && seen.marker().is_some_and(|marker| marker.environment == *environment)
    }

    /// Returns whether a delegate needs a membership, may have it, or cannot lose it.
    ///
    /// With `ADMIN OPTION` on a predefined role, it can make applications members of that role. Only
    /// a superuser can revoke the membership that PostgreSQL grants to the creator of a role.
    pub(super) fn is_membership_of_delegate(&self, membership: &Membership) -> bool {
        let group = membership.role.as_str();
        if group == RDS_IAM && self.keeps_iam_membership(membership) {
            return true;
        }
        if group == RDS_EXTENSION {
            return true;
        }
        if group == RDS_PASSWORD && self.observed.passwords.restricted {
            return true;
        }
        let by_superuser = self.observed.roles.get(&membership.grantor);
        let reserved = RoleName::new(group).is_err();
        membership.is_admin_only()
            && (group == RDS_IAM
                || is_grantable(group)
                || !reserved && by_superuser.is_some_and(|grantor| grantor.superuser)
                || self
                    .observed
                    .roles
                    .get(&membership.role)
                    .is_some_and(|s| self.is_managed_here(s)))
    }

    /// Returns whether the delegate logs in with IAM tokens.
    fn is_iam_delegate(&self) -> bool {
        self.desired.delegate().is_some_and(|(_, role)| role.credential == Credential::Iam)
    }

    /// Returns whether a membership of the delegate in `rds_iam` is not revoked. What the administrator
    /// granted with `ADMIN OPTION` is reduced to this option, because memberships of applications
    /// depend on it.
    fn keeps_iam_membership(&self, membership: &Membership) -> bool {
        self.is_iam_delegate()
            || self.observed.major() >= 16
                && membership.admin
                && membership.grantor == self.observed.administrator.name
    }

    /// Returns the statement that makes the delegate a member of `rds_iam`, and the one that reverts it.
    pub(super) fn iam_membership_of_delegate(&self, name: &RoleName) -> (Statement, Statement) {
        let group = RoleName::new_unchecked(RDS_IAM);
        if self.observed.major() < 16 {
            let revocation = sql::revoke_granted(&group, name, Dependents::Kept);
            return (sql::grant_role(&group, name), revocation);
        }
        let administrator = &self.observed.administrator.name;
        let memberships = self.observed.roles.get(name).map(|seen| seen.memberships.as_slice());
        let had_admin_option = memberships
            .unwrap_or_default()
            .iter()
            .any(|one| one.role == group && one.grantor == *administrator && one.is_admin_only());
        let reverting = if had_admin_option {
            sql::grant_administration(&group, name)
        } else {
            sql::revoke_granted(&group, name, Dependents::Revoked)
        };
        (sql::grant_role_with_admin(&group, name), reverting)
    }

    fn grant_role_administration(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        steps: &mut Vec<Step>,
    ) {
        let held: Vec<&Membership> = self
            .observed
            .roles
            .get(name)
            .into_iter()
            .flat_map(|seen| &seen.memberships)
            .filter(|membership| self.is_membership_of_delegate(membership))
            .collect();
        let observed = self.observed;
        for (other, seen) in &observed.roles {
            let is_iam = other.as_str() == RDS_IAM;
            let of_other = held.iter().filter(|membership| membership.role == *other);
            // A delegate with a password keeps nothing of `rds_iam` but ADMIN OPTION.
            let has_more =
                |one: &&Membership| is_iam && !self.is_iam_delegate() && !one.is_admin_only();
            let loses_login = of_other.clone().any(has_more);
            let is_held = of_other.clone().any(|one| one.admin) && !loses_login;
            let concerns = is_iam || self.is_managed_here(seen);
            // A delegate that joins `rds_iam` gets ADMIN OPTION with the same statement.
            let joins = is_iam
                && self.is_iam_delegate()
                && !observed.roles.get(name).is_some_and(observed::Role::uses_iam_auth);
            if other == name || is_held || joins || !concerns {
                continue;
            }
            let statement = if is_iam && self.is_iam_delegate() {
                sql::grant_role_with_admin(other, name)
            } else {
                sql::grant_administration(other, name)
            };
            if self.can_administer(other) {
                if is_iam && !self.is_iam_delegate() {
                    self.note(NoteKind::DelegateInRdsIam { role: name.clone() });
                }
                let only = if loses_login { "only " } else { "" };
                let summary = format!("{only}ADMIN OPTION on role {other} to {name}");
                let granted =
                    Step::on_role(name, &role.application, Action::Grant, summary, [statement]);
                // A server can count this as membership in `rds_iam`.
                let reverting = self
                    .authority
                    .rejects_passwords(other)
                    .then(|| sql::revoke_granted(other, name, Dependents::Revoked));
                steps.push(granted.reverted_by(reverting.into_iter().collect()));
            } else if is_iam {
                self.note(NoteKind::IamNotDelegable { role: name.clone() });
            } else {
                let kind = RefusalKind::AdminOptionMissing {
                    administrator: observed.administrator.name.clone(),
                    role: other.clone(),
                    purpose: AdminOptionPurpose::Change,
                };
                let executor = self.who_administers(other);
                self.refuse_for_role(role, name, kind, executor, statement);
            }
        }
        self.memberships_of_applications(name, role, steps);
    }

    /// Replaces the grantor of memberships in `rds_iam`: only the grantor can revoke a membership,
    /// so the delegate grants again what the administrator granted.
    fn memberships_of_applications(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        steps: &mut Vec<Step>,
    ) {
        let observed = self.observed;
        let group = RoleName::new_unchecked(RDS_IAM);
        for (other, seen) in &observed.roles {
            let by_administrator = |membership: &&Membership| {
                membership.role == group && membership.grantor == observed.administrator.name
            };
            if !self.is_managed_here(seen)
                || !seen.memberships.iter().any(|one| by_administrator(&one))
            {
                continue;
            }
            let summary = format!("membership of role {other} in {RDS_IAM}, from {name}");
            let granted = Step::on_role(
                name,
                &role.application,
                Action::Grant,
                summary,
                [sql::grant_role(&group, other)],
            );
            steps.push(granted.executed_as(ExecuteAs::Role(name.clone())));
            let summary = format!(
                "membership of role {other} in {RDS_IAM}, from {}",
                observed.administrator.name
            );
            let revocation = MembershipRevocation {
                role: group.clone(),
                member: other.clone(),
                grantor: None,
                scope: RevocationScope::Membership,
                cascade: false,
            };
            let statement = sql::revoke_membership(&revocation);
            let reverting = vec![sql::grant_role(&group, other)];
            steps.push(
                Step::on_role(name, &role.application, Action::Revoke, summary, [statement])
                    .reverted_by(reverting),
            );
        }
    }

    /// Makes the delegate a member of `rds_password` if only its members may set passwords.
    fn grant_password_administration(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        steps: &mut Vec<Step>,
    ) {
        let group = RoleName::new_unchecked(RDS_PASSWORD);
        let seen = self.observed.roles.get(name);
        if seen.is_some_and(|seen| seen.memberships.iter().any(|one| one.role == group)) {
            return;
        }
        let statement = sql::grant_role(&group, name);
        if self.can_administer(&group) {
            let summary = format!("membership of role {name} in {group}");
            steps.push(Step::on_role(name, &role.application, Action::Grant, summary, [statement]));
        } else {
            let kind = RefusalKind::PasswordAdministrationRestricted { role: name.clone() };
            let executor = self.who_administers(&group);
            self.refuse_for_role(role, name, kind, executor, statement);
        }
    }

    /// Makes the delegate a member of `rds_extension` if Amazon RDS allows its members to create
    /// extensions. With `ADMIN OPTION` if the administrator has it, from PostgreSQL 16 on.
    fn grant_extension_creation(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        steps: &mut Vec<Step>,
    ) {
        let group = RoleName::new_unchecked(RDS_EXTENSION);
        let observed = self.observed;
        let Some(of_group) = observed.roles.get(&group) else { return };
        let held = observed.roles.get(name).is_some_and(|seen| {
            seen.memberships.iter().any(|one| one.role == group && !one.is_admin_only())
        });
        if observed.delegated_extensions.is_empty() || held || !self.can_administer(&group) {
            return;
        }
        let has_admin_option = of_group.administrator_has_admin_option && observed.major() >= 16;
        let (words, statement) = if has_admin_option {
            (" with ADMIN OPTION", sql::grant_role_with_admin(&group, name))
        } else {
            ("", sql::grant_role(&group, name))
        };
        let summary = format!("membership of role {name} in {group}{words}");
        steps.push(Step::on_role(name, &role.application, Action::Grant, summary, [statement]));
    }

    /// Grants `CONNECT` on the managed databases, and on the database of the lock.
    fn grant_connect(&mut self, name: &RoleName, role: &desired::Role, steps: &mut Vec<Step>) {
        let observed = self.observed;
        let grantee = Grantee::Role(name.clone());
        for (database, seen) in &observed.databases {
            let is_managed = self.has_believed_marker(database, seen);
            let enters = |item: &observed::AclItem| {
                item.privilege == Privilege::Connect
                    && (item.grantee == grantee || !is_managed && item.grantee == Grantee::Public)
            };
            let concerns = is_managed || database.as_str() == LOCK_DATABASE;
            let unfinished = seen.is_unfinished(&observed.administrator.name);
            if !concerns || unfinished || seen.acl.iter().any(enters) {
                continue;
            }
            let target = GrantTarget::Database(database.clone());
            let connect = Privileges::from([Privilege::Connect]);
            let statement = sql::grant(&connect, &target, &grantee);
            match self.act_as(&seen.owner) {
                Some(execute_as) => {
                    let summary = granted_words(&connect, &target, name);
                    let granted =
                        Step::on_role(name, &role.application, Action::Grant, summary, [statement]);
                    steps.push(granted.in_database(database).executed_as(execute_as));
                }
                None => {
                    let kind = RefusalKind::DatabaseOwnerInaccessible {
                        administrator: observed.administrator.name.clone(),
                        database: database.clone(),
                        owner: seen.owner.clone(),
                    };
                    let executor = self.executor(&seen.owner);
                    self.refuse_for_role(role, name, kind, executor, statement);
                }
            }
        }
    }

    /// Transfers schema `public` to the delegate where the master user owns it: before
    /// PostgreSQL 15, and in databases that were upgraded. Only its owner can revoke privileges
    /// of PUBLIC on it.
    fn transfer_public_schemas(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        inside: &mut Vec<Transaction>,
    ) {
        let observed = self.observed;
        let administrator_owns_public = |contents: &Contents| {
            let mut schemas = contents.schemas.iter();
            schemas.any(|(schema, seen)| {
                is_public(schema) && seen.owner == observed.administrator.name
            })
        };
        self.refuse_unreadable_template(&role.application);
        let template = DatabaseName::new_unchecked(TEMPLATE);
        let managed = observed.databases.iter().filter_map(|(database, seen)| {
            let contents = seen.contents.as_ref()?;
            let is_managed = self.has_believed_marker(database, seen);
            is_managed.then_some((database, Some(&seen.owner), contents))
        });
        let of_template = observed.template.as_ref().map(|contents| (&template, None, contents));
        let databases: Vec<_> = of_template.into_iter().chain(managed).collect();
        for (database, owner, contents) in databases {
            if !administrator_owns_public(contents) {
                continue;
            }
            if let Some(owner) = owner.filter(|owner| !self.authority.may_have_privileges_of(owner))
            {
                self.refuse_without_inheritance(&role.application, owner);
                continue;
            }
            let public = crate::name::SchemaName::new_unchecked("public");
            let summary = format!("schema {public} of database {database}: owner {name}");
            let statement = sql::change_schema_owner(&public, name);
            // ALTER SCHEMA … OWNER TO requires CREATE on the database.
            let memberships = std::iter::once((name.clone(), MembershipOption::Set))
                .chain(owner.map(|owner| (owner.clone(), MembershipOption::Inherit)));
            let altered =
                Step::on_role(name, &role.application, Action::AlterSchema, summary, [statement])
                    .in_database(database)
                    .with_memberships(memberships)
                    .with_hazards([Hazard::ChangesOwner]);
            let steps = vec![altered];
            inside.extend(self.transaction(Scope::Database(database.clone()), steps));
        }
    }

    /// Refuses the plan with a statement that names the delegate, which may not exist yet.
    fn refuse_for_role(
        &mut self,
        role: &desired::Role,
        name: &RoleName,
        kind: RefusalKind,
        executor: Executor,
        statement: Statement,
    ) {
        let fix = statement.into();
        let remedy = if self.observed.roles.contains_key(name) {
            Remedy::Run(executor, fix)
        } else {
            Remedy::RunLater(Preparation::CreateDelegate(name.clone()), executor, fix)
        };
        self.refuse_with(&role.application, kind, remedy);
    }
}

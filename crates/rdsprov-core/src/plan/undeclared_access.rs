//! Reports the roles that the definitions do not declare and that have access to a declared database.
//!
//! A managed database is closed to PUBLIC. So a role needs `CONNECT` of its own, or a way to become a role that
//! has it: a membership, or `ADMIN OPTION` on a role. Privileges on relations are reported also
//! without `CONNECT`. The plan changes none of this: roles that are not managed are left alone.

use std::collections::BTreeSet;

use super::planner::Planner;
use super::sql::{self, GrantTarget, RevokeScope, Statement};
use super::{Executor, ManualFix, NoteKind, RefusalKind, Remedy};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed::{self, Grantee, Membership, RDS_SUPERUSER};
use crate::policy::UndeclaredAccess;
use crate::predefined_role::is_of_server;
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::probe::{MembershipRevocation, RevocationScope};

/// What gives a role access, and the statements that end it.
#[derive(Default)]
struct Means {
    /// What the role has, as a list of noun phrases: `CONNECT`, `the privileges of role shop_owner`.
    connects: Vec<String>,
    /// The schemas with relations on which the role has privileges.
    schemas: Vec<String>,
    /// Whether a statement has to be executed in the database.
    in_database: bool,
    /// Each statement with its executor.
    fixes: Vec<(Executor, Statement)>,
    /// The application of the first role through which the role has access.
    application: Option<ApplicationName>,
}

impl<'a> Planner<'a> {
    /// Adds a note or a refusal for each role that is not declared and has access to an existing database.
    pub(super) fn undeclared_access(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &'a observed::Database,
    ) {
        if self.desired.undeclared_access == UndeclaredAccess::Allow && !self.desired.strict {
            return;
        }
        let connect = |item: &&observed::AclItem| item.privilege == Privilege::Connect;
        let granted = seen.acl.iter().filter(connect).filter_map(|item| item.grantee.role());
        let declared = database.access.keys().chain([&seen.owner]);
        let connecting: BTreeSet<&RoleName> = granted.chain(declared).collect();
        let strangers = self.strangers().iter();
        // Also creators: `creators` declares the grants on what they create, and no access.
        let others = strangers.filter(|(role, _)| **role != seen.owner);
        let found: Vec<_> = others
            .filter_map(|(role, attributes)| {
                let means = self.means(name, seen, role, attributes, &connecting);
                let words = means.words(name)?;
                Some((*role, means, words))
            })
            .collect();
        for (role, means, words) in found {
            self.add_undeclared_access(role, name, database, means, words);
        }
    }

    fn add_undeclared_access(
        &mut self,
        role: &RoleName,
        name: &DatabaseName,
        database: &desired::Database,
        means: Means,
        words: String,
    ) {
        let (role, in_database) = (role.clone(), name.clone());
        if self.desired.undeclared_access != UndeclaredAccess::Refuse {
            self.note(NoteKind::UndeclaredAccess {
                role,
                database: in_database,
                means: words,
                fix: means.fix(),
                strict: self.desired.strict,
            });
            return;
        }
        let application = means.application.as_ref().unwrap_or(&database.application).clone();
        let kind = RefusalKind::AccessNotDeclared { role, database: in_database, means: words };
        // The statements of another executor are in the refusal of the next plan.
        let remedy = match means.fixes.first() {
            None => Remedy::None,
            Some((executor, _)) => {
                let own = means.fixes.iter().filter(|(other, _)| other == executor);
                let statements: Vec<Statement> = own.map(|(_, one)| one.clone()).collect();
                let fix = ManualFix::from(statements);
                let in_database = Some(name).filter(|_| means.in_database);
                Remedy::Run(executor.clone(), fix.in_database(in_database))
            }
        };
        self.refuse_with(&application, kind, remedy);
    }

    /// Returns the roles that are neither managed nor declared by a selected application, predefined or administrators. They are the same
    /// for each database.
    fn strangers(&self) -> &[(&'a RoleName, &'a observed::Role)] {
        self.strangers.get_or_init(|| {
            let roles = self.observed.roles.iter();
            roles.filter(|(role, seen)| !self.is_known(role, seen)).collect()
        })
    }

    fn is_known(&self, role: &RoleName, seen: &observed::Role) -> bool {
        self.desired.selects_role(role)
            || self.is_compared_clone(role, seen)
            || is_of_server(role, seen.login)
            || self.desired.manages(seen.marker().as_ref())
            || self.is_powerful(role)
            || self.authority.roles_of(role).iter().any(|group| self.is_powerful(group))
    }

    /// Returns whether each member of a role is an administrator, which has access to each database.
    fn is_powerful(&self, role: &RoleName) -> bool {
        let by_attributes = |seen: &observed::Role| {
            seen.superuser
                || self.is_delegate(seen)
                || seen.create_role && self.observed.major() < 16
        };
        *role == self.observed.administrator.name
            || role.as_str() == RDS_SUPERUSER
            || self.observed.roles.get(role).is_some_and(by_attributes)
    }

    /// Returns what gives a role access to a database. `connecting` are the roles with `CONNECT`.
    fn means(
        &self,
        name: &DatabaseName,
        seen: &observed::Database,
        role: &RoleName,
        attributes: &observed::Role,
        connecting: &BTreeSet<&RoleName>,
    ) -> Means {
        let mut means = Means::default();
        let grantee = Grantee::Role(role.clone());
        for item in &seen.acl {
            if item.grantee == grantee && item.privilege == Privilege::Connect {
                let privileges = Privileges::from([Privilege::Connect]);
                let target = GrantTarget::Database(name.clone());
                let revoke = sql::revoke(RevokeScope::Privilege, &privileges, &target, &grantee);
                means.add("CONNECT".to_owned(), self.executor(&item.grantor), revoke);
            }
        }
        // A role that cannot log in has no access by its memberships, but its members have.
        for membership in attributes.memberships.iter().filter(|_| attributes.login) {
            let Some(reached) = self.reached(attributes, membership, connecting) else { continue };
            let group = &membership.role;
            let old = self.observed.major() < 16;
            let words =
                match (membership.admin, old && attributes.inherit || !old && membership.inherit) {
                    (_, true) => format!("the privileges of role {group}"),
                    (false, false) => format!("SET ROLE to role {group}"),
                    (true, false) => format!("ADMIN OPTION on role {group}"),
                };
            let revoke = sql::revoke_membership(&MembershipRevocation {
                role: group.clone(),
                member: role.clone(),
                grantor: (!old).then(|| membership.grantor.clone()),
                scope: RevocationScope::Membership,
                cascade: false,
            });
            let executor = if old && self.observed.administrator.create_role {
                Executor::Administrator
            } else {
                self.executor(&membership.grantor)
            };
            means.add(words, executor, revoke);
            let application = self.desired.roles.get(reached).map(|role| &role.application);
            means.application = means.application.take().or_else(|| application.cloned());
        }
        let contents = seen.contents.as_ref();
        for row in contents.map(|all| all.default_privileges.as_slice()).unwrap_or_default() {
            let of_role = row.acl.iter().filter(|item| item.grantee == grantee);
            let privileges: Privileges = of_role.map(|item| item.privilege).collect();
            if !privileges.is_empty() && ObjectKind::RELATIONS.contains(&row.kind) {
                means.in_database = true;
                let (schema, scope) = (row.schema.as_ref(), RevokeScope::Privilege);
                let revoke =
                    sql::revoke_default(scope, &row.role, schema, row.kind, &privileges, &grantee);
                means.fixes.push((self.executor(&row.role), revoke));
            }
        }
        if let Some(granted) = contents.and_then(|all| all.undeclared_grantees.get(role)) {
            means.in_database = true;
            means.schemas = granted.keys().map(ToString::to_string).collect();
            for kind in [ObjectKind::Table, ObjectKind::Sequence] {
                let schemas = granted.iter().filter(|(_, kinds)| kinds.contains(&kind));
                let schemas: Vec<_> = schemas.map(|(schema, _)| schema).collect();
                if !schemas.is_empty() {
                    let revoke = sql::revoke_all_on_relations(kind, &schemas, role);
                    means.fixes.push((self.executor(&seen.owner), revoke));
                }
            }
        }
        means
    }

    /// Returns the first of some roles to which a membership leads: the member inherits its privileges, or may
    /// become it with `SET ROLE` or `ADMIN OPTION`.
    fn reached<'b>(
        &self,
        member: &observed::Role,
        membership: &'b Membership,
        wanted: &BTreeSet<&'b RoleName>,
    ) -> Option<&'b RoleName>
    where
        'a: 'b,
    {
        // Before PostgreSQL 16, the member decides about INHERIT, and each member may SET ROLE.
        let old = self.observed.major() < 16;
        let follow = |member: &observed::Role, one: &Membership, becomes: bool| {
            let inherits = if old { member.inherit } else { one.inherit };
            let becomes = one.admin || becomes && one.set;
            (becomes || inherits).then_some(becomes)
        };
        let becomes = follow(member, membership, true)?;
        let mut visited = BTreeSet::new();
        let mut next = vec![(&membership.role, becomes)];
        while let Some((role, becomes)) = next.pop() {
            if wanted.contains(role) {
                return Some(role);
            }
            // The plan revokes the memberships that are not declared, of the roles that it changes.
            let seen = self.observed.roles.get(role).filter(|_| visited.insert((role, becomes)));
            let seen = seen.filter(|_| !self.desired.selects_role(role));
            for one in seen.map(|seen| seen.memberships.as_slice()).unwrap_or_default() {
                let Some(seen) = seen else { break };
                next.extend(follow(seen, one, becomes).map(|becomes| (&one.role, becomes)));
            }
        }
        None
    }
}

impl Means {
    fn add(&mut self, words: String, executor: Executor, statement: Statement) {
        if !self.connects.contains(&words) {
            self.connects.push(words);
        }
        self.fixes.push((executor, statement));
    }

    /// Returns what the role has, as the end of a sentence about it; `None` if it has no access.
    fn words(&self, database: &DatabaseName) -> Option<String> {
        const SHOWN: usize = 3;
        let shown = self.schemas.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>();
        let others = self.schemas.len().saturating_sub(SHOWN);
        let schemas = match (shown.as_slice(), others) {
            ([], _) => None,
            ([one], 0) => Some(format!("schema {one}")),
            (shown, 0) => Some(format!("schemas {}", shown.join(", "))),
            (shown, others) => Some(format!("schemas {} and {others} more", shown.join(", "))),
        };
        let connects = self.connects.join(", and ");
        match (connects.is_empty(), schemas) {
            (true, None) => None,
            (true, Some(schemas)) => Some(format!(
                "has privileges on relations in {schemas} of database {database}, which it cannot use without CONNECT"
            )),
            (false, None) => Some(format!("can connect to database {database}: it has {connects}")),
            (false, Some(schemas)) => Some(format!(
                "can connect to database {database}: it has {connects}, and privileges on relations in {schemas}"
            )),
        }
    }

    /// Returns the statements with their executors.
    fn fix(&self) -> String {
        let run = |(executor, statement): &(Executor, Statement)| {
            format!("run `{}` as {executor}", statement.redacted())
        };
        self.fixes.iter().map(run).collect::<Vec<_>>().join(", and ")
    }
}

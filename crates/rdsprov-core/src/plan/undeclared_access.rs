//! Reports the roles that the definitions do not declare and that have access to a declared database.
//!
//! A managed database is closed to PUBLIC. So a role needs `CONNECT` of its own, or inherits it: the server decides
//! about a login before any `SET ROLE`. A role that can grant `CONNECT` from another database is reported, too: it
//! has `ADMIN OPTION` on a role with `CONNECT`, or can become the owner of the database. Privileges on relations and
//! objects of its own are reported also without `CONNECT`, and also those that a role uses through another one. The
//! plan changes none of this: roles that are not managed are left alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::planner::Planner;
use super::sql::{self, GrantTarget, RevokeScope, Statement};
use super::{
    EndOfAccess, Executor, ManualFix, NoteKind, RefusalKind, Remedy, UndeclaredRoleAccess,
};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{self, AclItem, Grantee, Membership, RDS_SUPERUSER};
use crate::policy::UndeclaredAccess;
use crate::predefined_role::is_of_server;
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::probe::{MembershipRevocation, RevocationScope};

/// The predefined roles with privileges on the relations of each database.
const READ_OR_WRITE_ALL: [&str; 2] = ["pg_read_all_data", "pg_write_all_data"];

/// How memberships lead from a role to another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// It inherits the privileges: they count when it logs in.
    Inherits,
    /// It inherits the privileges after `SET ROLE` to a third role.
    InheritsAfterSetRole,
    /// It may `SET ROLE` to the role.
    Becomes,
    /// It can grant the role, or a role that inherits its privileges, because of `ADMIN OPTION`.
    Administers,
}

impl Reach {
    /// Returns how a role reaches the next one, of which the role that it has reached is a member.
    fn follow(from: Option<Self>, inherits: bool, membership: &Membership) -> Vec<Self> {
        let inherited: &[Self] = match from {
            None => &[Self::Inherits],
            Some(Self::Becomes) => &[Self::InheritsAfterSetRole],
            Some(ref same) => std::slice::from_ref(same),
        };
        let can_set = matches!(from, None | Some(Self::Becomes | Self::Administers));
        let mut all = Vec::new();
        if membership.admin {
            all.push(Self::Administers);
        }
        // Before PostgreSQL 16, each member may SET ROLE.
        if membership.set && can_set {
            all.push(Self::Becomes);
        }
        if inherits {
            all.extend_from_slice(inherited);
        }
        all
    }
}

/// The roles that concern who can connect to one database.
struct Connecting<'b> {
    /// The roles with `CONNECT`.
    roles: BTreeSet<&'b RoleName>,
    /// Those among them that can grant it to others: the owners, and the roles with the grant option.
    granting: BTreeSet<&'b RoleName>,
    /// Those that the definitions declare, or that own the database: the others lose their `CONNECT`.
    declared: BTreeSet<&'b RoleName>,
}

impl Connecting<'_> {
    fn can_enter(&self, (role, reach): &(&RoleName, Reach)) -> bool {
        *reach == Reach::Inherits && self.roles.contains(role)
    }

    fn can_grant(&self, (role, reach): &(&RoleName, Reach)) -> bool {
        match reach {
            Reach::Administers => self.roles.contains(role),
            _ => self.granting.contains(role),
        }
    }
}

/// The kinds of relations in each schema on which roles have privileges.
type GrantedOnRelations<'b> =
    BTreeMap<&'b RoleName, BTreeMap<&'b SchemaName, BTreeSet<ObjectKind>>>;

/// What gives a role access, before it is compared with that of other roles.
#[derive(Default)]
struct Means {
    /// Whether the role has `CONNECT`. Otherwise, `connects` says why it can grant it.
    enters: bool,
    /// See [`UndeclaredRoleAccess::connects`].
    connects: Vec<String>,
    /// See [`UndeclaredRoleAccess::schemas`].
    schemas: Vec<SchemaName>,
    /// See [`UndeclaredRoleAccess::owns`].
    owns: Vec<SchemaName>,
    /// The roles whose privileges the role uses: it inherits them, or may become the role.
    reached: BTreeSet<RoleName>,
    statements: Vec<EndOfAccess>,
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
        let connect = seen.acl.iter().filter(|item| item.privilege == Privilege::Connect);
        let granted = connect.clone().filter_map(|item| item.grantee.role());
        let declared = database.access.keys().chain(&database.owner).chain([&seen.owner]);
        let declared: BTreeSet<&RoleName> = declared.collect();
        let grantable = connect.filter(|item| item.grantable).filter_map(|one| one.grantee.role());
        // The plan revokes the grant options of managed roles.
        let grantable = grantable.filter(|role| !self.desired.selects_role(role));
        let owners = database.owner.iter().chain([&seen.owner]);
        let connecting = Connecting {
            roles: granted.chain(database.access.keys()).chain([&seen.owner]).collect(),
            granting: grantable.chain(owners).collect(),
            declared,
        };
        // Also creators: `creators` declares the grants on what they create, and no access.
        let strangers = self.strangers().iter().filter(|(role, _)| **role != seen.owner);
        let granted = self.granted_on_relations(seen);
        let mut all: Vec<(&RoleName, &observed::Role, Means)> = strangers
            .map(|(role, attributes)| {
                (
                    *role,
                    *attributes,
                    self.means(name, seen, role, attributes, (&connecting, &granted)),
                )
            })
            .collect();
        let mut owners = seen.contents.as_ref().map(owned_schemas).unwrap_or_default();
        let strangers: BTreeSet<&RoleName> = all.iter().map(|(role, _, _)| *role).collect();
        owners.retain(|role, _| {
            strangers.contains(role) && !self.is_declared_creator(database, role)
        });
        for (role, _, means) in &mut all {
            let owns = owners.get(*role).into_iter().flatten();
            means.owns = owns.map(|schema| (*schema).clone()).collect();
        }
        let grantees = granted.keys().copied();
        let grantees = grantees.chain(owners.keys().copied()).map(RoleName::as_str);
        let grantees: BTreeSet<&str> = grantees.chain(READ_OR_WRITE_ALL).collect();
        let mut users: BTreeMap<&RoleName, Vec<RoleName>> = BTreeMap::new();
        for (role, _, means) in all.iter().filter(|(_, _, means)| means.enters) {
            for reached in &means.reached {
                users.entry(reached).or_default().push((*role).clone());
            }
        }
        let mut found = Vec::new();
        for (role, attributes, means) in &all {
            let used_by = users.remove(*role).unwrap_or_default();
            let reached = means.reached.iter().filter(|_| means.enters);
            let through = reached.filter(|one| grantees.contains(one.as_str()));
            let mut access = UndeclaredRoleAccess {
                role: (*role).clone(),
                database: name.clone(),
                login: attributes.login,
                means: String::new(),
                connects: means.connects.clone(),
                schemas: means.schemas.clone(),
                owns: means.owns.clone(),
                through: through.cloned().collect(),
                used_by,
                statements: means.statements.clone(),
            };
            if let Some(words) = access.in_words(means.enters) {
                access.means = words;
                found.push((access, means.application.clone()));
            }
        }
        // What the server has the new owner check concerns this role, see `owners_only_superusers_replace`.
        let owner =
            database.owner.as_ref().filter(|owner| self.observed.roles.contains_key(*owner));
        let owner = owner.unwrap_or(&seen.owner);
        for (mut access, application) in found {
            if !access.owns.is_empty() {
                let steps = self.transfer_steps_of_hint(name, &access.role, owner);
                // Each hint has all statements of one executor: what others do before must come first.
                let place = if steps.len() > 1 { 0 } else { access.statements.len() };
                access.statements.splice(place..place, steps);
            }
            let application = application.unwrap_or_else(|| database.application.clone());
            self.add_undeclared_access(access, &application);
        }
    }

    /// Returns the statements that transfer the objects of a role.
    fn transfer_steps_of_hint(
        &mut self,
        name: &DatabaseName,
        from: &RoleName,
        to: &RoleName,
    ) -> Vec<EndOfAccess> {
        let others = std::mem::take(&mut self.probes);
        let steps = self.transfer_steps(name, from, to);
        self.probes_of_hints.extend(self.probes.iter().cloned());
        self.probes.extend(others);
        let end = |(executor, fix): (_, ManualFix)| EndOfAccess {
            executor,
            database: fix.database,
            sql: fix.sql,
        };
        steps.into_iter().map(end).collect()
    }

    /// Returns whether a role may own objects in the database, because it is a creator or the clone of one.
    fn is_declared_creator(&self, database: &desired::Database, role: &RoleName) -> bool {
        let mut creators = database.creators.iter();
        creators.any(|one| one == role || self.may_be_clone(role, one))
    }

    fn add_undeclared_access(
        &mut self,
        access: UndeclaredRoleAccess,
        application: &ApplicationName,
    ) {
        self.undeclared_access.push(access.clone());
        if self.desired.undeclared_access != UndeclaredAccess::Refuse {
            let (access, strict) = (Box::new(access), self.desired.strict);
            self.note(NoteKind::UndeclaredAccess { access, strict });
            return;
        }
        // The statements of another executor are in the refusal of the next plan.
        let remedy = access.remedies().into_iter().next().unwrap_or(Remedy::None);
        let UndeclaredRoleAccess { role, database, login, means, .. } = access;
        let kind = RefusalKind::AccessNotDeclared { role, database, login, means };
        self.refuse_with(application, kind, remedy);
    }

    /// Returns the roles that are neither managed nor declared by a selected application, and neither predefined
    /// nor administrators. They are the same for each database.
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

    /// Returns what gives a role access to a database.
    fn means(
        &self,
        name: &DatabaseName,
        seen: &observed::Database,
        role: &RoleName,
        attributes: &observed::Role,
        (connecting, granted): (&Connecting<'_>, &GrantedOnRelations<'_>),
    ) -> Means {
        let mut means = Means::default();
        let grantee = Grantee::Role(role.clone());
        for (executor, revoke) in self.revocations_of_connect(name, seen, role) {
            means.enters = true;
            means.add("CONNECT".to_owned(), executor, &revoke);
        }
        // A role that cannot log in has no access by its memberships, but its members have.
        let memberships = attributes.memberships.iter().filter(|_| attributes.login);
        let memberships: Vec<_> =
            memberships.map(|one| (one, self.reached(attributes, one))).collect();
        let mut leading = memberships.iter().flat_map(|(_, reached)| reached);
        means.enters |= leading.any(|one| connecting.can_enter(one));
        for (membership, reached) in memberships {
            means.reached.extend(reached.iter().map(|(one, _)| (*one).clone()));
            // After its login, the role also uses what it has after SET ROLE.
            let counts = |one: &&(&RoleName, Reach)| {
                connecting.can_grant(one) || means.enters && connecting.roles.contains(one.0)
            };
            let leading: Vec<&RoleName> = reached.iter().filter(counts).map(|one| one.0).collect();
            let is_declared = |role: &RoleName| {
                connecting.declared.contains(role) || self.desired.selects_role(role)
            };
            let to_declared = leading.iter().find(|role| is_declared(role));
            let Some(first) = to_declared.or(leading.first()) else { continue };
            let group = &membership.role;
            let old = self.observed.major() < 16;
            let words =
                match (membership.admin, old && attributes.inherit || !old && membership.inherit) {
                    (_, true) => format!("the privileges of role {group}"),
                    (false, false) => format!("SET ROLE to role {group}"),
                    (true, false) => format!("ADMIN OPTION on role {group}"),
                };
            means.connect_through(words);
            // A group gives its members more than this database: it loses its CONNECT, and they stay members.
            for other in leading.iter().filter(|role| !is_declared(role)) {
                for (executor, revoke) in self.revocations_of_connect(name, seen, other) {
                    means.end_once(executor, &revoke);
                }
            }
            if let Some(target) = to_declared {
                let (member, leading) = self.revocable((role, membership), target);
                let revoke = sql::revoke_membership(&MembershipRevocation {
                    role: leading.role.clone(),
                    member: member.clone(),
                    grantor: (!old).then(|| leading.grantor.clone()),
                    scope: RevocationScope::Membership,
                    cascade: false,
                });
                let executor = if old && self.observed.administrator.create_role {
                    Executor::Administrator
                } else {
                    self.executor(&leading.grantor)
                };
                means.end_with(executor, None, &revoke);
            }
            let application = self.desired.roles.get(*first).map(|role| &role.application);
            means.application = means.application.take().or_else(|| application.cloned());
        }
        let contents = seen.contents.as_ref();
        let rows = contents.map(|all| all.default_privileges.as_slice()).unwrap_or_default();
        // Each role has all privileges on its own future objects. Only explicit default privileges show this
        // in a row, and without them it could not use what it creates.
        for row in rows.iter().filter(|row| row.role != *role) {
            let of_role = row.acl.iter().filter(|item| item.grantee == grantee);
            let privileges: Privileges = of_role.map(|item| item.privilege).collect();
            if !privileges.is_empty() && ObjectKind::RELATIONS.contains(&row.kind) {
                let (schema, scope) = (row.schema.as_ref(), RevokeScope::Privilege);
                let revoke =
                    sql::revoke_default(scope, &row.role, schema, row.kind, &privileges, &grantee);
                means.end_with(self.executor(&row.role), Some(name), &revoke);
            }
        }
        if let Some(granted) = granted.get(role) {
            means.schemas = granted.keys().map(|schema| (*schema).clone()).collect();
            for kind in [ObjectKind::Table, ObjectKind::Sequence] {
                let schemas = granted.iter().filter(|(_, kinds)| kinds.contains(&kind));
                let schemas: Vec<_> = schemas.map(|(schema, _)| *schema).collect();
                if !schemas.is_empty() {
                    let revoke = sql::revoke_all_on_relations(kind, &schemas, role);
                    means.end_with(self.executor(&seen.owner), Some(name), &revoke);
                }
            }
        }
        means
    }

    /// Returns the membership whose revocation ends what a membership leads to, with its member.
    ///
    /// Each role can be a member of a role of the server, such as `rds_iam`, for a reason of its own. So it is
    /// the membership of that role in another one which must not be: before PostgreSQL 15, each role can grant
    /// itself to `rds_iam`.
    fn revocable<'b>(
        &self,
        (member, membership): (&'b RoleName, &'b Membership),
        target: &RoleName,
    ) -> (&'b RoleName, &'b Membership)
    where
        'a: 'b,
    {
        let (mut member, mut membership) = (member, membership);
        let mut visited = BTreeSet::new();
        while membership.role != *target
            && self.is_of_server(&membership.role)
            && visited.insert(&membership.role)
            && let Some(seen) = self.observed.roles.get(&membership.role)
        {
            let leads_on = |one: &&Membership| {
                one.role == *target
                    || self.reached(seen, one).iter().any(|(role, _)| *role == target)
            };
            let Some(next) = seen.memberships.iter().find(leads_on) else { break };
            (member, membership) = (&membership.role, next);
        }
        (member, membership)
    }

    fn is_of_server(&self, role: &RoleName) -> bool {
        // Not each predefined role is observed.
        is_of_server(role, self.observed.roles.get(role).is_some_and(|seen| seen.login))
    }

    /// Returns the undeclared roles with privileges on relations.
    ///
    /// The observation names them, except those that it takes for roles of the run: the name of a clone, which
    /// who writes the secret of an application decides, or the comment of a role, which a role with
    /// `CREATEROLE` can write. The ACLs contain these.
    fn granted_on_relations<'b>(&self, seen: &'b observed::Database) -> GrantedOnRelations<'b> {
        let mut all = GrantedOnRelations::new();
        let Some(contents) = &seen.contents else { return all };
        for (role, schemas) in &contents.undeclared_grantees {
            let schemas = schemas.iter().map(|(schema, kinds)| (schema, kinds.clone()));
            all.insert(role, schemas.collect());
        }
        let hidden = self.strangers_of_run.get_or_init(|| {
            let is_of_run = |(role, attributes): &&(&'a RoleName, &observed::Role)| {
                attributes.claimed().is_some() || self.observed.has_name_of_clone(role)
            };
            self.strangers().iter().filter(is_of_run).map(|(role, _)| *role).collect()
        });
        if hidden.is_empty() {
            return all;
        }
        for (name, schema) in &contents.schemas {
            let relations = schema.relations.iter().map(|one| (&one.owner, one.kind, &one.acl));
            let columns = schema.columns.iter();
            let columns = columns.map(|one| (&one.owner, ObjectKind::Table, &one.acl));
            for (owner, kind, acl) in relations.chain(columns) {
                let roles = acl
                    .iter()
                    .flat_map(|item| item.grantee.role().into_iter().chain([&item.grantor]));
                for role in roles.filter(|role| *role != owner && hidden.contains(*role)) {
                    all.entry(role).or_default().entry(name).or_default().insert(kind);
                }
            }
        }
        all
    }

    /// Returns the statements that revoke `CONNECT` on a database from a role, each with its executor.
    fn revocations_of_connect(
        &self,
        name: &DatabaseName,
        seen: &observed::Database,
        role: &RoleName,
    ) -> Vec<(Executor, Statement)> {
        let grantee = Grantee::Role(role.clone());
        let privileges = Privileges::from([Privilege::Connect]);
        let target = GrantTarget::Database(name.clone());
        let items = seen.acl.iter().filter(|item| item.privilege == Privilege::Connect);
        let items = items.filter(|item| item.grantee == grantee);
        let revoke = |item: &AclItem| {
            let revoke = sql::revoke(RevokeScope::Privilege, &privileges, &target, &grantee);
            (self.executor(&item.grantor), revoke)
        };
        items.map(revoke).collect()
    }

    /// Returns the roles to which a membership leads, the nearest first, and how.
    fn reached<'b>(
        &self,
        member: &observed::Role,
        membership: &'b Membership,
    ) -> Vec<(&'b RoleName, Reach)>
    where
        'a: 'b,
    {
        // Before PostgreSQL 16, the member decides about INHERIT.
        let old = self.observed.major() < 16;
        let follow = |from: Option<Reach>, member: &observed::Role, one: &Membership| {
            Reach::follow(from, if old { member.inherit } else { one.inherit }, one)
        };
        let mut reached = Vec::new();
        let mut visited = BTreeSet::new();
        let first = follow(None, member, membership).into_iter();
        let mut next: VecDeque<_> = first.map(|reach| (&membership.role, reach)).collect();
        while let Some((role, reach)) = next.pop_front() {
            if !visited.insert((role, reach)) {
                continue;
            }
            reached.push((role, reach));
            // The plan revokes the memberships that are not declared, of the roles that it changes.
            let seen = self.observed.roles.get(role).filter(|_| !self.desired.selects_role(role));
            let Some(seen) = seen else { continue };
            for one in &seen.memberships {
                let further = follow(Some(reach), seen, one).into_iter();
                next.extend(further.map(|reach| (&one.role, reach)));
            }
        }
        reached
    }
}

impl Means {
    fn add(&mut self, words: String, executor: Executor, statement: &Statement) {
        self.connect_through(words);
        self.end_with(executor, None, statement);
    }

    fn connect_through(&mut self, words: String) {
        if !self.connects.contains(&words) {
            self.connects.push(words);
        }
    }

    /// Adds a statement, unless another membership leads to the same group.
    fn end_once(&mut self, executor: Executor, statement: &Statement) {
        let sql = statement.redacted();
        if !self.statements.iter().any(|one| one.executor == executor && one.sql == sql) {
            self.end_with(executor, None, statement);
        }
    }

    fn end_with(
        &mut self,
        executor: Executor,
        database: Option<&DatabaseName>,
        statement: &Statement,
    ) {
        let (database, sql) = (database.cloned(), statement.redacted());
        self.statements.push(EndOfAccess { executor, database, sql });
    }
}

/// Returns the schemas that each role owns, or in which it owns relations or routines.
fn owned_schemas(contents: &observed::Contents) -> BTreeMap<&RoleName, BTreeSet<&SchemaName>> {
    let schemas = contents.schemas.iter().flat_map(|(name, schema)| {
        let relations = schema.relations.iter().map(|group| &group.owner);
        relations.chain([&schema.owner]).map(move |owner| (owner, name))
    });
    let routines = contents.undeclared_routine_owners.iter();
    let routines = routines.flat_map(|(owner, names)| names.iter().map(move |name| (owner, name)));
    let mut owned: BTreeMap<&RoleName, BTreeSet<&SchemaName>> = BTreeMap::new();
    for (owner, name) in schemas.chain(routines) {
        owned.entry(owner).or_default().insert(name);
    }
    owned
}

#[cfg(test)]
mod tests;

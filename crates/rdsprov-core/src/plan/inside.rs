//! Desired less observed inside one database: its owner's objects, schemas, relations, columns and all
//! else that privileges are granted on. What is made later is compared in [`super::future`].

use std::collections::{BTreeMap, BTreeSet};

use super::acl::{self, AclDiff, Policy, Revoke, with_owner};
use super::databases::{granted_words, listed, revoked_words};
use super::diff::{Planner, is_public};
use super::sql::{self, Statement, Taken, Target};
use super::{Acting, Action, Hazard, MembershipOption, Memberships, Opening, Step};
use crate::access::{self, ObjectKind, Privilege, Privileges};
use crate::definitions::AccessLevel;
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{AclItem, Columns, Contents, Grantee, Relations, Schema};

/// The role that stands for whoever owns the database; nobody can become it.
const DATABASE_OWNER: &str = "pg_database_owner";

/// The database that new ones are copied from.
const TEMPLATE: &str = "template1";

/// One database while it is compared.
pub(super) struct Inside<'a, 'b> {
    pub planner: &'a mut Planner<'b>,
    pub name: &'a DatabaseName,
    pub database: &'a desired::Database,
    pub owner: &'a RoleName,
    /// Whether the database is only now created, so that nobody can lose anything in it.
    is_new: bool,
    /// The schema whose objects are compared.
    schema_at_hand: Option<SchemaAtHand>,
    pub steps: Vec<Step>,
}

/// A schema while what is in it is compared.
struct SchemaAtHand {
    owner: RoleName,
    /// Who may use it once its own ACL is as it shall be.
    users: BTreeSet<Grantee>,
}

/// What an ACL belongs to, for the words of a refusal.
pub(super) struct Place<'a> {
    pub target: &'a Target,
    pub owner: &'a RoleName,
    /// Where a statement about it has to run; anywhere, for what all databases share.
    pub database: Option<&'a DatabaseName>,
    pub application: &'a ApplicationName,
}

/// A revocation in words, and its statement.
pub(super) fn revoked(revoke: &Revoke, target: &Target) -> (String, Statement) {
    let name = |grantee: &Grantee| match grantee {
        Grantee::Public => "PUBLIC".to_owned(),
        Grantee::Role(role) => role.to_string(),
    };
    let mut words = revoked_words(&revoke.privileges, target, &name(&revoke.grantee));
    if revoke.taken == Taken::GrantOption {
        words = format!("grant option for {words}");
    }
    if !revoke.dependents.is_empty() {
        let dependents: Vec<String> = revoke.dependents.iter().map(name).collect();
        words = format!("{words}, and what it granted on to {}", dependents.join(", "));
    }
    let statement =
        sql::revoke(revoke.taken, &revoke.privileges, target, &revoke.grantee, revoke.granted_on);
    (words, statement)
}

impl Planner<'_> {
    /// The steps inside a database that does not exist yet: it will be as the template is.
    pub(super) fn inside_new(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
    ) -> Vec<Step> {
        let Some(owner) = &database.owner else { return Vec::new() };
        let contents = self.observed.template.clone().unwrap_or_else(|| {
            default_contents(self.observed.major(), &self.observed.administrator.name)
        });
        Inside::of(self, name, database, owner, true).compare(&contents, None)
    }

    /// The steps inside a database that was looked into.
    pub(super) fn inside(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        present_owner: &RoleName,
        contents: &Contents,
    ) -> Vec<Step> {
        let owner = database.owner.as_ref().unwrap_or(present_owner);
        let inside = Inside::of(self, name, database, owner, false);
        if owner == present_owner {
            return inside.compare(contents, None);
        }
        let handed_over = with_another_owner(contents, present_owner, owner);
        inside.compare(&handed_over, Some((present_owner, contents)))
    }

    /// Refuses where somebody holds a privilege through a grant option that has to go; says whether.
    pub(super) fn refuse_held_through(&mut self, place: &Place<'_>, found: &AclDiff) -> bool {
        for held in &found.held_through {
            let holder = match &held.holder {
                Grantee::Public => "PUBLIC".to_owned(),
                Grantee::Role(role) => format!("role {role}"),
            };
            let again = sql::grant(&held.privileges, place.target, &held.holder);
            let of_through = found
                .revoke
                .iter()
                .filter(|revoke| revoke.grantee == Grantee::Role(held.through.clone()))
                .map(|revoke| revoked(revoke, place.target).1.shown());
            let mut statements = vec![again.shown()];
            for statement in of_through {
                let cascade = statement.trim_end_matches(" CASCADE").to_owned() + " CASCADE";
                statements.push(cascade);
            }
            self.refuse_until(
                place.application,
                format!(
                    "{holder} holds {} on {} through the grant option of role {}, which is not declared",
                    listed(&held.privileges),
                    place.target.words(),
                    held.through
                ),
                &format!("role {} or a superuser", place.owner),
                Opening {
                    database: place.database.cloned(),
                    statement: statements.join("; "),
                },
            );
        }
        !found.held_through.is_empty()
    }

    /// Refuses a revocation that is for somebody to make as whom the administrator cannot act.
    pub(super) fn refuse_revoke(&mut self, place: &Place<'_>, revoke: &Revoke) {
        let (summary, statement) = revoked(revoke, place.target);
        let statement = if revoke.grantor == *place.owner {
            statement.shown()
        } else {
            sql::as_role(&revoke.grantor, &statement)
        };
        self.refuse_for_another(place, "revoke", &summary, &revoke.grantor, statement);
    }

    fn refuse_for_another(
        &mut self,
        place: &Place<'_>,
        verb: &str,
        summary: &str,
        master: &RoleName,
        statement: String,
    ) {
        let in_database = place.database.map(|name| format!("in database {name}, "));
        self.refuse_until(
            place.application,
            format!(
                "{}\"{verb} {summary}\" is for role {master} to do, as which the administrator cannot act",
                in_database.unwrap_or_default()
            ),
            &format!("role {master} or a superuser"),
            Opening { database: place.database.cloned(), statement },
        );
    }
}

/// What a new database holds where the template could not be looked at.
fn default_contents(major: u32, administrator: &RoleName) -> Contents {
    let item = |grantee, grantor: &RoleName, privilege| AclItem {
        grantee,
        grantor: grantor.clone(),
        privilege,
        grantable: false,
    };
    let owner =
        if major >= 15 { RoleName::observed(DATABASE_OWNER) } else { administrator.clone() };
    let to_owner = access::OWNER_ON_SCHEMA
        .map(|privilege| item(Grantee::Role(owner.clone()), &owner, privilege));
    let mut acl = vec![item(Grantee::Public, &owner, Privilege::Usage)];
    acl.extend(to_owner);
    if major < 15 {
        acl.push(item(Grantee::Public, &owner, Privilege::Create));
    }
    let public = Schema { owner, acl, relations: Vec::new(), columns: Vec::new() };
    Contents {
        schemas: BTreeMap::from([(SchemaName::observed("public"), public)]),
        ..Contents::default()
    }
}

/// The contents after all that one role owns has gone to another.
fn with_another_owner(contents: &Contents, from: &RoleName, to: &RoleName) -> Contents {
    let mut contents = contents.clone();
    let hand_over = |owner: &mut RoleName, acl: &mut Vec<AclItem>| {
        if owner == from {
            *acl = with_owner(acl, from, to);
            owner.clone_from(to);
        }
    };
    for schema in contents.schemas.values_mut() {
        hand_over(&mut schema.owner, &mut schema.acl);
        for group in &mut schema.relations {
            hand_over(&mut group.owner, &mut group.acl);
        }
        for columns in &mut schema.columns {
            hand_over(&mut columns.owner, &mut columns.acl);
        }
    }
    for object in &mut contents.objects {
        hand_over(&mut object.owner, &mut object.acl);
    }
    contents
}

impl<'a, 'b> Inside<'a, 'b> {
    fn of(
        planner: &'a mut Planner<'b>,
        name: &'a DatabaseName,
        database: &'a desired::Database,
        owner: &'a RoleName,
        is_new: bool,
    ) -> Self {
        Self { planner, name, database, owner, is_new, schema_at_hand: None, steps: Vec::new() }
    }
}

impl Inside<'_, '_> {
    /// `before` is the owner that the database had until now, and what was inside then.
    fn compare(mut self, contents: &Contents, before: Option<(&RoleName, &Contents)>) -> Vec<Step> {
        self.creators_exist();
        for schema_name in self.database.covered() {
            if !contents.schemas.contains_key(schema_name) {
                self.missing(schema_name, contents);
            }
        }
        // A function goes only to who may create in its schema: schemas come first, but for those that
        // have to be handed over themselves.
        let is_handed_over = |name: &SchemaName| {
            before.is_some_and(|(from, was)| {
                was.schemas.get(name).is_some_and(|schema| schema.owner == *from)
            })
        };
        let (later, first): (Vec<_>, Vec<_>) =
            contents.schemas.iter().partition(|(name, _)| is_handed_over(name));
        for (schema_name, schema) in first {
            self.schema(schema_name, schema);
        }
        if let Some((from, was)) = before {
            self.hand_over(from, was);
        }
        for (schema_name, schema) in later {
            self.schema(schema_name, schema);
        }
        for (schema_name, schema) in &contents.schemas {
            self.schema_at_hand = Some(self.at_hand(schema_name, schema));
            self.relations(schema_name, &schema.relations);
            for columns in &schema.columns {
                self.columns(schema_name, columns);
            }
            self.schema_at_hand = None;
            self.future_lacks(schema_name, contents);
        }
        for object in &contents.objects {
            let schema =
                object.schema.as_ref().and_then(|name| contents.schemas.get_key_value(name));
            self.schema_at_hand = schema.map(|(name, schema)| self.at_hand(name, schema));
            let target = Target::Object { kind: object.kind, identity: object.identity.clone() };
            self.acl(&target, &object.owner, &object.acl, &BTreeMap::new(), None);
        }
        self.schema_at_hand = None;
        self.future_beyond(contents);
        // Last: `ALL TABLES` would count an extension's, too.
        self.extensions(contents);
        self.steps
    }

    fn creators_exist(&mut self) {
        for creator in &self.database.creators {
            let known = self.planner.observed.roles.contains_key(creator)
                || self.planner.desired.roles.contains_key(creator);
            if !known {
                self.planner.refuse_until(
                    &self.database.application,
                    format!(
                        "role {creator}, which `creators` names for database {}, does not exist",
                        self.name
                    ),
                    "the administrator, unless the name is a mistake,",
                    Opening {
                        database: None,
                        statement: format!("CREATE ROLE {}", creator.quoted()),
                    },
                );
            }
        }
    }

    /// The roles whose future objects are granted: the owner, and the declared creators there are.
    pub(super) fn creators(&self) -> BTreeSet<RoleName> {
        let planner = &self.planner;
        let known = |role: &&RoleName| {
            planner.observed.roles.contains_key(*role) || planner.desired.roles.contains_key(*role)
        };
        self.database.creators.iter().filter(known).chain([self.owner]).cloned().collect()
    }

    /// Adds a step that `master` (an owner or a grantor) is to carry out; where nobody can act for it, a
    /// refusal that names the statement it would have to run.
    pub(super) fn step(
        &mut self,
        action: Action,
        role: Option<&RoleName>,
        master: &RoleName,
        summary: String,
        statement: Statement,
        hazards: &[Hazard],
    ) {
        let master = if master.as_str() == DATABASE_OWNER { self.owner } else { master };
        let application = self.application(role);
        let Some(acting) = self.act_in(master) else {
            let target = Target::Database(self.name.clone());
            let place = Place {
                target: &target,
                owner: master,
                database: Some(self.name),
                application: &application,
            };
            let verb = action.to_string();
            let statement = statement.shown();
            self.planner.refuse_for_another(&place, &verb, &summary, master, statement);
            return;
        };
        self.push(action, role, acting, summary, statement, hazards);
    }

    /// How to act for an owner or grantor in the schema at hand. Who may not use the schema cannot name
    /// what is in it: then the administrator acts itself, with the privileges of both.
    fn act_in(&self, master: &RoleName) -> Option<(Acting, Memberships)> {
        let acting = self.planner.act_as(master)?;
        let Some(keeper) = self.closed_to(master) else {
            return Some((acting, Memberships::new()));
        };
        self.planner.act_as(keeper)?;
        let borrowed = [master, keeper].map(|role| (role.clone(), MembershipOption::Inherit));
        Some((Acting::Administrator, borrowed.into_iter().collect()))
    }

    /// The owner of the schema at hand, where a role has no way into that.
    fn closed_to(&self, role: &RoleName) -> Option<&RoleName> {
        let SchemaAtHand { owner, users } = self.schema_at_hand.as_ref()?;
        let keeper = if owner.as_str() == DATABASE_OWNER { self.owner } else { owner };
        let may_use = role == keeper
            || users.contains(&Grantee::Public)
            || users.contains(&Grantee::Role(role.clone()));
        (!may_use).then_some(keeper)
    }

    fn at_hand(&self, name: &SchemaName, schema: &Schema) -> SchemaAtHand {
        let public_keeps = self.public_keeps(name, schema);
        let keeps = |grantee: &Grantee| match grantee {
            Grantee::Public => {
                public_keeps.as_ref().is_none_or(|kept| kept.contains(&Privilege::Usage))
            }
            Grantee::Role(role) => !self.is_managed(role),
        };
        let of_acl = schema.acl.iter().filter(|item| item.privilege == Privilege::Usage);
        let mut users: BTreeSet<Grantee> =
            of_acl.map(|item| item.grantee.clone()).filter(keeps).collect();
        let wanted = self.wanted(name, |level| access::on_object(level, ObjectKind::Schema));
        users.extend(wanted.into_keys().map(Grantee::Role));
        SchemaAtHand { owner: schema.owner.clone(), users }
    }

    /// What PUBLIC may keep of a schema; nothing is said where that is nobody's business.
    fn public_keeps(&self, name: &SchemaName, schema: &Schema) -> Option<Privileges> {
        let covered = self.database.covered().contains(name);
        let owned = schema.owner.as_str() == DATABASE_OWNER || schema.owner == *self.owner;
        if owned && covered && !is_public(name) {
            Some(Privileges::new())
        } else if is_public(name) || covered {
            Some(Privileges::from([Privilege::Usage]))
        } else {
            None
        }
    }

    fn push(
        &mut self,
        action: Action,
        role: Option<&RoleName>,
        acting: (Acting, Memberships),
        summary: String,
        statement: Statement,
        hazards: &[Hazard],
    ) {
        let hazards = if self.is_new { &[] } else { hazards };
        let (acting, borrowed) = acting;
        self.steps.push(Step {
            action,
            application: self.application(role),
            role: role.cloned(),
            database: Some(self.name.clone()),
            summary,
            acting,
            borrowed,
            statements: vec![statement],
            hazards: hazards.iter().copied().collect(),
        });
    }

    fn application(&self, role: Option<&RoleName>) -> ApplicationName {
        role.map_or(&self.database.application, |role| {
            self.planner.application_of(role, self.database)
        })
        .clone()
    }

    /// The declared roles but the owner, with what they are granted in a schema: nothing, where their
    /// entry does not cover it.
    pub(super) fn wanted(
        &self,
        schema: &SchemaName,
        privileges: impl Fn(AccessLevel) -> Privileges,
    ) -> BTreeMap<RoleName, Privileges> {
        self.database
            .access
            .iter()
            .filter(|(role, access)| *role != self.owner && access.schemas.contains(schema))
            .map(|(role, access)| (role.clone(), privileges(access.level)))
            .filter(|(_, privileges)| !privileges.is_empty())
            .collect()
    }

    pub(super) fn is_managed(&self, role: &RoleName) -> bool {
        self.planner.desired.roles.contains_key(role) && role != self.owner
    }

    /// Whether what a role makes is granted as the owner's own: the owner, and the declared creators.
    pub(super) fn is_creator(&self, role: &RoleName) -> bool {
        role == self.owner || self.database.creators.contains(role)
    }

    /// What an ACL differs by.
    fn differs(
        &self,
        owner: &RoleName,
        acl: &[AclItem],
        wanted: &BTreeMap<RoleName, Privileges>,
        public: Option<Privileges>,
    ) -> AclDiff {
        let managed = |role: &RoleName| self.is_managed(role) && role != owner;
        let mut found = acl::diff(acl, &Policy { wanted, managed: &managed, public });
        // An owner has what it needs by ownership, whatever its own entry says.
        if owner.as_str() != DATABASE_OWNER && owner != self.owner {
            found.grant.remove(owner);
        }
        found
    }

    /// Brings one ACL to what it shall be.
    fn acl(
        &mut self,
        target: &Target,
        owner: &RoleName,
        acl: &[AclItem],
        wanted: &BTreeMap<RoleName, Privileges>,
        public: Option<Privileges>,
    ) {
        let found = self.differs(owner, acl, wanted, public);
        for (role, privileges) in &found.grant {
            self.grant(target, owner, role, privileges);
        }
        self.revokes(target, owner, &found);
    }

    fn grant(
        &mut self,
        target: &Target,
        owner: &RoleName,
        role: &RoleName,
        privileges: &Privileges,
    ) {
        let summary = granted_words(privileges, target, role);
        let statement = sql::grant(privileges, target, &Grantee::Role(role.clone()));
        self.step(Action::Grant, Some(role), owner, summary, statement, &[]);
    }

    fn revokes(&mut self, target: &Target, owner: &RoleName, found: &AclDiff) {
        for revoke in &found.revoke {
            let role = match &revoke.grantee {
                Grantee::Public => None,
                Grantee::Role(role) => Some(role),
            };
            let application = self.application(role);
            let place =
                Place { target, owner, database: Some(self.name), application: &application };
            if self.planner.refuse_held_through(&place, found) {
                return;
            }
            let grantor = if revoke.grantor.as_str() == DATABASE_OWNER {
                self.owner
            } else {
                &revoke.grantor
            };
            let Some(acting) = self.act_in(grantor) else {
                self.planner.refuse_revoke(&place, revoke);
                continue;
            };
            let (summary, statement) = revoked(revoke, target);
            let hazards = [Hazard::RevokesAccess];
            self.push(Action::Revoke, role, acting, summary, statement, &hazards);
        }
    }

    /// A schema that is declared and not there: made for the owner's entry, refused for the others'.
    fn missing(&mut self, name: &SchemaName, contents: &Contents) {
        if self.database.of_owner().is_none_or(|schemas| !schemas.contains(name)) {
            self.planner.refuse_until(
                &self.database.application,
                format!("schema {name} does not exist in database {}, and its owner's entry does not declare it", self.name),
                &format!("role {} or a superuser", self.owner),
                Opening {
                    database: Some(self.name.clone()),
                    statement: format!("CREATE SCHEMA {} AUTHORIZATION {}", name.quoted(), self.owner.quoted()),
                },
            );
            return;
        }
        let owner = self.owner.clone();
        let summary = format!("schema {name}, owner {owner}");
        let role = Some(&owner);
        self.step(Action::CreateSchema, role, &owner, summary, sql::create_schema(name), &[]);
        let to_owner = access::OWNER_ON_SCHEMA.map(|privilege| AclItem {
            grantee: Grantee::Role(owner.clone()),
            grantor: owner.clone(),
            privilege,
            grantable: false,
        });
        let schema =
            Schema { owner, acl: to_owner.to_vec(), relations: Vec::new(), columns: Vec::new() };
        self.schema(name, &schema);
        self.future_lacks(name, contents);
    }

    fn schema(&mut self, name: &SchemaName, schema: &Schema) {
        let public = is_public(name);
        let owned = schema.owner.as_str() == DATABASE_OWNER || schema.owner == *self.owner;
        let declared = self.database.of_owner().is_some_and(|schemas| schemas.contains(name));
        let target = Target::Schema(name.clone());
        if declared && !owned && !public {
            self.planner.refuse_until(
                &self.database.application,
                format!(
                    "schema {name} of database {} belongs to role {}, the definitions say {}",
                    self.name, schema.owner, self.owner
                ),
                "a superuser",
                Opening {
                    database: Some(self.name.clone()),
                    statement: sql::change_schema_owner(name, self.owner).shown(),
                },
            );
            return;
        }
        let mut wanted = self.wanted(name, |level| access::on_object(level, ObjectKind::Schema));
        if declared && self.database.owner.is_some() {
            // Up to 14 `public` belongs to the master or the bootstrap superuser, and the owner of the
            // database may create in it only because PUBLIC may.
            let role = if owned { &schema.owner } else { self.owner };
            wanted.insert(role.clone(), access::OWNER_ON_SCHEMA.into());
        }
        let public_keeps = self.public_keeps(name, schema);
        let found = self.differs(&schema.owner, &schema.acl, &wanted, public_keeps);
        let master =
            if schema.owner.as_str() == DATABASE_OWNER { self.owner } else { &schema.owner };
        if public && self.planner.act_as(master).is_none() {
            self.public_of_somebody_else(name, schema, &found);
            return;
        }
        for (role, privileges) in &found.grant {
            self.grant(&target, &schema.owner, role, privileges);
        }
        self.revokes(&target, &schema.owner, &found);
    }

    /// Up to 14 schema `public` may belong to the bootstrap superuser: what PUBLIC has of it anyway need
    /// not be granted; what is more ends with one statement.
    fn public_of_somebody_else(&mut self, name: &SchemaName, schema: &Schema, found: &AclDiff) {
        let of_public: Privileges = schema
            .acl
            .iter()
            .filter(|item| item.grantee == Grantee::Public)
            .map(|item| item.privilege)
            .collect();
        let enough = found.revoke.is_empty()
            && found.grant.values().all(|privileges| privileges.is_subset(&of_public));
        if enough {
            for (role, privileges) in &found.grant {
                self.planner.note(format!(
                    "schema {name} of database {} belongs to role {}, as which the administrator cannot act: role {role} has {} on it through PUBLIC",
                    self.name, schema.owner, listed(privileges)
                ));
            }
            return;
        }
        let template = DatabaseName::observed(TEMPLATE);
        let administrator = self.planner.observed.administrator.name.clone();
        let (place, owner) =
            if self.is_new { (&template, &administrator) } else { (self.name, self.owner) };
        self.planner.refuse_until(
            &self.database.application,
            format!(
                "schema {name} of database {place} belongs to role {}, as which the administrator cannot act, and PUBLIC may create in it or a declared role may not use it",
                schema.owner
            ),
            "a superuser",
            Opening {
                database: Some(place.clone()),
                statement: sql::change_schema_owner(name, owner).shown(),
            },
        );
    }

    fn relations(&mut self, schema: &SchemaName, groups: &[Relations]) {
        let covered = self.database.covered().contains(schema);
        for kind in ObjectKind::RELATIONS {
            let of_kind: Vec<&Relations> =
                groups.iter().filter(|group| group.kind == kind).collect();
            let wanted = self.wanted(schema, |level| access::on_object(level, kind));
            let found: Vec<(&Relations, AclDiff)> = of_kind
                .iter()
                .map(|group| (*group, self.relation_differs(group, covered, &wanted)))
                .collect();
            // One statement for all of them where all are alike in what they need and whose they are.
            let alike =
                of_kind.iter().all(|group| !group.of_extension && group.owner == of_kind[0].owner);
            let mut lacking: BTreeMap<(RoleName, RoleName, Privileges), Vec<&Relations>> =
                BTreeMap::new();
            for (group, found) in &found {
                for (role, privileges) in &found.grant {
                    lacking
                        .entry((group.owner.clone(), role.clone(), privileges.clone()))
                        .or_default()
                        .push(group);
                }
            }
            for ((owner, role, privileges), groups) in lacking {
                let all = alike && groups.len() == of_kind.len();
                let target = self.target(kind, schema, &owner, &groups, all);
                self.grant(&target, &owner, &role, &privileges);
            }
            let mut beyond: Vec<(&RoleName, &AclDiff, Vec<&Relations>)> = Vec::new();
            for (group, found) in &found {
                match beyond.iter_mut().find(|(owner, other, _)| {
                    **owner == group.owner
                        && other.revoke == found.revoke
                        && other.held_through == found.held_through
                }) {
                    Some((_, _, groups)) => groups.push(group),
                    None => beyond.push((&group.owner, found, vec![group])),
                }
            }
            for (owner, found, groups) in beyond {
                if found.revoke.is_empty() {
                    continue;
                }
                let all = alike && groups.len() == of_kind.len();
                let target = self.target(kind, schema, owner, &groups, all);
                self.revokes(&target, owner, found);
            }
        }
    }

    fn relation_differs(
        &self,
        group: &Relations,
        covered: bool,
        wanted: &BTreeMap<RoleName, Privileges>,
    ) -> AclDiff {
        // What an extension gave is its own affair.
        if group.of_extension {
            return self.differs(&group.owner, &group.acl, &BTreeMap::new(), None);
        }
        let public = (covered && self.is_creator(&group.owner)).then(Privileges::new);
        self.differs(&group.owner, &group.acl, wanted, public)
    }

    /// All relations of a kind in a schema, or some by name. Where nobody can act for the owner, the
    /// refusal names them.
    fn target(
        &mut self,
        kind: ObjectKind,
        schema: &SchemaName,
        owner: &RoleName,
        groups: &[&Relations],
        all: bool,
    ) -> Target {
        if all && self.act_in(owner).is_some() {
            return Target::AllRelations { kind, schema: schema.clone() };
        }
        let mut names = Vec::new();
        for group in groups {
            self.planner.named.insert(group.number);
            names.extend(group.names.iter().cloned());
        }
        names.sort();
        Target::Relations { kind, schema: schema.clone(), names }
    }

    /// Columns have ACLs of their own: what a role has of the relation anyway may stand there, too.
    fn columns(&mut self, schema: &SchemaName, columns: &Columns) {
        let covered = self.database.covered().contains(schema);
        let allowed = if columns.of_extension {
            BTreeMap::new()
        } else {
            self.wanted(schema, |level| access::on_object(level, ObjectKind::Table))
        };
        let public = (covered && !columns.of_extension && self.is_creator(&columns.owner))
            .then(Privileges::new);
        let mut found = self.differs(&columns.owner, &columns.acl, &allowed, public);
        found.grant.clear();
        let target = Target::Columns {
            schema: schema.clone(),
            relation: columns.relation.clone(),
            names: columns.names.clone(),
        };
        self.revokes(&target, &columns.owner, &found);
    }

    /// The extensions that are declared and not there: made by the owner where PostgreSQL trusts them, by
    /// the administrator where the server lets it.
    fn extensions(&mut self, contents: &Contents) {
        for extension in &self.database.extensions {
            if contents.extensions.contains_key(extension) {
                continue;
            }
            let application = &self.database.application;
            let Some(available) = self.planner.observed.extensions.get(extension) else {
                self.planner.refuse(
                    application,
                    format!("extension {extension} for database {} is not available on this server", self.name),
                    "correct its name, or remove it from `extensions`; SELECT name FROM pg_available_extensions lists those there are".to_owned(),
                );
                continue;
            };
            let statement = sql::create_extension(extension);
            let summary = format!("extension {extension} in database {}", self.name);
            if available.trusted || !available.superuser {
                let role = Some(self.owner);
                self.step(Action::CreateExtension, role, self.owner, summary, statement, &[]);
                continue;
            }
            if let Some(reason) = self.planner.trial(&statement.shown()) {
                self.planner.refuse_until(
                    application,
                    format!(
                        "extension {extension} for database {} is not trusted, and the server does not let the administrator create it: {reason}",
                        self.name
                    ),
                    "a superuser",
                    Opening { database: Some(self.name.clone()), statement: statement.shown() },
                );
                continue;
            }
            self.push(
                Action::CreateExtension,
                Some(self.owner),
                (Acting::Administrator, Memberships::new()),
                summary,
                statement,
                &[],
            );
        }
    }

    /// What the old owner has in the database goes to the new one. `REASSIGN OWNED` would also move the
    /// other databases of the old owner: they are out of its hands for as long as the transaction lasts.
    fn hand_over(&mut self, from: &RoleName, contents: &Contents) {
        let to = self.owner.clone();
        let statements = if *from == self.planner.observed.administrator.name {
            contents
                .of_administrator
                .iter()
                .map(|object| sql::change_object_owner(&object.kind, &object.identity, &to))
                .collect()
        } else {
            self.reassign(from, &to)
        };
        if statements.is_empty() {
            return;
        }
        let borrowed =
            [from, &to].map(|role| (role.clone(), MembershipOption::Inherit)).into_iter().collect();
        self.steps.push(Step {
            action: Action::ReassignOwned,
            application: self.database.application.clone(),
            role: Some(to.clone()),
            database: Some(self.name.clone()),
            summary: format!("what {from} owns in database {} goes to {to}", self.name),
            acting: Acting::Administrator,
            borrowed,
            statements,
            hazards: BTreeSet::from([Hazard::ChangesOwner]),
        });
    }

    fn reassign(&self, from: &RoleName, to: &RoleName) -> Vec<Statement> {
        let administrator = &self.planner.observed.administrator.name;
        let desired = &self.planner.desired.databases;
        // Those that the old owner will have when this transaction runs, the cluster's being done.
        let becomes = |name: &DatabaseName| desired.get(name).and_then(|one| one.owner.as_ref());
        let mut others: BTreeSet<&DatabaseName> = self
            .planner
            .observed
            .databases
            .iter()
            .filter(|(name, seen)| becomes(name).unwrap_or(&seen.owner) == from)
            .map(|(name, _)| name)
            .collect();
        others.extend(desired.keys().filter(|name| becomes(name) == Some(from)));
        let connect = Privileges::from([Privilege::Connect]);
        let mut statements: Vec<Statement> =
            others.iter().map(|other| sql::change_owner(other, administrator)).collect();
        statements.push(sql::reassign_owned(from, to));
        for other in others {
            statements.push(sql::change_owner(other, from));
            let had = self.planner.observed.databases.get(other).is_none_or(|seen| {
                seen.acl.iter().any(|item| item.grantee == Grantee::Role(administrator.clone()))
            });
            if desired.contains_key(other) || had {
                let target = Target::Database(other.clone());
                let grantee = Grantee::Role(administrator.clone());
                statements.push(sql::grant(&connect, &target, &grantee));
            }
        }
        statements
    }
}

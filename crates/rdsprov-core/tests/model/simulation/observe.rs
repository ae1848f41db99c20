//! The observed state of the model: what the catalog queries of the product would return.

use std::collections::{BTreeMap, BTreeSet};

use rdsprov_core::desired::{Credential, Desired};
use rdsprov_core::name::{DatabaseName, ExtensionName, RoleName, SchemaName};
use rdsprov_core::observed::{
    Administrator, AvailableExtension, Database, GrantedMembership, Grantee, Membership, Observed,
    PasswordCheck, Role,
};
use rdsprov_core::setting::Parameter;

use super::acl::Inheritance as _;
use super::catalog::{Follow, Oid};
use super::{Model, Outcome, Session};
use crate::initial_state::ADMINISTRATOR;

/// The administrator database of the test servers.
pub const ADMIN_DATABASE: &str = "platform";

/// What an observation depends on in addition to the server.
pub struct Observation<'a> {
    pub desired: &'a Desired,
    /// The password in the secret of each role that has one.
    pub passwords: &'a BTreeMap<String, String>,
}

pub(super) fn role_name(text: &str) -> RoleName {
    RoleName::new_unchecked(text)
}

impl Model {
    /// Observes the server as the administrator.
    pub fn observe(&mut self, of: &Observation<'_>) -> Outcome<Observed> {
        let Observation { desired, passwords } = *of;
        let mut observed = self.connect(ADMINISTRATOR, ADMIN_DATABASE)?.shared(desired)?;
        let concerned = concerned(desired, &observed);
        let is_complete = |name: &DatabaseName| {
            let seen = observed.databases.get(name);
            seen.is_some_and(|seen| !seen.is_unfinished(&observed.administrator.name))
        };
        let relevant = observed.databases.iter().filter(|(name, seen)| {
            let is_relevant =
                desired.databases.contains_key(name) || desired.manages(seen.marker().as_ref());
            is_relevant && seen.connectable
        });
        let mut names: Vec<DatabaseName> = relevant.map(|(name, _)| name.clone()).collect();
        if desired.databases.keys().any(|name| !is_complete(name)) {
            names.push(DatabaseName::new_unchecked("template1"));
        }
        for name in names {
            let session = self.connect(ADMINISTRATOR, name.as_str())?;
            let contents = session.contents(desired, &observed, &name, &concerned)?;
            match observed.databases.get_mut(&name) {
                Some(database) => database.contents = Some(contents),
                None => observed.template = Some(contents),
            }
        }
        for (name, role) in &desired.roles {
            // A role without `LOGIN` is rejected after its authentication.
            let can_check =
                observed.roles.get(name).is_some_and(|seen| !seen.expired && !seen.uses_iam_auth());
            let Some(password) = passwords.get(name.as_str()) else { continue };
            if can_check && role.secret().is_some() {
                let check = if self.accepts_password(name.as_str(), password) {
                    PasswordCheck::Accepted
                } else {
                    PasswordCheck::WrongPassword
                };
                observed.password_checks.insert(name.clone(), check);
            }
        }
        Ok(observed)
    }
}

/// Returns the roles whose privileges are observed: the declared and the managed ones, and `rds_iam` if
/// declared roles are members of it.
fn concerned(desired: &Desired, observed: &Observed) -> BTreeSet<RoleName> {
    let managed = observed.roles.iter().filter(|(_, seen)| desired.manages(seen.marker().as_ref()));
    let mut all: BTreeSet<RoleName> = managed.map(|(name, _)| name.clone()).collect();
    all.extend(desired.roles.keys().cloned());
    if desired.roles.values().any(|role| role.credential == Credential::Iam) {
        all.insert(role_name("rds_iam"));
    }
    all
}

impl Session<'_> {
    /// `cluster.sql`.
    fn shared(&self, desired: &Desired) -> Outcome<Observed> {
        let catalog = self.catalog();
        let own = &catalog.roles[&self.user];
        let is_in = |group: &str| {
            catalog
                .find_role(group)
                .is_some_and(|oid| catalog.is_member(self.user, oid, self.database_owner()))
        };
        let mut databases = BTreeMap::new();
        for (name, database) in &catalog.databases {
            if !database.is_template || !name.starts_with("template") {
                let name = DatabaseName::new_unchecked(name.as_str());
                let seen = self.observed_database(desired, &name, database);
                databases.insert(name, seen);
            }
        }
        let owner = |name: &str| {
            let owner = catalog.databases.get(name).map_or(0, |database| database.owner);
            (DatabaseName::new_unchecked(name), role_name(catalog.role_name(owner)))
        };
        let extension = AvailableExtension {
            superuser: true,
            trusted: true,
            schema: None,
            requires: BTreeSet::new(),
            allowed: true,
        };
        let entries = desired.databases.values().flat_map(|database| database.access.values());
        let extensions: BTreeSet<&ExtensionName> =
            entries.flat_map(|entry| &entry.extensions).collect();
        let tablespace = ("rds_temp_tablespace".to_owned(), role_name("rds_superuser"));
        Ok(Observed {
            server_version: catalog.major * 10_000,
            connection: Default::default(),
            admin_database: DatabaseName::new_unchecked(ADMIN_DATABASE),
            administrator: Administrator {
                name: role_name(&own.name),
                superuser: own.superuser,
                create_role: own.create_role,
                create_database: own.create_database,
                rds_superuser: is_in("rds_superuser"),
                rds_extension: is_in("rds_extension"),
            },
            administrators: Vec::new(),
            passwords: Default::default(),
            templates: ["template0", "template1"].map(owner).into(),
            template: None,
            template_unreadable: None,
            extensions: extensions
                .into_iter()
                .map(|one| (one.clone(), extension.clone()))
                .collect(),
            delegated_extensions: BTreeSet::new(),
            roles: self.observed_roles(desired)?,
            databases,
            tablespaces: [tablespace].into(),
            subscriptions: Vec::new(),
            clones: BTreeMap::new(),
            password_checks: BTreeMap::new(),
            roles_with_sessions: BTreeSet::new(),
            dependencies: BTreeMap::new(),
            database_use: BTreeMap::new(),
            prepared_transactions: BTreeMap::new(),
            blue_green: Vec::new(),
            blue_green_unknown: None,
            audit_tables: Default::default(),
            probe_results: Default::default(),
        })
    }

    fn observed_database(
        &self,
        desired: &Desired,
        name: &DatabaseName,
        database: &super::catalog::Database,
    ) -> Database {
        let catalog = self.catalog();
        let is_declared = desired.databases.contains_key(name);
        let built_in = || super::catalog::default_acl('d', database.owner, catalog.major);
        let acl = database.acl.clone().unwrap_or_else(built_in);
        let mut settings = BTreeMap::new();
        for ((role, of), stored) in catalog.settings.iter() {
            let role = role_name(catalog.role_name(*role));
            if is_declared && *of == database.oid && desired.roles.contains_key(&role) {
                let stored = stored
                    .iter()
                    .filter_map(|(name, value)| Some((Parameter::new(name).ok()?, value.clone())));
                settings.insert(role, stored.collect());
            }
        }
        Database {
            oid: Some(database.oid),
            owner: role_name(catalog.role_name(database.owner)),
            allow_connections: database.allow_connections,
            connection_limit: database.connection_limit,
            is_template: database.is_template,
            connectable: database.allow_connections
                && self.model.has_database_privilege(self.user, name.as_str(), "CONNECT"),
            acl: self.observed_acl(&acl),
            comment: database.comment.clone(),
            comment_too_long: false,
            settings,
            settings_too_long: BTreeSet::new(),
            read_only: false,
            objects_of_others: self.objects_of_others(database),
            unreachable: None,
            too_large: None,
            contents: None,
        }
    }

    /// The owners of objects in a database whose creation was interrupted.
    fn objects_of_others(&self, database: &super::catalog::Database) -> BTreeSet<RoleName> {
        if database.allow_connections || database.owner != self.user {
            return BTreeSet::new();
        }
        let catalog = self.catalog();
        let administrators = self.administrators();
        let owners = database.objects.iter().map(|object| object.owner);
        owners
            .filter(|owner| {
                !administrators.contains(owner) && !catalog.role_name(*owner).starts_with("pg_")
            })
            .map(|owner| role_name(catalog.role_name(owner)))
            .collect()
    }

    fn observed_roles(&self, desired: &Desired) -> Outcome<BTreeMap<RoleName, Role>> {
        let catalog = self.catalog();
        let owner = self.database_owner();
        let reaches = |from: Oid| catalog.roles_of(from, Follow::All, owner);
        let administrators = self.administrators();
        let admins =
            |role: Oid| catalog.memberships.iter().filter(move |one| one.role == role && one.admin);
        let author: BTreeSet<Oid> =
            administrators.iter().copied().chain(admins(self.user).map(|one| one.member)).collect();
        let mut foreign_power = BTreeSet::new();
        if catalog.major >= 16 {
            let powerful = catalog
                .roles
                .iter()
                .filter(|(oid, role)| role.create_role && !role.superuser && !author.contains(oid));
            // The memberships are followed without the implicit one of a database owner.
            foreign_power
                .extend(powerful.flat_map(|(oid, _)| catalog.roles_of(*oid, Follow::All, 0)));
        }
        let name = |oid: Oid| role_name(catalog.role_name(oid));
        let default_members = ["pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"];
        let mut roles = BTreeMap::new();
        for (&oid, role) in catalog.roles.iter() {
            let own: Vec<_> =
                catalog.memberships.iter().filter(|one| one.member == oid).copied().collect();
            let is_usual = |one: &super::catalog::Membership| {
                role.name == "pg_monitor" && default_members.contains(&catalog.role_name(one.role))
            };
            // Of pg_monitor, the usual memberships concern its members.
            let concerns_members = role.name == "pg_monitor"
                && catalog
                    .memberships
                    .iter()
                    .any(|one| one.role == oid && !author.contains(&one.member));
            if role.name.starts_with("pg_") && own.iter().all(is_usual) && !concerns_members {
                continue;
            }
            let controls = |one: &&super::catalog::Membership| {
                foreign_power.contains(&one.member)
                    || catalog.major >= 16
                        && !author.contains(&one.member)
                        && !one.inherit
                        && !one.set
                        && catalog.is_superuser(one.grantor)
            };
            let controllers: BTreeSet<RoleName> =
                admins(oid).filter(controls).map(|one| name(one.member)).collect();
            let mut memberships: Vec<Membership> = own
                .iter()
                .map(|one| Membership {
                    role: name(one.role),
                    grantor: name(one.grantor),
                    admin: one.admin,
                    inherit: one.inherit,
                    set: one.set,
                })
                .collect();
            memberships.sort_by(|a, b| (&a.role, &a.grantor).cmp(&(&b.role, &b.grantor)));
            let mut granted: Vec<GrantedMembership> = catalog
                .memberships
                .iter()
                .filter(|one| one.grantor == oid)
                .map(|one| GrantedMembership { role: name(one.role), member: name(one.member) })
                .collect();
            granted.sort();
            let world = self.world();
            let is_declared = desired.roles.contains_key(&role_name(&role.name));
            roles.insert(
                role_name(&role.name),
                Role {
                    oid: Some(oid),
                    superuser: role.superuser,
                    login: role.login,
                    inherit: role.inherit,
                    create_role: role.create_role,
                    create_database: role.create_database,
                    replication: role.replication,
                    bypass_rls: role.bypass_rls,
                    connection_limit: role.connection_limit,
                    valid_until: role
                        .valid_until
                        .as_ref()
                        .map(|day| format!("{day}T00:00:00.000000Z")),
                    expired: role.valid_until.as_ref().is_some_and(|day| day.starts_with("2001")),
                    comment: role.comment.clone(),
                    comment_too_long: false,
                    administered: catalog.major < 16
                        || role.comment.is_none() && !is_declared
                        || admins(oid).any(|one| {
                            (author.contains(&one.member)
                                || world.has_privileges_of(self.user, one.member))
                                && (controllers.is_empty() || author.contains(&one.grantor))
                        }),
                    controllers: controllers.into_iter().take(3).collect(),
                    memberships,
                    granted,
                    administrator_has_admin_option: admins(oid)
                        .any(|one| world.has_privileges_of(self.user, one.member)),
                    is_member_of_administrator: oid != self.user
                        && (role.superuser || reaches(oid).contains(&self.user)),
                },
            );
        }
        Ok(roles)
    }

    /// `aclexplode`, in the order of the queries.
    pub(super) fn observed_acl(&self, acl: &super::acl::Acl) -> rdsprov_core::observed::Acl {
        let mut all: rdsprov_core::observed::Acl = Vec::new();
        for item in acl {
            for privilege in super::acl::names(super::acl::without_options(item.rights)) {
                let bit = super::acl::bit(privilege).unwrap_or(0);
                all.push(rdsprov_core::observed::AclItem {
                    grantee: match item.grantee {
                        super::acl::PUBLIC => Grantee::Public,
                        role => Grantee::Role(role_name(self.catalog().role_name(role))),
                    },
                    grantor: role_name(self.catalog().role_name(item.grantor)),
                    privilege: observed_privilege(privilege),
                    grantable: item.rights & super::acl::options(bit) != 0,
                });
            }
        }
        let key = |item: &rdsprov_core::observed::AclItem| {
            (item.grantee.role().is_none(), item.grantee.clone(), item.privilege.to_string())
        };
        all.sort_by_key(key);
        all
    }
}

pub(super) fn observed_privilege(name: &str) -> rdsprov_core::privilege::Privilege {
    use rdsprov_core::privilege::Privilege;
    match name {
        "SELECT" => Privilege::Select,
        "INSERT" => Privilege::Insert,
        "UPDATE" => Privilege::Update,
        "DELETE" => Privilege::Delete,
        "TRUNCATE" => Privilege::Truncate,
        "REFERENCES" => Privilege::References,
        "TRIGGER" => Privilege::Trigger,
        "MAINTAIN" => Privilege::Maintain,
        "USAGE" => Privilege::Usage,
        "CREATE" => Privilege::Create,
        "CONNECT" => Privilege::Connect,
        "TEMPORARY" => Privilege::Temporary,
        _ => Privilege::Execute,
    }
}

pub(super) fn schema_name(name: &str) -> SchemaName {
    SchemaName::new_unchecked(name)
}

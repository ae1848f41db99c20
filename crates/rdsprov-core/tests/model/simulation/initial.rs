//! A new server, as the statements of the test kit shape it.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::acl::{Item, PUBLIC, bits};
use super::catalog::{
    BOOTSTRAP, Catalog, Database, Kind, Membership, Object, Oid, Role, default_acl,
};

/// The first OID that is not of the system.
const FIRST_OID: Oid = 16_384;

/// The predefined roles with the versions that have them.
const PREDEFINED: [(&str, u32); 15] = [
    ("pg_database_owner", 14),
    ("pg_read_all_data", 14),
    ("pg_write_all_data", 14),
    ("pg_monitor", 14),
    ("pg_read_all_settings", 14),
    ("pg_read_all_stats", 14),
    ("pg_stat_scan_tables", 14),
    ("pg_read_server_files", 14),
    ("pg_write_server_files", 14),
    ("pg_execute_server_program", 14),
    ("pg_signal_backend", 14),
    ("pg_checkpoint", 15),
    ("pg_use_reserved_connections", 16),
    ("pg_create_subscription", 16),
    ("pg_maintain", 17),
];

struct Initial {
    roles: BTreeMap<Oid, Role>,
    memberships: Vec<Membership>,
    next_oid: Oid,
    major: u32,
}

impl Initial {
    fn role(&mut self, oid: Oid, name: &str) -> &mut Role {
        let role =
            Role { name: name.to_owned(), inherit: true, connection_limit: -1, ..Role::default() };
        self.roles.entry(oid).or_insert(role)
    }

    fn new_role(&mut self, name: &str) -> &mut Role {
        self.next_oid += 1;
        self.role(self.next_oid, name)
    }

    fn find(&self, name: &str) -> Option<Oid> {
        self.roles.iter().find(|(_, role)| role.name == name).map(|(oid, _)| *oid)
    }

    fn grant(&mut self, roles: &[&str], member: &str, admin: bool, only_admin: bool) {
        let Some(member) = self.find(member) else { return };
        let roles: Vec<Oid> = roles.iter().filter_map(|name| self.find(name)).collect();
        for role in roles {
            let rest = !only_admin || self.major < 16;
            self.memberships.push(Membership {
                role,
                member,
                grantor: BOOTSTRAP,
                admin,
                inherit: rest,
                set: rest,
            });
        }
    }

    fn database(&mut self, owner: Oid, is_template: bool) -> Database {
        self.next_oid += 1;
        let (oid, major) = (self.next_oid, self.major);
        let public_owner = if major >= 15 { "pg_database_owner" } else { "platform_admin" };
        let public_owner = self.find(public_owner).unwrap_or(BOOTSTRAP);
        let mut public = default_acl('n', public_owner, major);
        let usage = if major >= 15 { bits(&["USAGE"]) } else { bits(&["USAGE", "CREATE"]) };
        public.push(Item { grantee: PUBLIC, grantor: public_owner, rights: usage });
        let object = |oid, kind, name: &str| Object {
            oid,
            kind,
            schema: None,
            name: name.to_owned(),
            arguments: Vec::new(),
            owner: BOOTSTRAP,
            acl: None,
            columns: Vec::new(),
            extension: None,
            part_of: None,
        };
        let schema = Object {
            owner: public_owner,
            acl: Some(public),
            ..object(2200, Kind::Schema, "public")
        };
        let mut objects = vec![schema];
        for (oid, language) in [(12, "internal"), (13, "c"), (14, "sql"), (13_000, "plpgsql")] {
            objects.push(object(oid, Kind::Language, language));
        }
        objects.push(Object {
            schema: Some("pg_catalog".to_owned()),
            ..object(13_001, Kind::Extension, "plpgsql")
        });
        Database {
            oid,
            owner,
            acl: None,
            allow_connections: true,
            connection_limit: -1,
            is_template,
            comment: None,
            objects,
            default_privileges: BTreeMap::new(),
        }
    }
}

/// Returns the catalogs of a new server.
pub fn catalog(major: u32) -> Catalog {
    let mut initial =
        Initial { roles: BTreeMap::new(), memberships: Vec::new(), next_oid: FIRST_OID, major };
    let bootstrap = initial.role(BOOTSTRAP, "rdsadmin");
    *bootstrap = Role {
        superuser: true,
        create_role: true,
        create_database: true,
        login: true,
        replication: true,
        bypass_rls: true,
        ..bootstrap.clone()
    };
    for (number, (name, _)) in (0..).zip(PREDEFINED.iter().filter(|(_, since)| *since <= major)) {
        initial.role(3000 + number, name);
    }
    initial.grant(
        &["pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"],
        "pg_monitor",
        false,
        false,
    );
    for name in ["rds_superuser", "rds_iam", "rds_ad", "rds_password", "rds_replication"] {
        initial.new_role(name);
    }
    initial.new_role("rds_extension").inherit = false;
    if major >= 16 {
        initial.new_role("rds_reserved");
    }
    initial.new_role("rdsrepladmin").replication = true;
    initial.new_role("rdstopmgr").login = true;
    let to_superuser = ["pg_monitor", "pg_signal_backend", "rds_password", "rds_replication"];
    initial.grant(&to_superuser, "rds_superuser", true, false);
    if major >= 15 {
        let since_15 = ["pg_checkpoint", "pg_read_all_data", "pg_write_all_data"];
        initial.grant(&since_15, "rds_superuser", true, false);
    }
    if major >= 17 {
        let since_17 = ["pg_create_subscription", "pg_use_reserved_connections", "pg_maintain"];
        initial.grant(&since_17, "rds_superuser", true, false);
    }
    let master = initial.new_role("platform_admin");
    (master.login, master.create_database, master.create_role) = (true, true, true);
    initial.grant(&["rds_superuser"], "platform_admin", false, false);
    if major >= 16 {
        initial.grant(&["rds_iam"], "platform_admin", true, true);
    }
    let master = initial.find("platform_admin").unwrap_or_default();
    let mut databases = BTreeMap::new();
    for (name, owner, is_template) in [
        ("template0", BOOTSTRAP, true),
        ("template1", master, true),
        ("postgres", master, false),
        ("rdsadmin", BOOTSTRAP, false),
        ("platform", master, false),
    ] {
        let mut database = initial.database(owner, is_template);
        let mut acl = default_acl('d', owner, major);
        match name {
            "template0" => {
                database.allow_connections = false;
                acl[0].rights = bits(&["CONNECT"]);
                database.acl = Some(acl);
            }
            "template1" => {
                acl[0].rights = bits(&["CONNECT"]);
                database.acl = Some(acl);
            }
            "postgres" => {
                let comment = "default administrative connection database";
                database.comment = Some(comment.to_owned());
            }
            "rdsadmin" => {
                acl.remove(0);
                database.acl = Some(acl);
            }
            _ => {}
        }
        databases.insert(name.to_owned(), Rc::new(database));
    }
    Catalog {
        major,
        roles: Rc::new(initial.roles),
        memberships: Rc::new(initial.memberships),
        databases,
        settings: Rc::default(),
        next_oid: initial.next_oid,
    }
}

//! The operations that are interrupted, and the state of the server before each of them.

use std::process::Command;

use crate::fixture::{DELEGATE, DELEGATE_SECRET, Fixture, expect, password};

/// An operation with the state that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Nothing exists.
    Fresh,
    /// Roles and privileges were changed.
    Drifted,
    /// All roles and databases exist, and are not managed.
    Adopted,
    /// A database gets another owner.
    OtherOwner,
    /// A delegated administrator is created.
    Delegate,
    /// The passwords of two roles are replaced.
    Rotate,
    /// Nothing exists, and each transaction writes audit rows.
    Audited,
}

pub const ALL: [Operation; 7] = [
    Operation::Fresh,
    Operation::Drifted,
    Operation::Adopted,
    Operation::OtherOwner,
    Operation::Delegate,
    Operation::Rotate,
    Operation::Audited,
];

/// The applications, with their roles.
pub const ROLES: [(&str, &str); 5] = [
    ("shop", "shop_owner"),
    ("shop_workers", "shop_editor"),
    ("shop_reports", "shop_reader"),
    ("wiki", "wiki_owner"),
    ("wiki_reports", "wiki_reader"),
];

pub const DATABASES: [&str; 2] = ["shop", "wiki"];

const SUCCESSOR: &str = "shop_successor";

const DROP: &str = "DROP DATABASE IF EXISTS shop WITH (FORCE);
    DROP DATABASE IF EXISTS wiki WITH (FORCE);
    DROP ROLE IF EXISTS shop_owner, shop_successor, shop_editor, shop_reader, wiki_owner, wiki_reader;\n";

const DRIFT: &str = "GRANT CONNECT ON DATABASE wiki TO PUBLIC;
    REVOKE CONNECT ON DATABASE shop FROM shop_reader;
    ALTER ROLE shop_editor NOLOGIN CREATEDB CONNECTION LIMIT 3;
    ALTER ROLE shop_reader PASSWORD 'other';
    ALTER ROLE wiki_reader SET work_mem = '8MB';
    SET SESSION AUTHORIZATION platform_admin; GRANT shop_editor TO wiki_reader; RESET SESSION AUTHORIZATION;
    DROP ROLE IF EXISTS stray;
    \\connect shop
    CREATE TABLE IF NOT EXISTS orders (id int);
    ALTER TABLE orders OWNER TO shop_owner;
    GRANT INSERT ON orders TO shop_reader;
    REVOKE SELECT ON orders FROM shop_editor;
    GRANT CREATE ON SCHEMA app TO shop_reader;
    ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA app REVOKE SELECT ON TABLES FROM shop_reader;
    \\connect wiki
    REVOKE USAGE ON SCHEMA public FROM wiki_reader;
    GRANT USAGE ON SCHEMA public TO PUBLIC;\n";

const UNMANAGED: &str = "SET SESSION AUTHORIZATION platform_admin;
    CREATE ROLE shop_owner LOGIN; CREATE ROLE shop_editor; CREATE ROLE shop_reader LOGIN CREATEDB;
    CREATE ROLE wiki_owner LOGIN; CREATE ROLE wiki_reader LOGIN;
    RESET SESSION AUTHORIZATION;
    CREATE DATABASE shop OWNER shop_owner;
    CREATE DATABASE wiki OWNER wiki_owner;
    \\connect shop
    SET SESSION AUTHORIZATION shop_owner;
    CREATE TABLE orders (id int);
    GRANT INSERT ON orders TO shop_reader;\n";

fn definitions(owner: &str, adopt: bool) -> String {
    let adopt = if adopt { ", adopt = true" } else { "" };
    format!(
        r#"application_databases = {{
            shop         = {{ database_name = "shop", username = "{owner}", schemas = ["public", "app"]{adopt} }}
            shop_workers = {{ database_name = "shop", username = "shop_editor", access_level = "editor", schemas = ["public", "app"]{adopt} }}
            shop_reports = {{ database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["public", "app"], memberships = ["pg_monitor"], settings = {{ work_mem = "16MB" }}{adopt} }}
            wiki         = {{ database_name = "wiki", username = "wiki_owner", createdb = true{adopt} }}
            wiki_reports = {{ database_name = "wiki", username = "wiki_reader", access_level = "reader", connection_limit = 9{adopt} }}
        }}"#
    )
}

impl Operation {
    /// Returns whether the passwords are in Secrets Manager.
    pub fn has_secrets_manager(self) -> bool {
        self == Self::Rotate
    }

    /// Stores the secrets of all roles.
    pub fn store_secrets(fixture: &Fixture) {
        for (application, role) in ROLES {
            // The secret of a role that changes names no role.
            if role == "shop_owner" {
                let text = format!(r#"{{"password": "{}"}}"#, password(application));
                fixture.secret(&format!("goldenpath/dev/{application}/postgres"), &text);
            } else {
                fixture.app("dev", application, role);
            }
        }
        let text = format!(r#"{{"username": "{DELEGATE}", "password": "{}"}}"#, password("to"));
        fixture.secret(DELEGATE_SECRET, &text);
    }

    /// Returns the command, with the port of the server.
    pub fn command(self, fixture: &Fixture, port: u16) -> Command {
        let (owner, adopt) = match self {
            Self::OtherOwner => (SUCCESSOR, false),
            Self::Adopted => ("shop_owner", true),
            _ => ("shop_owner", false),
        };
        self.command_for(fixture, port, &definitions(owner, adopt))
    }

    fn command_for(self, fixture: &Fixture, port: u16, definitions: &str) -> Command {
        let words: &[&str] = match self {
            Self::Delegate => {
                &["delegate", "--env", "dev", "--to", DELEGATE, "--to-secret", DELEGATE_SECRET]
            }
            Self::Rotate => &["rotate", "shop_workers", "wiki", "--env", "dev"],
            Self::OtherOwner => &["apply", "--env", "dev", "--allow", "changes_owner"],
            Self::Audited => &["apply", "--env", "dev", "--audit-table", "rdsprov_audit.changes"],
            _ => &["apply", "--env", "dev"],
        };
        let mut command = match self {
            Self::Delegate => {
                let mut command = fixture.program();
                command.args(words);
                command
            }
            _ => fixture.without_connection(&fixture.definitions(definitions), words),
        };
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--tls", "disable"]);
        command.args(["--statement-timeout", "10s", "--connect-timeout", "5s", "--build-id", "1"]);
        match &fixture.secrets_manager {
            Some(manager) => command.envs(manager.environment()),
            None => command.arg("--secrets").arg(format!("file:{}", fixture.path().display())),
        };
        command
    }

    /// Brings the server to the state before the operation.
    pub fn prepare(self, fixture: &Fixture) {
        let script = |text: &str| drop(fixture.server.script_as_superuser(text).unwrap());
        let apply = |operation: Self| {
            let before = definitions("shop_owner", false);
            let port = fixture.server.port();
            let output = operation.command_for(fixture, port, &before).output().unwrap();
            expect(&output, 0);
        };
        match self {
            Self::Fresh => script(DROP),
            Self::Audited => script(
                &[DROP, "\\connect postgres\nDROP SCHEMA IF EXISTS rdsprov_audit CASCADE;\n"]
                    .concat(),
            ),
            Self::Drifted => {
                apply(Self::Fresh);
                script(DRIFT);
            }
            Self::Adopted => script(&[DROP, UNMANAGED].concat()),
            Self::OtherOwner => {
                apply(Self::OtherOwner);
                script(
                    "\\connect shop
                    CREATE TABLE IF NOT EXISTS orders (id int);
                    ALTER TABLE orders OWNER TO shop_owner;\n",
                );
            }
            Self::Delegate => {
                let give_back = "DO $$ BEGIN IF to_regrole('rdsprov_admin') IS NOT NULL THEN
                    REASSIGN OWNED BY rdsprov_admin TO platform_admin;
                    DROP OWNED BY rdsprov_admin; END IF; END $$;\n";
                let each = ["template1", "platform", "postgres"];
                let each = each.map(|database| format!("\\connect {database}\n{give_back}"));
                script(&format!("{}DROP ROLE IF EXISTS rdsprov_admin;\n", each.concat()));
            }
            Self::Rotate => {}
        }
    }

    /// Prepares a new server, on which the operation was not executed yet.
    pub fn prepare_first(self, fixture: &Fixture) {
        if self == Self::Rotate {
            let before = definitions("shop_owner", false);
            let port = fixture.server.port();
            expect(&Self::Fresh.command_for(fixture, port, &before).output().unwrap(), 0);
        }
    }
}

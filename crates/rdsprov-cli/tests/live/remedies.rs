//! Each statement that a refusal prints is executed as the role that it names. Afterwards the
//! refusal is gone, and no role has gained more than the statement says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, expect};
use crate::scenarios::script_before;

/// The number of refusals that one case can have, one after the other.
const MAX_REMEDIES: usize = 12;

/// A server with a plan that is refused.
struct Case {
    name: String,
    fixture: Fixture,
    definitions: String,
    arguments: Vec<String>,
}

/// The statements of a refusal, and who executes them.
#[derive(Debug)]
struct Remedy {
    refusal: String,
    executor: Value,
    database: String,
    sql: String,
}

impl Case {
    fn plan(&self) -> Value {
        let arguments = self.arguments.iter().map(String::as_str);
        let plan = ["plan", "--env", "dev", "--format", "json"].into_iter();
        let output =
            self.fixture.run(&self.definitions, &plan.chain(arguments).collect::<Vec<_>>());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{}: {}", self.name, String::from_utf8_lossy(&output.stderr))
        })
    }

    fn remedies(&self) -> Vec<Remedy> {
        let plan = self.plan();
        let refusals = plan["refusals"].as_array().unwrap();
        let with_fix = refusals.iter().filter(|refusal| !refusal["manual_fix"].is_null());
        with_fix
            .map(|refusal| {
                let fix = &refusal["manual_fix"];
                let sql = fix["sql"].as_str().unwrap().to_owned();
                let hint = refusal["hint"].as_str().unwrap();
                assert!(hint.contains(&sql), "{hint}");
                assert!(!hint.contains("or a superuser"), "{hint}");
                Remedy {
                    refusal: format!("{} {}", refusal["code"], refusal["message"]),
                    executor: fix["executor"].clone(),
                    database: fix["database"].as_str().unwrap_or("platform").to_owned(),
                    sql,
                }
            })
            .collect()
    }

    /// Executes the statements as the role that the refusal names.
    fn execute(&self, remedy: &Remedy) {
        let Remedy { executor, database, sql, .. } = remedy;
        let server = &self.fixture.server;
        let result = match (executor.as_str(), executor["role"].as_str()) {
            (Some("administrator" | "master-user"), _) => server.master(database, sql),
            (Some("superuser"), _) => server.superuser(database, sql),
            (None, Some(role)) => {
                server.superuser(database, &format!("SET SESSION AUTHORIZATION \"{role}\"; {sql}"))
            }
            other => panic!("{}: unknown executor {other:?}", self.name),
        };
        result.unwrap_or_else(|error| panic!("{}: {remedy:#?} fails: {error}", self.name));
    }

    /// Executes the remedies one after the other until none is left.
    fn follow(&self) -> usize {
        for number in 0..MAX_REMEDIES {
            let Some(remedy) = self.remedies().into_iter().next() else { return number };
            let before = Access::of(&self.fixture);
            self.execute(&remedy);
            before.assert_explained(&Access::of(&self.fixture), &remedy, &self.name);
            let left = self.remedies();
            assert!(
                left.iter().all(|one| one.refusal != remedy.refusal || one.sql != remedy.sql),
                "{}: still refused after {remedy:#?}",
                self.name
            );
        }
        panic!("{}: refused after {MAX_REMEDIES} remedies: {:#?}", self.name, self.remedies());
    }
}

/// Which roles have which memberships and privileges.
struct Access {
    /// `member role`, if the member has the privileges of the role or may act as it.
    memberships: BTreeSet<String>,
    /// `grantee` and object of each privilege.
    privileges: BTreeSet<String>,
    administrator_inherits_iam: String,
}

impl Access {
    fn of(fixture: &Fixture) -> Self {
        const MEMBERSHIPS: &str = "SELECT pg_get_userbyid(member) || ' ' || pg_get_userbyid(roleid)
            FROM pg_auth_members m WHERE coalesce((to_jsonb(m)->>'inherit_option')::bool, true)
              OR coalesce((to_jsonb(m)->>'set_option')::bool, true)";
        const PRIVILEGES: &str = "
            SELECT coalesce(g.rolname, 'PUBLIC') || ' ' || o.name || ' ' || x.privilege_type
            FROM (SELECT 'schema ' || nspname AS name, coalesce(nspacl, acldefault('n', nspowner)) AS acl FROM pg_namespace
              UNION ALL SELECT 'relation ' || oid::regclass, coalesce(relacl, acldefault(
                CASE relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END, relowner)) FROM pg_class
              UNION ALL SELECT 'function ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner))
                FROM pg_proc WHERE oid >= 16384
              UNION ALL SELECT 'database ' || datname, coalesce(datacl, acldefault('d', datdba)) FROM pg_database) o,
              aclexplode(o.acl) x LEFT JOIN pg_roles g ON g.oid = x.grantee";
        let lines = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let mut privileges = BTreeSet::new();
        let databases = fixture.query(
            "SELECT datname FROM pg_database WHERE datallowconn AND datname NOT IN ('postgres', 'rdsadmin')",
        );
        for database in databases.lines() {
            let inside = lines(fixture.query_in(database, PRIVILEGES));
            privileges.extend(inside.into_iter().map(|line| format!("{line} {database}")));
        }
        Self {
            memberships: lines(fixture.query(MEMBERSHIPS)),
            privileges,
            administrator_inherits_iam: fixture
                .query("SELECT pg_has_role('platform_admin', 'rds_iam', 'USAGE')"),
        }
    }

    /// Asserts that each role that has gained something is named in the statements, and
    /// that the administrator has gained no membership.
    fn assert_explained(&self, after: &Self, remedy: &Remedy, name: &str) {
        let names = |role: &str| remedy.sql.contains(&format!("\"{role}\"")) || role == "PUBLIC";
        for gained in after.memberships.difference(&self.memberships) {
            let member = gained.split(' ').next().unwrap();
            assert!(
                member != "platform_admin" && names(member),
                "{name}: {gained} was gained through {remedy:#?}"
            );
        }
        for gained in after.privileges.difference(&self.privileges) {
            let grantee = gained.split(' ').next().unwrap();
            // `CURRENT_USER` is the executor, and an owner has its privileges by ownership.
            let is_executor = remedy.executor == "superuser" && grantee == "rdsadmin"
                || remedy.executor["role"] == grantee;
            let becomes_owner = remedy.sql.contains("OWNER TO") || remedy.sql.contains("REASSIGN");
            assert!(
                names(grantee) || is_executor && becomes_owner || renamed(&remedy.sql),
                "{name}: {gained} was gained through {remedy:#?}"
            );
        }
        if remedy.executor != "superuser" {
            assert_eq!(
                after.administrator_inherits_iam, self.administrator_inherits_iam,
                "{name}: {remedy:#?}"
            );
        }
    }
}

/// Returns whether the statements only rename something that has privileges.
fn renamed(sql: &str) -> bool {
    sql.contains(" RENAME TO ")
}

fn scenarios() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scenarios");
    let mut folders: Vec<PathBuf> =
        directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let chosen = std::env::var("RDSPROV_SCENARIO").unwrap_or_default();
    folders.retain(|folder| {
        let plans = ["plan.snap", "plan_14.snap", "plan_15.snap"];
        let text = |name: &&str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        folder.display().to_string().contains(&chosen)
            && plans.iter().any(|name| text(name).contains("\nrefused["))
    });
    folders
}

fn secrets_of(fixture: &Fixture, definitions: &str, config: &[String]) {
    let config = config.iter().map(String::as_str);
    let words = ["validate", "--env", "dev", "--format", "json"].into_iter().chain(config);
    let output = fixture.run(definitions, &words.collect::<Vec<_>>());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    for app in json["applications"].as_array().unwrap() {
        let text = |key: &str| app[key].as_str().unwrap();
        fixture.app("dev", text("application"), text("username"));
    }
}

/// Sets up a scenario up to its plan.
fn scenario(major: u32, folder: &Path) -> Case {
    let fixture = Fixture::new(major);
    let path = |name: &str| folder.join(name).display().to_string();
    let mut arguments = Vec::new();
    if folder.join("rdsprov.toml").exists() {
        arguments.extend(["--config".to_owned(), path("rdsprov.toml")]);
    }
    if folder.join("earlier.tfvars").exists() {
        secrets_of(&fixture, &path("earlier.tfvars"), &arguments);
        let config = arguments.iter().map(String::as_str);
        let words: Vec<&str> = ["apply", "--env", "dev"].into_iter().chain(config).collect();
        expect(&fixture.run(&path("earlier.tfvars"), &words), 0);
    }
    if let Some(script) = script_before(folder) {
        fixture.server.script_as_superuser(&script).unwrap();
    }
    let definitions = path("definitions.tfvars");
    secrets_of(&fixture, &definitions, &arguments);
    let own = std::fs::read_to_string(folder.join("arguments")).unwrap_or_default();
    arguments.extend(own.split_whitespace().map(str::to_owned));
    let name = format!("{} on {major}", folder.file_name().unwrap().display());
    Case { name, fixture, definitions, arguments }
}

#[test]
fn remedies_of_scenarios_can_be_executed() {
    for major in versions() {
        for folder in scenarios() {
            scenario(major, &folder).follow();
        }
    }
}

const OWNER_AND_IAM_READER: &str = r#"application_databases = {
    shop    = { database_name = "shop", username = "shop_owner", adopt = true }
    tokens  = { database_name = "shop", username = "shop_tokens", access_level = "reader", auth = "iam", adopt = true }
}"#;

/// What other programs did before, and the definitions.
struct Manual {
    name: &'static str,
    /// The first version with this refusal.
    since: u32,
    /// Executed by the bootstrap superuser in `postgres`.
    before: &'static str,
    /// The words of the hint.
    says: &'static str,
    definitions: &'static str,
}

const DBA: &str =
    "CREATE ROLE dba LOGIN CREATEROLE CREATEDB; GRANT rds_iam TO dba WITH ADMIN OPTION;";

const MANUAL: [Manual; 5] = [
    Manual {
        name: "roles of another administrator",
        since: 16,
        before: "SET SESSION AUTHORIZATION dba; CREATE ROLE shop_owner LOGIN; CREATE ROLE shop_tokens LOGIN;
            GRANT rds_iam TO shop_tokens",
        says: r#"or, on a server other than RDS, run as a superuser: REVOKE "shop_tokens" FROM "dba" CASCADE;"#,
        definitions: OWNER_AND_IAM_READER,
    },
    Manual {
        name: "roles that no role administers",
        since: 16,
        before: "CREATE ROLE shop_owner LOGIN; CREATE ROLE shop_tokens LOGIN; GRANT rds_iam TO shop_tokens",
        says: r#"not possible on RDS; on another server, run as a superuser: GRANT "shop_tokens" TO "platform_admin" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;"#,
        definitions: OWNER_AND_IAM_READER,
    },
    Manual {
        name: "database of another environment",
        since: 14,
        before: r#"SET SESSION AUTHORIZATION platform_admin; CREATE ROLE shop_owner LOGIN; CREATE ROLE shop_tokens LOGIN;
            COMMENT ON ROLE shop_owner IS E'ask Ada first\n[managed by rdsprov: environment=prod application=shop build_id=1 name="shop_owner"]';
            RESET SESSION AUTHORIZATION; CREATE DATABASE shop OWNER shop_owner;
            COMMENT ON DATABASE shop IS '[managed by rdsprov: environment=prod application=shop build_id=1 name="shop"]'"#,
        says: r#"if environment `prod` does not use it any more, run as the administrator: BEGIN; GRANT "shop_owner" TO CURRENT_USER"#,
        definitions: OWNER_AND_IAM_READER,
    },
    Manual {
        name: "owner who is a member of the administrator",
        since: 14,
        before: "CREATE ROLE legacy LOGIN; GRANT platform_admin TO legacy; CREATE DATABASE shop OWNER legacy",
        says: r#": REVOKE "platform_admin" FROM "legacy";"#,
        definitions: r#"application_databases = {
            tokens  = { database_name = "shop", username = "shop_tokens", access_level = "reader", auth = "iam", adopt = true }
        }"#,
    },
    Manual {
        name: "database of a superuser",
        since: 14,
        before: "CREATE DATABASE shop",
        says: r#"not possible on RDS; on another server, run as a superuser: ALTER DATABASE "shop" OWNER TO "platform_admin";"#,
        definitions: r#"application_databases = {
            tokens  = { database_name = "shop", username = "shop_tokens", access_level = "reader", auth = "iam", adopt = true }
        }"#,
    },
];

#[test]
fn remedies_of_restored_and_foreign_roles_can_be_executed() {
    for major in versions() {
        for Manual { name, before, says, definitions, .. } in
            MANUAL.iter().filter(|manual| manual.since <= major)
        {
            let fixture = Fixture::new(major);
            fixture.app("dev", "shop", "shop_owner");
            fixture.query(DBA);
            fixture.server.script_as_superuser(&before.replace("; ", ";\n")).unwrap();
            if major < 16 {
                // Before PostgreSQL 16, only the option allows to grant the role.
                fixture.query("GRANT rds_iam TO platform_admin WITH ADMIN OPTION; REVOKE rds_iam FROM platform_admin");
            }
            let definitions = fixture.definitions(definitions);
            let text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 3);
            assert!(text.contains(says), "{name} on {major}: {says} is not in {text}");
            let case = Case {
                name: format!("{name} on {major}"),
                fixture,
                definitions,
                arguments: Vec::new(),
            };
            assert!(case.follow() > 0, "{name}");
            let plan = case.plan();
            let refusals = plan["refusals"].as_array().unwrap();
            assert!(refusals.iter().all(|one| one["manual_fix"].is_null()), "{name}: {plan:#}");
        }
    }
}

/// PUBLIC may create large objects: that must not prevent changes of other applications, and no
/// statement takes the data away.
#[test]
fn large_objects_refuse_nothing() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, user) in
            [("shop", "shop_owner"), ("workers", "shop_editor"), ("reports", "shop_reader")]
        {
            fixture.app("dev", application, user);
        }
        let definitions = fixture.definitions(
            r#"application_databases = {
                 shop    = { database_name = "shop", username = "shop_owner" }
                 workers = { database_name = "shop", username = "shop_editor", access_level = "editor" }
                 reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
               }"#,
        );
        let apply = ["apply", "--env", "dev"];
        expect(&fixture.run(&definitions, &apply), 0);
        fixture
            .server
            .script_as_superuser(
                r"CREATE ROLE stranger;
              \connect shop
              SET SESSION AUTHORIZATION shop_editor; SELECT lo_from_bytea(4711, 'x');
              GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC;
              SET SESSION AUTHORIZATION shop_reader; SELECT lo_create(4712);
              SET SESSION AUTHORIZATION stranger; SELECT lo_create(4713);
              GRANT SELECT ON LARGE OBJECT 4713 TO shop_reader, PUBLIC;
              GRANT UPDATE ON LARGE OBJECT 4713 TO shop_editor WITH GRANT OPTION;
              RESET SESSION AUTHORIZATION; ALTER ROLE shop_reader CONNECTION LIMIT 5",
            )
            .unwrap();
        let text = expect(&fixture.run(&definitions, &apply), 0);
        for says in [
            "note[large-objects-owned]: in database shop, role shop_editor owns large objects",
            "note[large-objects-owned]: in database shop, role shop_reader owns large objects",
        ] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
        let owners = "SELECT string_agg(pg_get_userbyid(lomowner), ' ' ORDER BY oid) FROM pg_largeobject_metadata";
        assert_eq!(fixture.query_in("shop", owners), "shop_editor shop_reader stranger");
        assert_eq!(
            fixture.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'shop_reader'"),
            "-1"
        );
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// A reader asks for a schema that does not exist: its entry is refused, and not that of the owner.
#[test]
fn missing_schema_is_refused_for_the_entry_that_covers_it() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "reports", "shop_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 shop    = { database_name = "shop", username = "shop_owner" }
                 reports = { database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["nosuch"] }
               }"#,
        );
        let text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 3);
        let says = "refused[schema-missing] reports: schema nosuch does not exist in database shop, and the owner entry does not declare it\n  hint: add nosuch to `schemas` of application shop, the owner entry\n  hint: or correct `schemas` of application reports\n";
        assert!(text.contains(says), "{text}");
        assert!(!text.contains("refused[schema-missing] shop"), "{text}");
    }
}

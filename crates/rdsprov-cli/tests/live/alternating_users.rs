//! Rotation of Secrets Manager that alternates between a role and its clone: `masterarn`.
//!
//! The tests do what the rotation function of AWS does, as the master user: log in with the current
//! content of the secret, create the other role as a member or set its password, and write it into
//! the secret.

use rdsprov_testkit::{NEWEST, OLDEST, versions};
use serde_json::{Value, json};

use crate::fixture::{CANARY, DELEGATE, DELEGATE_SECRET, Fixture, expect, password};

const DECLARED: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_workers = { database_name = "shop", username = "shop_editor", access_level = "editor" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

/// The applications with their roles.
const ROLES: [(&str, &str); 3] =
    [("shop", "shop_owner"), ("shop_workers", "shop_editor"), ("shop_reports", "shop_reader")];

/// The passwords of all roles and their clones, as the server stores them.
const STORED: &str =
    "SELECT string_agg(rolname || ' ' || rolpassword, ', ' ORDER BY rolname) FROM pg_authid
     WHERE rolname LIKE 'shop%'";

fn id(application: &str) -> String {
    format!("goldenpath/dev/{application}/postgres")
}

/// Writes a secret that Secrets Manager rotates with a clone.
fn write(fixture: &Fixture, application: &str, username: &str, password: &str) {
    let secret = json!({
        "engine": "postgres",
        "host": fixture.server.host(),
        "port": fixture.server.port(),
        "username": username,
        "password": password,
        "masterarn": "arn:aws:secretsmanager:eu-west-2:111122223333:secret:rds-master-AbCdEf",
    });
    fixture.secret(&id(application), &secret.to_string());
}

/// Rotates a secret that contains `current` and its password. Returns the other role and its new
/// password, which the secret contains then.
fn rotate(fixture: &Fixture, application: &str, current: (&str, &str)) -> (String, String) {
    let (user, password) = current;
    fixture.server.sql_as(user, password, "shop", "SELECT 1").unwrap();
    let other = user.strip_suffix("_clone").map_or_else(|| format!("{user}_clone"), str::to_owned);
    let new = format!("{password}+");
    let exists = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{other}'");
    let sql = if fixture.query(&exists) == "1" {
        format!("ALTER USER {other} WITH PASSWORD '{new}'")
    } else {
        format!("CREATE ROLE {other} WITH LOGIN PASSWORD '{new}'; GRANT {user} TO {other}")
    };
    fixture.server.master("postgres", &sql).unwrap();
    write(fixture, application, &other, &new);
    (other, new)
}

/// Starts a server with the declared roles. Secrets Manager rotates the secret of each.
fn applied(fixture: Fixture) -> (Fixture, String) {
    for (application, role) in ROLES {
        write(&fixture, application, role, &password(application));
    }
    let definitions = fixture.definitions(DECLARED);
    run(&fixture, &definitions, &["apply"], 0);
    (fixture, definitions)
}

/// The same, after the first rotation of the secret of the owner.
fn rotated(major: u32) -> (Fixture, String) {
    let (fixture, definitions) = applied(Fixture::new(major));
    rotate(&fixture, "shop", ("shop_owner", &password("shop")));
    run(&fixture, &definitions, &["apply"], 0);
    run(&fixture, &definitions, &["check"], 0);
    (fixture, definitions)
}

fn run(fixture: &Fixture, definitions: &str, arguments: &[&str], code: i32) -> String {
    let arguments = [&arguments[..1], &["--env", "dev"], &arguments[1..]].concat();
    expect(&fixture.run(definitions, &arguments), code)
}

/// Returns what each step of the plan changes.
fn steps(fixture: &Fixture, definitions: &str) -> Vec<String> {
    let arguments = ["plan", "--env", "dev", "--format", "json"];
    let plan: Value = serde_json::from_slice(&fixture.run(definitions, &arguments).stdout).unwrap();
    let transactions = plan["transactions"].as_array().unwrap().iter();
    let steps = transactions.flat_map(|one| one["steps"].as_array().unwrap());
    steps.map(|step| step["summary"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn rotations_leave_everything_as_declared() {
    for major in versions() {
        rotates_twice(Fixture::new(major));
    }
    rotates_twice(Fixture::with_secrets_manager(versions()[0]));
}

fn rotates_twice(fixture: Fixture) {
    let (fixture, definitions) = applied(fixture);
    run(&fixture, &definitions, &["check"], 0);

    // The first rotation creates the clones. Only their default privileges are missing then.
    let first = ROLES
        .map(|(application, role)| rotate(&fixture, application, (role, &password(application))));
    let stored = fixture.query(STORED);
    run(&fixture, &definitions, &["check"], 2);
    let steps = steps(&fixture, &definitions);
    // Tables and sequences for the owner, the editor and the reader.
    assert_eq!(steps.len(), 6, "{steps:?}");
    let is_of_clone = |step: &String| step.contains(" of shop_owner_clone in schema public to ");
    assert!(steps.iter().all(is_of_clone), "{steps:?}");
    run(&fixture, &definitions, &["apply"], 0);
    run(&fixture, &definitions, &["check"], 0);

    // What the clone creates, all others can use.
    let sql = |user: &(String, String), sql: &str| {
        fixture.server.sql_as(&user.0, &user.1, "shop", sql).map(drop)
    };
    let [owner, editor, reader] = &first;
    sql(owner, "CREATE TABLE by_clone (id int); INSERT INTO by_clone VALUES (1)").unwrap();
    sql(editor, "INSERT INTO by_clone VALUES (2)").unwrap();
    sql(reader, "SELECT * FROM by_clone").unwrap();
    assert!(sql(reader, "INSERT INTO by_clone VALUES (3)").is_err());
    let itself =
        |application: usize| (ROLES[application].1.to_owned(), password(ROLES[application].0));
    sql(&itself(0), "SELECT * FROM by_clone; CREATE TABLE by_owner (id int)").unwrap();
    sql(&itself(2), "SELECT * FROM by_clone, by_owner").unwrap();
    run(&fixture, &definitions, &["check"], 0);

    // Neither the passwords of the clones nor those of the roles are set meanwhile.
    run(&fixture, &definitions, &["apply", "--verify-passwords", "always-set"], 0);
    assert_eq!(fixture.query(STORED), stored);

    // The second rotation sets the passwords of the declared roles, the third those of the clones.
    let mut current = first;
    for declared in [true, false] {
        current = [0, 1, 2].map(|number| {
            let (user, password) = &current[number];
            rotate(&fixture, ROLES[number].0, (user, password))
        });
        assert_eq!(current[0].0 == "shop_owner", declared);
        let stored = fixture.query(STORED);
        run(&fixture, &definitions, &["check"], 0);
        run(&fixture, &definitions, &["apply"], 0);
        assert_eq!(fixture.query(STORED), stored);
        sql(&current[0], "CREATE TABLE IF NOT EXISTS t (id int)").unwrap();
        sql(&current[2], "SELECT * FROM by_clone, by_owner, t").unwrap();
        run(&fixture, &definitions, &["check"], 0);
    }
}

/// A table that the clone creates before the next `apply` is granted to all then.
#[test]
fn objects_that_the_clone_created_before_are_granted() {
    let (fixture, definitions) = applied(Fixture::new(versions()[0]));
    let (clone, password_of_clone) = rotate(&fixture, "shop", ("shop_owner", &password("shop")));
    let sql = "CREATE TABLE early (id int)";
    fixture.server.sql_as(&clone, &password_of_clone, "shop", sql).unwrap();
    let reads = || {
        let password = password("shop_reports");
        fixture.server.sql_as("shop_reader", &password, "shop", "SELECT * FROM early").is_ok()
    };
    assert!(!reads());
    run(&fixture, &definitions, &["apply"], 0);
    assert!(reads());
    run(&fixture, &definitions, &["check"], 0);
}

#[test]
fn wrong_password_of_the_clone_is_reported_and_not_set() {
    for major in versions() {
        let (fixture, definitions) = rotated(major);
        let sql = format!("ALTER ROLE shop_owner_clone PASSWORD '{CANARY}other'");
        fixture.server.master("postgres", &sql).unwrap();
        let before = fixture.catalog_state();
        for command in ["check", "apply"] {
            let output = run(&fixture, &definitions, &[command], 3);
            assert!(output.contains("refused[clone-password-wrong] shop: "), "{output}");
            assert!(output.contains("write `shop_owner` as `username` into secret "), "{output}");
        }
        assert_eq!(fixture.catalog_state(), before);

        // What the hint says.
        let password = format!("{}+", password("shop"));
        write(&fixture, "shop", "shop_owner", &password);
        run(&fixture, &definitions, &["apply"], 0);
        run(&fixture, &definitions, &["check"], 0);
        rotate(&fixture, "shop", ("shop_owner", &password));
        run(&fixture, &definitions, &["check"], 0);
    }
}

#[test]
fn missing_membership_of_the_clone_is_granted() {
    for major in versions() {
        let (fixture, definitions) = rotated(major);
        let is_member = "SELECT pg_has_role('shop_owner_clone', 'shop_owner', 'USAGE')";
        for flips in [false, true] {
            if flips {
                let password = format!("{}+", password("shop"));
                rotate(&fixture, "shop", ("shop_owner_clone", &password));
            }
            let sql = "REVOKE shop_owner FROM shop_owner_clone";
            fixture.server.master("postgres", sql).unwrap();
            assert_eq!(fixture.query(is_member), "f");
            // The password in the secret shows that it is the clone.
            let adopt: &[&str] = if flips { &["--adopt", "shop"] } else { &[] };
            if flips {
                let before = fixture.catalog_state();
                let output = run(&fixture, &definitions, &["apply"], 3);
                let says = "refused[role-not-managed] shop: role shop_owner_clone exists";
                assert!(output.contains(says), "{output}");
                assert_eq!(fixture.catalog_state(), before);
            }
            let plan = run(&fixture, &definitions, &[&["check"], adopt].concat(), 2);
            assert!(plan.contains("membership of role shop_owner_clone in shop_owner"), "{plan}");
            assert!(plan.contains("widens_access"), "{plan}");
            assert_eq!(plan.contains("adopts"), flips, "{plan}");
            run(&fixture, &definitions, &[&["apply"], adopt].concat(), 0);
            assert_eq!(fixture.query(is_member), "t");
            run(&fixture, &definitions, &["check"], 0);
        }
        if major >= 16 {
            let sql = "GRANT shop_owner TO shop_owner_clone WITH INHERIT FALSE";
            fixture.server.master("postgres", sql).unwrap();
            assert_eq!(fixture.query(is_member), "f");
            run(&fixture, &definitions, &["apply"], 0);
            assert_eq!(fixture.query(is_member), "t");
        }
    }
}

#[test]
fn clone_without_masterarn_is_refused() {
    let (fixture, definitions) = rotated(versions()[0]);
    let before = fixture.catalog_state();
    let password = format!("{}+", password("shop"));
    for master in ["", r#", "masterarn": null"#, r#", "masterarn": """#] {
        let text =
            format!(r#"{{"username": "shop_owner_clone", "password": "{password}"{master}}}"#);
        fixture.secret(&id("shop"), &text);
        let output = run(&fixture, &definitions, &["apply"], 3);
        let says = "refused[secret-username-differs] shop: secret goldenpath/dev/shop/postgres is for \
                    user `shop_owner_clone`";
        assert!(output.contains(says), "{output}");
    }
    // Nor may the secret name another role.
    write(&fixture, "shop", "shop_reader_clone", &password);
    let output = run(&fixture, &definitions, &["apply"], 3);
    assert!(output.contains("refused[secret-username-differs] shop: "), "{output}");
    assert_eq!(fixture.catalog_state(), before);
}

#[test]
fn missing_clone_is_refused() {
    let (fixture, definitions) = applied(Fixture::new(versions()[0]));
    write(&fixture, "shop", "shop_owner_clone", &password("shop"));
    let before = fixture.catalog_state();
    let output = run(&fixture, &definitions, &["apply"], 3);
    let says = "refused[clone-missing] shop: secret goldenpath/dev/shop/postgres contains the clone \
                shop_owner_clone, which does not exist";
    assert!(output.contains(says), "{output}");
    assert_eq!(fixture.catalog_state(), before);
}

/// A role that was dropped is created without a password: the secret contains that of the clone.
#[test]
fn dropped_role_with_a_clone_is_created_without_a_password() {
    let (fixture, _) = rotated(versions()[0]);
    let definitions = fixture.definitions(
        r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#,
    );
    rotate(&fixture, "shop_reports", ("shop_reader", &password("shop_reports")));
    for database in ["shop", "postgres"] {
        fixture.query_in(database, "DROP OWNED BY shop_reader");
    }
    fixture.query("DROP ROLE shop_reader");
    let plan = run(&fixture, &definitions, &["apply"], 0);
    assert!(plan.contains("without a password: its secret contains shop_reader_clone"), "{plan}");
    let password_is_null =
        "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'shop_reader'";
    assert_eq!(fixture.query(password_is_null), "t");
    assert_eq!(
        fixture.query("SELECT pg_has_role('shop_reader_clone', 'shop_reader', 'USAGE')"),
        "t"
    );
    run(&fixture, &definitions, &["check"], 0);
}

/// The rotation would set the password of the role of another application.
#[test]
fn clone_of_another_application_is_refused() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "other", "shop_owner_clone");
    let shop = r#"shop = { database_name = "shop", username = "shop_owner" }"#;
    let other = r#"other = { database_name = "other", username = "shop_owner_clone" }"#;
    let of =
        |entries: &str| fixture.definitions(&format!("application_databases = {{\n{entries}\n}}"));
    let both = || of(&format!("{shop}\n{other}"));
    // No run creates the second role of such a pair, also without `masterarn`: each team could enable
    // the rotation later.
    let refuses = |entries: &str, application: &str, of_other: &str| {
        let before = fixture.catalog_state();
        let output = run(&fixture, &of(entries), &["apply"], 3);
        let says = format!(
            "refused[clone-of-application] {application}: a rotation of role shop_owner that alternates \
             between users would set the password of role shop_owner_clone, and the other one of the two \
             belongs to application {of_other}"
        );
        assert!(output.contains(&says), "{says}: {output}");
        assert_eq!(fixture.catalog_state(), before);
    };
    refuses(&format!("{shop}\n{other}"), "shop", "other");
    run(&fixture, &of(shop), &["apply"], 0);
    refuses(other, "other", "shop");
    refuses(&format!("{shop}\n{other}"), "other", "shop");
    fixture.query("ALTER ROLE shop_owner RENAME TO parked");
    fixture.query("COMMENT ON ROLE parked IS NULL");
    fixture.query("ALTER DATABASE shop RENAME TO parked");
    run(&fixture, &of(other), &["apply"], 0);
    refuses(shop, "shop", "other");
    // A pair that exists is refused once the secret contains `masterarn`.
    fixture.query("ALTER ROLE parked RENAME TO shop_owner");
    fixture.query(
        "COMMENT ON ROLE shop_owner IS '[managed by rdsprov: environment=dev application=shop build_id=1 name=\"shop_owner\" secret=\"goldenpath/dev/shop/postgres\"]'",
    );
    fixture.query("ALTER DATABASE parked RENAME TO shop");
    let definitions = both();
    run(&fixture, &definitions, &["apply"], 0);
    run(&fixture, &definitions, &["check"], 0);
    for username in ["shop_owner", "shop_owner_clone"] {
        write(&fixture, "shop", username, &password("shop"));
        let before = fixture.catalog_state();
        let output = run(&fixture, &definitions, &["apply"], 3);
        for application in ["shop", "other"] {
            let says = format!(
                "refused[clone-of-application] {application}: Secrets Manager rotates the password of \
                 role shop_owner by alternating with role shop_owner_clone, which belongs to application other"
            );
            assert!(output.contains(&says), "{says}: {output}");
        }
        assert_eq!(fixture.catalog_state(), before);
    }
    // The same once the other application left the definitions: the role is still managed.
    let definitions = fixture.definitions(
        r#"application_databases = { shop = { database_name = "shop", username = "shop_owner" } }"#,
    );
    let output = run(&fixture, &definitions, &["apply"], 3);
    assert!(output.contains("refused[clone-of-application] shop: "), "{output}");
}

/// The secret of an application does not give it the power of an administrator.
#[test]
fn administrators_are_not_clones() {
    let (fixture, definitions) = rotated(versions()[0]);
    for (attribute, code) in [
        ("CREATEROLE", "role-is-administrator"),
        ("SUPERUSER", "role-attributes-forbidden"),
        ("BYPASSRLS", "role-attributes-forbidden"),
    ] {
        fixture.query(&format!("ALTER ROLE shop_owner_clone {attribute}"));
        let output = run(&fixture, &definitions, &["apply"], 3);
        assert!(
            output.contains(&format!("refused[{code}] shop: role shop_owner_clone ")),
            "{output}"
        );
        fixture.query(&format!("ALTER ROLE shop_owner_clone NO{attribute}"));
    }
    run(&fixture, &definitions, &["check"], 0);
}

/// The application logs in as the clone. What the clone has in addition to its role is excess, as it is
/// for the role.
#[test]
fn privileges_of_the_clone_are_those_of_its_role() {
    for major in versions() {
        let (fixture, definitions) = applied(Fixture::new(major));
        rotate(&fixture, "shop", ("shop_owner", &password("shop")));
        rotate(&fixture, "shop_reports", ("shop_reader", &password("shop_reports")));
        run(&fixture, &definitions, &["apply"], 0);
        run(&fixture, &definitions, &["check"], 0);
        let clone = ("shop_reader_clone", format!("{}+", password("shop_reports")));
        let as_owner = |sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
        };
        let as_clone = |sql: &str| fixture.server.sql_as(clone.0, &clone.1, "shop", sql).map(drop);
        as_owner("CREATE TABLE t (a int)");
        as_owner(
            "GRANT INSERT, UPDATE ON t TO shop_reader_clone; GRANT CREATE ON SCHEMA public TO shop_reader_clone;
             GRANT UPDATE (a) ON t TO shop_reader_clone; GRANT CREATE ON DATABASE shop TO shop_reader_clone;
             ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO shop_reader_clone",
        );
        fixture.query("CREATE ROLE others");
        fixture.query("ALTER ROLE shop_reader_clone CREATEDB");
        if major >= 16 {
            fixture.query("GRANT shop_reader_clone, others TO platform_admin WITH ADMIN OPTION");
        }
        fixture.server.master("postgres", "GRANT others TO shop_reader_clone").unwrap();
        as_clone("INSERT INTO t VALUES (1)").unwrap();
        let plan = run(&fixture, &definitions, &["check"], 2);
        // Before PostgreSQL 15, the owner of the database may not grant privileges on `public`.
        let on_schema = "CREATE on schema public from shop_reader_clone";
        assert_eq!(plan.contains(on_schema), major >= 15, "PostgreSQL {major}: {plan}");
        for line in [
            "CREATE on database shop from shop_reader_clone",
            "INSERT, UPDATE on all tables of schema public from shop_reader_clone",
            "UPDATE on column a of table public.t from shop_reader_clone",
            "DELETE on future tables of shop_owner from shop_reader_clone",
            "membership of role shop_reader_clone in others",
            "role shop_reader_clone: NOCREATEDB",
        ] {
            assert!(plan.contains(line), "PostgreSQL {major}: {line} is not in {plan}");
        }
        run(&fixture, &definitions, &["apply"], 0);
        run(&fixture, &definitions, &["check"], 0);
        assert!(as_clone("INSERT INTO t VALUES (1)").is_err());
        as_clone("SELECT * FROM t").unwrap();
        let left = "SELECT rolcreatedb, pg_has_role(oid, 'others', 'MEMBER') FROM pg_roles WHERE rolname = 'shop_reader_clone'";
        assert_eq!(fixture.query(left), "f|f", "PostgreSQL {major}");
    }
}

/// The rotation creates the clone without the connection limit, the expiry and the settings of its role.
#[test]
fn limits_of_the_clone_are_those_of_its_role() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, role) in ROLES {
            write(&fixture, application, role, &password(application));
        }
        let definitions = fixture.definitions(&DECLARED.replace(
            r#""reader" }"#,
            r#""reader", connection_limit = 7, valid_until = "2090-01-01T00:00:00Z", settings = { statement_timeout = "30s" } }"#,
        ));
        run(&fixture, &definitions, &["apply"], 0);
        rotate(&fixture, "shop_reports", ("shop_reader", &password("shop_reports")));
        let plan = run(&fixture, &definitions, &["plan"], 0);
        for line in [
            "role shop_reader_clone: CONNECTION LIMIT 7 VALID UNTIL '2090-01-01",
            r#"statement_timeout = "30s" for shop_reader_clone in database shop"#,
        ] {
            assert!(plan.contains(line), "PostgreSQL {major}: {line} is not in {plan}");
        }
        run(&fixture, &definitions, &["apply"], 0);
        run(&fixture, &definitions, &["check"], 0);
        let state = "SELECT string_agg(concat_ws(' ', rolconnlimit, extract(year FROM rolvaliduntil), s.setconfig), ' and ')
            FROM pg_roles r JOIN pg_db_role_setting s ON s.setrole = r.oid WHERE rolname LIKE 'shop_reader%'";
        let of_role = "7 2090 {statement_timeout=30s}";
        assert_eq!(fixture.query(state), format!("{of_role} and {of_role}"), "{major}");

        // What the clone sets for itself otherwise stays. The limits are drift.
        let own = "ALTER ROLE shop_reader_clone IN DATABASE shop SET work_mem = '8MB'";
        let clone = format!("{}+", password("shop_reports"));
        fixture.server.sql_as("shop_reader_clone", &clone, "shop", own).unwrap();
        run(&fixture, &definitions, &["check"], 0);
        for drift in [
            "ALTER ROLE shop_reader_clone CONNECTION LIMIT -1",
            "ALTER ROLE shop_reader_clone VALID UNTIL 'infinity'",
            "ALTER ROLE shop_reader_clone IN DATABASE shop SET statement_timeout = 0",
        ] {
            fixture.query(drift);
            run(&fixture, &definitions, &["check"], 2);
            run(&fixture, &definitions, &["apply"], 0);
            run(&fixture, &definitions, &["check"], 0);
        }
    }
}

/// A plan for other applications does not read the secret, and keeps what the clone needs.
#[test]
fn other_applications_keep_the_privileges_on_objects_of_the_clone() {
    for major in [OLDEST, NEWEST] {
        let (fixture, definitions) = rotated(major);
        run(&fixture, &definitions, &["check", "--only", "shop_reports"], 0);
        run(&fixture, &definitions, &["check", "--only", "shop"], 0);
    }
}

/// Another role with the name of a clone stays an undeclared role.
#[test]
fn role_with_the_name_of_a_clone_is_not_one_without_masterarn() {
    let (fixture, definitions) = rotated(versions()[0]);
    fixture.app("dev", "shop_workers", "shop_editor");
    fixture.server.master("postgres", "CREATE ROLE shop_editor_clone LOGIN").unwrap();
    run(&fixture, &definitions, &["check"], 0);
    let is_member = "SELECT pg_has_role('shop_editor_clone', 'shop_editor', 'MEMBER')";
    assert_eq!(fixture.query(is_member), "f");
}

#[test]
fn rotate_leaves_the_secret_to_secrets_manager() {
    let (fixture, definitions) = applied(Fixture::with_secrets_manager(versions()[0]));
    let mut current = ("shop_owner".to_owned(), password("shop"));
    for _ in 0..2 {
        let before =
            (fixture.catalog_state(), fixture.secrets_manager.as_ref().unwrap().get(&id("shop")));
        let output = run(&fixture, &definitions, &["rotate", "shop"], 3);
        let says = "refused[secret-alternates-users] shop: Secrets Manager rotates secret \
                    goldenpath/dev/shop/postgres by alternating between role shop_owner and its clone \
                    shop_owner_clone";
        assert!(output.contains(says), "{output}");
        assert!(output.contains("aws secretsmanager rotate-secret"), "{output}");
        assert_eq!(fixture.catalog_state(), before.0);
        let now = fixture.secrets_manager.as_ref().unwrap().get(&id("shop"));
        assert_eq!(now.unwrap(), before.1.unwrap());
        current = rotate(&fixture, "shop", (&current.0, &current.1));
    }
}

/// The setting that the reference names: what the clone creates belongs to the declared role.
#[test]
fn sessions_of_the_clone_can_run_as_the_declared_role() {
    let (fixture, definitions) = rotated(versions()[0]);
    let sql = "ALTER ROLE shop_owner_clone SET role = 'shop_owner'";
    fixture.server.master("postgres", sql).unwrap();
    run(&fixture, &definitions, &["check"], 0);
    let password = format!("{}+", password("shop"));
    fixture.server.sql_as("shop_owner_clone", &password, "shop", "CREATE TABLE t ()").unwrap();
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 't'";
    assert_eq!(fixture.query_in("shop", owner), "shop_owner");
    run(&fixture, &definitions, &["check"], 0);
}

/// From PostgreSQL 16 on, the clone is a role of the master user, which the rotation uses.
#[test]
fn delegate_needs_the_admin_option_on_the_clone() {
    for major in [OLDEST, NEWEST] {
        let (fixture, definitions) = applied(Fixture::new(major));
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        rotate(&fixture, "shop", ("shop_owner", &password("shop")));
        let apply = ["apply", "--admin-secret", DELEGATE_SECRET];
        if major >= 16 {
            let output = run(&fixture, &definitions, &apply, 3);
            let says = "refused[admin-option-missing] shop: the administrator rdsprov_admin may not \
                        alter or grant role shop_owner_clone";
            assert!(output.contains(says) && output.contains("Refused for 1 reason:"), "{output}");
            let sql = format!(
                r#"GRANT "shop_owner_clone" TO "{DELEGATE}" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"#
            );
            assert!(output.contains(&sql), "{output}");
            fixture.server.master("postgres", &sql).unwrap();
        }
        run(&fixture, &definitions, &apply, 0);
        run(&fixture, &definitions, &["check", "--admin-secret", DELEGATE_SECRET], 0);
        assert_eq!(fixture.admin_grants(), "0");
    }
}

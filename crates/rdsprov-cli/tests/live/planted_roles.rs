//! Attacks of a role with `CREATEROLE` that is not an administrator: from PostgreSQL 16 on, it can write the
//! comments of the roles that it has created, and give the administrator `ADMIN OPTION` on them.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};

const SHOP: &str = r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner" }
}"#;
const APPLY: [&str; 3] = ["apply", "--env", "dev"];
const CHECK: [&str; 3] = ["check", "--env", "dev"];

/// A server with the role `mgr`, and definitions of one application.
struct Planted {
    fixture: Fixture,
    definitions: String,
}

impl Planted {
    fn all() -> impl Iterator<Item = Self> {
        versions().into_iter().filter(|major| *major >= 16).map(|major| {
            let (fixture, definitions) = Fixture::shop(major, SHOP);
            fixture.app("dev", "shop", "shop_owner");
            let role = "CREATE ROLE mgr LOGIN CREATEROLE PASSWORD 'Canary-mgr'";
            fixture.query(role);
            Self { fixture, definitions }
        })
    }

    /// Has `mgr` execute statements, one after another.
    fn mgr(&self, statements: &[&str]) {
        for sql in statements {
            self.fixture.server.sql_as("mgr", "Canary-mgr", "postgres", sql).unwrap();
        }
    }

    /// Has `mgr` create a role with a marker.
    fn plant(&self, role: &str, marker: &str) {
        self.mgr(&[&planted(role, marker)]);
    }

    /// Has `mgr` create another role like itself, which creates a role with a marker and is dropped.
    fn plant_orphan(&self, role: &str, marker: &str) {
        let plant = format!("SET ROLE mgr2; {}", planted(role, marker));
        self.mgr(&["CREATE ROLE mgr2 CREATEROLE", "GRANT mgr2 TO mgr", &plant, "DROP ROLE mgr2"]);
    }

    fn run(&self, arguments: &[&str], code: i32) -> String {
        expect(&self.fixture.run(&self.definitions, arguments), code)
    }
}

/// Returns the statements that create a role with a marker.
fn planted(role: &str, marker: &str) -> String {
    format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'Canary-planted-5b1e';
         COMMENT ON ROLE {role} IS '[managed by rdsprov: environment=dev build_id=1 {marker}]'"
    )
}

const SHOP_MARKER: &str =
    r#"application=shop name="shop_owner" secret="goldenpath/dev/shop/postgres""#;

/// Otherwise, its creator would be the owner of the new database.
#[test]
fn role_of_another_creator_is_not_managed_and_not_adopted() {
    for site in Planted::all() {
        site.plant("shop_owner", SHOP_MARKER);
        site.mgr(&["GRANT shop_owner TO platform_admin WITH ADMIN OPTION"]);
        for arguments in [&APPLY[..], &[&APPLY[..], &["--adopt", "shop"]].concat()] {
            let text = site.run(arguments, 3);
            assert!(text.contains("refused[role-controlled-by-others]"), "{text}");
            assert!(text.contains("role mgr has ADMIN OPTION on role shop_owner"), "{text}");
        }
        assert_eq!(
            site.fixture.query("SELECT count(*) FROM pg_database WHERE datname = 'shop'"),
            "0"
        );

        // Its creator can still make itself a member.
        site.fixture.query("ALTER ROLE mgr NOCREATEROLE");
        let text = site.run(&APPLY, 3);
        assert!(text.contains("refused[role-controlled-by-others]"), "{text}");
        // As the hint says: without the creator and the marker, a person can adopt the role.
        let fix = r#"COMMENT ON ROLE "shop_owner" IS NULL; REVOKE "shop_owner" FROM "mgr" CASCADE"#;
        assert!(text.contains(fix), "{text}");
        site.fixture.query(fix);
        site.fixture.query("GRANT shop_owner TO platform_admin WITH ADMIN OPTION");
        let text = site.run(&APPLY, 3);
        assert!(text.contains("refused[role-not-managed]"), "{text}");
        let text = site.run(&["plan", "--env", "dev", "--adopt", "shop"], 0);
        assert!(text.contains("adopts"), "{text}");
        site.fixture.query("DROP ROLE shop_owner");

        // The other way of the hint.
        site.fixture.query("ALTER ROLE mgr CREATEROLE");
        site.plant("shop_owner", SHOP_MARKER);
        site.run(&APPLY, 3);
        site.mgr(&["DROP ROLE shop_owner"]);
        site.run(&APPLY, 0);
        site.run(&CHECK, 0);
    }
}

/// A person gave `mgr` the power over a managed role.
#[test]
fn power_over_a_managed_role_is_refused_until_it_ends() {
    for site in Planted::all() {
        site.run(&APPLY, 0);
        site.fixture.query("GRANT shop_owner TO mgr WITH ADMIN OPTION");
        let text = site.run(&CHECK, 3);
        assert!(text.contains("refused[role-controlled-by-others]"), "{text}");
        // A role that left the definitions is still reported.
        let none = site.fixture.definitions("application_databases = {}");
        let text = expect(&site.fixture.run(&none, &CHECK), 0);
        assert!(text.contains("role shop_owner"), "{text}");
        site.fixture.query("REVOKE shop_owner FROM mgr");
        site.run(&CHECK, 0);
    }
}

/// What a planted marker says about secrets, names and environments stops no other application, also after its author was
/// dropped.
#[test]
fn planted_markers_concern_no_other_application() {
    for site in Planted::all() {
        site.run(&APPLY, 0);
        let check = || without_orphans(&site.run(&CHECK, 0));
        let before = check();
        let markers = [
            r#"application=evil name="evil" secret="goldenpath/dev/shop/postgres""#,
            r#"application=shop name="shop_owner""#,
            r#"application=evil name="evil" databases=["shop"]"#,
        ];
        for (number, marker) in markers.iter().enumerate() {
            site.plant(&format!("evil{number}"), marker);
        }
        assert_eq!(check(), before);

        assert!(site.run(&CHECK, 0).contains("  application evil: role evil0"));

        for (number, marker) in markers.iter().enumerate() {
            site.plant_orphan(&format!("orphan{number}"), marker);
        }
        assert_eq!(check(), before);
        // Then only administrators have CREATEROLE.
        let planted = (0..markers.len()).map(|number| format!("evil{number}"));
        site.mgr(&[&format!("DROP ROLE {}", planted.collect::<Vec<_>>().join(", "))]);
        site.fixture.query("DROP ROLE mgr");
        assert_eq!(check(), before);
    }
}

/// Returns the text of a plan without the managed roles that are not declared.
fn without_orphans(text: &str) -> String {
    let parts = text.split("\n\n").filter(|part| !part.starts_with("orphaned: "));
    parts.collect::<Vec<_>>().join("\n\n")
}

/// A marker of another environment counts for the hazard, also if another role has written it.
#[test]
fn environment_of_an_unproven_marker_is_not_mixed_unasked() {
    for site in Planted::all() {
        let marker = r#"[managed by rdsprov: environment=prod application=old name="old"]"#;
        site.fixture.query(&format!("CREATE ROLE old; COMMENT ON ROLE old IS '{marker}'"));
        let text = site.run(&APPLY, 3);
        assert!(text.contains("mixes_environments"), "{text}");
        site.run(&[&APPLY[..], &["--allow", "mixes_environments"]].concat(), 0);
    }
}

/// Its author was dropped, and no role with `CREATEROLE` is left that is not an administrator.
#[test]
fn marker_without_its_author_does_not_count() {
    for site in Planted::all() {
        site.run(&APPLY, 0);
        site.plant_orphan("reader", r#"application=reports name="reader""#);
        site.plant_orphan("legacy", r#"application=legacy name="legacy""#);
        let marker = r#"application=rdsprov:administrator name="rdsprov_admin""#;
        site.plant_orphan("rdsprov_admin", marker);
        site.plant_orphan("pay_owner", r#"application=pay name="pay_owner""#);
        site.fixture.query("DROP ROLE mgr");
        site.fixture.query("CREATE DATABASE pay OWNER pay_owner");
        site.fixture.query("REVOKE ALL ON DATABASE pay FROM PUBLIC");
        site.fixture.query("GRANT CONNECT ON DATABASE pay TO platform_admin");
        let marker = r#"[managed by rdsprov: environment=dev application=pay name="pay"]"#;
        site.fixture.query(&format!("COMMENT ON DATABASE pay IS '{marker}'"));

        let more = site.fixture.definitions(
            r#"application_databases = {
                shop    = { database_name = "shop", username = "shop_owner" }
                reports = { database_name = "shop", username = "reader", access_level = "reader" }
                pay     = { database_name = "pay", username = "pay_owner" }
            }"#,
        );
        site.fixture.app("dev", "reports", "reader");
        site.fixture.app("dev", "pay", "pay_owner");
        let adopting = [&APPLY[..], &["--adopt", "reports", "--adopt", "pay"]].concat();
        for arguments in [&APPLY[..], &adopting] {
            let text = expect(&site.fixture.run(&more, arguments), 3);
            for (application, role) in [("reports", "reader"), ("pay", "pay_owner")] {
                let refused = format!(
                    "refused[admin-option-missing] {application}: no administrator has ADMIN OPTION on role {role}"
                );
                assert!(text.contains(&refused), "{text}");
            }
        }
        let granted = "SELECT count(*) FROM pg_database WHERE datname = 'shop'
            AND has_database_privilege('reader', oid, 'CONNECT')";
        assert_eq!(site.fixture.query(granted), "0");

        let secret = r#"{"username": "rdsprov_admin", "password": "Canary-delegate-5b1e"}"#;
        site.fixture.secret("goldenpath/dev/rds/delegate", secret);
        let text = expect(&site.fixture.delegate("dev").output().unwrap(), 3);
        let refused = "no administrator has ADMIN OPTION on role rdsprov_admin";
        assert!(text.contains(refused), "{text}");
        assert!(text.contains("note[marker-not-proven]: role legacy is left"), "{text}");

        // As roles that are not managed, they are reported where they have access.
        site.fixture.definitions(SHOP);
        site.fixture.query("GRANT CONNECT ON DATABASE shop TO rdsprov_admin, legacy");
        let text = site.run(&[&CHECK[..], &["--strict"]].concat(), 2);
        for role in ["rdsprov_admin", "legacy"] {
            let note = format!("note[undeclared-access]: role {role}");
            assert!(text.contains(&note), "{text}");
        }
        let text = site.run(&["retire", "--env", "dev", "legacy", "--dry-run"], 3);
        assert!(text.contains("refused[admin-option-missing] legacy"), "{text}");
        assert!(!text.contains("nothing-to-retire"), "{text}");
    }
}

/// What a role with `CREATEROLE` writes into its own comments must not keep the roles of others.
#[test]
fn planted_markers_stop_neither_retire_nor_teardown_nor_delegate() {
    for site in Planted::all() {
        site.run(&[&APPLY[..], &["--build-id", "b1"]].concat(), 0);
        site.plant_orphan("planted", r#"application=shop name="planted""#);
        site.fixture.query("DROP ROLE mgr");
        let comment =
            r#"[managed by rdsprov: environment=dev application=any build_id=b1 name="of_build"]"#;
        site.fixture
            .server
            .superuser(
                "postgres",
                &format!("CREATE ROLE of_build; COMMENT ON ROLE of_build IS '{comment}'"),
            )
            .unwrap();

        let secret = r#"{"username": "rdsprov_admin", "password": "Canary-delegate-5b1e"}"#;
        site.fixture.secret("goldenpath/dev/rds/delegate", secret);
        let text = expect(&site.fixture.delegate("dev").output().unwrap(), 0);
        for role in ["planted", "of_build"] {
            let note = format!("note[marker-not-proven]: role {role} is left");
            assert!(text.contains(&note), "{text}");
        }

        let none = site.fixture.definitions("application_databases = {}");
        let retire = ["retire", "shop", "--env", "dev", "--allow", "revokes_access"];
        let text = expect(&site.fixture.run(&none, &retire), 0);
        assert!(text.contains("note[marker-not-proven]: role planted is left"), "{text}");

        let config = site.fixture.path().join("rdsprov.toml");
        std::fs::write(&config, "[environments.dev]\nephemeral = true\n").unwrap();
        let teardown = "teardown --env dev --build-id b1 --without-backup --confirm shop --allow drops_role,drops_database,revokes_access";
        let teardown: Vec<&str> = teardown.split(' ').collect();
        let text = expect(&site.fixture.without_definitions(&teardown).output().unwrap(), 0);
        for role in ["planted", "of_build"] {
            let left = format!("role {role} has the marker of the build, and is left");
            assert!(text.contains(&left) || role == "planted", "{text}");
        }
        assert_eq!(
            site.fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'shop_owner'"),
            "0"
        );
    }
}

/// `pg_upgrade` from an earlier version keeps the roles without a membership of their creator.
#[test]
fn upgraded_roles_count_once_an_administrator_has_admin_option() {
    for site in Planted::all() {
        site.fixture.query("DROP ROLE mgr");
        site.run(&[&APPLY[..], &["--build-id", "b1"]].concat(), 0);
        site.fixture.query("REVOKE shop_owner FROM platform_admin CASCADE");
        for arguments in [&APPLY[..], &CHECK] {
            let text = site.run(arguments, 3);
            assert!(text.contains("refused[admin-option-missing] shop"), "{text}");
            let fix = r#"GRANT "shop_owner" TO "platform_admin" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"#;
            assert!(text.contains(fix), "{text}");
        }
        // Without the entry, the role is neither forgotten nor left with its login.
        let none = site.fixture.definitions("application_databases = {}");
        let without_entry =
            |arguments: &[&str], code| expect(&site.fixture.run(&none, arguments), code);
        let text = without_entry(&[&CHECK[..], &["--fail-on", "orphaned"]].concat(), 2);
        assert!(text.contains("  application shop: role shop_owner"), "{text}");
        let text = without_entry(&["retire", "shop", "--env", "dev"], 3);
        assert!(text.contains("refused[admin-option-missing] shop"), "{text}");
        assert!(!text.contains("nothing-to-retire"), "{text}");
        std::fs::write(
            site.fixture.path().join("rdsprov.toml"),
            "[environments.dev]\nephemeral = true\n",
        )
        .unwrap();
        let teardown = ["teardown", "--env", "dev", "--build-id", "b1", "--without-backup"];
        let text = expect(&site.fixture.without_definitions(&teardown).output().unwrap(), 0);
        assert!(text.contains("note[left-by-teardown]: role shop_owner has the marker"), "{text}");
        std::fs::remove_file(site.fixture.path().join("rdsprov.toml")).unwrap();
        // Another environment is not mixed with it unasked.
        site.fixture.definitions(SHOP);
        site.fixture
            .query("GRANT shop_owner TO platform_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE");
        site.run(&CHECK, 0);
    }
}

/// The delegate gets `ADMIN OPTION` on all managed roles.
#[test]
fn planted_role_does_not_become_the_delegate() {
    for site in Planted::all() {
        site.run(&APPLY, 0);
        site.plant("evil", r#"application=evil name="evil""#);
        let secret = r#"{"username": "rdsprov_admin", "password": "Canary-delegate-5b1e"}"#;
        site.fixture.secret("goldenpath/dev/rds/delegate", secret);
        let marker = r#"application=rdsprov:administrator name="rdsprov_admin" secret="goldenpath/dev/rds/delegate""#;
        site.plant("rdsprov_admin", marker);
        site.mgr(&["GRANT rdsprov_admin TO platform_admin WITH ADMIN OPTION"]);
        let delegate = || site.fixture.delegate("dev").output().unwrap();
        let text = expect(&delegate(), 3);
        assert!(text.contains("refused[role-controlled-by-others]"), "{text}");
        assert!(!text.contains("admin-option-missing"), "{text}");
        site.mgr(&["DROP ROLE rdsprov_admin"]);
        // Nor is a role with a marker of the environment left out silently.
        site.fixture.query("GRANT shop_owner TO mgr WITH ADMIN OPTION");
        let text = expect(&delegate(), 3);
        assert!(text.contains("role mgr has ADMIN OPTION on role shop_owner"), "{text}");
        site.fixture.query("REVOKE shop_owner FROM mgr");
        let text = expect(&delegate(), 0);
        assert!(text.contains("note[marker-not-proven]: role evil is left"), "{text}");
        let of_evil = "SELECT count(*) FROM pg_auth_members
            WHERE roleid = 'evil'::regrole AND member = 'rdsprov_admin'::regrole";
        assert_eq!(site.fixture.query(of_evil), "0");
    }
}

/// The clone of a role is a member of it.
#[test]
fn planted_role_does_not_become_a_clone() {
    for site in Planted::all() {
        let secret = serde_json::json!({
            "username": "shop_owner", "password": crate::fixture::password("shop"),
            "masterarn": "goldenpath/dev/rds/master",
        });
        site.fixture.secret("goldenpath/dev/shop/postgres", &secret.to_string());
        site.run(&APPLY, 0);
        site.mgr(&[
            "CREATE ROLE shop_owner_clone LOGIN PASSWORD 'Canary-clone'",
            "GRANT shop_owner_clone TO platform_admin WITH ADMIN OPTION",
        ]);
        // The secret names the role itself, so that nothing needs the clone yet.
        site.run(&APPLY, 0);
        let members =
            "SELECT count(*) FROM pg_auth_members WHERE member = 'shop_owner_clone'::regrole";
        assert_eq!(site.fixture.query(members), "0");
    }
}

/// 1,200 comments of 60 kB take less than a megabyte on the server.
#[test]
fn long_comments_of_planted_roles_are_not_read() {
    for site in Planted::all() {
        site.run(&APPLY, 0);
        site.mgr(&["DO $$ BEGIN FOR i IN 1..1200 LOOP
            EXECUTE format('CREATE ROLE evil%s', i);
            EXECUTE format('COMMENT ON ROLE evil%s IS %L', i, repeat('x', 60000));
        END LOOP; END $$"]);
        site.run(&CHECK, 0);
    }
}

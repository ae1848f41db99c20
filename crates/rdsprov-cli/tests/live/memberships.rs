//! `memberships`: a role is a member of exactly the predefined roles that its entry names.

use rdsprov_testkit::{NEWEST, OLDEST, versions};

use crate::fixture::{DELEGATE_SECRET, Fixture, expect, password};

const DECLARED: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner", memberships = ["pg_monitor", "rds_replication"] }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", memberships = ["pg_signal_backend"] }
}"#;

/// The direct memberships of the roles, with their options.
const HELD: &str = "SELECT string_agg(pg_get_userbyid(m.member) || ' ' || pg_get_userbyid(m.roleid)
      || CASE WHEN m.admin_option THEN ' admin' ELSE '' END, ', '
      ORDER BY pg_get_userbyid(m.member), pg_get_userbyid(m.roleid))
    FROM pg_auth_members m WHERE pg_get_userbyid(m.member) LIKE 'shop%'";

const AS_DECLARED: &str =
    "shop_owner pg_monitor, shop_owner rds_replication, shop_reader pg_signal_backend";

fn run(fixture: &Fixture, definitions: &str, command: &str, more: &[&str], code: i32) -> String {
    let arguments = [&[command, "--env", "dev"], more].concat();
    expect(&fixture.run(definitions, &arguments), code)
}

#[test]
fn declared_memberships_are_granted_and_others_revoked() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DECLARED);
        run(&fixture, &definitions, "apply", &[], 0);
        assert_eq!(fixture.query(HELD), AS_DECLARED);
        let uses = "SELECT pg_has_role('shop_owner', 'pg_monitor', 'USAGE')";
        assert_eq!(fixture.query(uses), "t");
        run(&fixture, &definitions, "check", &[], 0);

        for sql in [
            "GRANT rds_password TO shop_reader",
            "GRANT rds_replication TO shop_owner WITH ADMIN OPTION",
            "REVOKE pg_monitor FROM shop_owner",
        ] {
            fixture.server.master("postgres", sql).unwrap();
        }
        let plan = run(&fixture, &definitions, "check", &[], 2);
        for line in [
            "grant membership of role shop_owner in pg_monitor",
            "revoke ADMIN OPTION of role shop_owner in rds_replication",
            "revoke membership of role shop_reader in rds_password",
        ] {
            assert!(plan.contains(line), "{line}: {plan}");
        }
        run(&fixture, &definitions, "apply", &[], 0);
        assert_eq!(fixture.query(HELD), AS_DECLARED);
        run(&fixture, &definitions, "check", &[], 0);

        let fewer = fixture.definitions(&DECLARED.replace(r#""pg_monitor", "#, ""));
        run(&fixture, &fewer, "apply", &[], 0);
        assert_eq!(fixture.query(uses), "f");
        run(&fixture, &fewer, "check", &[], 0);
    }
}

#[test]
fn membership_without_inherit_option_gets_it() {
    let (fixture, definitions) = Fixture::shop(NEWEST, DECLARED);
    run(&fixture, &definitions, "apply", &[], 0);
    let uses = "SELECT pg_has_role('shop_owner', 'pg_monitor', 'USAGE')";
    let sql = "GRANT pg_monitor TO shop_owner WITH INHERIT FALSE";
    fixture.server.master("postgres", sql).unwrap();
    assert_eq!(fixture.query(uses), "f");
    let plan = run(&fixture, &definitions, "check", &[], 2);
    assert!(plan.contains("INHERIT OPTION of role shop_owner in pg_monitor"), "{plan}");
    run(&fixture, &definitions, "apply", &[], 0);
    assert_eq!(fixture.query(uses), "t");
    run(&fixture, &definitions, "check", &[], 0);
}

#[test]
fn roles_that_the_server_lacks_are_refused() {
    let (fixture, definitions) = Fixture::shop(
        OLDEST,
        r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner", memberships = ["pg_maintain"] }
}"#,
    );
    let before = fixture.catalog_state();
    let output = run(&fixture, &definitions, "apply", &[], 3);
    let says = "refused[membership-role-missing] shop: `memberships` of role shop_owner names \
                pg_maintain, which this server with PostgreSQL 14 does not have";
    assert!(output.contains(says), "{output}");
    assert_eq!(fixture.catalog_state(), before);
}

/// `[definitions] memberships` permits a role, and the server decides whether the administrator may
/// grant it.
#[test]
fn other_roles_need_the_permission_of_the_site_and_of_the_server() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(
            major,
            r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner", memberships = ["team_role"] }
}"#,
        );
        fixture.query("CREATE ROLE team_role");
        let output = run(&fixture, &definitions, "plan", &[], 1);
        assert!(output.contains("`team_role` is not allowed"), "{output}");
        let config = "[definitions]\nmemberships = [\"team_role\"]\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
        let holds = "SELECT pg_has_role('shop_owner', 'team_role', 'USAGE')";
        if major < 16 {
            run(&fixture, &definitions, "apply", &[], 0);
        } else {
            let output = run(&fixture, &definitions, "apply", &[], 3);
            assert!(output.contains("refused[admin-option-missing]"), "{output}");
            fixture.query("GRANT team_role TO platform_admin WITH ADMIN OPTION");
            run(&fixture, &definitions, "apply", &[], 0);
        }
        assert_eq!(fixture.query(holds), "t");
        run(&fixture, &definitions, "check", &[], 0);
    }
}

/// The delegate gets no power over predefined roles by itself; with the printed statement, it has it,
/// and `delegate` leaves it.
#[test]
fn delegate_can_get_admin_option_on_predefined_roles() {
    let (fixture, definitions) = Fixture::shop(NEWEST, DECLARED);
    expect(&fixture.delegate("dev").output().unwrap(), 0);
    let as_delegate = ["--admin-secret", DELEGATE_SECRET];
    let output = run(&fixture, &definitions, "apply", &as_delegate, 3);
    assert!(output.contains("refused[admin-option-missing]"), "{output}");
    for role in ["pg_monitor", "rds_replication", "pg_signal_backend"] {
        let statement = format!(
            r#"GRANT "{role}" TO "rdsprov_admin" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"#
        );
        assert!(output.contains(&statement), "{statement}: {output}");
        fixture.server.master("postgres", &statement).unwrap();
    }
    run(&fixture, &definitions, "apply", &as_delegate, 0);
    assert_eq!(fixture.query(HELD), AS_DECLARED);
    run(&fixture, &definitions, "check", &as_delegate, 0);
    let again = expect(&fixture.delegate("dev").output().unwrap(), 0);
    assert!(!again.contains("pg_monitor"), "{again}");
    run(&fixture, &definitions, "check", &as_delegate, 0);
}

/// A plan that grants a membership is stale if the group gets a privilege or another role its name. The
/// group belongs to no application.
#[test]
fn group_that_changes_after_the_plan() {
    const CHANGES: [(&str, &str); 5] = [
        ("GRANT pg_read_all_data TO team_readers", "REVOKE pg_read_all_data FROM team_readers"),
        ("GRANT pg_read_all_data TO beyond", "REVOKE pg_read_all_data FROM beyond"),
        // A role with ADMIN OPTION, which is not an administrator.
        (
            "GRANT writers TO beyond GRANTED BY team_lead",
            "REVOKE writers FROM beyond GRANTED BY team_lead",
        ),
        ("ALTER ROLE team_readers CREATEDB", "ALTER ROLE team_readers NOCREATEDB"),
        (
            "ALTER ROLE team_readers RENAME TO parked; CREATE ROLE team_readers; \
             GRANT team_readers TO platform_admin WITH ADMIN OPTION",
            "DROP ROLE team_readers; ALTER ROLE parked RENAME TO team_readers",
        ),
    ];
    for major in versions() {
        let entry = |more: &str| {
            format!(
                r#"application_databases = {{ shop = {{ database_name = "shop", username = "shop_owner"{more} }} }}"#
            )
        };
        let (fixture, definitions) = Fixture::shop(major, &entry(""));
        std::fs::write(
            fixture.path().join("rdsprov.toml"),
            "[definitions]\nmemberships = [\"team_readers\"]\n",
        )
        .unwrap();
        fixture.query("CREATE ROLE writers; CREATE ROLE team_lead; GRANT writers TO team_lead WITH ADMIN OPTION; CREATE ROLE beyond; CREATE ROLE team_readers IN ROLE beyond; GRANT team_readers TO platform_admin WITH ADMIN OPTION");
        run(&fixture, &definitions, "apply", &[], 0);
        let definitions = fixture.definitions(&entry(r#", memberships = ["team_readers"]"#));
        let plan = || run(&fixture, &definitions, "plan", &["--out", "plan.json"], 0);
        let apply = |code| {
            let words = ["apply", "plan.json", "--env", "dev"];
            expect(&fixture.run(&definitions, &words), code)
        };
        plan();
        for (change, revert) in CHANGES {
            for one in change.split("; ") {
                fixture.query(one);
            }
            let report = apply(3);
            assert!(report.contains("plan-stale"), "PostgreSQL {major}: {change}: {report}");
            for one in revert.split("; ") {
                fixture.query(one);
            }
        }
        // Controls: what concerns other roles does not matter, and the plan is current again.
        fixture.query("CREATE ROLE stranger IN ROLE team_readers");
        apply(0);
        assert_eq!(fixture.query("SELECT pg_has_role('shop_owner', 'beyond', 'USAGE')"), "t");
    }
}

/// A team that edits `rdsprov.toml` and its definitions gets neither an administrator nor the role of
/// another team, also through a group.
#[test]
fn administrators_and_roles_of_applications_are_refused() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, OF_SHOP);
        run(&fixture, &definitions, "apply", &[], 0);
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        fixture.app("dev", "wiki", "wiki_owner");
        for sql in [
            "CREATE ROLE dba CREATEROLE",
            "CREATE ROLE sees_all BYPASSRLS",
            "CREATE ROLE runs_programs IN ROLE pg_execute_server_program",
            "CREATE ROLE of_master IN ROLE rds_superuser",
            "CREATE ROLE of_shop IN ROLE shop_owner",
            "CREATE ROLE of_delegate IN ROLE rdsprov_admin",
            "CREATE ROLE team_readers",
            // A chain of predefined roles that no definitions name.
            "CREATE ROLE of_chain IN ROLE pg_read_all_settings",
            "GRANT pg_read_all_stats TO pg_read_all_settings",
            "GRANT pg_read_server_files TO pg_read_all_stats",
        ] {
            fixture.query(sql);
        }
        let groups = [
            (
                "of_chain",
                "of_chain: it is a member of pg_read_server_files, which gives control of the server",
            ),
            ("shop_owner", "shop_owner, which belongs to application shop"),
            ("platform_admin", "platform_admin, which is the administrator of this run"),
            ("rdsprov_admin", "rdsprov_admin, which is a delegate"),
            ("dba", "dba, which has CREATEROLE"),
            ("sees_all", "sees_all, which has BYPASSRLS"),
            (
                "runs_programs",
                "runs_programs: it is a member of pg_execute_server_program, which gives control of the server",
            ),
            ("of_master", "of_master, which is a member of rds_superuser"),
            ("of_shop", "of_shop: it is a member of shop_owner, which belongs to application shop"),
            ("of_delegate", "of_delegate: it is a member of rdsprov_admin, which is a delegate"),
        ];
        let wiki = |group: &str| {
            let config = format!("[definitions]\nmemberships = [\"{group}\"]\n");
            std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
            fixture.definitions(&format!(
                r#"application_databases = {{
                    wiki = {{ database_name = "wiki", username = "wiki_owner", memberships = ["{group}"] }}
                }}"#
            ))
        };
        let refuses = |when: &str| {
            for (group, says) in groups {
                // Not even the missing power of the administrator protects them.
                if major >= 16 && group != "platform_admin" {
                    fixture.query(&format!("GRANT {group} TO platform_admin WITH ADMIN OPTION"));
                }
                let definitions = wiki(group);
                let state = fixture.catalog_state();
                let output = run(&fixture, &definitions, "apply", &[], 3);
                let says = format!(
                    "refused[membership-forbidden] wiki: role wiki_owner cannot be a member of {says}\n"
                );
                assert!(output.contains(&says), "PostgreSQL {major}, {when}: {says}: {output}");
                assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}: {group}");
            }
        };
        refuses("new role");
        // Control: a group that is neither.
        if major >= 16 {
            fixture.query("GRANT team_readers TO platform_admin WITH ADMIN OPTION");
        }
        run(&fixture, &wiki("team_readers"), "apply", &[], 0);
        refuses("role that exists");
        fixture.query("REVOKE pg_read_server_files FROM pg_read_all_stats; REVOKE pg_read_all_stats FROM pg_read_all_settings");
        // A role that a team makes reachable through a predefined role stops no other team.
        fixture.query("GRANT of_shop TO pg_monitor; GRANT shop_owner TO pg_read_all_stats");
        if major >= 16 {
            fixture.query("GRANT pg_monitor TO platform_admin WITH ADMIN OPTION");
        }
        let output = run(&fixture, &wiki("pg_monitor"), "plan", &[], 0);
        assert!(!output.contains("refused["), "PostgreSQL {major}: {output}");
        fixture.query("REVOKE of_shop FROM pg_monitor; REVOKE shop_owner FROM pg_read_all_stats");
        // Before PostgreSQL 15, each role can make every role a member of itself: this stops no other team, but
        // a role with more power than an application's stays out of reach.
        if major < 15 {
            let itself = |sql: &str| {
                fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
            };
            itself("GRANT shop_owner TO team_readers");
            let output = run(&fixture, &wiki("team_readers"), "plan", &[], 0);
            assert!(!output.contains("refused["), "PostgreSQL {major}: {output}");
            itself("REVOKE shop_owner FROM team_readers");
            fixture.query("SET ROLE dba; GRANT dba TO team_readers");
            let output = run(&fixture, &wiki("team_readers"), "plan", &[], 3);
            assert!(output.contains("member of dba, which has CREATEROLE"), "{major}: {output}");
            fixture.query("REVOKE dba FROM team_readers");
            // What an administrator grants counts.
            fixture.query("GRANT shop_owner TO team_readers");
            run(&fixture, &wiki("team_readers"), "plan", &[], 3);
            fixture.query("REVOKE shop_owner FROM team_readers");
        }
        // A membership that exists is not accepted either.
        fixture.query("GRANT of_shop TO wiki_owner");
        run(&fixture, &wiki("of_shop"), "check", &[], 3);
        for role in ["rds_superuser", "pg_execute_server_program", "pg_read_server_files"] {
            let output = run(&fixture, &wiki(role), "apply", &[], 1);
            assert!(output.contains(&format!("`{role}` is not allowed in `memberships`")));
        }
    }
}

const OF_SHOP: &str = r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner" }
}"#;

/// The members of an adopted role get what it gets, also those that have `ADMIN OPTION` only.
#[test]
fn adoption_names_the_members_of_the_role() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(
            major,
            r#"application_databases = {
  shop         = { database_name = "shop", username = "shop_owner" }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", adopt = true }
}"#,
        );
        let admin_only = match major {
            // The creator of a role has this membership from a superuser.
            16.. => "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE GRANTED BY platform_admin",
            _ => "WITH ADMIN OPTION",
        };
        fixture.query(&format!(
            "CREATE ROLE shop_reader; GRANT shop_reader TO platform_admin WITH ADMIN OPTION;
             CREATE ROLE team; CREATE ROLE mallory; CREATE ROLE stranger; CREATE ROLE root SUPERUSER;
             GRANT shop_reader TO team {admin_only}; GRANT team TO mallory; GRANT shop_reader TO root"
        ));
        let text = run(&fixture, &definitions, "plan", &[], 0);
        let names = "adopt role shop_reader; mallory and team are members of it";
        assert!(text.contains(names), "PostgreSQL {major}: {text}");
    }
}

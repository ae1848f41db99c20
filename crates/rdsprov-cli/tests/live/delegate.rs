//! The delegated administrator: how the master user creates it, and what it may and may not do.

use std::os::unix::fs::PermissionsExt as _;

use rdsprov_testkit::{HttpProxy, Reply, versions};

use crate::fixture::{
    DELEGATE, DELEGATE_SECRET, Fixture, assert_no_password, encodings, expect, writes,
};

const SHOP: &str = r#"
application_databases = {
  shop    = { database_name = "shop", username = "shop_owner" }
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
  tokens  = { database_name = "shop", username = "shop_tokens", access_level = "editor", auth = "iam" }
}
"#;

fn shop(major: u32) -> Fixture {
    let fixture = Fixture::new(major);
    for (application, user) in
        [("shop", "shop_owner"), ("reports", "shop_reader"), ("desk", "desk_owner")]
    {
        fixture.app("dev", application, user);
    }
    // The role of `tokens` needs a password once a test changes it from IAM authentication.
    fixture.app("dev", "tokens", "shop_tokens");
    expect(&fixture.run(&fixture.definitions(SHOP), &["apply", "--env", "dev"]), 0);
    fixture
}

/// Adds an application with a database of its own.
fn with(definitions: &str, application: &str) -> String {
    let entry = format!(
        "  {application} = {{ database_name = \"{application}\", username = \"{application}_owner\", createdb = true }}\n"
    );
    format!("{}{entry}}}\n", definitions.trim_end().trim_end_matches('}'))
}

/// Runs the command as the delegated administrator.
fn run(fixture: &Fixture, definitions: &str, arguments: &[&str], code: i32) -> String {
    let definitions = fixture.definitions(definitions);
    let site = ["--env", "dev", "--admin-secret", DELEGATE_SECRET];
    expect(&fixture.run(&definitions, &[arguments, &site].concat()), code)
}

#[test]
fn is_created_once_with_minimal_privileges() {
    for major in versions() {
        let fixture = shop(major);
        let log = expect(&fixture.delegate("dev").arg("--dry-run").output().unwrap(), 0);
        assert!(log.contains("create_secret"), "{log}");
        let exists = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{DELEGATE}'");
        assert_eq!(fixture.query(&exists), "0");
        let path = fixture.path().join(format!("{DELEGATE_SECRET}.json"));
        assert!(!path.exists(), "a dry run created a secret");

        expect(&fixture.delegate("dev").output().unwrap(), 0);
        let attributes = format!(
            "SELECT rolcanlogin, rolcreatedb, rolcreaterole, rolsuper, rolreplication, rolbypassrls,
               pg_has_role(oid, 'rds_superuser', 'MEMBER'), pg_has_role(oid, 'pg_monitor', 'MEMBER')
             FROM pg_roles WHERE rolname = '{DELEGATE}'"
        );
        assert_eq!(fixture.query(&attributes), "t|t|t|f|f|f|f|f");
        // The delegated administrator does not have the privileges of the roles that it
        // administers.
        let held = format!(
            "SELECT count(*) FROM pg_roles WHERE rolname <> '{DELEGATE}'
               AND pg_has_role('{DELEGATE}', oid, 'USAGE')"
        );
        assert_eq!(fixture.query(&held), "0", "PostgreSQL {major}");
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let secret: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let password = secret["password"].as_str().unwrap();
        assert!(password.len() >= 32);
        assert!(!fixture.server.log().contains(password), "its password is in the server's log");
        assert_eq!(secret["username"], DELEGATE);
        assert_eq!(secret["port"], fixture.server.port());

        let before = fixture.server.log().len();
        let again = expect(&fixture.delegate("dev").output().unwrap(), 0);
        assert!(again.contains("Nothing to do"), "{again}");
        assert_eq!(writes(&fixture.server.log()[before..]), Vec::<String>::new());
        // It is not in the definitions, and not an orphan for that reason.
        let plan = expect(&fixture.run(&fixture.definitions(SHOP), &["plan", "--env", "dev"]), 0);
        assert!(!plan.contains(DELEGATE), "{plan}");
    }
}

/// The comment of a managed role can contain long texts of people. The delegation does not declare the role.
#[test]
fn manages_roles_with_long_comments() {
    for major in versions() {
        let fixture = shop(major);
        let comment = "SELECT length(shobj_description('shop_owner'::regrole, 'pg_authid'))";
        fixture.query(
            "DO $$ BEGIN EXECUTE format('COMMENT ON ROLE shop_owner IS %L',
               repeat('Ask Ada first. ', 1000) || E'\\n' || shobj_description('shop_owner'::regrole, 'pg_authid'));
             END $$",
        );
        assert!(fixture.query(comment).parse::<u32>().unwrap() > 15_000);
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        if major >= 16 {
            let may = format!(
                "SELECT bool_and(pg_has_role('{DELEGATE}', oid, 'MEMBER WITH ADMIN OPTION')) FROM pg_roles \
                 WHERE rolname LIKE 'shop%'"
            );
            assert_eq!(fixture.query(&may), "t", "PostgreSQL {major}");
        }
        assert!(run(&fixture, SHOP, &["apply"], 0).contains("Nothing to do"));
    }
}

#[test]
fn can_do_what_the_master_user_can() {
    for major in versions() {
        let fixture = shop(major);
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        run(&fixture, SHOP, &["check"], 0);
        // Another level, another authentication method, another database, another password.
        let without_desk = SHOP.replace("\"reader\"", "\"editor\"").replace(", auth = \"iam\"", "");
        let changed = with(&without_desk, "desk");
        fixture.query("ALTER ROLE shop_owner PASSWORD 'another'");
        run(&fixture, &changed, &["apply", "--allow", "changes_secret"], 0);
        run(&fixture, &changed, &["check"], 0);
        let editor = "SELECT has_database_privilege('shop_reader', 'shop', 'TEMPORARY'),
            pg_has_role('shop_tokens', 'rds_iam', 'MEMBER'), datdba::regrole
            FROM pg_database WHERE datname = 'desk'";
        assert_eq!(fixture.query(editor), "t|f|desk_owner", "PostgreSQL {major}");
        // Since PostgreSQL 16, the master user has no ADMIN option on roles that the delegated
        // administrator creates, and the reverse until the next `delegate`.
        let desk = fixture.definitions(&changed);
        let output = fixture.run(&desk, &["apply", "--env", "dev"]);
        let printed = expect(&output, if major < 16 { 0 } else { 3 });
        assert_eq!(printed.contains("cannot act as role desk_owner"), major >= 16, "{printed}");
        fixture.app("dev", "extra", "extra_owner");
        let extra = fixture.definitions(&with(&without_desk, "extra"));
        expect(&fixture.run(&extra, &["apply", "--env", "dev"]), 0);
        let more = with(&changed, "extra");
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        fixture.query("ALTER ROLE extra_owner NOCREATEDB");
        run(&fixture, &more, &["apply"], 0);
        run(&fixture, &more, &["check"], 0);
    }
}

/// Saved plans, rotations and drifted passwords, after the master's secret is deleted.
#[test]
fn can_apply_saved_plans_and_rotate() {
    for major in versions() {
        let fixture = Fixture::with_secrets_manager(major);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = with("application_databases = {\n}\n", "shop");
        expect(&fixture.run(&fixture.definitions(&definitions), &["apply", "--env", "dev"]), 0);
        // With rds.restrict_password_commands, only members of rds_password may set passwords.
        for database in ["platform", "postgres"] {
            fixture.query(&format!(
                "ALTER DATABASE {database} SET rds.restrict_password_commands = on"
            ));
        }
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        let manager = fixture.secrets_manager.as_ref().unwrap();
        manager.delete("goldenpath/dev/rds/master").unwrap();

        let secret = "goldenpath/dev/shop/postgres";
        let current = || {
            let (version, text) = manager.at_stage(secret, "AWSCURRENT").unwrap().unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            (version, json["password"].as_str().unwrap().to_owned())
        };
        let logs_in = || fixture.server.sql_as("shop_owner", &current().1, "shop", "SELECT 1");
        let (before, _) = current();
        run(&fixture, &definitions, &["rotate", "shop"], 0);
        assert_ne!(current().0, before);
        logs_in().unwrap();

        fixture.query("ALTER ROLE shop_owner NOCREATEDB PASSWORD 'another'");
        let planned = run(&fixture, &definitions, &["plan", "--out", "plan.json"], 0);
        assert!(planned.contains("set password"), "{planned}");
        run(&fixture, &definitions, &["apply", "plan.json"], 0);
        logs_in().unwrap();
        run(&fixture, &definitions, &["check"], 0);
        let printed = run(&fixture, &definitions, &["apply", "plan.json"], 0);
        assert!(printed.contains("This plan has already been applied"), "{printed}");
    }
}

#[test]
fn drift_of_the_role_is_corrected() {
    for major in versions() {
        let fixture = shop(major);
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        fixture.query(&format!(
            "ALTER ROLE {DELEGATE} NOCREATEDB PASSWORD 'another'; GRANT rds_superuser TO {DELEGATE}"
        ));
        fixture.query_in("shop", &format!("REVOKE CONNECT ON DATABASE shop FROM {DELEGATE}"));
        let output = fixture.delegate("dev").output().unwrap();
        if major >= 16 {
            // Only the grantor of that membership can revoke it.
            let printed = expect(&output, 3);
            assert!(printed.contains("REVOKE \"rds_superuser\""), "{printed}");
            fixture.query(&format!("REVOKE rds_superuser FROM {DELEGATE}"));
            expect(&fixture.delegate("dev").output().unwrap(), 0);
        } else {
            expect(&output, 0);
        }
        run(&fixture, SHOP, &["check"], 0);
    }
}

#[test]
fn invalid_delegations_are_refused() {
    let fixture = shop(versions()[0]);
    // Outside dev, the command asks for approval like every other command.
    let printed = expect(&fixture.delegate("prod").output().unwrap(), 3);
    assert!(printed.contains("ALLOW_DB_PROVISION"), "{printed}");
    // A role that an application uses.
    fixture.query(&format!("CREATE ROLE {DELEGATE} LOGIN"));
    let printed = expect(&fixture.delegate("dev").output().unwrap(), 3);
    assert!(
        printed.contains("refused[role-not-managed]") && printed.contains("with --adopt"),
        "{printed}"
    );
    expect(&fixture.delegate("dev").arg("--adopt").output().unwrap(), 0);
    // An application that declares the delegated administrator's role.
    let declared = SHOP.replace("shop_reader", DELEGATE);
    let declared = fixture.definitions(&declared);
    fixture.app("dev", "reports", DELEGATE);
    let printed = expect(&fixture.run(&declared, &["plan", "--env", "dev"]), 3);
    assert!(printed.contains("refused[role-is-delegate] "), "{printed}");
    // A role of an application.
    let printed = expect(&fixture.delegate_to("shop_owner", "dev").output().unwrap(), 3);
    assert!(printed.contains("refused[role-of-application] "), "{printed}");
    // A secret that is for another user.
    fixture.secret(DELEGATE_SECRET, r#"{"username": "shop_owner", "password": "Canary-5b1e"}"#);
    let printed = expect(&fixture.delegate("dev").output().unwrap(), 3);
    assert!(printed.contains("refused[secret-username-differs] "), "{printed}");
}

#[test]
fn failed_secret_creation_changes_nothing() {
    for major in versions() {
        let fixture = Fixture::with_secrets_manager(major);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = with("application_databases = {\n}\n", "shop");
        expect(&fixture.run(&fixture.definitions(&definitions), &["apply", "--env", "dev"]), 0);
        let manager = fixture.secrets_manager.as_ref().unwrap();
        let refusing = HttpProxy::start(manager, |call| {
            (call.action == "CreateSecret")
                .then(|| Reply::Error("AccessDeniedException", "not this one".to_owned()))
        })
        .unwrap();
        let mut printed = String::new();
        let kept = ["--audit-output", "audit.csv", "--audit-ledger", "ledger.jsonl", "-vv"];
        let mut delegate = fixture.delegate("dev");
        delegate.args(kept).envs(refusing.environment());
        let refused = expect(&delegate.output().unwrap(), 1);
        assert!(refused.contains("secretsmanager:CreateSecret"), "{refused}");
        let existing = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{DELEGATE}'");
        assert_eq!(fixture.query(&existing), "0");

        for format in ["json", "text"] {
            let mut delegate = fixture.delegate("dev");
            delegate.args(kept).args(["--log-format", format]);
            printed += &expect(&delegate.output().unwrap(), 0);
        }
        let (_, text) = manager.at_stage(DELEGATE_SECRET, "AWSCURRENT").unwrap().unwrap();
        let secret: serde_json::Value = serde_json::from_str(&text).unwrap();
        let password = secret["password"].as_str().unwrap();
        assert!(fixture.server.sql_as(DELEGATE, password, "shop", "SELECT 1").is_ok());
        let read = |name: &str| std::fs::read_to_string(fixture.path().join(name)).unwrap();
        for text in [printed, fixture.server.log(), read("audit.csv"), read("ledger.jsonl")] {
            for form in encodings(password) {
                assert!(!text.contains(&form), "its password, encoded as {form}, is in {text}");
            }
            assert_no_password(&text);
        }
    }
}

/// Returns the status of each record by its action.
fn statuses(records: &str) -> Vec<(&str, &str)> {
    let fields = |line| str::split(line, ',').collect::<Vec<_>>();
    let rows = records.lines().skip(1).map(fields).filter(|fields| fields.len() > 7);
    rows.map(|fields| (fields[6], fields[7])).collect()
}

/// A later failure does not delete the secret: records report it, and the next run uses it.
#[test]
fn created_secret_is_recorded_despite_a_later_failure() {
    for major in versions() {
        let fixture = shop(major);
        let kept = ["--audit-output", "audit.csv", "--audit-ledger", "ledger.jsonl"];
        let run = |code| expect(&fixture.delegate("dev").args(kept).output().unwrap(), code);
        let printed = fixture.with_concurrent_create_role(DELEGATE, || run(4));
        let says = format!("role {DELEGATE} was created after the server was observed");
        assert!(printed.contains(&says), "{printed}");
        assert!(fixture.path().join(format!("{DELEGATE_SECRET}.json")).exists());
        let records = std::fs::read_to_string(fixture.path().join("audit.csv")).unwrap();
        let run_examples = statuses(&records);
        let extensions_of =
            [("intent", "intent"), ("create_secret", "success"), ("create_role", "error")];
        assert_eq!(run_examples[..3], extensions_of, "PostgreSQL {major}: {records}");
        let later = |(_, status): &(&str, &str)| *status == "not_run";
        assert!(run_examples.len() > 3 && run_examples[3..].iter().all(later), "{records}");

        fixture.query(&format!("DROP ROLE {DELEGATE}"));
        let printed = run(0);
        assert!(!printed.contains("create_secret,"), "{printed}");
        self::run(&fixture, SHOP, &["check"], 0);
    }
}

/// The record of a run that ends early, and the ledger, name the command.
#[test]
fn records_name_the_command() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(&with("application_databases = {\n}\n", "shop"));
    let kept = ["--audit-output", "audit.csv", "--audit-ledger", "ledger.jsonl"];
    let mut delegate = fixture.delegate("prod");
    expect(&delegate.args(kept).output().unwrap(), 3);
    for command in [&["rotate", "shop"][..], &["apply"]] {
        let words = [command, &["--env", "prod"], &kept].concat();
        expect(&fixture.run(&definitions, &words), 3);
    }
    let commands = ["delegate", "rotate", "apply"];
    let records = std::fs::read_to_string(fixture.path().join("audit.csv")).unwrap();
    assert_eq!(statuses(&records), commands.map(|command| (command, "refused")), "{records}");
    let ledger = std::fs::read_to_string(fixture.path().join("ledger.jsonl")).unwrap();
    let outcomes = ledger.lines().map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["command"].as_str().unwrap().to_owned()
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), commands);
}

#[test]
fn deleted_secret_is_recreated_with_a_new_password() {
    let fixture = shop(versions()[0]);
    expect(&fixture.delegate("dev").output().unwrap(), 0);
    std::fs::remove_file(fixture.path().join(format!("{DELEGATE_SECRET}.json"))).unwrap();
    let printed =
        expect(&fixture.delegate("dev").args(["--verify-passwords", "never"]).output().unwrap(), 0);
    assert!(printed.contains("create secret ") && printed.contains("set password"), "{printed}");
    run(&fixture, SHOP, &["check"], 0);
}

/// The new secret has the KMS key and the tags of the options and of `rdsprov.toml`.
#[test]
fn new_secret_has_a_kms_key_and_tags() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    let toml = "[secrets]\nkms_key = \"alias/file\"\ntags = { team = \"a\", cost = \"1\" }\n";
    std::fs::write(fixture.path().join("rdsprov.toml"), toml).unwrap();
    let manager = fixture.secrets_manager.as_ref().unwrap();
    let denied = HttpProxy::start(manager, |call| {
        let message = match call.parameters["KmsKeyId"].as_str() {
            Some("alias/tag") => "not authorized to perform: secretsmanager:TagResource",
            Some("alias/kms") => "Access to KMS is not allowed",
            _ => "not authorized to perform: secretsmanager:CreateSecret with an explicit deny",
        };
        (call.action == "CreateSecret")
            .then(|| Reply::Error("AccessDeniedException", message.to_owned()))
    })
    .unwrap();
    for (key, says) in [
        ("alias/tag", "hint: allow secretsmanager:TagResource in the IAM policy"),
        ("alias/kms", "cannot be encrypted: the use of its KMS key is not allowed"),
        ("alias/x", "requires a KMS key or tags, use --secret-kms-key KEY and --secret-tags"),
    ] {
        let mut command = fixture.delegate("dev");
        command.envs(denied.environment()).args(["--secret-kms-key", key]);
        let output_text = expect(&command.output().unwrap(), 1);
        assert!(output_text.contains(says), "{output_text}");
    }
    let mut command = fixture.delegate("dev");
    command.args(["--secret-kms-key", "alias/platform", "--secret-tags", "team=b,app=x"]);
    let printed = expect(&command.output().unwrap(), 0);
    for words in [
        "KMS key of a new secret alias/platform (--secret-kms-key)",
        "tag of a new secret cost=1 (rdsprov.toml)",
        "tag of a new secret team=b (--secret-tags)",
    ] {
        assert!(printed.contains(words), "{printed}");
    }
    let mut command = fixture.program();
    let config = command.args(["config", "--env", "dev"]).output().unwrap();
    let config = expect(&config, 0);
    for words in [
        &["--secret-kms-key", "alias/file", "rdsprov.toml"],
        &["--secret-tags", "cost=1", "rdsprov.toml"],
    ] {
        let is_in = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(config.lines().any(is_in), "{config}");
    }
    let described = manager.describe(DELEGATE_SECRET).unwrap();
    assert_eq!(described["KmsKeyId"], "alias/platform");
    let tag = |tag: &serde_json::Value| {
        format!("{}={}", tag["Key"].as_str().unwrap(), tag["Value"].as_str().unwrap())
    };
    let mut tags: Vec<String> = described["Tags"].as_array().unwrap().iter().map(tag).collect();
    tags.sort();
    assert_eq!(tags, ["app=x", "cost=1", "team=b"]);

    // Files have neither.
    let fixture = Fixture::new(versions()[0]);
    for (option, value, code) in [
        ("--secret-kms-key", "alias/platform", 64),
        ("--secret-tags", "team=b", 64),
        ("--secret-tags", "aws:team=b", 64),
        ("--secret-kms-key", "a b", 64),
    ] {
        expect(&fixture.delegate("dev").args([option, value]).output().unwrap(), code);
    }
    assert!(!fixture.path().join(format!("{DELEGATE_SECRET}.json")).exists());
    std::fs::write(fixture.path().join("rdsprov.toml"), toml).unwrap();
    expect(&fixture.delegate("dev").output().unwrap(), 0);
}

/// The attributes of the delegate that concern its login, and its memberships in `rds_iam`.
fn login_of_delegate(fixture: &Fixture) -> String {
    let options = if fixture.server.major() < 16 {
        "'member'"
    } else {
        "concat_ws(' ', 'admin', m.admin_option, 'inherit', m.inherit_option, 'set', m.set_option)"
    };
    fixture.query(&format!(
        "SELECT coalesce(left(rolpassword, 5), 'no password') || ', ' || coalesce((
           SELECT string_agg({options}, '; ') FROM pg_auth_members m
           WHERE m.member = a.oid AND m.roleid = 'rds_iam'::regrole), 'no rds_iam')
         FROM pg_authid a WHERE rolname = '{DELEGATE}'"
    ))
}

/// Returns `rdsprov delegate --auth iam`, run by the master user.
fn delegate_with_tokens(fixture: &Fixture) -> std::process::Command {
    let mut command = fixture.delegate_of(&["--auth", "iam"]);
    command.args(["--allow", "resets_password,changes_secret"]);
    command
}

/// The delegate has no password and no secret: it logs in with IAM tokens.
#[test]
fn delegate_with_iam_tokens() {
    for major in versions() {
        let fixture = shop(major);
        let printed = expect(&delegate_with_tokens(&fixture).output().unwrap(), 0);
        let login = format!("--admin-auth iam --admin-user {DELEGATE} --host HOST");
        assert!(printed.contains(&login), "PostgreSQL {major}: {printed}");
        assert!(!printed.contains("create secret"), "PostgreSQL {major}: {printed}");
        assert!(!fixture.path().join(format!("{DELEGATE_SECRET}.json")).exists());
        let with_tokens = match major {
            ..16 => "no password, member",
            _ => "no password, admin t inherit t set t",
        };
        assert_eq!(login_of_delegate(&fixture), with_tokens, "PostgreSQL {major}");
        let before = fixture.server.log().len();
        let again = expect(&delegate_with_tokens(&fixture).output().unwrap(), 0);
        assert!(again.contains("Nothing to do"), "PostgreSQL {major}: {again}");
        assert_eq!(writes(&fixture.server.log()[before..]), Vec::<String>::new());

        // `trust` stands for a server that accepts the token.
        let rules = fixture.server.data_directory().join("pg_hba.conf");
        let text = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("hostssl all {DELEGATE} all trust\n{text}")).unwrap();
        fixture.query("SELECT pg_reload_conf()");
        let port = fixture.server.port().to_string();
        let login = ["--admin-auth", "iam", "--admin-user", DELEGATE, "--host", "localhost"];
        let run = |definitions: &str, arguments: &[&str]| {
            let definitions = fixture.definitions(definitions);
            let arguments = [arguments, &["--env", "dev", "--port", &port], &login].concat();
            let mut command = fixture.command(&definitions, &arguments);
            command.env("AWS_REGION", "eu-west-1").env("AWS_ACCESS_KEY_ID", "AKIDDELEGATE");
            expect(&command.env("AWS_SECRET_ACCESS_KEY", "Canary-key").output().unwrap(), 0)
        };
        run(SHOP, &["check"]);
        let more = with(SHOP, "desk");
        let more = more.replace("\"reader\"", "\"reader\", auth = \"iam\"");
        run(&more, &["apply", "--allow", "resets_password,changes_secret"]);
        run(&more, &["check"]);
        let members = "SELECT string_agg(member::regrole::text, ' ' ORDER BY member::regrole::text)
            FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole AND member::regrole::text ~ 'shop'";
        assert_eq!(fixture.query(members), "shop_reader shop_tokens", "PostgreSQL {major}");
        // The delegate becomes no member of the roles that it administers.
        let held = format!(
            "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname <> '{DELEGATE}'
               AND pg_has_role('{DELEGATE}', oid, 'USAGE')"
        );
        assert_eq!(fixture.query(&held), "rds_iam", "PostgreSQL {major}");
    }
}

/// A delegate with a password gets IAM tokens, and a password again. The applications with IAM tokens,
/// whose memberships the delegate granted, keep them.
#[test]
fn delegate_changes_its_authentication() {
    for major in versions() {
        let fixture = shop(major);
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        let with_password = match major {
            ..16 => "SCRAM, no rds_iam",
            _ => "SCRAM, admin t inherit f set f",
        };
        assert_eq!(login_of_delegate(&fixture), with_password, "PostgreSQL {major}");
        let application = "SELECT pg_has_role('shop_tokens', 'rds_iam', 'USAGE')";

        expect(&delegate_with_tokens(&fixture).output().unwrap(), 0);
        let with_tokens = match major {
            ..16 => "no password, member",
            _ => "no password, admin t inherit t set t",
        };
        assert_eq!(login_of_delegate(&fixture), with_tokens, "PostgreSQL {major}");
        assert_eq!(fixture.query(application), "t", "PostgreSQL {major}");

        let hazards = ["--allow", "revokes_access,resets_password,changes_secret"];
        expect(&fixture.delegate("dev").args(hazards).output().unwrap(), 0);
        assert_eq!(login_of_delegate(&fixture), with_password, "PostgreSQL {major}");
        assert_eq!(fixture.query(application), "t", "PostgreSQL {major}");
        let again = expect(&fixture.delegate("dev").output().unwrap(), 0);
        assert!(again.contains("Nothing to do"), "PostgreSQL {major}: {again}");
        run(&fixture, SHOP, &["check"], 0);
    }
}

#[test]
fn delegate_needs_a_secret_or_iam_tokens() {
    let fixture = shop(versions()[0]);
    let before = fixture.catalog_state();
    for (arguments, says) in [
        (&[][..], "no secret is given for the password of the delegate"),
        (
            &["--auth", "iam", "--to-secret", "x"],
            "a secret is given for a delegate that logs in with IAM",
        ),
        (&["--auth", "iam", "--secret-kms-key", "alias/x"], "remove --to-secret"),
    ] {
        let printed = expect(&fixture.delegate_of(arguments).output().unwrap(), 64);
        assert!(printed.contains(says), "{says} is not in {printed}");
    }
    assert_eq!(fixture.catalog_state(), before);
}

//! A password is set only if the server reports that the current one is wrong.

use std::process::Output;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rdsprov_testkit::{Intercept, LoginProxy, Server, versions};

use crate::fixture::{Fixture, expect, password};

const TEAMS: &str = "teams/standalone.tfvars";

fn applied_fixture(major: u32) -> Fixture {
    applied_on(Server::start(major).unwrap())
}

fn applied_on(server: Server) -> Fixture {
    let fixture = Fixture::on(server, None);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    expect(&fixture.run(TEAMS, &["apply"]), 0);
    fixture
}

fn stored(fixture: &Fixture) -> String {
    fixture.query(
        "SELECT coalesce(rolpassword, 'none') FROM pg_authid WHERE rolname = 'keycloak_user'",
    )
}

/// The advice after 28000 on a server that has the role `rds_superuser`: no user can edit `pg_hba.conf`.
const NOT_IN_RDS_IAM: &str = "check that the role is not a member of rds_iam or rds_ad";

/// A manual change, the expected note of the plan, and the statement that reverts the change. The
/// password is always right.
const ANSWERS: [(&str, &str, &str); 4] = [
    (
        "ALTER ROLE keycloak_user NOLOGIN",
        "role keycloak_user: LOGIN",
        "ALTER ROLE keycloak_user LOGIN",
    ),
    (
        "ALTER DATABASE keycloak CONNECTION LIMIT 0; REVOKE CONNECT ON DATABASE keycloak FROM keycloak_user",
        "refused[database-unreachable] keycloak: ",
        "ALTER DATABASE keycloak CONNECTION LIMIT -1; GRANT CONNECT ON DATABASE keycloak TO keycloak_user",
    ),
    (
        "ALTER ROLE keycloak_user CONNECTION LIMIT 0",
        "role keycloak_user: CONNECTION LIMIT -1",
        "ALTER ROLE keycloak_user CONNECTION LIMIT -1",
    ),
    (
        "REVOKE CONNECT ON DATABASE keycloak FROM keycloak_user",
        "grant CONNECT on database keycloak to keycloak_user",
        "GRANT CONNECT ON DATABASE keycloak TO keycloak_user",
    ),
];

#[test]
fn only_a_wrong_password_is_reset() {
    for major in versions() {
        let fixture = applied_fixture(major);
        let before = stored(&fixture);
        for (done, says, undone) in ANSWERS {
            fixture.query(done);
            let output = fixture.run(TEAMS, &["plan"]);
            let output_text = expect(&output, output.status.code().unwrap());
            assert!(output_text.contains(says), "PostgreSQL {major}: {done}: {output_text}");
            assert!(
                !output_text.contains("set password"),
                "PostgreSQL {major}: {done}: {output_text}"
            );
            fixture.query(undone);
        }
        // The first matching line of pg_hba.conf decides.
        let rules = fixture.server.data_directory().join("pg_hba.conf");
        let text = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("hostssl all keycloak_user all reject\n{text}")).unwrap();
        fixture.query("SELECT pg_reload_conf()");
        wait_until(&fixture, TEAMS, NOT_IN_RDS_IAM);
        // The same holds for lines with cleartext authentication, which is refused, and without
        // authentication.
        for (method, says) in [
            ("password", "the server asks for the cleartext password"),
            ("trust", "the server accepted the role without a password"),
        ] {
            let line = format!("hostssl all keycloak_user all {method}");
            std::fs::write(&rules, format!("{line}\n{text}")).unwrap();
            fixture.query("SELECT pg_reload_conf()");
            wait_until(&fixture, TEAMS, says);
        }
        std::fs::write(&rules, text).unwrap();
        fixture.query("SELECT pg_reload_conf()");
        wait_until(&fixture, TEAMS, "Nothing to do");
        assert_eq!(stored(&fixture), before);

        fixture.query("ALTER ROLE keycloak_user PASSWORD 'drifted'");
        let output_text = expect(&fixture.run(TEAMS, &["check"]), 2);
        assert!(output_text.contains("set password: role keycloak_user"), "{output_text}");
    }
}

/// No plan can check the password of a role that the definitions let expire.
#[test]
fn password_that_has_expired_as_declared_is_a_note() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(
        r#"application_databases = {
            shop = { database_name = "shop", username = "shop_owner", valid_until = "2001-01-01T00:00:00Z" }
        }"#,
    );
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let text = expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    let note = "note[password-not-checked]: the password of role shop_owner could not be checked and is not changed: \
                it has expired";
    assert!(text.contains(note) && !text.contains("deferred"), "{text}");
}

/// Waits for the plan to report this: the server reloads its configuration asynchronously.
fn wait_until(fixture: &Fixture, definitions: &str, says: &str) {
    for _ in 0..50 {
        let output = fixture.run(definitions, &["plan"]);
        let output_text = expect(&output, 0);
        assert!(!output_text.contains("set password"), "{output_text}");
        if output_text.contains(says) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never reported: {says}");
}

/// Runs the command through a login proxy, without TLS.
fn run_through(proxy: &LoginProxy, fixture: &Fixture, definitions: &str, words: &[&str]) -> Output {
    let secrets = format!("file:{}", fixture.path().display());
    let port = proxy.port().to_string();
    let place = ["--secrets", &secrets, "--tls", "disable", "--host", "127.0.0.1", "--port", &port];
    fixture.without_connection(definitions, &[words, &place].concat()).output().unwrap()
}

/// The server's answer to a login in place of a SCRAM exchange, and the plan's reaction.
const LOGIN_ANSWERS: [(Intercept, &str); 17] = [
    (
        Intercept::Pam,
        "the server asks for the cleartext password; keycloak_user is a member of rds_iam or rds_ad",
    ),
    (
        Intercept::Error("28000", "PAM authentication failed for user \"keycloak_user\""),
        NOT_IN_RDS_IAM,
    ),
    (
        Intercept::Error("28P01", "password authentication failed"),
        "set password: role keycloak_user",
    ),
    (Intercept::Error("28000", "no pg_hba.conf entry for host"), NOT_IN_RDS_IAM),
    (Intercept::Error("28000", "pg_hba.conf rejects connection"), NOT_IN_RDS_IAM),
    (
        Intercept::Error("28000", "role \"x\" is not permitted to log in"),
        "the role lost its LOGIN attribute",
    ),
    (
        Intercept::Error("53300", "sorry, too many clients already"),
        "when the server has free connections",
    ),
    (Intercept::Error("57P03", "the database system is starting up"), "is starting or stopping"),
    (Intercept::Error("57P03", "the database system is shutting down"), "is starting or stopping"),
    (
        Intercept::Error("57P01", "terminating connection"),
        "terminating connection (57P01); run again",
    ),
    (Intercept::Error("08P01", "server login has been failing"), "(08P01); run again"),
    // PostgreSQL sends these after a complete SCRAM exchange, which is missing here.
    (
        Intercept::Error("53300", "too many connections for role \"x\""),
        "when the server has free connections",
    ),
    (Intercept::Error("42501", "permission denied for database \"x\""), "(42501); run again"),
    (Intercept::Error("3D000", "database \"x\" does not exist"), "(3D000); run again"),
    (
        Intercept::Error("55000", "database \"x\" is not currently accepting connections"),
        "(55000); run again",
    ),
    (Intercept::End, "could not be checked and is not changed: cannot connect to 127.0.0.1:"),
    (Intercept::Silence, "no response within 15 s"),
];

#[test]
fn login_errors_are_distinguished() {
    let fixture = applied_on(Server::start_without_tls(versions()[0]).unwrap());
    let left_as_it_is = "note[password-not-checked]: the password of role keycloak_user ";
    for (answer, says) in LOGIN_ANSWERS {
        let proxy = LoginProxy::start(&fixture.server, move |role| {
            (role == "keycloak_user").then_some(answer)
        })
        .unwrap();
        let output_text = expect(&run_through(&proxy, &fixture, TEAMS, &["plan"]), 0);
        let sets = says.starts_with("set password");
        assert_eq!(output_text.contains("set password"), sets, "{answer:?}: {output_text}");
        assert_eq!(output_text.contains(left_as_it_is), !sets, "{answer:?}: {output_text}");
        assert!(output_text.contains(says), "{answer:?}: {output_text}");
        let is_edited = output_text.contains("that `pg_hba.conf` allows")
            || output_text.contains("in `pg_hba.conf`");
        assert!(!is_edited, "{answer:?}: {output_text}");
    }
}

/// The number of parallel logins is bounded, so that a thousand roles do not overload a server.
#[test]
fn at_most_eight_logins_run_in_parallel() {
    const ROLES: usize = 24;
    let fixture = Fixture::on(Server::start_without_tls(versions()[0]).unwrap(), None);
    let mut text = "application_databases = {\n".to_owned();
    for n in 0..ROLES {
        let level = if n == 0 { "owner" } else { "reader" };
        text.push_str(&format!(
            "  app{n} = {{ database_name = \"shop\", username = \"user{n}\", access_level = \"{level}\" }}\n"
        ));
        fixture.app("dev", &format!("app{n}"), &format!("user{n}"));
    }
    let definitions = fixture.definitions(&(text + "}\n"));
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);

    /// The current, the highest and the total number of logins.
    #[derive(Default)]
    struct Logins {
        now: usize,
        most: usize,
        all: usize,
    }
    let logins = Arc::new((Mutex::new(Logins::default()), Condvar::new()));
    let proxy = {
        let logins = logins.clone();
        LoginProxy::start(&fixture.server, move |role| {
            if !role.starts_with("user") {
                return None;
            }
            let (waiting, changed) = &*logins;
            let mut at_gate = waiting.lock().unwrap();
            at_gate.now += 1;
            at_gate.all += 1;
            at_gate.most = at_gate.most.max(at_gate.now);
            changed.notify_all();
            // Waits until eight are there, and a while longer for a possible ninth.
            let patience = Duration::from_secs(10);
            drop(changed.wait_timeout_while(at_gate, patience, |all| all.most < 8).unwrap());
            std::thread::sleep(Duration::from_millis(200));
            waiting.lock().unwrap().now -= 1;
            None
        })
        .unwrap()
    };
    expect(&run_through(&proxy, &fixture, &definitions, &["check", "--env", "dev"]), 0);
    let seen = logins.0.lock().unwrap();
    assert_eq!((seen.most, seen.all), (8, ROLES));
}

/// The login of an owner reads the catalogs, in one read-only transaction. That of another role sends no statement.
#[test]
fn password_checks_only_read() {
    const OF_OWNER: [&str; 3] = [
        "statement: SET statement_timeout = 0; SET search_path TO pg_catalog, pg_temp; ",
        "statement: BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; ",
        "execute <unnamed>: SELECT CASE WHEN octet_length(r.document) ",
    ];
    for major in versions() {
        let fixture = Fixture::new(major);
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop    = { database_name = "shop", username = "shop_owner" }
                reports = { database_name = "shop", username = "analyst", access_level = "reader" }
            }"#,
        );
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "reports", "analyst");
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        for sql in [
            "ALTER SYSTEM SET log_line_prefix = 'by %u: '",
            "ALTER SYSTEM SET log_connections = on",
            "ALTER SYSTEM SET log_disconnections = on",
            "SELECT pg_reload_conf()",
        ] {
            fixture.query(sql);
        }
        let (mut of_owner, mut of_reader) = (Vec::new(), Vec::new());
        // The server reloads its configuration asynchronously.
        for _ in 0..50 {
            let mark = fixture.server.log().len();
            expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
            let log = fixture.server.log()[mark..].to_owned();
            let of_role = |role: &str| -> Vec<String> {
                let by_role = format!("by {role}: ");
                let lines = log.lines().filter_map(|line| line.strip_prefix(&by_role));
                lines.filter_map(|line| line.strip_prefix("LOG:  ")).map(str::to_owned).collect()
            };
            (of_owner, of_reader) = (of_role("shop_owner"), of_role("analyst"));
            if [&of_owner, &of_reader]
                .iter()
                .all(|lines| lines.iter().any(|line| line.contains("disconnection")))
            {
                break;
            }
        }
        let ends = ["connection authenticated", "disconnection: "];
        for (lines, allowed) in [(of_owner, &OF_OWNER[..]), (of_reader, &[])] {
            let (authorized, others): (Vec<_>, Vec<_>) =
                lines.iter().partition(|line| line.starts_with("connection authorized"));
            assert!(authorized.len() == 1 && authorized[0].contains("SSL enabled"), "{lines:?}");
            let begins =
                |line: &&String| !ends.iter().chain(allowed).any(|begin| line.starts_with(begin));
            let unexpected: Vec<_> = others.into_iter().filter(begins).collect();
            assert!(unexpected.is_empty(), "PostgreSQL {major}: {unexpected:?}");
        }
    }
}

#[test]
fn password_checks_are_configurable() {
    let fixture = applied_fixture(versions()[0]);
    fixture.query("ALTER ROLE keycloak_user PASSWORD 'drifted'");
    let never = ["check", "--verify-passwords", "never"];
    let text = expect(&fixture.run(TEAMS, &never), 0);
    for words in ["note[password-checks-off]: ", "password checks never (--verify-passwords)"] {
        assert!(text.contains(words), "{text}");
    }
    let always = ["apply", "--verify-passwords", "always-set"];
    let output_text = expect(&fixture.run(TEAMS, &always), 0);
    assert_eq!(output_text.matches("set_password,success").count(), 2, "{output_text}");
    let own = password("keycloak");
    fixture.server.sql_as("keycloak_user", &own, "keycloak", "SELECT 1").unwrap();
    expect(&fixture.run(TEAMS, &["check"]), 0);
}

/// A superuser can read the verifiers: they are compared, and no role logs in.
#[test]
fn superuser_compares_verifiers() {
    for major in versions() {
        let fixture = applied_fixture(major);
        for sql in [
            "CREATE ROLE root_admin SUPERUSER LOGIN PASSWORD 'Canary-root'",
            "ALTER SYSTEM SET log_connections = on",
            "SELECT pg_reload_conf()",
        ] {
            fixture.query(sql);
        }
        let secret = fixture.server.admin_secret();
        let secret = secret
            .replace("platform_admin", "root_admin")
            .replace(fixture.server.master_password(), "Canary-root");
        fixture.secret("goldenpath/dev/rds/root", &secret);
        let check = ["check", "--admin-secret", "goldenpath/dev/rds/root"];
        let mark = fixture.server.log().len();
        expect(&fixture.run(TEAMS, &check), 0);
        let log = &fixture.server.log()[mark..];
        assert!(log.contains("user=root_admin") && !log.contains("user=keycloak_user"), "{log}");
        fixture.query(
            "ALTER ROLE keycloak_user PASSWORD 'drifted'; ALTER ROLE backstage_user PASSWORD NULL",
        );
        let output_text = expect(&fixture.run(TEAMS, &check), 2);
        assert_eq!(output_text.matches("set password: role").count(), 2, "{output_text}");
    }
}

#[test]
fn verifiers_follow_saslprep() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "backstage", "backstage_user");
        // SASLprep removes the soft hyphen and replaces the numeral.
        let text = "Canary-I\u{ad}X-\u{2168}";
        fixture.secret("goldenpath/dev/keycloak/postgres", &format!(r#"{{"password": "{text}"}}"#));
        if major >= 16 {
            fixture.query("ALTER SYSTEM SET scram_iterations = 5000");
            fixture.query("SELECT pg_reload_conf()");
        }
        expect(&fixture.run(TEAMS, &["apply"]), 0);
        for same in [text, "Canary-IX-IX"] {
            fixture.server.sql_as("keycloak_user", same, "keycloak", "SELECT 1").unwrap();
        }
        let iterations = if major >= 16 { 5000 } else { 4096 };
        assert!(stored(&fixture).starts_with(&format!("SCRAM-SHA-256${iterations}:")));
        expect(&fixture.run(TEAMS, &["check"]), 0);
    }
}

#[test]
fn password_policies_of_configuration_and_server() {
    let fixture = Fixture::new(*versions().last().unwrap());
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    let catalog_state = fixture.catalog_state();
    let toml = fixture.path().join("rdsprov.toml");
    std::fs::write(&toml, "[passwords]\nminimum_length = 100\n").unwrap();
    let output_text = expect(&fixture.run(TEAMS, &["apply"]), 3);
    assert_eq!(output_text.matches("\nrefused[password-too-short]").count(), 2, "{output_text}");
    assert!(output_text.contains("fewer than 100 characters"), "{output_text}");
    std::fs::remove_file(toml).unwrap();

    fixture.query("REVOKE rds_password FROM rds_superuser");
    fixture.query("ALTER DATABASE platform SET rds.restrict_password_commands = on");
    let output_text = expect(&fixture.run(TEAMS, &["apply"]), 3);
    assert!(output_text.contains(r#"GRANT "rds_password" TO "platform_admin""#), "{output_text}");
    assert_eq!(fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'keycloak_user'"), "0");
    assert_ne!(fixture.catalog_state(), catalog_state);
    fixture.query(r#"GRANT "rds_password" TO "platform_admin""#);
    fixture.query("ALTER DATABASE platform SET password_encryption = md5");
    let output_text = expect(&fixture.run(TEAMS, &["apply"]), 0);
    assert!(output_text.contains("note[password-encryption-differs]: "), "{output_text}");
    assert!(stored(&fixture).starts_with("SCRAM-SHA-256$"));
}

/// A server that accepts connections and never answers, such as a proxy that hangs.
#[test]
fn silent_server_times_out() {
    let fixture = applied_fixture(versions()[0]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let words = ["plan", "--host", "localhost", "--port", &port, "--connect-timeout", "2s"];
    let printed = expect(&fixture.run(TEAMS, &words), 1);
    assert!(printed.contains("no response within 2 s"), "{printed}");
}

/// Errors that occur before the server verifies a password, or after.
#[test]
fn connection_limits_do_not_reset_passwords() {
    for major in versions() {
        let fixture = applied_fixture(major);
        let before = stored(&fixture);
        fixture.query("ALTER DATABASE keycloak CONNECTION LIMIT 0");
        let printed = expect(&fixture.run(TEAMS, &["plan"]), 3);
        assert!(printed.contains("refused[database-unreachable] keycloak: "), "{printed}");
        assert!(!printed.contains("set password"), "{printed}");
        fixture.query("ALTER DATABASE keycloak CONNECTION LIMIT -1");
        // Uses all slots for roles that are not superusers, except one for the command itself.
        let mut sessions: Vec<_> =
            std::iter::from_fn(|| fixture.server.master_session("postgres").ok()).collect();
        sessions.pop();
        let connected = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'platform_admin'";
        while fixture.query(connected) != sessions.len().to_string() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = fixture.run(TEAMS, &["plan"]);
        let printed = expect(&output, output.status.code().unwrap());
        assert!(printed.contains("too many clients") || printed.contains("reserved"), "{printed}");
        assert!(!printed.contains("set password"), "{printed}");
        drop(sessions);
        assert_eq!(stored(&fixture), before, "PostgreSQL {major}");
    }
}

/// RDS does not accept a password from a member of `rds_iam`: it is neither checked nor set.
#[test]
fn iam_role_has_no_password() {
    for major in versions() {
        let fixture = applied_fixture(major);
        assert!(stored(&fixture).starts_with("SCRAM-SHA-256$"));
        let definitions = fixture.definitions(
            r#"application_databases = {
                 keycloak = { database_name = "keycloak", username = "keycloak_user", auth = "iam" }
               }"#,
        );
        let site = ["--env", "dev"];
        let apply = ["apply", "--allow", "changes_secret"];
        expect(&fixture.run(&definitions, &[&apply, site.as_slice()].concat()), 0);
        assert_eq!(stored(&fixture), "none", "PostgreSQL {major}");
        let mark = fixture.server.log().len();
        expect(&fixture.run(&definitions, &[&["check"], site.as_slice()].concat()), 0);
        assert!(
            !fixture.server.log()[mark..].contains("keycloak_user\""),
            "the password was checked"
        );
        // The password is set again once it is declared.
        expect(&fixture.run(TEAMS, &apply), 0);
        assert!(stored(&fixture).starts_with("SCRAM-SHA-256$"), "PostgreSQL {major}");
    }
}

/// RDS allows `VALID UNTIL` and `PASSWORD NULL` only to members of `rds_password`, too.
#[test]
fn restricted_password_commands_are_found_beforehand() {
    for major in versions() {
        let fixture = applied_fixture(major);
        fixture.query("REVOKE rds_password FROM rds_superuser");
        fixture.query("ALTER DATABASE platform SET rds.restrict_password_commands = on");
        // Nothing to set.
        expect(&fixture.run(TEAMS, &["apply"]), 0);
        let before = fixture.catalog_state();
        let entry = |keys: &str| {
            fixture.definitions(&format!(
                r#"application_databases = {{
                  keycloak = {{ database_name = "keycloak", username = "keycloak_user"{keys} }}
                }}"#
            ))
        };
        let allow = ["apply", "--env", "dev", "--allow", "changes_secret"];
        for keys in [r#", valid_until = "2040-01-01T00:00:00Z""#, r#", auth = "iam""#] {
            let printed = expect(&fixture.run(&entry(keys), &allow), 3);
            let refused = "refused[set-password-restricted] keycloak: only members of rds_password \
                           may change passwords and VALID UNTIL";
            assert!(printed.contains(refused), "PostgreSQL {major}: {keys}: {printed}");
            assert_eq!(fixture.catalog_state(), before, "PostgreSQL {major}: {keys}");
        }
        // Each application is refused, so that nothing fails half-way with `--no-fail-fast`.
        fixture
            .query("ALTER ROLE keycloak_user PASSWORD 'a'; ALTER ROLE backstage_user PASSWORD 'b'");
        let before = fixture.catalog_state();
        let printed = expect(&fixture.run(TEAMS, &["apply", "--no-fail-fast"]), 3);
        for application in ["keycloak", "backstage"] {
            let refused = format!("refused[set-password-restricted] {application}: ");
            assert!(printed.contains(&refused), "PostgreSQL {major}: {printed}");
        }
        assert_eq!(fixture.catalog_state(), before, "PostgreSQL {major}");
        fixture.query("GRANT rds_password TO platform_admin");
        expect(&fixture.run(&entry(r#", valid_until = "2040-01-01T00:00:00Z""#), &allow), 0);
    }
}

/// A hook sees a verifier only, and can refuse it: `passwordcheck` compares it with the role name.
#[test]
fn password_that_the_server_refuses_is_named() {
    for major in versions() {
        let server =
            Server::start_with_settings(major, "shared_preload_libraries = 'passwordcheck'")
                .unwrap();
        let fixture = Fixture::on(server, None);
        fixture.secret(
            "goldenpath/dev/shop/postgres",
            r#"{"username": "shop_owner", "password": "shop_owner"}"#,
        );
        let definitions = fixture.definitions(
            r#"application_databases = {
              shop = { database_name = "shop", username = "shop_owner" }
            }"#,
        );
        let printed = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 1);
        for says in [
            "password must not equal user name (22023)",
            "create role shop_owner",
            "store a password that the server accepts in secret goldenpath/dev/shop/postgres",
        ] {
            assert!(printed.contains(says), "PostgreSQL {major}: {says} is not in {printed}");
        }
        fixture.app("dev", "shop", "shop_owner");
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    }
}

/// An error after a login without a password (`trust`) proves no password.
#[test]
fn error_without_a_password_proves_nothing() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "backstage", "backstage_user");
        expect(&fixture.run(TEAMS, &["apply"]), 0);
        let rules = fixture.server.data_directory().join("pg_hba.conf");
        let text = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("hostssl all keycloak_user all trust\n{text}")).unwrap();
        fixture.query("SELECT pg_reload_conf(); REVOKE CONNECT ON DATABASE platform FROM PUBLIC");
        fixture.query("ALTER ROLE keycloak_user PASSWORD 'another'");
        let denied = fixture.server.sql_as("keycloak_user", "none", "platform", "SELECT 1");
        assert!(denied.unwrap_err().to_string().contains("permission denied for database"));
        let text = expect(&fixture.run(TEAMS, &["plan"]), 0);
        assert!(text.contains("could not be checked and is not changed"), "{major}: {text}");
    }
}

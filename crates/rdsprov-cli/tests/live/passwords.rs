//! A password is set only if the server reports that the current one is wrong.

use std::process::Output;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rdsprov_testkit::{Gate, Instead, Server, versions};

use crate::bench::{Bench, expect, password};

const TEAMS: &str = "teams/standalone.tfvars";

fn applied(major: u32) -> Bench {
    applied_on(Server::start(major).unwrap())
}

fn applied_on(server: Server) -> Bench {
    let bench = Bench::on(server, None);
    bench.app("dev", "keycloak", "keycloak_user");
    bench.app("dev", "backstage", "backstage_user");
    expect(&bench.run(TEAMS, &["apply"]), 0);
    bench
}

fn stored(bench: &Bench) -> String {
    bench.query(
        "SELECT coalesce(rolpassword, 'none') FROM pg_authid WHERE rolname = 'keycloak_user'",
    )
}

/// A manual change, the expected note of the plan, and the statement that reverts the change. The
/// password is always right.
const ANSWERS: [(&str, &str, &str); 5] = [
    (
        "ALTER ROLE keycloak_user NOLOGIN",
        "whether the password of role keycloak_user is right: it cannot log in yet",
        "ALTER ROLE keycloak_user LOGIN",
    ),
    (
        "ALTER ROLE keycloak_user VALID UNTIL '2001-01-01'",
        "whether the password of role keycloak_user is right: it cannot log in yet",
        "ALTER ROLE keycloak_user VALID UNTIL 'infinity'",
    ),
    (
        "ALTER DATABASE keycloak CONNECTION LIMIT 0; REVOKE CONNECT ON DATABASE keycloak FROM keycloak_user",
        "database keycloak cannot be looked into",
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
fn no_answer_but_wrong_password_leads_to_a_reset() {
    for major in versions() {
        let bench = applied(major);
        let before = stored(&bench);
        for (done, says, undone) in ANSWERS {
            bench.query(done);
            let output = bench.run(TEAMS, &["plan"]);
            let shown = expect(&output, output.status.code().unwrap());
            assert!(shown.contains(says), "PostgreSQL {major}: {done}: {shown}");
            assert!(!shown.contains("set_password"), "PostgreSQL {major}: {done}: {shown}");
            bench.query(undone);
        }
        // The first matching line of pg_hba.conf decides.
        let rules = bench.server.data_directory().join("pg_hba.conf");
        let text = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("hostssl all keycloak_user all reject\n{text}")).unwrap();
        bench.query("SELECT pg_reload_conf()");
        wait_until(&bench, TEAMS, "pg_hba.conf does not let the role in from here");
        // The same holds for lines with cleartext authentication, which is refused, and without
        // authentication.
        for (method, says) in [
            ("password", "the server asks for the password itself"),
            ("trust", "the server lets the role in without asking for a password"),
        ] {
            let line = format!("hostssl all keycloak_user all {method}");
            std::fs::write(&rules, format!("{line}\n{text}")).unwrap();
            bench.query("SELECT pg_reload_conf()");
            wait_until(&bench, TEAMS, says);
        }
        std::fs::write(&rules, text).unwrap();
        bench.query("SELECT pg_reload_conf()");
        wait_until(&bench, TEAMS, "Nothing to do");
        assert_eq!(stored(&bench), before);

        bench.query("ALTER ROLE keycloak_user PASSWORD 'drifted'");
        let shown = expect(&bench.run(TEAMS, &["check"]), 2);
        assert!(shown.contains("set_password role keycloak_user"), "{shown}");
    }
}

/// Waits for the plan to report this: the server reloads its configuration asynchronously.
fn wait_until(bench: &Bench, definitions: &str, says: &str) {
    for _ in 0..50 {
        let output = bench.run(definitions, &["plan"]);
        let shown = expect(&output, 0);
        assert!(!shown.contains("set_password"), "{shown}");
        if shown.contains(says) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never reported: {says}");
}

/// Runs the command through a login proxy, without TLS.
fn over(gate: &Gate, bench: &Bench, definitions: &str, words: &[&str]) -> Output {
    let secrets = format!("file:{}", bench.path().display());
    let port = gate.port().to_string();
    let place = ["--secrets", &secrets, "--tls", "disable", "--host", "127.0.0.1", "--port", &port];
    bench.bare(definitions, &[words, &place].concat()).output().unwrap()
}

/// The server's answer to a login, and the plan's reaction: none if the server has verified the
/// password before.
const TOLD: [(Instead, &str); 16] = [
    (Instead::Error("28P01", "password authentication failed"), "set_password role keycloak_user"),
    (Instead::Error("28000", "no pg_hba.conf entry for host"), "pg_hba.conf does not let the role"),
    (
        Instead::Error("28000", "pg_hba.conf rejects connection"),
        "pg_hba.conf does not let the role",
    ),
    (Instead::Error("28000", "role \"x\" is not permitted to log in"), "just taken LOGIN from it"),
    (Instead::Error("53300", "sorry, too many clients already"), "the server is full"),
    (Instead::Error("57P03", "the database system is starting up"), "is starting or stopping"),
    (Instead::Error("57P03", "the database system is shutting down"), "is starting or stopping"),
    (
        Instead::Error("57P01", "terminating connection"),
        "terminating connection (57P01); run again",
    ),
    (Instead::Error("08P01", "server login has been failing"), "(08P01); run again"),
    (Instead::Error("53300", "too many connections for role \"x\""), ""),
    (Instead::Error("53300", "remaining connection slots are reserved"), ""),
    (Instead::Error("42501", "permission denied for database \"x\""), ""),
    (Instead::Error("3D000", "database \"x\" does not exist"), ""),
    (Instead::Error("55000", "database \"x\" is not currently accepting connections"), ""),
    (Instead::End, "could not be checked and is left as it is: cannot connect to 127.0.0.1:"),
    (Instead::Silence, "no answer within 15 s"),
];

#[test]
fn each_answer_to_a_login_is_told_apart() {
    let bench = applied_on(Server::start_without_tls(versions()[0]).unwrap());
    let left_as_it_is =
        "the password of role keycloak_user could not be checked and is left as it is";
    for (told, says) in TOLD {
        let gate =
            Gate::start(&bench.server, move |role| (role == "keycloak_user").then_some(told))
                .unwrap();
        let shown = expect(&over(&gate, &bench, TEAMS, &["plan"]), 0);
        let sets = says.starts_with("set_password");
        assert_eq!(shown.contains("set_password"), sets, "{told:?}: {shown}");
        let is_open = !says.is_empty() && !sets;
        assert_eq!(shown.contains(left_as_it_is), is_open, "{told:?}: {shown}");
        assert!(shown.contains(says), "{told:?}: {shown}");
    }
}

/// The number of parallel logins is bounded, so that a thousand roles do not overload a server.
#[test]
fn eight_log_in_at_once_and_no_more() {
    const ROLES: usize = 24;
    let bench = Bench::on(Server::start_without_tls(versions()[0]).unwrap(), None);
    let mut text = "application_databases = {\n".to_owned();
    for n in 0..ROLES {
        let level = if n == 0 { "owner" } else { "reader" };
        text.push_str(&format!(
            "  app{n} = {{ database_name = \"shop\", username = \"user{n}\", access_level = \"{level}\" }}\n"
        ));
        bench.app("dev", &format!("app{n}"), &format!("user{n}"));
    }
    let definitions = bench.definitions(&(text + "}\n"));
    expect(&bench.run(&definitions, &["apply", "--env", "dev"]), 0);

    /// The current, the highest and the total number of logins.
    #[derive(Default)]
    struct Logins {
        now: usize,
        most: usize,
        all: usize,
    }
    let logins = Arc::new((Mutex::new(Logins::default()), Condvar::new()));
    let gate = {
        let logins = logins.clone();
        Gate::start(&bench.server, move |role| {
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
    expect(&over(&gate, &bench, &definitions, &["check", "--env", "dev"]), 0);
    let seen = logins.0.lock().unwrap();
    assert_eq!((seen.most, seen.all), (8, ROLES));
}

/// The password check sends no statement.
#[test]
fn a_login_leaves_nothing_but_itself() {
    for major in versions() {
        let bench = applied(major);
        for sql in [
            "ALTER SYSTEM SET log_line_prefix = 'by %u: '",
            "ALTER SYSTEM SET log_connections = on",
            "ALTER SYSTEM SET log_disconnections = on",
            "SELECT pg_reload_conf()",
        ] {
            bench.query(sql);
        }
        let mut of_role = Vec::new();
        // The server reloads its configuration asynchronously.
        for _ in 0..50 {
            let mark = bench.server.log().len();
            expect(&bench.run(TEAMS, &["check"]), 0);
            let log = bench.server.log()[mark..].to_owned();
            let lines = log.lines().filter_map(|line| line.strip_prefix("by keycloak_user: "));
            of_role = lines.map(str::to_owned).collect();
            if of_role.iter().any(|line| line.contains("disconnection")) {
                break;
            }
        }
        let (authorized, others): (Vec<_>, Vec<_>) =
            of_role.iter().partition(|line| line.contains("connection authorized"));
        assert!(authorized.len() == 1 && authorized[0].contains("SSL enabled"), "{of_role:?}");
        for line in others {
            let of_connection =
                line.contains("connection authenticated") || line.contains("disconnection: ");
            assert!(of_connection, "PostgreSQL {major}: {line}");
        }
    }
}

#[test]
fn whether_to_ask_can_be_chosen() {
    let bench = applied(versions()[0]);
    bench.query("ALTER ROLE keycloak_user PASSWORD 'drifted'");
    let never = ["check", "--verify-passwords", "never"];
    expect(&bench.run(TEAMS, &never), 0);
    let always = ["apply", "--verify-passwords", "always-set"];
    let shown = expect(&bench.run(TEAMS, &always), 0);
    assert_eq!(shown.matches("set_password,success").count(), 2, "{shown}");
    let own = password("keycloak");
    bench.server.sql_as("keycloak_user", &own, "keycloak", "SELECT 1").unwrap();
    expect(&bench.run(TEAMS, &["check"]), 0);
}

/// A superuser can read the verifiers: they are compared, and no role logs in.
#[test]
fn a_superuser_compares_verifiers() {
    for major in versions() {
        let bench = applied(major);
        for sql in [
            "CREATE ROLE root_admin SUPERUSER LOGIN PASSWORD 'Canary-root'",
            "ALTER SYSTEM SET log_connections = on",
            "SELECT pg_reload_conf()",
        ] {
            bench.query(sql);
        }
        let secret = bench.server.admin_secret();
        let secret = secret
            .replace("platform_admin", "root_admin")
            .replace(bench.server.master_password(), "Canary-root");
        bench.secret("goldenpath/dev/rds/root", &secret);
        let check = ["check", "--admin-secret", "goldenpath/dev/rds/root"];
        let mark = bench.server.log().len();
        expect(&bench.run(TEAMS, &check), 0);
        let log = &bench.server.log()[mark..];
        assert!(log.contains("user=root_admin") && !log.contains("user=keycloak_user"), "{log}");
        bench.query(
            "ALTER ROLE keycloak_user PASSWORD 'drifted'; ALTER ROLE backstage_user PASSWORD NULL",
        );
        let shown = expect(&bench.run(TEAMS, &check), 2);
        assert_eq!(shown.matches("set_password role").count(), 2, "{shown}");
    }
}

#[test]
fn verifiers_are_as_the_server_and_rfc_4013_want_them() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "backstage", "backstage_user");
        // SASLprep removes the soft hyphen and replaces the numeral.
        let text = "Canary-I\u{ad}X-\u{2168}";
        bench.secret("goldenpath/dev/keycloak/postgres", &format!(r#"{{"password": "{text}"}}"#));
        if major >= 16 {
            bench.query("ALTER SYSTEM SET scram_iterations = 5000");
            bench.query("SELECT pg_reload_conf()");
        }
        expect(&bench.run(TEAMS, &["apply"]), 0);
        for same in [text, "Canary-IX-IX"] {
            bench.server.sql_as("keycloak_user", same, "keycloak", "SELECT 1").unwrap();
        }
        let iterations = if major >= 16 { 5000 } else { 4096 };
        assert!(stored(&bench).starts_with(&format!("SCRAM-SHA-256${iterations}:")));
        expect(&bench.run(TEAMS, &["check"]), 0);
    }
}

#[test]
fn what_a_site_and_a_server_ask_of_passwords() {
    let bench = Bench::new(*versions().last().unwrap());
    bench.app("dev", "keycloak", "keycloak_user");
    bench.app("dev", "backstage", "backstage_user");
    let picture = bench.picture();
    let toml = bench.path().join("rdsprov.toml");
    std::fs::write(&toml, "[passwords]\nminimum_length = 100\n").unwrap();
    let shown = expect(&bench.run(TEAMS, &["apply"]), 3);
    assert_eq!(shown.matches("refused (").count(), 2, "{shown}");
    assert!(shown.contains("less than 100 characters"), "{shown}");
    std::fs::remove_file(toml).unwrap();

    bench.query("REVOKE rds_password FROM rds_superuser");
    bench.query("ALTER DATABASE platform SET rds.restrict_password_commands = on");
    let shown = expect(&bench.run(TEAMS, &["apply"]), 3);
    assert!(shown.contains(r#"GRANT "rds_password" TO "platform_admin""#), "{shown}");
    assert_eq!(bench.query("SELECT count(*) FROM pg_roles WHERE rolname = 'keycloak_user'"), "0");
    assert_ne!(bench.picture(), picture);
    bench.query(r#"GRANT "rds_password" TO "platform_admin""#);
    bench.query("ALTER DATABASE platform SET password_encryption = md5");
    let shown = expect(&bench.run(TEAMS, &["apply"]), 0);
    assert!(shown.contains("password_encryption is md5"), "{shown}");
    assert!(stored(&bench).starts_with("SCRAM-SHA-256$"));
}

/// A server that accepts connections and never answers, such as a proxy that hangs.
#[test]
fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let bench = applied(versions()[0]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let said = expect(&bench.run(TEAMS, &["plan", "--host", "localhost", "--port", &port]), 1);
    assert!(said.contains("no answer within 15 s"), "{said}");
}

/// Errors that occur before the server verifies a password, or after.
#[test]
fn a_full_server_and_a_full_database_say_nothing_against_a_password() {
    for major in versions() {
        let bench = applied(major);
        let before = stored(&bench);
        bench.query("ALTER DATABASE keycloak CONNECTION LIMIT 0");
        let said = expect(&bench.run(TEAMS, &["plan"]), 3);
        assert!(said.contains("database keycloak cannot be looked into"), "{said}");
        assert!(!said.contains("set_password"), "{said}");
        bench.query("ALTER DATABASE keycloak CONNECTION LIMIT -1");
        // Uses all slots for roles that are not superusers, except one for the command itself.
        let mut sessions: Vec<_> =
            std::iter::from_fn(|| bench.server.master_session("postgres").ok()).collect();
        sessions.pop();
        let there = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'platform_admin'";
        while bench.query(there) != sessions.len().to_string() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = bench.run(TEAMS, &["plan"]);
        let said = expect(&output, output.status.code().unwrap());
        assert!(said.contains("too many clients") || said.contains("reserved"), "{said}");
        assert!(!said.contains("set_password"), "{said}");
        drop(sessions);
        assert_eq!(stored(&bench), before, "PostgreSQL {major}");
    }
}

/// RDS does not accept a password from a member of `rds_iam`: it is neither checked nor set.
#[test]
fn a_role_that_comes_with_tokens_has_no_password() {
    for major in versions() {
        let bench = applied(major);
        assert!(stored(&bench).starts_with("SCRAM-SHA-256$"));
        let definitions = bench.definitions(
            r#"application_databases = {
                 keycloak = { database_name = "keycloak", username = "keycloak_user", auth = "iam" }
               }"#,
        );
        let site = ["--env", "dev"];
        expect(&bench.run(&definitions, &[&["apply"], site.as_slice()].concat()), 0);
        assert_eq!(stored(&bench), "none", "PostgreSQL {major}");
        let mark = bench.server.log().len();
        expect(&bench.run(&definitions, &[&["check"], site.as_slice()].concat()), 0);
        assert!(
            !bench.server.log()[mark..].contains("keycloak_user\""),
            "the password was checked"
        );
        // The password is set again once it is declared.
        expect(&bench.run(TEAMS, &["apply"]), 0);
        assert!(stored(&bench).starts_with("SCRAM-SHA-256$"), "PostgreSQL {major}");
    }
}

//! `rdsprov preflight` names each thing that would stop a run, and changes nothing.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rcgen::date_time_ymd;
use rdsprov_core::preflight::CheckName;
use rdsprov_core::schema::Document;
use rdsprov_testkit::{RdsProxy, Server, TopologyFunction, versions};
use serde_json::Value;

use crate::fixture::{DELEGATE_SECRET, Fixture, expect, program, writes};
use crate::schema::assert_valid;
use crate::tls::{Authority, TlsFixture, named};

const DEFINITIONS: &str = r#"application_databases = {
  shop         = { database_name = "shop", username = "shop_owner" }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

/// The first key of the advisory locks of runs.
const CLASS: i32 = i32::from_be_bytes(*b"rdsp");

/// The lines of a report.
struct Report(Value);

impl Report {
    /// Runs a command, and expects a valid report and the exit code.
    #[track_caller]
    fn of(command: &mut Command, code: i32) -> Self {
        let output = command.args(["--format", "json"]).output().unwrap();
        let text = expect(&output, code);
        let Ok(report) = serde_json::from_slice(&output.stdout) else { panic!("{text}") };
        assert_valid(Document::Preflight, &report);
        let report = Self(report);
        // Each check has a line, whatever has failed.
        let names: BTreeSet<&str> =
            report.checks().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, CheckName::all().map(CheckName::name).collect(), "{text}");
        report
    }

    fn checks(&self) -> &[Value] {
        self.0["checks"].as_array().unwrap()
    }

    /// Returns the lines with a status, each as `name (subject): message [code] hint`.
    fn lines(&self, status: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found = self.checks().iter().filter(|one| one["status"] == status);
        let line = |one: &Value| {
            let [name, subject, message, code] =
                ["name", "subject", "message", "code"].map(|key| text(&one[key]));
            let hints: Vec<String> = one["hints"].as_array().unwrap().iter().map(text).collect();
            let hint = hints.join("; ");
            let subject = if subject.is_empty() { subject } else { format!(" ({subject})") };
            format!("{name}{subject}: {message} [{code}] {hint}")
        };
        found.map(line).collect()
    }

    /// Expects one line with this status, which contains the texts, and no worse one.
    #[track_caller]
    fn expect(&self, status: &str, texts: &[&str]) {
        let lines = self.lines(status);
        let [line] = lines.as_slice() else { panic!("{:#}", self.0) };
        for text in texts {
            assert!(line.contains(text), "`{text}` is not in: {line}");
        }
        assert_eq!(self.0["status"], status, "{:#}", self.0);
    }

    /// Expects that the checks from this one on are not made, because another one has failed.
    #[track_caller]
    fn expect_skipped(&self, first: CheckName, because_of: CheckName) {
        let reason = format!("not checked, because `{because_of}` has failed []");
        for name in CheckName::all().filter(|name| *name >= first && *name != because_of) {
            let skipped = self.lines("skipped");
            let is_found = skipped.iter().any(|one| *one == format!("{name}: {reason} "));
            assert!(is_found, "{name}: {skipped:#?}");
        }
    }
}

fn preflight(fixture: &Fixture, definitions: &str, more: &[&str]) -> Command {
    fixture.command(definitions, &[&["preflight", "--env", "dev"], more].concat())
}

/// Returns the paths of all files below a directory.
fn files(fixture: &Fixture) -> String {
    let output = Command::new("find").arg(fixture.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn everything_is_fine_and_nothing_is_written() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        fixture.disable_background_writes();
        let arguments = ["--audit-output", "new/audit.csv", "--audit-ledger", "new/ledger.jsonl"];
        for changes in ["platform_admin may make them: ", ""] {
            let state = |fixture: &Fixture| (fixture.catalog_state(), files(fixture));
            // The first reader of a page after a change can write WAL.
            Report::of(&mut preflight(&fixture, &definitions, &arguments), 0);
            let (before, log) = (state(&fixture), fixture.server.log().len());
            let report = fixture
                .without_wal(|| Report::of(&mut preflight(&fixture, &definitions, &arguments), 0));
            assert_eq!(state(&fixture), before, "PostgreSQL {major}");
            assert_eq!(writes(&fixture.server.log()[log..]), Vec::<String>::new());
            for status in ["warning", "refused", "failed"] {
                assert_eq!(report.lines(status), Vec::<String>::new(), "PostgreSQL {major}");
            }
            let passed = report.lines("passed").join("\n");
            for text in [
                "definitions: 2 applications, 2 roles and 1 database",
                "records: new/audit.csv and new/ledger.jsonl can be written",
                "secrets: 2 secrets exist",
                "dns: localhost has an address",
                "tls: the server certificate is trusted and names the host; CN=",
                "login: as platform_admin in database platform",
                &format!("server: PostgreSQL {major}."),
                " on Amazon RDS",
                "connections left",
                "lock: no other run holds it",
                if changes.is_empty() { "changes: there is nothing to change" } else { changes },
            ] {
                assert!(passed.contains(text), "PostgreSQL {major}: `{text}`: {passed}");
            }
            expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        }
        let text = expect(&preflight(&fixture, &definitions, &[]).output().unwrap(), 0);
        let port = fixture.server.port();
        let heading = format!("Preflight of environment dev on localhost:{port}\n\n✓ definitions");
        assert!(text.starts_with(&heading), "{text}");
        assert!(text.contains("\n- rotation: the source of the secrets does not"), "{text}");
        assert!(text.ends_with("17 checks: 15 passed, 2 not made.\n"), "{text}");
        let markdown = ["--format", "markdown"];
        expect(&preflight(&fixture, &definitions, &markdown).output().unwrap(), 0);
        expect(&preflight(&fixture, &definitions, &["--format", "sql"]).output().unwrap(), 64);
    }
}

#[test]
fn secrets_and_passwords() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        let master = "goldenpath/dev/rds/master";
        let run =
            |more: &[&str], code| Report::of(&mut preflight(&fixture, &definitions, more), code);
        // The secret of an application: a refusal. All other checks are made.
        std::fs::remove_file(fixture.path().join("goldenpath/dev/shop/postgres.json")).unwrap();
        let report = run(&[], 3);
        report.expect(
            "refused",
            &["secrets (shop): secret goldenpath/dev/shop/postgres does not exist"],
        );
        assert!(report.lines("passed").iter().any(|one| one.starts_with("lock: ")));
        // It is reported if the server cannot be reached, too.
        let report = run(&["--port", "1"], 1);
        report.expect("failed", &["port: ", "[cannot-connect]"]);
        assert_eq!(report.lines("refused").len(), 1);
        fixture.app("dev", "shop", "shop_owner");

        fixture.secret(
            master,
            &fixture.server.admin_secret().replace(fixture.server.master_password(), "Canary-no"),
        );
        let report = run(&[], 1);
        let texts = ["login: ", "[authentication-failed]", "check the secret of the administrator"];
        report.expect("failed", &texts);
        report.expect_skipped(CheckName::Session, CheckName::Login);
        let passed = report.lines("passed");
        assert!(passed.iter().any(|one| one.starts_with("tls: the server")), "{passed:?}");

        let report = run(&["--admin-secret", "nowhere"], 1);
        report.expect("failed", &["admin-credentials: ", "[secret-not-found]", "admin-secret"]);
        report.expect_skipped(CheckName::Dns, CheckName::AdminCredentials);
    }
}

#[test]
fn rotation_in_progress() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    for application in [("shop", "shop_owner"), ("shop_reports", "shop_reader")] {
        fixture.app("dev", application.0, application.1);
    }
    let definitions = fixture.definitions(DEFINITIONS);
    let report = Report::of(&mut preflight(&fixture, &definitions, &[]), 0);
    assert!(report.lines("passed").join("\n").contains("rotation: no rotation of a secret is"));
    let manager = fixture.secrets_manager.as_ref().unwrap();
    manager.put_pending("goldenpath/dev/shop/postgres", r#"{"password": "Canary-next"}"#).unwrap();
    let report = Report::of(&mut preflight(&fixture, &definitions, &[]), 0);
    report.expect(
        "warning",
        &["rotation (goldenpath/dev/shop/postgres): a rotation is in", "AWSPENDING"],
    );
}

#[test]
fn network() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        let run = |more: &[&str]| Report::of(&mut preflight(&fixture, &definitions, more), 1);
        let report = run(&["--port", "1"]);
        report.expect("failed", &["port: ", "[cannot-connect]", "check that the server runs"]);
        report.expect_skipped(CheckName::Tls, CheckName::Port);
        let report = run(&["--host", "db.invalid"]);
        report.expect("failed", &["dns: ", "cannot be resolved", "DNS on this machine"]);
        report.expect_skipped(CheckName::Port, CheckName::Dns);
        let report = run(&["--connect-to", "tunnel.invalid"]);
        report.expect("failed", &["dns: ", "tunnel.invalid: the host name cannot be resolved"]);
        // TLS cannot be disabled for it, so that nothing is contacted.
        let words = ["preflight", "--env", "dev", "--tls", "disable", "--host", "db.example.com"];
        let secrets = format!("file:{}", fixture.path().display());
        let words = [&words[..], &["--secrets", &secrets]].concat();
        let report = Report::of(&mut fixture.without_connection(&definitions, &words), 1);
        report.expect("failed", &["tls: ", "[tls-required]", "verify-full"]);
        report.expect_skipped(CheckName::Dns, CheckName::Tls);
        let report = run(&["--host", "https://db"]);
        report.expect("failed", &["dns: ", "https://db"]);
    }
}

#[test]
fn certificates() {
    for major in versions() {
        let site = TlsFixture::new(major);
        let authority = Authority::new("Test CA");
        let ca = site.file("ca.pem", &authority.certificate).display().to_string();
        let secrets = format!("file:{}", site.fixture.path().display());
        let run = |more: &[&str], code| {
            let words = [&["preflight", "--secrets", &secrets], more].concat();
            Report::of(&mut site.fixture.without_connection(&site.definitions, &words), code)
        };
        let fails = |more: &[&str], texts: &[&str]| {
            let report = run(more, 1);
            report.expect("failed", texts);
            report.expect_skipped(CheckName::Login, CheckName::Tls);
            // The server has not got a password.
            assert!(report.lines("passed").join("\n").contains("port: "));
        };
        site.install(&authority.issue(named("server", &["db.example.com"])));
        fails(&["--ca-file", &ca], &["tls: ", "[certificate-host-mismatch]", "db.example.com"]);
        let mut params = named("server", &["localhost"]);
        params.not_after = date_time_ymd(2020, 2, 3);
        site.install(&authority.issue(params));
        fails(&["--ca-file", &ca], &["[server-certificate-expired]", "2020-02-03"]);
        site.install(&authority.issue(named("server", &["localhost"])));
        fails(&[], &["[untrusted-server-certificate]", "CN=Test CA", "ca-file"]);
        run(&["--ca-file", &ca], 0);
        run(&["--tls", "require"], 0).expect("warning", &["tls: ", "not verified", "verify-full"]);
        let report = run(&["--ca-file", "/nonexistent.pem"], 1);
        report.expect("failed", &["tls: ", "/nonexistent.pem"]);
        report.expect_skipped(CheckName::Dns, CheckName::Tls);
    }
}

/// A certificate that expires within 30 days is reported while there is time to renew it.
#[test]
fn certificate_that_expires_soon() {
    let site = TlsFixture::new(versions()[0]);
    let authority = Authority::new("Test CA");
    let ca = site.file("ca.pem", &authority.certificate).display().to_string();
    let secrets = format!("file:{}", site.fixture.path().display());
    let day = std::time::Duration::from_secs(86_400);
    for (days, is_soon) in [(29, true), (31, false)] {
        let mut params = named("server", &["localhost"]);
        params.not_after = std::time::SystemTime::now().checked_add(day * days).unwrap().into();
        site.install(&authority.issue(params));
        let words = ["preflight", "--secrets", &secrets, "--ca-file", &ca];
        let report = Report::of(&mut site.fixture.without_connection(&site.definitions, &words), 0);
        let warnings = report.lines("warning").join("\n");
        let text = "tls: certificate CN=server of the server expires at ";
        assert_eq!(warnings.contains(text), is_soon, "{days}: {warnings}");
    }
}

#[test]
fn reader() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        let standby = Server::start_standby_of(&fixture.server).unwrap();
        let port = standby.port().to_string();
        let report = Report::of(&mut preflight(&fixture, &definitions, &["--port", &port]), 1);
        report.expect("failed", &["writer: ", "[server-is-read-only]", "writer endpoint"]);
        assert!(report.lines("skipped").iter().any(|one| one.starts_with("lock: the lock of a")));
        assert!(report.lines("passed").iter().any(|one| one.starts_with("changes: ")));
        assert_eq!(writes(&standby.log()), Vec::<String>::new());
    }
}

#[test]
fn lock_and_template_are_in_use() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        let mut holder = fixture.server.master_session("postgres").unwrap();
        holder.ask("SET application_name = 'rdsprov run-7 ci@builder'").unwrap();
        let take = format!("SELECT pg_advisory_lock({CLASS}, pg_backend_pid())");
        assert!(holder.ask(&take).unwrap().messages.is_empty());
        let timeout = ["--lock-timeout", "5m"];
        let report = Report::of(&mut preflight(&fixture, &definitions, &timeout), 0);
        report.expect(
            "warning",
            &["lock: another run holds it: pid ", "run-7", "up to 5 min", "[lock-timeout]"],
        );
        // The preflight has not taken the lock either.
        let held = format!("SELECT count(*) FROM pg_locks WHERE classid = {CLASS}::oid");
        assert_eq!(fixture.query(&held), "1");
        drop(holder);

        let mut busy = fixture.server.master_session("template1").unwrap();
        busy.ask("SELECT 1").unwrap();
        let report = Report::of(&mut preflight(&fixture, &definitions, &[]), 0);
        report.expect("warning", &["template: ", "others use template1", "pg_terminate_backend"]);
    }
}

#[test]
fn what_the_administrator_may_not_do() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        let adopted = DEFINITIONS.replace(r#""shop_owner" }"#, r#""shop_owner", adopt = true }"#);
        let adopting = fixture.path().join("adopting.tfvars").display().to_string();
        std::fs::write(&adopting, &adopted).unwrap();
        fixture.query("CREATE ROLE shop_owner LOGIN");
        if major >= 16 {
            // `apply` has the server try it, and `preflight` asks in a way that writes nothing.
            fixture.disable_background_writes();
            Report::of(&mut preflight(&fixture, &adopting, &[]), 3);
            let report =
                fixture.without_wal(|| Report::of(&mut preflight(&fixture, &adopting, &[]), 3));
            let apply = ["apply", "--env", "dev", "--dry-run", "--format", "json"];
            let output = fixture.run(&adopting, &apply);
            expect(&output, 3);
            let applied: Value = serde_json::from_slice(&output.stdout).unwrap();
            let refusals = applied["plan"]["refusals"].as_array().unwrap();
            let of = |all: &[Value], code: &str| -> Vec<[Value; 2]> {
                let coded = all.iter().filter(|one| one["code"] == code);
                coded.map(|one| ["code", "message"].map(|key| one[key].clone())).collect()
            };
            let code = "admin-option-missing";
            let said = of(refusals, code);
            assert_eq!(of(report.checks(), code), said, "PostgreSQL {major}");
            // It has no marker yet.
            let message = said[0][1].as_str().unwrap();
            assert!(message.contains("so that the role cannot be adopted"), "{message}");
            // Each way out is a hint of its own.
            let check = report.checks().iter().find(|one| one["code"] == code).unwrap();
            let hints = check["hints"].as_array().unwrap();
            let refusal = refusals.iter().find(|one| one["code"] == code).unwrap();
            assert!(hints.len() > 1, "{check}");
            for hint in hints {
                let hint = hint.as_str().unwrap();
                assert!(refusal["hint"].as_str().unwrap().contains(hint), "{refusal}: {hint}");
            }
            let codes = |all: &[Value]| -> BTreeSet<String> {
                let codes = all.iter().filter_map(|one| one["code"].as_str());
                codes.map(str::to_owned).collect()
            };
            let refused = report.checks().iter().filter(|one| one["status"] == "refused");
            let refused: Vec<Value> = refused.cloned().collect();
            assert_eq!(codes(&refused), codes(refusals), "PostgreSQL {major}");
            // The statement works as the role that the hint names.
            let fix = &refusals.iter().find(|one| one["code"] == code).unwrap()["manual_fix"];
            assert_eq!(fix["executor"], "superuser", "{fix}");
            assert!(fixture.server.master("postgres", fix["sql"].as_str().unwrap()).is_err());
            fixture.query(fix["sql"].as_str().unwrap());
        }
        // It is not managed.
        let report = Report::of(&mut preflight(&fixture, &definitions, &[]), 3);
        report.expect("refused", &["changes (shop): role shop_owner exists", "[role-not-managed]"]);

        // On RDS, the catalogs do not show everything. The server is asked only if that writes nothing.
        fixture.disable_background_writes();
        fixture.query("ALTER ROLE platform_admin NOCREATEROLE");
        let code = if major >= 16 { 0 } else { 3 };
        Report::of(&mut preflight(&fixture, &adopting, &[]), code);
        let report =
            fixture.without_wal(|| Report::of(&mut preflight(&fixture, &adopting, &[]), code));
        let expected = ["changes: ", "[permissions-not-checked]", "run `plan`"];
        if major >= 16 {
            report.expect("warning", &expected);
        } else {
            report.expect("refused", &["changes (shop): ", "[admin-option-missing]"]);
        }
        fixture.query("ALTER ROLE platform_admin NOCREATEDB");
        let report = Report::of(&mut preflight(&fixture, &adopting, &[]), 3);
        let refused = report.lines("refused").join("\n");
        // Before PostgreSQL 16, the role without `CREATEROLE` is refused, and its database with it.
        let missing =
            if major >= 16 { "administrator-attribute-missing" } else { "admin-option-missing" };
        assert!(refused.contains(missing), "{refused}");
        fixture.query("ALTER ROLE platform_admin CREATEROLE CREATEDB");

        // A delegate has what it was given only.
        if major >= 16 {
            expect(&fixture.delegate("dev").output().unwrap(), 0);
            let as_delegate = ["--admin-secret", DELEGATE_SECRET];
            let report = Report::of(&mut preflight(&fixture, &adopting, &as_delegate), 3);
            let grant = "GRANT \"shop_owner\" TO \"rdsprov_admin\" WITH ADMIN TRUE";
            report.expect("refused", &["changes (shop): ", "[admin-option-missing]", grant]);
        }
    }
}

#[test]
fn connections() {
    for major in versions() {
        let settings = "max_connections = 14\nsuperuser_reserved_connections = 3";
        let server = Server::start_with_settings(major, settings).unwrap();
        let fixture = Fixture::on(server, None);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "shop_reports", "shop_reader");
        let definitions = fixture.definitions(DEFINITIONS);
        let run = |code| Report::of(&mut preflight(&fixture, &definitions, &[]), code);
        run(0);
        let open = || fixture.server.master_session("postgres").unwrap();
        let mut sessions: Vec<_> = (0..11).map(|_| open()).collect();
        let report = run(1);
        report.expect("failed", &["connections: ", "(53300)", "raise `max_connections`"]);
        report.expect_skipped(CheckName::Template, CheckName::Connections);
        sessions.truncate(9);
        // The server ends the sessions a moment later.
        let used = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'platform_admin'";
        while fixture.query(used) != "9" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let report = run(1);
        let texts = ["connections: the server has 1 connection left", "needs 2 more"];
        report.expect("failed", &texts);
        drop(sessions);

        fixture.query("ALTER ROLE platform_admin CONNECTION LIMIT 1");
        while fixture.query(used) != "0" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let report = run(1);
        report.expect("failed", &["connections: role platform_admin has 0 connections left"]);
    }
}

#[test]
fn files_for_records() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        std::fs::write(fixture.path().join("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", fixture.path().join("link")).unwrap();
        std::os::unix::fs::symlink("missing", fixture.path().join("nowhere")).unwrap();
        let before = files(&fixture);
        for (option, path, texts) in [
            ("--audit-ledger", "file/ledger.jsonl", ["[audit-file-unwritable]", "file/ledger"]),
            ("--audit-ledger", "file/a/b/ledger.jsonl", ["[audit-file-unwritable]", "not a dir"]),
            ("--audit-ledger", "nowhere/ledger.jsonl", ["[audit-file-unwritable]", "not a dir"]),
            ("--audit-ledger", "file", ["[wrong-audit-file]", "not a ledger"]),
            ("--audit-output", "file", ["[wrong-audit-file]", "not a CSV file"]),
            ("--audit-output", "link", ["[wrong-audit-file]", "not a regular file"]),
        ] {
            let report = Report::of(&mut preflight(&fixture, &definitions, &[option, path]), 1);
            report.expect("failed", &[&["records: "], &texts[..]].concat());
        }
        assert_eq!(files(&fixture), before);
    }
}

#[test]
fn proxy_and_pooler() {
    for major in versions() {
        let fixture = Fixture::on(Server::start_without_tls(major).unwrap(), None);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "shop_reports", "shop_reader");
        let definitions = fixture.definitions(DEFINITIONS);
        let run = |port: u16, code| {
            let (port, secrets) = (port.to_string(), format!("file:{}", fixture.path().display()));
            let words = ["preflight", "--env", "dev", "--tls", "disable", "--host", "127.0.0.1"];
            let words = [&words[..], &["--port", &port, "--secrets", &secrets]].concat();
            Report::of(&mut fixture.without_connection(&definitions, &words), code)
        };
        let report = run(fixture.server.port(), 0);
        let warnings = report.lines("warning").join("\n");
        assert!(warnings.contains("tls: TLS is disabled"), "{warnings}");
        // The secret names the server by another name.
        assert!(warnings.contains("[endpoint-differs]"), "{warnings}");
        assert!(report.lines("passed").join("\n").contains("dns: 127.0.0.1 is an IP address"));
        let proxy = RdsProxy::start(&fixture.server, &["platform_admin"]).unwrap();
        let report = run(proxy.port(), 1);
        report.expect("failed", &["session: ", "[pooled-connection]", "server itself"]);
        report.expect_skipped(CheckName::Writer, CheckName::Session);
        assert!(report.lines("passed").join("\n").contains("login: the administrator can log in"));
        let other = RdsProxy::start(&fixture.server, &["another_role"]).unwrap();
        run(other.port(), 1).expect("failed", &["login: ", "[pooled-connection]"]);
    }
}

#[test]
fn blue_green_deployment() {
    const NODES: [(&str, &str); 2] = [
        ("BLUE_GREEN_DEPLOYMENT_SOURCE", "AVAILABLE"),
        ("BLUE_GREEN_DEPLOYMENT_TARGET", "AVAILABLE"),
    ];
    for major in versions() {
        for function in TopologyFunction::ALL {
            let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
            fixture.server.report_topology(function, &NODES).unwrap();
            let report = Report::of(&mut preflight(&fixture, &definitions, &[]), 3);
            let texts = ["blue-green: ", "AVAILABLE", "[blue-green-in-progress]"];
            report.expect("refused", &texts);
            // An allowed hazard is still reported.
            let allow = ["--allow", "degrades_blue_green"];
            let report = Report::of(&mut preflight(&fixture, &definitions, &allow), 0);
            report.expect("warning", &["blue-green: a deployment is in progress"]);
        }
    }
}

/// Returns the command as a user that cannot write everywhere, who can read the files of the fixture.
fn as_unprivileged(fixture: &Fixture, definitions: &str, arguments: &[&str]) -> Command {
    const NOBODY: u32 = 65_534;
    let ca = fixture.path().join("ca.pem");
    std::fs::copy(fixture.server.ca_file(), &ca).unwrap();
    for path in [fixture.path(), &ca] {
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = fixture.without_connection(definitions, arguments);
    command.arg("--secrets").arg(format!("file:{}", fixture.path().display()));
    command.arg("--ca-file").arg(ca);
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY);
    }
    command
}

/// `apply` makes the cheap part first: the files that rdsprov.toml names can be created.
#[test]
fn apply_checks_the_files_for_records_first() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        let closed = fixture.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
        let toml = "[audit]\nledger = \"closed/ledgers/ledger.jsonl\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), toml).unwrap();
        let command = |words: &[&str]| as_unprivileged(&fixture, &definitions, words);
        let apply = |more: &[&str]| {
            let words = [&["apply", "--env", "dev"], more].concat();
            expect(&command(&words).output().unwrap(), 1)
        };
        let report = Report::of(&mut command(&["preflight", "--env", "dev"]), 1);
        report.expect("failed", &["records: ", "[audit-file-unwritable]", "permission denied"]);
        let before = fixture.catalog_state();
        // It contacts nothing before.
        for more in [&[][..], &["--port", "1"]] {
            let text = apply(more);
            assert!(text.contains("error[audit-file-unwritable]: audit file closed/"), "{text}");
            assert!(text.contains("hint: check the path and its permissions"), "{text}");
            assert!(!text.contains("create role"), "the run has planned: {text}");
        }
        // Without the check, the run fails after it has planned.
        let text = apply(&["--skip-preflight"]);
        assert!(text.contains("error[audit-file-unwritable]: audit file closed/"), "{text}");
        assert!(text.contains("create role"), "{text}");
        let text = apply(&["--skip-preflight", "--port", "1"]);
        assert!(text.contains("error[cannot-connect]"), "{text}");
        assert_eq!(fixture.catalog_state(), before);
        // A dry run does not create them.
        let dry_run = ["apply", "--env", "dev", "--dry-run"];
        expect(&command(&dry_run).output().unwrap(), 0);
    }
}

#[test]
fn definitions_that_cannot_be_used() {
    let (fixture, definitions) = Fixture::shop(versions()[0], "application_databases = { shop = {");
    let report = Report::of(&mut preflight(&fixture, &definitions, &[]), 1);
    report.expect("failed", &["definitions (", "own.tfvars:1", "[invalid-syntax]"]);
    // The server does not depend on them.
    let passed = report.lines("passed").join("\n");
    assert!(passed.contains("lock: ") && passed.contains("login: "), "{passed}");
    let skipped = report.lines("skipped").join("\n");
    for name in ["secrets", "changes", "template"] {
        assert!(skipped.contains(&format!("{name}: not checked, because `definitions`")));
    }
    // Without the environment, the secret of the administrator is not known.
    let mut command = fixture.command(&definitions, &["preflight"]);
    let report = Report::of(&mut command, 1);
    report.expect_skipped(CheckName::AdminCredentials, CheckName::Definitions);
    let mut other = fixture.command(&definitions, &["preflight", "--env", "nowhere"]);
    Report::of(&mut other, 1).expect_skipped(CheckName::Dns, CheckName::Definitions);
}

#[test]
fn site_policy_that_requires_a_ledger() {
    let (fixture, definitions) = Fixture::shop(versions()[0], DEFINITIONS);
    let policy = fixture.path().join("policy.toml");
    std::fs::write(&policy, "[audit]\nledger = true\n").unwrap();
    let mut command = preflight(&fixture, &definitions, &[]);
    let report = Report::of(command.env("RDSPROV_POLICY", &policy), 3);
    report.expect("refused", &["records: ", "ledger"]);
    let mut command = preflight(&fixture, &definitions, &["--audit-ledger", "ledger.jsonl"]);
    Report::of(command.env("RDSPROV_POLICY", &policy), 0);
}

#[test]
fn fleet_has_a_block_for_each_instance() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "shop_reports", "shop_reader");
    fixture.definitions(DEFINITIONS);
    let instance = |name: &str, more: &str| {
        format!("[[instances]]\nname = \"{name}\"\nenvironment = \"dev\"\n{more}\n")
    };
    let text = format!(
        "[defaults]\ndefinitions = [\"own.tfvars\"]\n\n{}{}",
        instance("db-1", ""),
        instance("db-2", "host = \"localhost\"\nport = 1")
    );
    std::fs::write(fixture.path().join("fleet.toml"), text).unwrap();
    let command = |more: &[&str]| {
        let mut command = program();
        command.current_dir(fixture.path()).args(["preflight", "--fleet", "fleet.toml"]);
        command.arg("--secrets").arg(format!("file:{}", fixture.path().display()));
        command.arg("--ca-file").arg(fixture.server.ca_file()).args(more);
        command
    };
    let text = expect(&command(&[]).output().unwrap(), 1);
    for part in [
        "=== db-1 (dev) ===\n\nPreflight of environment dev on localhost:",
        "=== db-2 (dev) ===\n\nPreflight of environment dev on localhost:1\n",
        "✗ port: cannot connect to localhost:1",
        "2 instances: 1 ready, 1 failed.",
    ] {
        assert!(text.contains(part), "`{part}`: {text}");
    }
    let output = command(&["--format", "json"]).output().unwrap();
    expect(&output, 1);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_valid(Document::Fleet, &report);
    assert_eq!(report["instances"][0]["preflight"]["status"], "passed");
    assert_eq!(report["instances"][1]["preflight"]["status"], "failed");
    expect(&command(&["--only-instance", "db-1"]).output().unwrap(), 0);
}

//! A server that counts `ADMIN OPTION` as membership in `rds_iam`: the creator of a role with IAM tokens
//! cannot use its password any more. The change is reverted.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdsprov_testkit::{Intercept, LoginProxy, Server, versions};

use crate::fixture::{DELEGATE, DELEGATE_SECRET, Fixture, expect};

const IAM: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner", auth = "iam" }
}"#;
const PASSWORD: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
}"#;

/// Returns the members of a role, direct or indirect. Those through which the master user can grant the
/// role to others do not count: it has them on each RDS server.
fn members(group: &str, granted_by_master: &str) -> String {
    format!(
        "WITH RECURSIVE m AS (
           SELECT '{group}'::regrole::oid AS member
           UNION SELECT a.member FROM pg_auth_members a JOIN m ON a.roleid = m.member
             WHERE NOT (a.member = 'platform_admin'::regrole AND a.roleid = '{granted_by_master}'::regrole)
         ) SELECT coalesce(string_agg(member::regrole::text, ' '), '') FROM m
         WHERE member <> '{group}'::regrole"
    )
}

/// A server behind a proxy that plays RDS.
struct Site {
    fixture: Arc<Fixture>,
    proxy: LoginProxy,
}

impl Site {
    /// Starts a server. `rejects` decides for each login whether the role can use no password.
    fn new(major: u32, rejects: impl Fn(&Fixture, &str) -> bool + Send + Sync + 'static) -> Self {
        let fixture = Arc::new(Fixture::on(Server::start_without_tls(major).unwrap(), None));
        fixture.app("dev", "shop", "shop_owner");
        let server = fixture.clone();
        let proxy = LoginProxy::start(&fixture.server, move |role| {
            rejects(&server, role).then_some(Intercept::Pam)
        });
        Self { fixture, proxy: proxy.unwrap() }
    }

    /// Runs a command over the proxy.
    fn run(&self, definitions: &str, words: &[&str]) -> Output {
        let secrets = format!("file:{}", self.fixture.path().display());
        let port = self.proxy.port().to_string();
        let place = ["--env", "dev", "--tls", "disable", "--host", "127.0.0.1", "--port", &port];
        let words = [words, &place, &["--secrets", &secrets]].concat();
        if words[0] == "delegate" {
            return self.fixture.program().args(words).output().unwrap();
        }
        let definitions = self.fixture.definitions(definitions);
        self.fixture.without_connection(&definitions, &words).output().unwrap()
    }

    fn delegate(&self) -> Output {
        self.run("", &["delegate", "--to", DELEGATE, "--to-secret", DELEGATE_SECRET])
    }

    /// Returns the password and the comment of the role of the application.
    fn role(&self) -> String {
        self.fixture.query(
            "SELECT coalesce(rolpassword, 'no password') || ' ' || shobj_description(oid, 'pg_authid')
             FROM pg_authid WHERE rolname = 'shop_owner'",
        )
    }

    fn is_in_rds_iam(&self) -> bool {
        self.fixture.query(
            "SELECT EXISTS (SELECT FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole
               AND member = 'shop_owner'::regrole)",
        ) == "t"
    }
}

/// Whether a server that counts each membership rejects the password of a role.
fn is_member(fixture: &Fixture, group: &str, granted_by_master: &str, role: &str) -> bool {
    fixture.query(&members(group, granted_by_master)).split(' ').any(|one| one == role)
}

fn counts_memberships(fixture: &Fixture, role: &str) -> bool {
    is_member(fixture, "rds_iam", "rds_iam", role)
}

#[track_caller]
fn assert_says(printed: &str, when: &str, sentences: &[&str]) {
    for says in sentences {
        assert!(printed.contains(says), "{when}: {says} is not in {printed}");
    }
}

/// Applies a definition that names no secret any more.
const APPLY: [&str; 3] = ["apply", "--allow", "changes_secret"];

const REVERTED: &str =
    "it was reverted (REVOKE \"rds_iam\" FROM \"shop_owner\"), and the login succeeds again";

#[test]
fn administrator_that_is_locked_out_is_let_in_again() {
    for major in versions() {
        let when = format!("PostgreSQL {major}");
        let site = Site::new(major, counts_memberships);
        if major < 16 {
            // The creator of a role has no membership in it.
            expect(&site.run(IAM, &["apply"]), 0);
            assert!(site.is_in_rds_iam(), "{when}");
            continue;
        }
        let audited = ["apply", "--audit-table", "rdsprov_audit.changes"];
        let printed = expect(&site.run(IAM, &audited), 4);
        // Both the change and its end are committed.
        let rows = "SELECT string_agg(status || ' ' || split_part(message, ':', 1), ', ' ORDER BY timestamp_utc, ctid)
            FROM rdsprov_audit.changes WHERE message ~ 'rds_iam'";
        let change = site.fixture.query(
            "SELECT message FROM rdsprov_audit.changes WHERE message ~ 'rds_iam' AND status = 'success'",
        );
        let reverted = "error reverted, because a role could not log in any more";
        assert_eq!(site.fixture.query(rows), format!("success {change}, {reverted}"), "{when}");
        let prevented = "role platform_admin cannot log in any more after this change";
        let says = ["error[login-prevented]: ", prevented, REVERTED, "--admin-auth iam"];
        assert_says(&printed, &when, &says);
        assert!(!site.is_in_rds_iam(), "{when}");
        // The administrator can still work.
        let printed = expect(&site.run(IAM, &["plan"]), 0);
        assert_says(&printed, &when, &["membership of role shop_owner in rds_iam"]);
    }
}

/// A role that was not made a member keeps its password, and the secret in its marker.
#[test]
fn reverted_role_keeps_its_password() {
    for major in versions() {
        let when = format!("PostgreSQL {major}");
        let site = Site::new(major, counts_memberships);
        expect(&site.run(PASSWORD, &["apply"]), 0);
        let before = site.role();
        assert!(before.starts_with("SCRAM-SHA-256$") && before.contains("secret="), "{when}");
        if major >= 16 {
            let printed = expect(&site.run(IAM, &APPLY), 4);
            assert_says(&printed, &when, &[REVERTED]);
            assert!(!site.is_in_rds_iam(), "{when}");
            assert_eq!(site.role(), before, "{when}");
            // Its login is checked.
            expect(&site.run(PASSWORD, &["check"]), 0);
        } else {
            expect(&site.run(IAM, &APPLY), 0);
            assert!(site.is_in_rds_iam(), "{when}");
            let after = site.role();
            assert!(after.starts_with("no password") && !after.contains("secret="), "{after}");
        }
    }
}

/// After an interruption before the password is removed, the next run removes it.
#[test]
fn password_of_an_interrupted_change_is_removed() {
    for major in versions() {
        let when = format!("PostgreSQL {major}");
        let site = Site::new(major, |_, _| false);
        expect(&site.run(PASSWORD, &["apply"]), 0);
        site.fixture.server.master("postgres", "GRANT rds_iam TO shop_owner").unwrap();
        expect(&site.run(IAM, &APPLY), 0);
        let after = site.role();
        assert!(after.starts_with("no password") && !after.contains("secret="), "{when}: {after}");
        expect(&site.run(IAM, &["check"]), 0);

        // The same for a role that is adopted: without its marker, nothing says whether it has a password.
        site.fixture
            .query("COMMENT ON ROLE shop_owner IS NULL; ALTER ROLE shop_owner PASSWORD 'Known-1'");
        let adopted = IAM.replace("auth =", "adopt = true, auth =");
        expect(&site.run(&adopted, &[&APPLY[..], &["--allow", "adopts"]].concat()), 0);
        let after = site.role();
        assert!(after.starts_with("no password"), "{when}: {after}");
        expect(&site.run(&adopted, &["check"]), 0);
    }
}

/// Another session holds a lock when the change is reverted.
#[test]
fn revert_is_repeated_after_a_conflict() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let is_locked = AtomicBool::new(false);
        let site = Site::new(major, move |fixture, role| {
            let is_member = counts_memberships(fixture, role);
            if is_member && !is_locked.swap(true, Ordering::SeqCst) {
                let mut other = fixture.server.superuser_session("postgres").unwrap();
                other.ask("BEGIN; LOCK TABLE pg_auth_members IN SHARE MODE").unwrap();
                let log = fixture.server.data_directory().join("../log");
                std::thread::spawn(move || {
                    let failed = || {
                        let text = std::fs::read_to_string(&log).unwrap_or_default();
                        text.contains("canceling statement due to lock timeout")
                    };
                    let deadline = Instant::now() + Duration::from_secs(60);
                    while !failed() && Instant::now() < deadline {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    other.ask("ROLLBACK").unwrap();
                });
            }
            is_member
        });
        let printed = expect(&site.run(IAM, &["apply"]), 4);
        assert_says(&printed, &format!("PostgreSQL {major}"), &[REVERTED]);
        assert!(site.fixture.server.log().contains("lock timeout"), "{major}");
        assert!(!site.is_in_rds_iam(), "{major}");
    }
}

#[test]
fn failed_revert_says_what_to_execute() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let site = Site::new(major, |fixture, role| {
            let is_member = counts_memberships(fixture, role);
            if is_member && fixture.query("SELECT to_regrole('shop_owner') IS NOT NULL") == "t" {
                fixture.query("ALTER ROLE shop_owner RENAME TO renamed");
            }
            is_member
        });
        let printed = expect(&site.run(IAM, &["apply"]), 4);
        let says = [
            "error[login-prevented]: ",
            "it could not be reverted (REVOKE \"rds_iam\" FROM \"shop_owner\"): role \"shop_owner\" does not exist (42704)",
            "hint: execute this as an administrator that can log in: REVOKE \"rds_iam\" FROM \"shop_owner\"",
        ];
        assert_says(&printed, &format!("PostgreSQL {major}"), &says);
    }
}

/// A declared membership leads to `rds_iam` or `rds_ad` through another role.
#[test]
fn indirect_memberships_are_reverted() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        for group in ["rds_iam", "rds_ad"] {
            let when = format!("PostgreSQL {major}, {group}");
            let site =
                Site::new(major, move |fixture, role| is_member(fixture, group, "team", role));
            site.fixture.query(&format!(
                "CREATE ROLE team; GRANT {group} TO team; REVOKE rds_iam FROM platform_admin;
                 GRANT team TO platform_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
            ));
            let config = "[definitions]\nmemberships = [\"team\"]\n";
            std::fs::write(site.fixture.path().join("rdsprov.toml"), config).unwrap();
            let in_team =
                PASSWORD.replace("shop_owner\"", "shop_owner\", memberships = [\"team\"]");
            let printed = expect(&site.run(&in_team, &["apply"]), 4);
            let reverted = "it was reverted (REVOKE \"team\" FROM \"shop_owner\"), and the login succeeds again";
            assert_says(&printed, &when, &["error[login-prevented]: ", reverted]);
            let held = "SELECT count(*) FROM pg_auth_members WHERE member = 'shop_owner'::regrole";
            assert_eq!(site.fixture.query(held), "0", "{when}");
        }
    }
}

#[test]
fn delegate_that_is_locked_out_loses_the_change() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let when = format!("PostgreSQL {major}");
        // The master user is the creator of the delegate.
        let site =
            Site::new(major, |fixture, role| role == DELEGATE && counts_memberships(fixture, role));
        let printed = expect(&site.delegate(), 4);
        let prevented = "role rdsprov_admin cannot log in any more after this change";
        assert_says(&printed, &when, &["error[login-prevented]: ", prevented]);
        let members = site.fixture.query(&members("rds_iam", "rds_iam"));
        assert!(!members.contains(DELEGATE), "{when}: {printed}");
        // The other changes are kept: the delegate can log in.
        let can_log_in = format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = '{DELEGATE}'");
        assert_eq!(site.fixture.query(&can_log_in), "t", "{when}");
    }
}

/// A login that failed before the change is not its consequence.
#[test]
fn login_that_failed_before_reverts_nothing() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let is_rejected = Arc::new(AtomicBool::new(false));
        let rejects = is_rejected.clone();
        let site =
            Site::new(major, move |_, role| role == DELEGATE && rejects.load(Ordering::SeqCst));
        expect(&site.delegate(), 0);
        expect(&site.run(IAM, &["apply"]), 0);
        is_rejected.store(true, Ordering::SeqCst);
        // The delegate gets ADMIN OPTION on the new role, which is a member of `rds_iam`.
        let printed = expect(&site.delegate(), 0);
        let granted = "ADMIN OPTION on role shop_owner to rdsprov_admin";
        assert_says(&printed, &format!("PostgreSQL {major}"), &[granted]);
        let held = "SELECT pg_has_role('rdsprov_admin', 'shop_owner', 'MEMBER WITH ADMIN OPTION')";
        assert_eq!(site.fixture.query(held), "t", "PostgreSQL {major}");
    }
}

/// The master user is the creator of a delegate with IAM tokens.
#[test]
fn delegate_with_iam_tokens_that_locks_out_the_master_user() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let when = format!("PostgreSQL {major}");
        let fixture = Arc::new(Fixture::on(Server::start_without_tls(major).unwrap(), None));
        let proxy = {
            let server = fixture.clone();
            LoginProxy::start(&fixture.server, move |role| {
                let found = server.query(&members("rds_iam", "rds_iam"));
                found.split(' ').any(|one| one == role).then_some(Intercept::Pam)
            })
            .unwrap()
        };
        let port = proxy.port().to_string();
        let secrets = format!("file:{}", fixture.path().display());
        let mut command = fixture.program();
        command
            .args(["delegate", "--env", "dev", "--to", DELEGATE, "--auth", "iam"])
            .args(["--secrets", &secrets, "--tls", "disable", "--host", "127.0.0.1"])
            .args(["--port", &port]);
        let printed = expect(&command.output().unwrap(), 4);
        for says in [
            "error[login-prevented]: ",
            "role platform_admin cannot log in any more after this change",
            "and the login succeeds again",
        ] {
            assert!(printed.contains(says), "{when}: {says} is not in {printed}");
        }
        assert_eq!(fixture.query(&members("rds_iam", "rds_iam")), "", "{when}: {printed}");
    }
}

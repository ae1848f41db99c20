//! A server that counts `ADMIN OPTION` as membership in `rds_iam`: the creator of a role with IAM tokens
//! cannot use its password any more. The change is reverted.

use std::sync::Arc;

use rdsprov_testkit::{Intercept, LoginProxy, Server, versions};

use crate::fixture::{DELEGATE, DELEGATE_SECRET, Fixture, expect};

const IAM: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner", auth = "iam" }
}"#;

/// Returns the members of `rds_iam`, direct or indirect, apart from the master user, which is one of
/// each RDS server.
const MEMBERS: &str = "WITH RECURSIVE m AS (
    SELECT member FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole AND member <> 'platform_admin'::regrole
    UNION SELECT a.member FROM pg_auth_members a JOIN m ON a.roleid = m.member
  ) SELECT coalesce(string_agg(member::regrole::text, ' '), '') FROM m";

#[test]
fn administrator_that_is_locked_out_is_let_in_again() {
    for major in versions() {
        let when = format!("PostgreSQL {major}");
        let fixture = Arc::new(Fixture::on(Server::start_without_tls(major).unwrap(), None));
        let proxy = {
            let server = fixture.clone();
            LoginProxy::start(&fixture.server, move |role| {
                let members = server.query(MEMBERS);
                members.split(' ').any(|one| one == role).then_some(Intercept::Pam)
            })
            .unwrap()
        };
        let definitions = fixture.definitions(IAM);
        let secrets = format!("file:{}", fixture.path().display());
        let port = proxy.port().to_string();
        let place = [
            "--env",
            "dev",
            "--secrets",
            &secrets,
            "--tls",
            "disable",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
        ];
        let run = |words: &[&str]| {
            fixture.without_connection(&definitions, &[words, &place].concat()).output().unwrap()
        };
        let in_rds_iam = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole AND member = 'shop_owner'::regrole";
        if major < 16 {
            // The creator of a role has no membership in it.
            expect(&run(&["apply"]), 0);
            assert_eq!(fixture.query(in_rds_iam), "1", "{when}");
            continue;
        }
        let printed = expect(&run(&["apply"]), 4);
        for says in [
            "error[login-prevented]: ",
            "role platform_admin cannot log in any more after this change",
            "it was reverted (REVOKE \"rds_iam\" FROM \"shop_owner\"), and the login succeeds again",
            "--admin-auth iam",
        ] {
            assert!(printed.contains(says), "{when}: {says} is not in {printed}");
        }
        assert_eq!(fixture.query(in_rds_iam), "0", "{when}");
        assert!(!fixture.query(MEMBERS).contains("platform_admin"), "{when}");
        // The administrator can still work.
        let printed = expect(&run(&["plan"]), 0);
        assert!(printed.contains("membership of role shop_owner in rds_iam"), "{when}: {printed}");
    }
}

#[test]
fn delegate_that_is_locked_out_loses_the_change() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let when = format!("PostgreSQL {major}");
        let fixture = Arc::new(Fixture::on(Server::start_without_tls(major).unwrap(), None));
        let proxy = {
            let server = fixture.clone();
            LoginProxy::start(&fixture.server, move |role| {
                let is_member = || server.query(MEMBERS).split(' ').any(|one| one == role);
                // The master user is the creator of the delegate.
                (role == DELEGATE && is_member()).then_some(Intercept::Pam)
            })
            .unwrap()
        };
        let port = proxy.port().to_string();
        let secrets = format!("file:{}", fixture.path().display());
        let mut command = fixture.program();
        command
            .args(["delegate", "--env", "dev", "--to", DELEGATE, "--to-secret", DELEGATE_SECRET])
            .args(["--secrets", &secrets, "--tls", "disable", "--host", "127.0.0.1"])
            .args(["--port", &port]);
        let printed = expect(&command.output().unwrap(), 4);
        for says in [
            "error[login-prevented]: ",
            "role rdsprov_admin cannot log in any more after this change",
        ] {
            assert!(printed.contains(says), "{when}: {says} is not in {printed}");
        }
        assert!(!fixture.query(MEMBERS).contains(DELEGATE), "{when}: {printed}");
        // The other changes are kept: the delegate can log in.
        let can_log_in = format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = '{DELEGATE}'");
        assert_eq!(fixture.query(&can_log_in), "t", "{when}");
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
                let members = server.query(MEMBERS);
                members.split(' ').any(|one| one == role).then_some(Intercept::Pam)
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
        assert_eq!(fixture.query(MEMBERS), "", "{when}: {printed}");
    }
}

//! Passwords are sent to the server as SCRAM verifiers, which it stores unchanged.

use postgres_protocol::password::scram_sha_256;
use rdsprov_testkit::{Server, Session};

use crate::assertions::{Assertions, PASSWORD, expect_login_error, login, master, on_each_version};

#[test]
fn verifier_is_accepted_and_password_is_not_logged() {
    on_each_version(|server| {
        let password = format!("{PASSWORD}-verified");
        let verifier = scram_sha_256(password.as_bytes());
        let mut master = master(server);
        master.expect_ok(&format!("CREATE ROLE verifier_app LOGIN PASSWORD '{verifier}'"));
        // The statement is in the log twice: as a statement and as the cause of an error.
        let again = format!("CREATE ROLE verifier_app PASSWORD '{verifier}'");
        master.expect_error(&again, "42710", "already exists");
        server.session("verifier_app", &password, "platform").unwrap();
        let log = server.log();
        assert!(log.contains("CREATE ROLE verifier_app"), "the log shows no statements");
        assert!(!log.contains(&password), "the password is in the log");
        // The verifier is logged: a reader of the log can try passwords against it.
        assert!(log.contains(&verifier), "the verifier is not in the log");
    });
}

#[test]
fn empty_password_clears_the_password() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(&format!("CREATE ROLE cleared_app LOGIN PASSWORD '{PASSWORD}'"));
        drop(login(server, "cleared_app", "platform"));
        let clear = "ALTER ROLE cleared_app PASSWORD ''";
        master.expect_warning(
            clear,
            "00000",
            "empty string is not a valid password, clearing password",
        );
        let failed = "password authentication failed";
        expect_login_error(server, "cleared_app", PASSWORD, "platform", failed);
    });
}

/// Creates a function that computes a verifier from raw bytes, without SASLprep. One iteration is
/// enough, because a verifier states its iteration count.
fn with_verifier_of_bytes(session: &mut Session) {
    session.expect_ok(
        "CREATE SCHEMA verifiers; CREATE EXTENSION pgcrypto SCHEMA verifiers;
         CREATE FUNCTION verifiers.verifier(password text) RETURNS text LANGUAGE sql AS $$
             SELECT format('SCRAM-SHA-256$1:%s$%s:%s', encode('salt', 'base64'),
                 encode(verifiers.digest(verifiers.hmac('Client Key', salted, 'sha256'), 'sha256'), 'base64'),
                 encode(verifiers.hmac('Server Key', salted, 'sha256'), 'base64'))
             FROM verifiers.hmac('salt'::bytea || '\\x00000001'::bytea, convert_to(password, 'UTF8'), 'sha256') AS salted
         $$",
    );
}

#[test]
fn verifier_uses_the_saslprep_password() {
    on_each_version(|server| {
        let mut master = master(server);
        with_verifier_of_bytes(&mut master);
        for (role, password, prepared) in
            [("hyphen", "I\u{AD}X", "IX"), ("ligature", "ª\u{2168}", "aIX")]
        {
            for (way, of) in [("raw", password), ("prepared", prepared)] {
                let verifier = master.expect_ok(&format!("SELECT verifiers.verifier('{of}')"));
                let role = format!("saslprep_{role}_{way}");
                master.expect_ok(&format!("CREATE ROLE {role} LOGIN PASSWORD '{verifier}'"));
            }
            server.session(&format!("saslprep_{role}_prepared"), password, "platform").unwrap();
            let role = format!("saslprep_{role}_raw");
            expect_login_error(
                server,
                &role,
                password,
                "platform",
                "password authentication failed",
            );
            // The library applies SASLprep itself.
            let verifier = scram_sha_256(password.as_bytes());
            master.expect_ok(&format!("ALTER ROLE {role} PASSWORD '{verifier}'"));
            server.session(&role, password, "platform").unwrap();
        }
    });
}

#[test]
fn md5_verifier_gives_a_warning_since_18() {
    on_each_version(|server| {
        let mut master = master(server);
        let create = format!("CREATE ROLE md5_app PASSWORD 'md5{}'", "0".repeat(32));
        if server.major() < 18 {
            master.expect_ok(&create);
        } else {
            master.expect_warning(&create, "01P01", "setting an MD5-encrypted password");
        }
    });
}

#[test]
fn malformed_verifier_is_a_plain_password() {
    on_each_version(|server| {
        let mut master = master(server);
        let malformed = scram_sha_256(PASSWORD.as_bytes()).replace(':', "");
        master.expect_ok(&format!("CREATE ROLE malformed_app LOGIN PASSWORD '{malformed}'"));
        let failed = "password authentication failed";
        expect_login_error(server, "malformed_app", PASSWORD, "platform", failed);
        server.session("malformed_app", &malformed, "platform").unwrap();
    });
}

/// A role without `SUPERUSER` may set these parameters for the roles that it created. So definitions
/// must not contain them.
#[test]
fn settings_that_change_the_user_or_lock_a_role_out() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(&format!("CREATE ROLE setting_app LOGIN PASSWORD '{PASSWORD}'"));
        master.expect_ok("CREATE ROLE setting_group");
        master.expect_ok("GRANT setting_group TO setting_app");
        let current_user = |server: &Server| {
            login(server, "setting_app", "platform").expect_ok("SELECT current_user")
        };
        assert_eq!(current_user(server), "setting_app");
        master.expect_ok("ALTER ROLE setting_app IN DATABASE platform SET role = 'setting_group'");
        assert_eq!(current_user(server), "setting_group");
        master.expect_ok("ALTER ROLE setting_app IN DATABASE platform RESET role");
        master.expect_ok("ALTER ROLE setting_app SET local_preload_libraries = 'absent'");
        let absent = "could not access file";
        expect_login_error(server, "setting_app", PASSWORD, "platform", absent);
    });
}

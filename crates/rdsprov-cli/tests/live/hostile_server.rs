//! Servers that ask for a weak answer, that send without end, or that send nothing.

use std::num::NonZeroU32;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdsprov_core::secrets::Password;
use rdsprov_core::secrets::scram::Verifier;
use rdsprov_testkit::{FakeServer, Misbehaviour, Server, rewriting_relay, versions};
use tempfile::TempDir;

use crate::fixture::{Fixture, assert_no_secret, expect, password, program};

/// Plans against a server on loopback, without TLS. The process can have 2 GB of address space.
fn plan(port: u16) -> (Output, Duration) {
    let directory = TempDir::new().unwrap();
    let secret = format!(
        r#"{{"host": "127.0.0.1", "port": {port}, "username": "admin", "password": "{}"}}"#,
        password("admin")
    );
    std::fs::create_dir_all(directory.path().join("goldenpath/dev/rds")).unwrap();
    std::fs::write(directory.path().join("goldenpath/dev/rds/master.json"), secret).unwrap();
    let definitions = directory.path().join("own.tfvars");
    std::fs::write(&definitions, "application_databases = {}\n").unwrap();
    let mut command = Command::new("prlimit");
    command.arg("--as=2000000000").arg(program().get_program());
    rdsprov_testkit::scrub_environment(&mut command);
    command.current_dir(directory.path()).args(["plan", "--env", "dev", "--tls", "disable"]);
    command.args(["--connect-timeout", "15s"]);
    command.arg("--secrets").arg(format!("file:{}", directory.path().display()));
    let started = Instant::now();
    let output = command.arg("-d").arg(definitions).output().unwrap();
    (output, started.elapsed())
}

/// No answer from which the password could be guessed reaches the server.
#[test]
fn weak_requests_are_not_answered() {
    for (request, code, says) in [
        (
            Misbehaviour::AskCleartext,
            "cleartext-password-requested",
            "the server asks for the cleartext password\n",
        ),
        (
            Misbehaviour::AskMd5,
            "weak-authentication-requested",
            "the server asks for an MD5 hash of the password\n\
             hint: set `password_encryption` to `scram-sha-256` on the server",
        ),
        (
            Misbehaviour::AskScram(1),
            "weak-authentication-requested",
            "the server asks for a SCRAM proof with 1 iterations\n\
             hint: set `scram_iterations` to a number from 4096 to 100000 on the server",
        ),
        (Misbehaviour::AskScram(4095), "weak-authentication-requested", "with 4095 iterations"),
        // The client would compute for minutes.
        (
            Misbehaviour::AskScram(2_000_000_000),
            "weak-authentication-requested",
            "with 2000000000 iterations",
        ),
    ] {
        let answers = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
        let seen = answers.clone();
        let server =
            FakeServer::start(request, move |answer| seen.lock().unwrap().push(answer.to_vec()))
                .unwrap();
        let (output, time) = plan(server.port());
        let text = expect(&output, 1);
        let text_of_code = format!("error[{code}]: cannot connect to 127.0.0.1:{}", server.port());
        assert!(text.contains(&text_of_code) && text.contains(says), "{request:?}: {text}");
        assert!(time < Duration::from_secs(10), "{request:?}: {time:?}");
        assert_eq!(answers.lock().unwrap().len(), 0, "{request:?} was answered");
    }
    // The server of the test works: what is acceptable is answered.
    let answers = Arc::new(Mutex::new(0));
    let seen = answers.clone();
    let server =
        FakeServer::start(Misbehaviour::AskScram(4096), move |_| *seen.lock().unwrap() += 1);
    plan(server.unwrap().port());
    assert_eq!(*answers.lock().unwrap(), 1);
}

/// What a server sends is limited in size and time, and each limit has a message.
#[test]
fn endless_answers_are_not_read() {
    let response = "the server sent more than 256 MB in response to one statement\n";
    for (misbehaviour, says) in [
        (
            Misbehaviour::NoticesInLogin,
            "the server sent more than 1024 kB before the end of the login\n",
        ),
        (
            Misbehaviour::Notices,
            "the server sent more than 100000 notices in response to one statement\n",
        ),
        (Misbehaviour::LongMessage, response),
        (Misbehaviour::LongRow, response),
        (Misbehaviour::Rows, response),
        (Misbehaviour::Silence, "no response within 15 s\n"),
    ] {
        let server = FakeServer::start(misbehaviour, |_| ()).unwrap();
        let (output, time) = plan(server.port());
        let text = expect(&output, 1);
        assert!(text.contains(says), "{misbehaviour:?}: {text}");
        assert!(text.contains("hint: check that a PostgreSQL server listens"), "{text}");
        assert!(time < Duration::from_secs(60), "{misbehaviour:?}: {time:?}");
    }
}

/// A real server with roles whose passwords are stored in a weak form, over verified TLS.
#[test]
fn server_with_weak_verifiers() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "backstage", "backstage_user");
        expect(&fixture.run("teams/standalone.tfvars", &["apply"]), 0);
        let rules = fixture.server.data_directory().join("pg_hba.conf");
        let text = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("hostssl all all all md5\n{text}")).unwrap();
        fixture.query("SELECT pg_reload_conf()");
        // With `md5` in pg_hba.conf, a role with a SCRAM verifier still uses SCRAM.
        expect(&fixture.run("teams/standalone.tfvars", &["check"]), 0);
        let master = fixture.server.master_password();
        let md5 = format!(
            "SET password_encryption = 'md5'; ALTER ROLE platform_admin PASSWORD '{master}'"
        );
        fixture.query(&md5);
        let refused = expect(&fixture.run("teams/standalone.tfvars", &["plan"]), 1);
        assert!(
            refused.contains("error[weak-authentication-requested]: cannot connect to localhost:")
                && refused.contains("as platform_admin: the server asks for an MD5 hash"),
            "PostgreSQL {major}: {refused}"
        );
        if major >= 16 {
            let one =
                format!("SET scram_iterations = 1; ALTER ROLE platform_admin PASSWORD '{master}'");
            fixture.query(&one);
            let refused = expect(&fixture.run("teams/standalone.tfvars", &["plan"]), 1);
            assert!(refused.contains("for a SCRAM proof with 1 iterations"), "{refused}");
        }
        let scram = format!("ALTER ROLE platform_admin PASSWORD '{master}'");
        fixture.query(&scram);
        // A role that stores a weak verifier for itself keeps no password that is not the one of the secret.
        let old = "Canary-leaked-password";
        let verifier = |number: u32| {
            let number = NonZeroU32::new(number).unwrap();
            let old = Password::new(old.to_owned()).unwrap();
            format!("ALTER ROLE keycloak_user PASSWORD '{}'", Verifier::new(&old, number).unwrap())
        };
        let md5 =
            format!("SET password_encryption = md5; ALTER ROLE keycloak_user PASSWORD '{old}'");
        // PostgreSQL stores verifiers that no client can use, too: unused bits of the salt are set, the number
        // of iterations is negative, and before PostgreSQL 18 the salt can have any length.
        let usable = verifier(4096);
        let end = usable.find("==$").unwrap();
        let (start, last) = usable[..end].split_at(end - 1);
        let odd = format!("{start}{}{}", char::from(last.as_bytes()[0] + 1), &usable[end..]);
        let negative = usable.replacen("$4096:", "$-4096:", 1);
        let (head, tail) = usable.split_at(usable.find("$4096:").unwrap() + 6);
        let long = format!(
            "DO $do$ BEGIN EXECUTE '{}' || repeat('AAAA', 300000) || '{}'; END $do$",
            head.replace('\'', "''"),
            tail.replace('\'', "''")
        );
        let long = (major < 18).then_some(long);
        for store in [md5, verifier(1), verifier(200_000), odd, negative].into_iter().chain(long) {
            fixture.query(&format!("ALTER ROLE keycloak_user PASSWORD '{old}'"));
            fixture.server.sql_as("keycloak_user", old, "keycloak", &store).unwrap();
            let text = expect(&fixture.run("teams/standalone.tfvars", &["check"]), 2);
            assert!(text.contains("set password: role keycloak_user"), "{major}: {text}");
            let text = expect(&fixture.run("teams/standalone.tfvars", &["apply"]), 0);
            assert_no_secret(&text);
            assert!(fixture.server.sql_as("keycloak_user", old, "keycloak", "SELECT 1").is_err());
            expect(&fixture.run("teams/standalone.tfvars", &["check"]), 0);
        }

        // The number of iterations is that of the server, within the limits. Stored values do not count.
        if major < 16 {
            continue;
        }
        let set = |alter: &str, iterations: &str| {
            fixture.query(alter);
            fixture.query("SELECT pg_reload_conf()");
            fixture.query("ALTER ROLE backstage_user PASSWORD 'another'");
            expect(&fixture.run("teams/standalone.tfvars", &["apply"]), 0);
            let stored = "SELECT split_part(split_part(rolpassword, '$', 2), ':', 1)
                FROM pg_authid WHERE rolname = 'backstage_user'";
            assert_eq!(fixture.query(stored), iterations, "PostgreSQL {major}: {alter}");
            expect(&fixture.run("teams/standalone.tfvars", &["check"]), 0);
        };
        set("ALTER DATABASE platform SET scram_iterations = 200000", "4096");
        set("ALTER DATABASE platform SET scram_iterations = 20000", "4096");
        set("ALTER ROLE platform_admin SET scram_iterations = 20000", "4096");
        fixture.query(
            "ALTER DATABASE platform RESET scram_iterations;
             ALTER ROLE platform_admin RESET scram_iterations",
        );
        for (number, iterations) in
            [("1", "4096"), ("4095", "4096"), ("100000", "100000"), ("100001", "4096")]
        {
            set(&format!("ALTER SYSTEM SET scram_iterations = {number}"), iterations);
        }
    }
}

/// A server returns names of objects that contain statements and commands of `psql`. None of them gets into a
/// script or a statement: the database counts as one that cannot be read.
#[test]
fn names_of_objects_contain_no_statements() {
    const NAME: &str = "public.orders";
    for lie in [
        "public.orders OWNER TO CURRENT_USER;\\n\\\\! id\\nALTER TABLE public.orders",
        "public.orders OWNER TO mallory, OWNER",
        "public.orders -- ",
    ] {
        let fixture = Fixture::on(Server::start_without_tls(versions()[0]).unwrap(), None);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop = { database_name = "shop", username = "shop_owner", adopt = true }
            }"#,
        );
        fixture.server.master("postgres", "CREATE DATABASE shop").unwrap();
        fixture.query_in(
            "shop",
            "CREATE TABLE public.orders (); ALTER TABLE orders OWNER TO platform_admin",
        );
        let rewrite = move |value: &str| {
            let honest = format!(r#""identity" : "{NAME}""#);
            value
                .contains(&honest)
                .then(|| value.replace(&honest, &format!(r#""identity" : "{lie}""#)))
        };
        let port = rewriting_relay(&fixture.server, rewrite).unwrap().to_string();
        let secrets = format!("file:{}", fixture.path().display());
        let run = |port: &str| {
            let place = ["--env", "dev", "--tls", "disable", "--host", "127.0.0.1", "--port", port];
            let allow =
                ["--allow", "changes_owner,adopts", "--format", "sql", "--secrets", &secrets];
            let words = [&["plan"][..], &place, &allow].concat();
            fixture.without_connection(&definitions, &words).output().unwrap()
        };
        let honest = expect(&run(&fixture.server.port().to_string()), 0);
        assert!(honest.contains("ALTER TABLE public.orders OWNER TO \"shop_owner\";"), "{honest}");
        let output = run(&port);
        let text = expect(&output, 3);
        assert!(text.contains("is not the name of an object in SQL"), "{lie}: {text}");
        let script = String::from_utf8(output.stdout).unwrap();
        // The refusal contains the text, escaped, in a comment.
        let mut statements = script.lines().filter(|line| !line.starts_with("--"));
        assert!(statements.all(|line| !line.contains("orders")), "{lie}: {script}");
        assert!(!script.lines().any(|line| line.starts_with("\\!")), "{lie}: {script}");
    }
}

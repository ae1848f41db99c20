//! What Secrets Manager may answer, and what a person reads then.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use rdsprov_testkit::{environment, versions};

use crate::bench::{Bench, expect, password};

/// An endpoint that answers every request with one error of the API.
fn endpoint_that_says(code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let _ = reader.read_exact(&mut vec![0; length]);
            let body = format!(r#"{{"__type": "{code}", "message": "said the test"}}"#);
            let _ = write!(
                &stream,
                "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\n\
                 connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

#[test]
fn each_answer_has_its_message() {
    let bench = Bench::with_secrets_manager(versions()[0]);
    let manager = bench.secrets_manager.as_ref().unwrap();
    manager.put_binary("goldenpath/dev/keycloak/postgres", b"Canary-binary").unwrap();
    bench.app("dev", "backstage", "backstage_user");
    manager.delete("goldenpath/dev/backstage/postgres").unwrap();
    let shown = expect(&bench.run("teams/standalone.tfvars", &["apply"]), 3);
    assert!(shown.contains("goldenpath/dev/keycloak/postgres is binary"), "{shown}");
    assert!(
        shown.contains("goldenpath/dev/backstage/postgres is scheduled for deletion"),
        "{shown}"
    );

    for (code, says) in [
        ("ResourceNotFoundException", "does not exist"),
        ("AccessDeniedException", "secretsmanager:GetSecretValue"),
        ("DecryptionFailure", "kms:Decrypt"),
        ("ThrottlingException", "too many requests"),
        ("InternalServiceError", "InternalServiceError"),
    ] {
        let mut command = bench.command("teams/standalone.tfvars", &["plan"]);
        command.envs(environment(&endpoint_that_says(code)));
        let shown = expect(&command.output().unwrap(), 1);
        let whole = shown.contains(says) && shown.contains("goldenpath/dev/rds/master");
        assert!(whole, "{code}: {shown}");
    }
    let mut command = bench.command("teams/standalone.tfvars", &["plan"]);
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let shown = expect(&command.output().unwrap(), 1);
    assert!(shown.contains("cannot be reached"), "{shown}");
}

#[test]
fn a_secret_that_rds_manages_is_completed_by_flags() {
    let bench = Bench::with_secrets_manager(versions()[0]);
    bench.app("dev", "keycloak", "keycloak_user");
    bench.app("dev", "backstage", "backstage_user");
    let text = format!(
        r#"{{"username": "platform_admin", "password": "{}"}}"#,
        bench.server.master_password()
    );
    bench.secret("rds!db-1", &text);
    let admin = ["--admin-secret", "rds!db-1"];
    let incomplete = [&["apply"], admin.as_slice()].concat();
    let shown = expect(&bench.run("teams/standalone.tfvars", &incomplete), 1);
    assert!(shown.contains("has no host") && shown.contains("--host"), "{shown}");
    let port = bench.server.port().to_string();
    let place = ["--host", "localhost", "--port", &port, "--dbname", "platform"];
    let complete = [&incomplete, place.as_slice()].concat();
    expect(&bench.run("teams/standalone.tfvars", &complete), 0);
    bench.server.sql_as("keycloak_user", &password("keycloak"), "keycloak", "SELECT 1").unwrap();
}

/// More than one batch.
#[test]
fn many_secrets_are_fetched_in_batches() {
    let bench = Bench::with_secrets_manager(versions()[0]);
    let mut text = "application_databases = {\n".to_owned();
    for n in 0..45 {
        text.push_str(&format!("  app{n} = {{ database_name = \"db\", username = \"user{n}\""));
        text.push_str(if n == 0 { " }\n" } else { ", access_level = \"reader\" }\n" });
        bench.app("dev", &format!("app{n}"), &format!("user{n}"));
    }
    let definitions = bench.definitions(&(text + "}\n"));
    expect(&bench.run(&definitions, &["apply", "--env", "dev"]), 0);
    bench.server.sql_as("user44", &password("app44"), "db", "SELECT 1").unwrap();
    expect(&bench.run(&definitions, &["check", "--env", "dev"]), 0);
}

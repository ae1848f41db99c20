//! Responses of Secrets Manager and the messages that follow.

use std::process::Command;
use std::time::{Duration, Instant};

use rdsprov_testkit::{ACCESS_KEY_ID, Call, HttpEndpoint, HttpProxy, Reply, versions};
use serde_json::json;

use crate::fixture::{CANARY, Fixture, assert_no_password, expect, password};

const TEAMS: &str = "teams/standalone.tfvars";

fn actions(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(|call| call.action.as_str()).collect()
}

#[test]
fn aws_errors_have_messages() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    each_error_has_its_message(&fixture);
    throttled_requests_are_retried(&fixture);
    no_region_credentials_or_connection(&fixture);
}

/// A permanent error of one secret in a batch is final.
fn each_error_has_its_message(fixture: &Fixture) {
    let manager = fixture.secrets_manager.as_ref().unwrap();
    let one = ["BatchGetSecretValue"].as_slice();
    let all =
        ["BatchGetSecretValue", "GetSecretValue", "GetSecretValue", "GetSecretValue"].as_slice();
    for (code, message, says, calls) in [
        ("ResourceNotFoundException", "no secret", "does not exist in region eu-west-2", one),
        (
            "ResourceNotFoundException",
            "no secret value for AWSCURRENT",
            "has no current value",
            one,
        ),
        ("AccessDeniedException", "not authorized", "access is denied", one),
        ("AccessDeniedException", "Access to KMS is not allowed", "cannot be decrypted", one),
        ("DecryptionFailure", "the key is disabled", "cannot be decrypted", one),
        ("InvalidRequestException", "marked for deletion", "is scheduled for deletion", one),
        ("InvalidRequestException", "owned by a service", "InvalidRequestException", all),
        ("InvalidParameterException", "too odd", "InvalidParameterException", all),
    ] {
        let proxy = HttpProxy::start(manager, move |call| {
            let id = |id| json!({"SecretId": id, "ErrorCode": code, "Message": message});
            Some(match call.parameters["SecretIdList"].as_array() {
                Some(ids) => {
                    Reply::Value(json!({"Errors": ids.iter().map(id).collect::<Vec<_>>()}))
                }
                None => Reply::Error(code, message.to_owned()),
            })
        })
        .unwrap();
        let mut command = fixture.command(TEAMS, &["plan"]);
        let output_text = expect(&command.envs(proxy.environment()).output().unwrap(), 1);
        assert_eq!(output_text.matches(says).count(), 3, "{code}: {output_text}");
        for secret in [
            "secret of the administrator cannot be used: secret goldenpath/dev/rds/master ",
            "keycloak: secret goldenpath/dev/keycloak/postgres ",
            "backstage: secret goldenpath/dev/backstage/postgres ",
        ] {
            assert!(output_text.contains(secret), "{secret} is not in {output_text}");
        }
        assert!(!output_text.contains(message), "the message of AWS is printed: {output_text}");
        assert_eq!(actions(&proxy.take_calls()), calls, "{code}");
    }
}

/// The SDK retries with a delay, three requests in all: the third response counts.
fn throttled_requests_are_retried(fixture: &Fixture) {
    let manager = fixture.secrets_manager.as_ref().unwrap();
    for (times, attempts, code, calls) in [(2, "", 0, 3), (9, "", 1, 3), (9, "2", 1, 2)] {
        let left = std::sync::atomic::AtomicI32::new(times);
        let proxy = HttpProxy::start(manager, move |_| {
            let throttled = left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) > 0;
            throttled.then(|| Reply::Error("ThrottlingException", "Rate exceeded".to_owned()))
        })
        .unwrap();
        let mut command = fixture.command(TEAMS, &["plan"]);
        command.envs(proxy.environment());
        if !attempts.is_empty() {
            command.env("AWS_MAX_ATTEMPTS", attempts);
        }
        let output_text = expect(&command.output().unwrap(), code);
        assert_eq!(code == 1, output_text.contains("too many requests"), "{output_text}");
        // Each region has its own secrets.
        let region = "secrets in AWS region eu-west-2 (AWS_REGION)";
        assert_eq!(code != 1, output_text.contains(region), "{output_text}");
        assert_eq!(actions(&proxy.take_calls()), vec!["BatchGetSecretValue"; calls]);
    }
}

/// If no secret at all can be read, one error says so, and why.
fn no_region_credentials_or_connection(fixture: &Fixture) {
    let region = ("AWS_REGION", "eu-west-2");
    let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    let unreachable =
        [region, credentials[0], credentials[1], ("AWS_ENDPOINT_URL", "http://127.0.0.1:9")];
    let definitions = fixture.definitions(
        r#"application_databases = { a = { database_name = "a", username = "a_user" } }"#,
    );
    for (variables, says) in [
        (
            [].as_slice(),
            "error[no-aws-region]: the AWS region is not known\nhint: use --region REGION",
        ),
        (
            &[region],
            "error[no-aws-credentials]: no AWS credentials were found in the environment variables, the \
             profile `default` or the instance metadata service\nhint: run `aws sso login` or `aws login`, ",
        ),
        (
            &unreachable,
            "error[secrets-manager-unreachable]: Secrets Manager in region eu-west-2 cannot be reached: ",
        ),
    ] {
        let mut command: Command =
            fixture.without_connection(&definitions, &["plan", "--env", "dev"]);
        // The request to the EC2 metadata service fails as well, which is not worth a message.
        command
            .env_clear()
            .env("HOME", fixture.path())
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
            .envs(variables.iter().copied());
        let output_text = expect(&command.output().unwrap(), 1);
        assert!(output_text.starts_with(says), "{output_text}");
        assert!(
            output_text.lines().skip(1).all(|line| line.starts_with("hint: ")),
            "{output_text}"
        );
    }
    let proxy = HttpProxy::start(fixture.secrets_manager.as_ref().unwrap(), |_| {
        Some(Reply::Error(
            "UnrecognizedClientException",
            "The security token is invalid".to_owned(),
        ))
    });
    let mut command = fixture.without_connection(&definitions, &["plan", "--env", "dev"]);
    let output_text = expect(&command.envs(proxy.unwrap().environment()).output().unwrap(), 1);
    let says = "error[aws-credentials-rejected]: AWS rejected the credentials (UnrecognizedClientException)\nhint: ";
    assert!(output_text.starts_with(says) && output_text.lines().count() == 2, "{output_text}");
}

/// Every kind of invalid secret in one run: all are reported with secret and application, and
/// nothing is changed. Neither the log of the libraries nor the records contain the texts.
#[test]
fn invalid_secrets_are_reported_together() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    let manager = fixture.secrets_manager.as_ref().unwrap();
    let id = |application: &str| format!("goldenpath/dev/{application}/postgres");
    let canary = format!("{CANARY}7f/+é x");
    let long = canary.repeat(65_536 / canary.len());
    let texts = [
        ("array", format!(r#"["{canary}"]"#), "is not a JSON object"),
        ("cut", format!(r#"{{"password": "{canary}"#), "is not JSON (line 1, column"),
        ("plain", canary.clone(), "is not JSON (line 1, column 1)"),
        ("long", long.clone(), "is not JSON (line 1, column 1)"),
        (
            "twice",
            format!(r#"{{"password": "{canary}", "password": "{canary}"}}"#),
            "the key `password` twice",
        ),
        ("nested", format!(r#"{{"password": {{"x": "{canary}"}}}}"#), "is not a string"),
        ("broken", format!(r#"{{"password": "{canary}\n"}}"#), "line break"),
        ("port", format!(r#"{{"password": "{canary}", "port": "{canary}"}}"#), "`port` of secret"),
        (
            "engine",
            format!(r#"{{"password": "{canary}", "engine": "mysql"}}"#),
            "other than PostgreSQL",
        ),
        (
            "other",
            format!(r#"{{"password": "{canary}", "username": "x"}}"#),
            "is for another user, and",
        ),
    ];
    for (application, text, _) in &texts {
        fixture.secret(&id(application), text);
    }
    manager.put_binary(&id("binary"), format!("x{canary}").as_bytes()).unwrap();
    manager.put_without_value(&id("unset")).unwrap();
    for application in ["gone", "denied", "sealed", "throttled"] {
        fixture.app("dev", application, &format!("{application}_user"));
    }
    manager.delete(&id("gone")).unwrap();
    let rest = [
        ("binary", "is binary"),
        ("unset", "has no current value"),
        ("gone", "is scheduled for deletion"),
        ("missing", "does not exist in region eu-west-2"),
        ("denied", "cannot be read: access is denied"),
        ("sealed", "cannot be decrypted"),
        ("throttled", "too many requests"),
    ];
    let kinds: Vec<(&str, &str)> =
        texts.iter().map(|(application, _, says)| (*application, *says)).chain(rest).collect();
    let mut text = "application_databases = {\n".to_owned();
    for (application, _) in &kinds {
        text.push_str(&format!(
            "  {application} = {{ database_name = \"{application}\", username = \"{application}_user\" }}\n"
        ));
    }
    let far = "arn:aws:secretsmanager:us-east-1:111122223333:secret:far-AbCdEf";
    text.push_str(&format!(
        "  far = {{ database_name = \"far\", username = \"far_user\", secret = \"{far}\" }}\n}}\n"
    ));
    let definitions = fixture.definitions(&text);
    // The batch is denied, so that secrets are read one by one.
    let proxy = HttpProxy::start(manager, move |call| {
        let says = |code, message: &str| Some(Reply::Error(code, message.to_owned()));
        match call.parameters["SecretId"].as_str().and_then(|id| id.split('/').nth(2)) {
            None => says("AccessDeniedException", "not in batches"),
            Some("denied") => says("AccessDeniedException", "not authorized"),
            Some("sealed") => says("AccessDeniedException", "Access to KMS is not allowed"),
            Some("throttled") => says("ThrottlingException", "Rate exceeded"),
            Some(_) => None,
        }
    })
    .unwrap();

    let catalog_state = fixture.catalog_state();
    let audit = fixture.path().join("audit.csv").display().to_string();
    let apply = ["apply", "--env", "dev", "--audit-output", &audit];
    let verbose = [apply.as_slice(), &["-vv", "--log-format", "json"]].concat();
    let run = |words: &[&str]| {
        let mut command = fixture.command(&definitions, words);
        expect(&command.envs(proxy.environment()).output().unwrap(), 3)
    };
    let started = Instant::now();
    let output_text = run(&apply);
    assert!(started.elapsed() < Duration::from_secs(20), "the run took too long");
    for (application, says) in &kinds {
        let is_reported = |line: &str| {
            let secret = format!("secret {}", id(application));
            let (before, after) = line.split_once(&secret).unwrap_or_default();
            let is_refusal = before.starts_with("refused[secret-")
                && before.contains(&format!("] {application}: "));
            is_refusal && after.starts_with([' ', ':'])
        };
        let line = output_text.lines().find(|line| is_reported(line));
        assert!(
            line.is_some_and(|line| line.contains(says)),
            "{application}, {says}: {output_text}"
        );
    }
    let says = format!(
        "refused[secret-unavailable] far: secret {far} is in region us-east-1, but this run reads secrets in region eu-west-2"
    );
    assert!(output_text.contains(&says), "{output_text}");
    let log = run(&verbose);
    assert!(log.contains("DEBUG") && !log.contains(ACCESS_KEY_ID), "{log}");
    // Without the proxy, the batch returns every secret that it can.
    expect(&fixture.run(&definitions, &verbose), 3);
    let records = std::fs::read_to_string(&audit).unwrap();
    assert_eq!(records.matches(",refused,").count(), 3, "{records}");
    assert!(
        records.contains("binary: secret goldenpath/dev/binary/postgres is binary"),
        "{records}"
    );
    assert_no_password(&records);
    assert_eq!(fixture.catalog_state(), catalog_state);
}

/// The plan names the version of a secret that it sets, and an approval is for that version.
/// An application can name each secret that the run can read: its values are not for messages.
#[test]
fn values_of_other_secrets_are_not_printed() {
    let fixture = Fixture::new(versions()[0]);
    let definitions = fixture.definitions(
        r#"application_databases = { shop = { database_name = "shop", username = "shop_owner", secret = "other" } }"#,
    );
    for (host, expected) in [
        ("Canary/host", ["secret-unavailable", "`host` of secret other is not a host name"]),
        ("db.example.com", ["secret-username-differs", "the endpoint db.example.com:6432"]),
    ] {
        let secret = json!({"username": "Canary-user", "password": "Canary-password-5b1e",
                            "host": host, "port": 6432, "dbname": "Canary-database"});
        fixture.secret("other", &secret.to_string());
        for command in ["plan", "preflight"] {
            let text = expect(&fixture.run(&definitions, &[command, "--env", "dev"]), 3);
            assert!(expected.iter().all(|words| text.contains(words)), "{text}");
            assert!(!text.contains("Canary"), "{text}");
        }
    }
}

#[test]
fn plan_names_the_secret_version() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    let manager = fixture.secrets_manager.as_ref().unwrap();
    fixture.app("dev", "keycloak", "keycloak_user");
    // Unusual but valid: a port as text, an unknown key, 64 KB in all.
    let id = "goldenpath/dev/backstage/postgres";
    let secret = |password: &str| {
        let note = "x".repeat(65_000 - password.len());
        format!(r#"{{"password": "{password}", "port": "5432", "note": "{note}"}}"#)
    };
    fixture.secret(id, &secret(&password("backstage")));
    let plan = |says: &str| {
        let output_text = expect(&fixture.run(TEAMS, &["plan", "-v"]), 0);
        assert!(
            output_text.contains(&format!("password from {id} (version {says})")),
            "{output_text}"
        );
        output_text.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned()
    };
    let first = manager.version(id).unwrap();
    let digest = plan(&first);
    manager.put_pending(id, &secret("Canary-pending")).unwrap();
    assert_eq!(plan(&first), digest, "a pending version changes the plan");
    fixture.secret(id, &secret(&password("again")));
    let second = manager.version(id).unwrap();
    assert_ne!(plan(&second), digest, "the digest does not depend on the version");
    expect(&fixture.run(TEAMS, &["apply"]), 0);
    fixture.server.sql_as("backstage_user", &password("again"), "backstage", "SELECT 1").unwrap();

    let long = password(&"x".repeat(64_000));
    fixture.secret(id, &secret(&long));
    let third = manager.version(id).unwrap();
    plan(&third);
    let output_text = expect(&fixture.run(TEAMS, &["plan", "--format", "json"]), 0);
    assert!(output_text.contains(&format!("<password from {id}>")), "{output_text}");
    let output_text = expect(&fixture.run(TEAMS, &["apply"]), 0);
    let record = ",set_password,success,";
    let row = output_text.lines().find(|line| line.contains(record)).unwrap();
    assert!(row.contains(&third), "{row}");
    fixture.server.sql_as("backstage_user", &long, "backstage", "SELECT 1").unwrap();
}

/// A server whose master user has a secret that RDS manages: it contains a name and a password only.
fn with_rds_managed_secret() -> Fixture {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    let text = format!(
        r#"{{"username": "platform_admin", "password": "{}"}}"#,
        fixture.server.master_password()
    );
    fixture.secret("rds!db-1", &text);
    fixture
}

#[test]
fn rds_managed_secret_is_completed_by_options() {
    let fixture = with_rds_managed_secret();
    let admin = ["--admin-secret", "rds!db-1"];
    let incomplete = [&["apply"], admin.as_slice()].concat();
    let output_text = expect(&fixture.run("teams/standalone.tfvars", &incomplete), 1);
    assert!(
        output_text.contains("[admin-secret-incomplete]") && output_text.contains("--host"),
        "{output_text}"
    );
    assert!(!output_text.contains("add `host`"), "users cannot change this secret: {output_text}");
    // RDS names the DB instance or the cluster in a tag, which a policy can hide.
    let manager = fixture.secrets_manager.as_ref().unwrap();
    for (tag, resource, says) in [
        (
            "aws:rds:primaryDBInstanceArn",
            "db:shop-1",
            "endpoint of the DB instance `shop-1` with --host HOST",
        ),
        (
            "aws:rds:primaryDBClusterArn",
            "cluster:c-1",
            "endpoint of the DB cluster `c-1` with --host HOST",
        ),
        ("team", "db:shop-1", "endpoint of the DB instance or cluster with --host HOST"),
        ("denied", "", "endpoint of the DB instance or cluster with --host HOST"),
    ] {
        let proxy = HttpProxy::start(manager, move |call| {
            let arn = format!("arn:aws:rds:eu-west-2:111122223333:{resource}");
            (call.action == "DescribeSecret").then(|| match tag {
                "denied" => Reply::Error("AccessDeniedException", "not authorized".to_owned()),
                _ => Reply::Value(json!({"Tags": [{"Key": tag, "Value": arn}]})),
            })
        });
        let proxy = proxy.unwrap();
        let mut command = fixture.command("teams/standalone.tfvars", &incomplete);
        let output_text = expect(&command.envs(proxy.environment()).output().unwrap(), 1);
        assert!(output_text.contains(says), "{output_text}");
        assert!(actions(&proxy.take_calls()).contains(&"DescribeSecret"));
    }
    let port = fixture.server.port().to_string();
    let place = ["--host", "localhost", "--port", &port, "--dbname", "platform"];
    let complete = [&incomplete, place.as_slice()].concat();
    expect(&fixture.run("teams/standalone.tfvars", &complete), 0);
    fixture.server.sql_as("keycloak_user", &password("keycloak"), "keycloak", "SELECT 1").unwrap();
}

/// The API of RDS returns the host and the port of the server of such a secret, if neither an option
/// nor the secret contains them.
#[test]
fn endpoint_of_an_rds_managed_secret_comes_from_the_api() {
    let fixture = with_rds_managed_secret();
    let manager = fixture.secrets_manager.as_ref().unwrap();
    let port = fixture.server.port();
    let instance = format!(
        "<DescribeDBInstancesResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">\
           <DescribeDBInstancesResult><DBInstances><DBInstance>\
             <ListenerEndpoint><Address>wrong</Address><Port>1</Port></ListenerEndpoint>\
             <Endpoint><Port>{port}</Port><Address>localhost</Address></Endpoint>\
           </DBInstance></DBInstances></DescribeDBInstancesResult>\
         </DescribeDBInstancesResponse>"
    );
    let cluster = format!(
        "<DescribeDBClustersResponse><DescribeDBClustersResult><DBClusters><DBCluster>\
           <ReaderEndpoint>wrong</ReaderEndpoint><Endpoint>localhost</Endpoint><Port>{port}</Port>\
         </DBCluster></DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>"
    );
    let creating = instance.replace("localhost", "").replace("Address", "X");
    let denied = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
         <Message>{CANARY}</Message></Error></ErrorResponse>"
    );
    let hostile = denied.replace("AccessDenied", &format!("{CANARY}x y"));
    let invalid = instance.replace(&format!("<Port>{port}</Port>"), "<Port>99999</Port>");
    let long = " ".repeat(2 * 1024 * 1024);
    let (db, of_cluster) = ("db:shop-1", "cluster:c-1");
    let found = |owner| format!("host and port from {owner}");
    for (resource, status, body, code, says) in [
        (db, 200, &instance, 0, found("DB instance `shop-1`")),
        (of_cluster, 200, &cluster, 0, found("DB cluster `c-1`")),
        (db, 403, &denied, 1, "the API of RDS returned no endpoint: AccessDenied".to_owned()),
        (db, 403, &denied, 1, "or allow the caller `rds:DescribeDBInstances`".to_owned()),
        (of_cluster, 403, &denied, 1, "allow the caller `rds:DescribeDBClusters`".to_owned()),
        (db, 403, &hostile, 1, "returned no endpoint: status 403".to_owned()),
        (db, 500, &String::new(), 1, "returned no endpoint: status 500".to_owned()),
        (db, 200, &creating, 1, "returned no endpoint: no endpoint in the response".to_owned()),
        (db, 200, &cluster, 1, "returned no endpoint: no endpoint in the response".to_owned()),
        (db, 200, &invalid, 1, "returned no endpoint: no valid port in the response".to_owned()),
        (db, 200, &long, 1, "the response is longer than 1048576 bytes".to_owned()),
    ] {
        let proxy = HttpProxy::start(manager, move |call| {
            let arn = format!("arn:aws:rds:eu-west-2:111122223333:{resource}");
            let tags = json!({"Tags": [{"Key": "aws:rds:primaryDBInstanceArn", "Value": arn},
                {"Key": "aws:rds:primaryDBClusterArn", "Value": arn}]});
            (call.action == "DescribeSecret").then_some(Reply::Value(tags))
        });
        let (proxy, body) = (proxy.unwrap(), body.clone());
        let api = HttpEndpoint::start(move |_| (status, body.clone())).unwrap();
        let run = |more: &[&str], code| {
            let arguments = [&["plan", "-vv", "--admin-secret", "rds!db-1"], more].concat();
            let mut command = fixture.command(TEAMS, &arguments);
            command.envs(proxy.environment()).env("AWS_ENDPOINT_URL_RDS", api.url());
            let output = command.output().unwrap();
            let output_text = expect(&output, code);
            assert!(!output_text.contains("X-Amz-"), "the signature is logged: {output_text}");
            let lines: Vec<String> =
                api.take_requests().into_iter().map(|request| request.line).collect();
            (output_text, lines)
        };
        let (output_text, lines) = run(&[], code);
        assert!(output_text.contains(&says), "{says}: {output_text}");
        let action = match resource {
            "db:shop-1" => "Action=DescribeDBInstances&DBInstanceIdentifier=shop-1",
            _ => "Action=DescribeDBClusters&DBClusterIdentifier=c-1",
        };
        let begins = format!("GET /?{action}&Version=2014-10-31&X-Amz-");
        assert!(lines.len() == 1 && lines[0].starts_with(&begins), "{lines:?}");
        for part in ["%2Feu-west-2%2Frds%2Faws4_request", "&X-Amz-Signature="] {
            assert!(lines[0].contains(part), "{lines:?}");
        }
        if code != 0 {
            assert!(output_text.contains("with --host HOST"), "{output_text}");
        }
        // With `--host`, the API is not asked.
        let (_, lines) = run(&["--host", "localhost", "--port", &port.to_string()], 0);
        assert_eq!(lines, [""; 0]);
    }
    // An instance with the same identifier in another region or account is another one.
    for (arn, says) in [
        (
            "arn:aws:rds:us-west-2:111122223333:db:shop-1",
            "the tags of the secret name AWS region us-west-2, and the run uses eu-west-2",
        ),
        (
            "arn:aws:rds:eu-west-2:999999999999:db:shop-1",
            "the tags of the secret name account 999999999999, and the secret is in 111122223333",
        ),
    ] {
        let proxy = HttpProxy::start(manager, move |call| {
            let tags = json!({"Tags": [{"Key": "aws:rds:primaryDBInstanceArn", "Value": arn}],
                "ARN": "arn:aws:secretsmanager:eu-west-2:111122223333:secret:rds!db-1-a1b2c3"});
            (call.action == "DescribeSecret").then_some(Reply::Value(tags))
        });
        let body = instance.clone();
        let api = HttpEndpoint::start(move |_| (200, body.clone())).unwrap();
        let mut command = fixture.command(TEAMS, &["plan", "--admin-secret", "rds!db-1"]);
        command.envs(proxy.unwrap().environment()).env("AWS_ENDPOINT_URL_RDS", api.url());
        let output_text = expect(&command.output().unwrap(), 1);
        assert!(output_text.contains(says), "{says}: {output_text}");
        assert_eq!(api.take_requests().len(), 0, "{arn}");
    }
    // `--port` takes precedence over the API.
    let proxy = HttpProxy::start(manager, move |call| {
        let arn = "arn:aws:rds:eu-west-2:111122223333:db:shop-1";
        let tags = json!({"Tags": [{"Key": "aws:rds:primaryDBInstanceArn", "Value": arn}]});
        (call.action == "DescribeSecret").then_some(Reply::Value(tags))
    });
    let elsewhere = instance.replace(&format!("<Port>{port}</Port>"), "<Port>9</Port>");
    let api = HttpEndpoint::start(move |_| (200, elsewhere.clone())).unwrap();
    for (more, code) in [(vec![], 1), (vec!["--port".to_owned(), port.to_string()], 0)] {
        let mut command = fixture.command(TEAMS, &["plan", "--admin-secret", "rds!db-1"]);
        command.args(more).envs(proxy.as_ref().unwrap().environment());
        command.env("AWS_ENDPOINT_URL_RDS", api.url());
        expect(&command.output().unwrap(), code);
    }
}

/// More secrets than one batch can contain.
#[test]
fn many_secrets_are_fetched_in_batches() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    let mut text = "application_databases = {\n".to_owned();
    for n in 0..45 {
        text.push_str(&format!("  app{n} = {{ database_name = \"db\", username = \"user{n}\""));
        text.push_str(if n == 0 { " }\n" } else { ", access_level = \"reader\" }\n" });
        fixture.app("dev", &format!("app{n}"), &format!("user{n}"));
    }
    let definitions = fixture.definitions(&(text + "}\n"));
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    fixture.server.sql_as("user44", &password("app44"), "db", "SELECT 1").unwrap();
    expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
}

/// The hint names the file that is missing, and what it contains.
#[test]
fn missing_file_of_a_secret_is_named() {
    let fixture = Fixture::new(versions()[0]);
    let definitions = fixture.definitions(
        r#"application_databases = { shop = { database_name = "shop", username = "shop_owner" } }"#,
    );
    let plan = |code| {
        let mut command = fixture.without_connection(&definitions, &["plan", "--env", "dev"]);
        command.args(["--secrets", "file:.", "--ca-file"]).arg(fixture.server.ca_file());
        expect(&command.output().unwrap(), code)
    };
    let text = plan(3);
    let hint = "hint: create the file ./goldenpath/dev/shop/postgres.json with `{\"username\": \"…\", \"password\": \"…\"}`, or name another secret";
    assert!(text.contains(hint), "{text}");
    std::fs::remove_file(fixture.path().join("goldenpath/dev/rds/master.json")).unwrap();
    let text = plan(1);
    let hint = "hint: create the file ./goldenpath/dev/rds/master.json with `{\"username\": \"…\", \"password\": \"…\", \"host\": \"…\", \"port\": 5432}`";
    assert!(text.contains(hint), "{text}");
}

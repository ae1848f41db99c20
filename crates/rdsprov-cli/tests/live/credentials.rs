//! AWS credentials: each kind that endpoints on loopback can imitate is found, cached, and used to
//! sign the calls of Secrets Manager. If a kind fails, the error names it.

use std::net::TcpListener;
use std::process::Command;

use rdsprov_testkit::{ACCESS_KEY_ID, HttpEndpoint, HttpProxy, HttpRequest, versions};
use serde_json::json;

use crate::fixture::{Fixture, expect};

/// A part of each secret key and token of this test, which no output may contain.
const CANARY: &str = "AwsCanary-9c4e";

/// The time at which the credentials expire, in the two forms that AWS uses.
const EXPIRES: &str = "2099-01-01T00:00:00Z";
const EXPIRES_MS: u64 = 4_070_908_800_000;

const DEFINITIONS: &str = r#"
application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
  desk = { database_name = "desk", username = "desk_owner" }
}
"#;

const ROLE: &str = "arn:aws:iam::111122223333:role/provisioner";

fn fixture() -> Fixture {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "desk", "desk_owner");
    fixture.definitions(DEFINITIONS);
    fixture
}

/// The endpoints of AWS that provide credentials, each with another access key.
fn endpoint() -> HttpEndpoint {
    HttpEndpoint::start(respond).unwrap()
}

fn respond(request: &HttpRequest) -> (u16, String) {
    let keys = |id: &str| {
        json!({"AccessKeyId": id, "SecretAccessKey": CANARY, "Token": CANARY, "Code": "Success",
               "Type": "AWS-HMAC", "LastUpdated": EXPIRES, "Expiration": EXPIRES})
    };
    let is_session = request.header("x-aws-ec2-metadata-token") == Some("imds-session");
    let answer = match request.line.as_str() {
        "POST /" if request.body.contains("Action=AssumeRole") => {
            let (action, id) = if request.body.contains("AssumeRoleWithWebIdentity") {
                ("AssumeRoleWithWebIdentity", "AKIDWEBIDENTITY")
            } else {
                ("AssumeRole", "AKIDASSUMED")
            };
            format!(
                "<{action}Response><{action}Result><Credentials><AccessKeyId>{id}</AccessKeyId>\
                 <SecretAccessKey>{CANARY}</SecretAccessKey><SessionToken>{CANARY}</SessionToken>\
                 <Expiration>{EXPIRES}</Expiration></Credentials><AssumedRoleUser>\
                 <Arn>{ROLE}/x</Arn><AssumedRoleId>A:x</AssumedRoleId></AssumedRoleUser>\
                 </{action}Result></{action}Response>"
            )
        }
        "GET /container" if request.header("authorization") == Some("container-token") => {
            keys("AKIDCONTAINER").to_string()
        }
        line if line.starts_with("GET /federation/credentials") => {
            assert_eq!(request.header("x-amz-sso_bearer_token"), Some(CANARY));
            json!({"roleCredentials": {"accessKeyId": "AKIDSSO", "secretAccessKey": CANARY,
                   "sessionToken": CANARY, "expiration": EXPIRES_MS}})
            .to_string()
        }
        "PUT /latest/api/token" => "imds-session".to_owned(),
        "GET /latest/meta-data/iam/security-credentials/" if is_session => "node".to_owned(),
        "GET /latest/meta-data/iam/security-credentials/node" if is_session => {
            keys("AKIDINSTANCE").to_string()
        }
        _ => return (404, String::new()),
    };
    (200, answer)
}

/// Returns `rdsprov plan` without any credentials, directed to the endpoint and to the Secrets
/// Manager behind the proxy.
fn command(
    fixture: &Fixture,
    endpoint: &HttpEndpoint,
    manager: &HttpProxy,
    arguments: &[&str],
) -> Command {
    let definitions = fixture.path().join("own.tfvars").display().to_string();
    let mut command = fixture.command(&definitions, arguments);
    command.args(["--env", "dev"]);
    for name in ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        command.env_remove(name);
    }
    let manager = manager.environment().into_iter().find(|(name, _)| *name == "AWS_ENDPOINT_URL");
    command
        .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", manager.unwrap().1)
        .env("AWS_ENDPOINT_URL_STS", endpoint.url())
        .env("AWS_ENDPOINT_URL_SSO", endpoint.url())
        .env("HOME", fixture.path());
    command
}

fn write(fixture: &Fixture, name: &str, text: &str) -> String {
    let path = fixture.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Environment variables with their values.
type Variables = Vec<(&'static str, String)>;

/// The kinds of credentials: the variables and the profile that select them, and their access key.
fn kinds(
    fixture: &Fixture,
    endpoint: &HttpEndpoint,
) -> Vec<(&'static str, Variables, &'static str)> {
    let profile = |name: &'static str, text: &str| {
        let path = write(fixture, &format!("{name}.config"), &format!("[profile {name}]\n{text}"));
        vec![("AWS_PROFILE", name.to_owned()), ("AWS_CONFIG_FILE", path)]
    };
    let keys = |id| format!("aws_access_key_id = {id}\naws_secret_access_key = {CANARY}\n");
    let process = json!({"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": CANARY,
                         "SessionToken": CANARY, "Expiration": EXPIRES});
    let process = write(fixture, "process.json", &process.to_string());
    let assumed =
        format!("role_arn = {ROLE}\nsource_profile = base\n[profile base]\n{}", keys("AKIDBASE"));
    let sso = "sso_start_url = https://d-test.awsapps.com/start\nsso_region = eu-west-2\n\
               sso_account_id = 111122223333\nsso_role_name = provisioner\n";
    // The names of the files are the SHA-1 value of the start URL and the SHA-256 value of the session.
    let token = json!({"startUrl": "https://d-test.awsapps.com/start", "region": "eu-west-2",
                       "accessToken": CANARY, "expiresAt": EXPIRES});
    write(fixture, &format!(".aws/sso/cache/{SSO_SHA1}.json"), &token.to_string());
    let login = json!({"accessToken": {"accessKeyId": "AKIDLOGIN", "secretAccessKey": CANARY,
                       "sessionToken": CANARY, "accountId": "111122223333", "expiresAt": EXPIRES},
                       "tokenType": "aws_sigv4", "refreshToken": CANARY, "idToken": CANARY,
                       "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": "unused"});
    write(fixture, &format!(".aws/login/cache/{LOGIN_SHA256}.json"), &login.to_string());
    let token = write(fixture, "token", "container-token");
    let web = write(fixture, "web-identity", CANARY);
    vec![
        (
            "variables",
            vec![
                ("AWS_ACCESS_KEY_ID", "AKIDVARIABLES".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", CANARY.to_owned()),
            ],
            "AKIDVARIABLES",
        ),
        ("keys of a profile", profile("keys", &keys("AKIDPROFILE")), "AKIDPROFILE"),
        ("role of a profile", profile("assumed", &assumed), "AKIDASSUMED"),
        (
            "credential_process",
            profile("process", &format!("credential_process = cat {process}\n")),
            "AKIDPROCESS",
        ),
        ("SSO", profile("sso", sso), "AKIDSSO"),
        ("aws login", profile("login", &format!("login_session = {LOGIN}\n")), "AKIDLOGIN"),
        (
            "web identity (IRSA)",
            vec![("AWS_WEB_IDENTITY_TOKEN_FILE", web), ("AWS_ROLE_ARN", ROLE.to_owned())],
            "AKIDWEBIDENTITY",
        ),
        (
            "container (ECS, EKS Pod Identity)",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", endpoint.url())),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
            ],
            "AKIDCONTAINER",
        ),
        (
            "instance (IMDSv2)",
            vec![
                ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.url()),
            ],
            "AKIDINSTANCE",
        ),
    ]
}

const LOGIN: &str = "arn:aws:iam::111122223333:user/ada";
const SSO_SHA1: &str = "d4fb70fa6d937d4e0ee5cb0606c86de9712b04c3";
const LOGIN_SHA256: &str = "8a94dcaf071ee6a78db9a6b90e40b539573c9c8ef33a82541e6d9d2ceda11e00";

#[test]
fn each_kind_signs_the_calls() {
    let fixture = fixture();
    let endpoint = endpoint();
    let manager = HttpProxy::start(fixture.secrets_manager.as_ref().unwrap(), |_| None).unwrap();
    for (kind, variables, key) in kinds(&fixture, &endpoint) {
        let mut command = command(&fixture, &endpoint, &manager, &["plan", "-vv"]);
        let text = expect(&command.envs(variables).output().unwrap(), 0);
        let calls = manager.take_calls();
        assert!(!calls.is_empty(), "{kind}");
        for call in calls {
            assert_eq!(call.access_key_id, key, "{kind}: {}", call.action);
        }
        assert!(!text.contains(CANARY), "{kind}: the output contains credentials: {text}");
        assert!(!text.contains(key), "{kind}: the output contains an access key id: {text}");
    }
}

/// A proxy can have a password in its address, and the program of a profile can write one.
#[test]
fn debug_messages_contain_no_addresses_and_answers() {
    let fixture = fixture();
    let endpoint = endpoint();
    let manager = HttpProxy::start(fixture.secrets_manager.as_ref().unwrap(), |_| None).unwrap();
    let mut command = command(&fixture, &endpoint, &manager, &["plan", "-vv"]);
    let url = endpoint.url().replace("http://", &format!("http://user:{CANARY}@"));
    let keys = format!("aws_access_key_id = AKIDBASE\naws_secret_access_key = {CANARY}\n");
    let profile = format!(
        "[profile assumed]\nrole_arn = {ROLE}\nexternal_id = ticket-{CANARY}\nsource_profile = base\n\
         [profile base]\n{keys}"
    );
    command.env("AWS_CONFIG_FILE", write(&fixture, "assumed.config", &profile));
    command.env("AWS_PROFILE", "assumed").env("AWS_ENDPOINT_URL_STS", url);
    let output = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!endpoint.take_requests().is_empty(), "{text}");
    for word in [CANARY, "AKID"] {
        assert!(!text.contains(word), "the output contains {word}: {text}");
    }

    let program = format!("credential_process = /bin/sh -c \"echo {CANARY} >&2; exit 3\"");
    let profile = format!("[profile failing]\n{program}\n");
    let mut command = self::command(&fixture, &endpoint, &manager, &["plan", "-vv"]);
    command.env("AWS_CONFIG_FILE", write(&fixture, "failing.config", &profile));
    let text = expect(&command.env("AWS_PROFILE", "failing").output().unwrap(), 1);
    assert!(!text.contains(CANARY), "the output contains that of the program: {text}");
}

/// Secrets Manager and each IAM token use the same credentials. The role and its databases need
/// several connections, each with a token of its own.
#[test]
fn credentials_are_requested_once_for_a_run() {
    let fixture = fixture();
    let endpoint = endpoint();
    let manager = HttpProxy::start(fixture.secrets_manager.as_ref().unwrap(), |_| None).unwrap();
    fixture.query("CREATE ROLE token_admin LOGIN CREATEDB CREATEROLE");
    let rules = fixture.server.data_directory().join("pg_hba.conf");
    let text = std::fs::read_to_string(&rules).unwrap();
    // `trust` stands for a server that accepts the token.
    std::fs::write(&rules, format!("hostssl all token_admin all trust\n{text}")).unwrap();
    fixture.query("SELECT pg_reload_conf()");
    let port = fixture.server.port().to_string();
    let login = ["--admin-auth", "iam", "--admin-user", "token_admin", "--host", "localhost"];
    let web = write(&fixture, "web-identity", CANARY);
    for (command_line, code) in [(["apply"].as_slice(), 0), (&["check"], 0)] {
        let arguments = [command_line, login.as_slice(), &["--port", &port]].concat();
        let mut command = command(&fixture, &endpoint, &manager, &arguments);
        command.env("AWS_WEB_IDENTITY_TOKEN_FILE", &web).env("AWS_ROLE_ARN", ROLE);
        expect(&command.output().unwrap(), code);
        let requests = endpoint.take_requests();
        assert_eq!(requests.len(), 1, "{command_line:?}: {requests:?}");
        let calls = manager.take_calls();
        assert!(
            !calls.is_empty() && calls.iter().all(|one| one.access_key_id == "AKIDWEBIDENTITY")
        );
    }
}

/// Each instance of a fleet can have an IAM role of another account: its credentials sign the calls for
/// this instance, and only those.
#[test]
fn an_instance_of_a_fleet_assumes_its_role() {
    let fixture = fixture();
    let endpoint = endpoint();
    let manager = HttpProxy::start(fixture.secrets_manager.as_ref().unwrap(), |_| None).unwrap();
    let port = fixture.server.port();
    let of_role = format!(
        "[[instances]]\nname = \"orders-eu\"\nenvironment = \"dev\"\nregion = \"eu-west-2\"\n\
         definitions = [\"own.tfvars\"]\nassume_role = \"{ROLE}\"\nexternal_id = \"ticket-7\"\n\
         host = \"localhost\"\nport = {port}\n"
    );
    let without_role = of_role.replace("orders-eu", "orders-us").replace("assume_role", "#");
    let without_role = without_role.replace("external_id", "#").replace("localhost", "127.0.0.1");
    write(&fixture, "fleet.toml", &format!("{of_role}{without_role}"));
    let fleet = |endpoint: &HttpEndpoint, arguments: &[&str]| {
        let mut command = fixture.program();
        command.args(arguments).args(["--fleet", "fleet.toml", "--parallel", "1", "-vv"]);
        command.arg("--ca-file").arg(fixture.server.ca_file());
        for (name, value) in manager.environment() {
            let name = match name {
                "AWS_ENDPOINT_URL" => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
                other => other,
            };
            command.env(name, value);
        }
        command.env("AWS_ENDPOINT_URL_STS", endpoint.url()).output().unwrap()
    };
    let text = expect(&fleet(&endpoint, &["apply"]), 0);
    assert!(!text.contains(CANARY), "the output contains credentials: {text}");
    // An approval is for the secrets of this account.
    let words = format!("credentials of IAM role {ROLE} (fleet.toml)");
    assert_eq!(text.matches(&words).count(), 1, "{text}");
    let requests = endpoint.take_requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let role = ROLE.replace(':', "%3A").replace('/', "%2F");
    for part in
        [format!("RoleArn={role}"), "ExternalId=ticket-7".into(), "=rdsprov-orders-eu".into()]
    {
        assert!(requests[0].body.contains(&part), "{part}: {}", requests[0].body);
    }
    // The role is assumed with the credentials of the environment, in the region of the instance.
    let signed = requests[0].header("authorization").unwrap();
    assert!(signed.contains(&format!("Credential={}/", ACCESS_KEY_ID)), "{signed}");
    assert!(signed.contains("/eu-west-2/sts/"), "{signed}");
    let keys: Vec<String> =
        manager.take_calls().into_iter().map(|call| call.access_key_id).collect();
    let first_without = keys.iter().position(|key| key != "AKIDASSUMED").unwrap();
    assert!(first_without > 0, "{keys:?}");
    assert!(keys[first_without..].iter().all(|key| key == ACCESS_KEY_ID));

    let refused = HttpEndpoint::start(|_| {
        let error = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to \
                     perform sts:AssumeRole</Message></Error></ErrorResponse>";
        (403, error.to_owned())
    })
    .unwrap();
    let text = expect(&fleet(&refused, &["check"]), 1);
    let error = format!(
        "error[no-aws-credentials]: the AWS credentials cannot be loaded from the IAM role {ROLE}: Not \
         authorized to perform sts:AssumeRole (AccessDenied)\nhint: check the trust policy of the role"
    );
    assert!(text.contains(&error), "{text}");
    assert!(text.contains("orders-us: no change"), "{text}");
}

/// A source that is configured and fails ends the search, and the error names it.
#[test]
fn failing_credentials_are_named() {
    let fixture = fixture();
    let refused = HttpEndpoint::start(|request| match request.line.as_str() {
        "PUT /latest/api/token" => (200, "imds-session".to_owned()),
        "POST /" => {
            let error = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to \
                         perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>";
            (403, error.to_owned())
        }
        _ => (403, "refused".to_owned()),
    })
    .unwrap();
    let manager = HttpProxy::start(fixture.secrets_manager.as_ref().unwrap(), |_| None).unwrap();
    let expired = json!({"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": CANARY,
                         "SessionToken": CANARY, "Expiration": "2020-01-01T00:00:00Z"});
    let expired = write(&fixture, "expired.json", &expired.to_string());
    let profile = |name: &str, text: &str| {
        let path =
            write(&fixture, &format!("{name}.config"), &format!("[profile {name}]\n{text}\n"));
        vec![("AWS_PROFILE", name.to_owned()), ("AWS_CONFIG_FILE", path)]
    };
    let sso = "sso_start_url = https://d-none.awsapps.com/start\nsso_region = eu-west-2\n\
               sso_account_id = 111122223333\nsso_role_name = provisioner";
    let web = |path: &str| {
        vec![("AWS_WEB_IDENTITY_TOKEN_FILE", path.to_owned()), ("AWS_ROLE_ARN", ROLE.to_owned())]
    };
    let token = write(&fixture, "web-identity", CANARY);
    for (variables, says, hint) in [
        (
            profile("old", &format!("credential_process = cat {expired}")),
            "from the profile `old`: ",
            "aws sso login",
        ),
        (
            profile(
                "bad",
                &format!("credential_process = echo {CANARY} | tee /dev/stderr; exit 3"),
            ),
            "from the profile `bad`: ",
            "AWS_PROFILE=bad aws sts get-caller-identity",
        ),
        (
            profile("text", &format!("credential_process = echo {CANARY}")),
            "from the profile `text`: ",
            "aws sso login",
        ),
        (profile("sso", sso), "from the profile `sso`: ", "aws sso login"),
        (
            profile("login", "login_session = arn:aws:iam::1:user/none"),
            "from the profile `login`: ",
            "`aws login`",
        ),
        (
            web(&token),
            "from the web identity token: Not authorized to perform sts:AssumeRoleWithWebIdentity (AccessDenied)\n",
            "`AWS_ROLE_ARN` and its trust policy",
        ),
        (web("/nonexistent"), "from the web identity token: ", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        (
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", refused.url()))],
            "from the container endpoint: ",
            "Pod Identity association",
        ),
        (
            vec![
                ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", refused.url()),
            ],
            "from the instance metadata service: ",
            "instance profile",
        ),
    ] {
        for login in [
            [].as_slice(),
            &["--admin-auth", "iam", "--admin-user", "token_admin", "--host", "localhost"],
        ] {
            let secrets = format!("file:{}", fixture.path().display());
            let mut arguments = [&["plan"], login].concat();
            // With secrets in files, only the IAM token needs credentials.
            if !login.is_empty() {
                for application in ["shop", "desk"] {
                    let id = format!("goldenpath/dev/{application}/postgres.json");
                    write(&fixture, &id, r#"{"password": "Canary-x-5b1e"}"#);
                }
                arguments.extend(["--secrets", secrets.as_str()]);
            }
            let mut command = command(&fixture, &refused, &manager, &arguments);
            let text = expect(&command.envs(variables.clone()).output().unwrap(), 1);
            assert!(text.contains("error[no-aws-credentials]: "), "{text}");
            assert!(
                text.contains(&format!("the AWS credentials cannot be loaded {says}")),
                "{text}"
            );
            let hints: Vec<&str> = text.lines().filter(|line| line.starts_with("hint: ")).collect();
            assert!(hints.len() == 1 && hints[0].contains(hint), "{text}");
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(!text.contains(CANARY), "the error contains credentials: {text}");
        }
    }
    assert!(manager.take_calls().is_empty());
}

/// A source that does not answer ends the run within the limit of a connection, also if it provides the
/// credentials of an IAM token. A slow source has time until then.
#[test]
fn silent_credentials_are_named() {
    let fixture = fixture();
    let manager = HttpProxy::start(fixture.secrets_manager.as_ref().unwrap(), |_| None).unwrap();
    // The system accepts connections, and nothing reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let profile = |name: &str, text: &str| {
        let text = format!("[profile {name}]\ncredential_process = {text}\n");
        let path = write(&fixture, &format!("{name}.config"), &text);
        vec![("AWS_PROFILE", name.to_owned()), ("AWS_CONFIG_FILE", path)]
    };
    let token = write(&fixture, "web-identity", CANARY);
    let silent_sources = [
        (profile("hangs", "sleep 60"), "the profile `hangs`", "aws sso login"),
        (
            vec![
                ("AWS_WEB_IDENTITY_TOKEN_FILE", token),
                ("AWS_ROLE_ARN", ROLE.to_owned()),
                ("AWS_ENDPOINT_URL_STS", silent.clone()),
            ],
            "the web identity token",
            "`AWS_ROLE_ARN` and its trust policy",
        ),
        (
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{silent}/container"))],
            "the container endpoint",
            "Pod Identity association",
        ),
    ];
    let keys = json!({"Version": 1, "AccessKeyId": "AKIDSLOW", "SecretAccessKey": CANARY});
    let keys = write(&fixture, "slow.json", &keys.to_string());
    let slow = profile("slow", &format!("sleep 12; cat {keys}"));
    for application in ["shop", "desk"] {
        let id = format!("goldenpath/dev/{application}/postgres.json");
        write(&fixture, &id, r#"{"password": "Canary-x-5b1e"}"#);
    }
    let files = format!("file:{}", fixture.path().display());
    let endpoint = endpoint();
    let run = |variables: Variables, arguments: &[&str], code: i32| {
        let arguments = [&["plan"], arguments].concat();
        let mut command = command(&fixture, &endpoint, &manager, &arguments);
        expect(&command.envs(variables).output().unwrap(), code)
    };
    let token = ["--admin-auth", "iam", "--admin-user", "token_admin", "--host", "localhost"];
    let token = [token.as_slice(), &["--secrets", &files]].concat();
    std::thread::scope(|scope| {
        scope.spawn(|| run(slow, &[], 0));
        for (variables, source, hint) in silent_sources {
            for login in [[].as_slice(), &token] {
                let (variables, run) = (variables.clone(), &run);
                scope.spawn(move || {
                    let arguments = [&["--connect-timeout", "6s"], login].concat();
                    let text = run(variables, &arguments, 1);
                    let error = format!(
                        "the AWS credentials cannot be loaded from {source}: no response within 6 s\n"
                    );
                    assert!(text.starts_with("error[no-aws-credentials]: "), "{text}");
                    assert!(text.contains(&error), "{text}");
                    assert!(text.contains(hint) && text.contains("--connect-timeout"), "{text}");
                    assert_eq!(text.lines().count(), 2, "{text}");
                });
            }
        }
    });
}

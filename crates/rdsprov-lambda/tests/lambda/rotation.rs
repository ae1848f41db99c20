//! The rotation function: the four steps as Secrets Manager requests them, with a failure in each.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdsprov_testkit::{HttpEndpoint, HttpProxy, Reply, Server, TopologyFunction, versions};
use serde_json::{Value, json};

use crate::fixture::{Fixture, Function, definitions};

const SECRET: &str = "goldenpath/dev/shop/postgres";
const MASTER: &str = "goldenpath/dev/rds/master";
/// A master secret that RDS manages.
const OF_RDS: &str = "rds!db-1";
const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// The call of Secrets Manager that is answered with an error, if there is one.
type Denied = Arc<Mutex<Option<&'static str>>>;

/// A server with the applied definitions, and the rotation function.
struct Rotating {
    fixture: Fixture,
    function: Function,
    proxy: HttpProxy,
    denied: Denied,
    rotations: u32,
}

impl Rotating {
    fn new(major: u32, alternates: bool) -> Self {
        Self::with(major, alternates.then_some(MASTER), &[])
    }

    /// Starts the function with more environment variables. The users of a secret with a master secret
    /// alternate.
    fn with(major: u32, master: Option<&str>, more: &[(&'static str, String)]) -> Self {
        let fixture = Fixture::new(major);
        let denied = Denied::default();
        let answer = {
            let denied = Arc::clone(&denied);
            move |call: &rdsprov_testkit::Call| {
                if call.action == "DescribeSecret" && call.parameters["SecretId"] == OF_RDS {
                    let arn = "arn:aws:rds:eu-west-2:111122223333:db:shop-1";
                    let tag = json!({"Key": "aws:rds:primaryDBInstanceArn", "Value": arn});
                    return Some(Reply::Value(json!({"Tags": [tag]})));
                }
                let is_denied = *denied.lock().unwrap() == Some(call.action.as_str());
                is_denied.then(|| Reply::Error("AccessDeniedException", "not allowed".to_owned()))
            }
        };
        let proxy = HttpProxy::start(&fixture.manager, answer).unwrap();
        let environment = [proxy.environment(), more.to_vec()].concat();
        let function = fixture.function_with(&environment);
        let mut rotating = Self { fixture, function, proxy, denied, rotations: 0 };
        let mut secret: Value = serde_json::from_str(&rotating.text("AWSCURRENT")).unwrap();
        secret["engine"] = "postgres".into();
        secret["host"] = rotating.fixture.server.host().into();
        secret["port"] = rotating.fixture.server.port().into();
        secret["dbname"] = "shop".into();
        if let Some(master) = master {
            secret["masterarn"] = master.into();
        }
        rotating.fixture.manager.put(SECRET, &secret.to_string()).unwrap();
        rotating.applied("applied");
        rotating
    }

    fn applied(&mut self, outcome: &str) {
        let definitions = definitions(&["shop", "reports"]);
        let event = json!({"mode": "apply", "environment": "dev", "definitions": definitions});
        let result = self.function.invoke(&event).unwrap();
        assert_eq!(result["outcome"], outcome, "{result:#}");
    }

    fn text(&self, stage: &str) -> String {
        self.fixture.manager.at_stage(SECRET, stage).unwrap().unwrap().1
    }

    /// Returns the role and the password of the version with a stage.
    fn user(&self, stage: &str) -> (String, String) {
        let secret: Value = serde_json::from_str(&self.text(stage)).unwrap();
        let value = |key: &str| secret[key].as_str().unwrap().to_owned();
        (value("username"), value("password"))
    }

    fn logs_in(&self, (role, password): &(String, String)) -> bool {
        self.fixture.logs_in(role, password, "shop")
    }

    /// Writes a new current version, as a user that may write this secret only.
    fn write(&self, username: &str, password: &str, key: &str, value: Value) {
        let (host, port) = (self.fixture.server.host(), self.fixture.server.port());
        let mut secret =
            json!({"username": username, "password": password, "host": host, "port": port});
        secret["masterarn"] = MASTER.into();
        secret[key] = value;
        self.fixture.manager.put(SECRET, &secret.to_string()).unwrap();
    }

    /// Returns the roles with the names of clones.
    fn clones(&self) -> String {
        self.fixture
            .query("SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname ~ '_clone$'")
    }

    fn start(&mut self) -> String {
        self.rotations += 1;
        let version = format!("00000000-0000-4000-8000-{:012}", self.rotations);
        self.fixture.manager.start_rotation(SECRET, &version).unwrap();
        version
    }

    fn step(&mut self, step: &str, version: &str) -> Result<Value, Value> {
        let event = json!({"Step": step, "SecretId": SECRET, "ClientRequestToken": version});
        let result = self.function.invoke_within(&event, Duration::from_secs(60));
        // No password of any version is printed.
        let log = self.function.new_log();
        for stage in ["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"] {
            let Ok(Some((_, text))) = self.fixture.manager.at_stage(SECRET, stage) else {
                continue;
            };
            let secret: Value = serde_json::from_str(&text).unwrap();
            let password = secret["password"].as_str().unwrap();
            assert!(!log.contains(password), "{log}");
            assert!(!format!("{result:?}").contains(password), "{result:?}");
        }
        result
    }

    #[track_caller]
    fn done(&mut self, step: &str, version: &str) {
        let result = self.step(step, version);
        assert_eq!(result, Ok(Value::Null), "{step}");
    }

    /// Executes a step that fails, and returns the code of its error.
    #[track_caller]
    fn fails(&mut self, step: &str, version: &str) -> String {
        let error = self.step(step, version).unwrap_err();
        error["errorType"].as_str().unwrap().to_owned()
    }

    /// Executes all steps. After an earlier rotation, Secrets Manager also begins with the first one.
    #[track_caller]
    fn rotate(&mut self) {
        let version = self.start();
        self.all_steps(&version);
    }

    #[track_caller]
    fn all_steps_without_login(&mut self, version: &str) {
        for step in STEPS {
            self.done(step, version);
        }
        assert_eq!(self.fixture.manager.version(SECRET).unwrap(), version);
    }

    #[track_caller]
    fn all_steps(&mut self, version: &str) {
        self.all_steps_without_login(version);
        assert!(self.logs_in(&self.user("AWSCURRENT")));
    }

    fn deny(&self, action: Option<&'static str>) {
        *self.denied.lock().unwrap() = action;
    }
}

#[test]
fn role_sets_its_own_password() {
    for major in versions() {
        let mut rotating = Rotating::new(major, false);
        let first = rotating.user("AWSCURRENT");
        let text = rotating.text("AWSCURRENT");
        let version = rotating.start();
        // Each step can be repeated.
        for step in STEPS {
            rotating.done(step, &version);
            rotating.done(step, &version);
        }
        let second = rotating.user("AWSCURRENT");
        assert_eq!(second.0, "shop_owner");
        assert_eq!(rotating.user("AWSPREVIOUS"), first);
        assert!(second.1.len() >= 32 && second.1 != first.1);
        assert!(rotating.logs_in(&second) && !rotating.logs_in(&first));
        assert_eq!(rotating.text("AWSCURRENT"), text.replace(&first.1, &second.1));
        rotating.applied("no_change");
        rotating.rotate();
        assert!(!rotating.logs_in(&second));
        rotating.applied("no_change");
        let log = rotating.fixture.server.log();
        assert!(log.contains("ALTER ROLE \"shop_owner\" PASSWORD NULL"), "not logged: {log}");
        for secret in [second.1.as_str(), "SCRAM-SHA-256$"] {
            assert!(!log.contains(secret), "a password or verifier is in the log of the server");
        }
    }
}

#[test]
fn alternating_rotation_creates_the_clone() {
    for major in versions() {
        let mut rotating = Rotating::new(major, true);
        let first = rotating.user("AWSCURRENT");
        rotating.rotate();
        let clone = rotating.user("AWSCURRENT");
        assert_eq!(clone.0, "shop_owner_clone");
        // Both users are valid.
        assert!(rotating.logs_in(&clone) && rotating.logs_in(&first));
        let create = "CREATE TABLE t (id int)";
        rotating.fixture.server.sql_as(&first.0, &first.1, "shop", create).unwrap();
        let sql = "INSERT INTO t VALUES (1)";
        rotating.fixture.server.sql_as(&clone.0, &clone.1, "shop", sql).unwrap();
        // Default privileges of the clone, as after a rotation by the function of AWS.
        rotating.applied("applied");
        rotating.applied("no_change");

        rotating.rotate();
        let third = rotating.user("AWSCURRENT");
        assert_eq!(third.0, "shop_owner");
        assert!(third.1 != first.1 && rotating.logs_in(&clone) && !rotating.logs_in(&first));
        rotating.rotate();
        assert_eq!(rotating.user("AWSCURRENT").0, "shop_owner_clone");
        assert!(!rotating.logs_in(&clone) && rotating.logs_in(&third));
        rotating.applied("no_change");
        let granted = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'shop_owner'::regrole
            AND pg_get_userbyid(member) = 'platform_admin' AND grantor <> 10";
        assert_eq!(rotating.fixture.query(granted), "0");
    }
}

/// `docs/iam.md` documents these calls, and no others. The templates in `deploy` have its policies.
#[test]
fn rotation_needs_the_documented_permissions() {
    let mut rotating = Rotating::new(versions()[0], true);
    let _ = rotating.proxy.take_calls();
    rotating.rotate();
    let calls: BTreeSet<(String, String)> = rotating
        .proxy
        .take_calls()
        .into_iter()
        .map(|call| (call.parameters["SecretId"].as_str().unwrap().to_owned(), call.action))
        .collect();
    let of = |id: &str| -> Vec<String> {
        let of_secret = calls.iter().filter(|(secret, _)| secret == id);
        of_secret.map(|(_, action)| format!("secretsmanager:{action}")).collect()
    };
    let document = include_str!("../../../../docs/iam.md");
    let section = document.split("## The rotation function\n").nth(1).unwrap();
    let mut blocks = section.split("```json\n").skip(1);
    let mut documented = || -> Vec<String> {
        let block = blocks.next().unwrap().split("```").next().unwrap();
        let policy: Value = serde_json::from_str(block).unwrap();
        let action = &policy["Statement"][0]["Action"];
        let many = action.as_array().cloned().unwrap_or_else(|| vec![action.clone()]);
        many.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of(SECRET), documented());
    assert_eq!(of(MASTER), documented());
}

#[test]
fn failed_step_is_completed_by_the_next_rotation() {
    for alternates in [false, true] {
        let mut rotating = Rotating::new(versions()[0], alternates);
        if alternates {
            rotating.rotate();
        }
        let current = rotating.user("AWSCURRENT");
        let version = rotating.start();
        let is_current = |rotating: &Rotating| rotating.user("AWSCURRENT") == current;

        rotating.deny(Some("PutSecretValue"));
        assert_eq!(rotating.fails("createSecret", &version), "secret-access-denied");
        // Nothing was created, so that the next step has nothing to set.
        rotating.deny(None);
        assert_eq!(rotating.fails("setSecret", &version), "secret-without-value");
        rotating.done("createSecret", &version);

        // Another program has set the password of the current version.
        let alter = format!("ALTER ROLE {} PASSWORD 'Canary-other'", current.0);
        rotating.fixture.query(&alter);
        assert_eq!(rotating.fails("setSecret", &version), "rotation-login-failed");
        assert_eq!(rotating.fails("testSecret", &version), "rotation-login-failed");
        assert!(is_current(&rotating));
        let restore = format!("ALTER ROLE {} PASSWORD '{}'", current.0, current.1);
        rotating.fixture.query(&restore);
        if alternates {
            rotating.fixture.query("ALTER ROLE platform_admin NOCREATEROLE");
            rotating.fixture.query("REVOKE rds_superuser FROM platform_admin");
            assert_eq!(rotating.fails("setSecret", &version), "statement-failed");
            rotating.fixture.query("ALTER ROLE platform_admin CREATEROLE");
            rotating.fixture.query("GRANT rds_superuser TO platform_admin");
        }
        rotating.done("setSecret", &version);

        // The password is exchanged before the test.
        let pending = rotating.user("AWSPENDING");
        rotating.fixture.query(&format!("ALTER ROLE {} PASSWORD 'Canary-other'", pending.0));
        assert_eq!(rotating.fails("testSecret", &version), "rotation-login-failed");
        let restore = format!("ALTER ROLE {} PASSWORD '{}'", pending.0, pending.1);
        rotating.fixture.query(&restore);
        rotating.done("testSecret", &version);

        rotating.deny(Some("UpdateSecretVersionStage"));
        assert_eq!(rotating.fails("finishSecret", &version), "secret-access-denied");
        assert!(is_current(&rotating));
        rotating.deny(None);

        // Secrets Manager repeats all steps.
        rotating.all_steps(&version);
        assert_eq!(rotating.user("AWSCURRENT"), pending);
        rotating.rotate();
    }
}

#[test]
fn rotation_that_was_not_started_changes_nothing() {
    let mut rotating = Rotating::new(versions()[0], false);
    for step in STEPS {
        assert_eq!(
            rotating.fails(step, "00000000-0000-4000-8000-000000000009"),
            "rotation-not-started"
        );
    }
    rotating.rotate();
    let current = rotating.fixture.manager.version(SECRET).unwrap();
    let before = rotating.text("AWSCURRENT");
    for step in STEPS {
        // The version is already the current one.
        rotating.done(step, &current);
        assert_eq!(
            rotating.fails(step, "00000000-0000-4000-8000-000000000009"),
            "rotation-not-started"
        );
    }
    assert_eq!(rotating.text("AWSCURRENT"), before);
}

#[test]
fn secrets_that_contradict_the_rotation_are_refused() {
    let mut rotating = Rotating::new(versions()[0], true);
    let change = |rotating: &Rotating, key: &str, value: Value| {
        let mut secret: Value = serde_json::from_str(&rotating.text("AWSCURRENT")).unwrap();
        let old = secret[key].take();
        secret[key] = value;
        rotating.fixture.manager.put(SECRET, &secret.to_string()).unwrap();
        old
    };
    // A role with the name of the clone that is not one.
    rotating.fixture.query("CREATE ROLE shop_owner_clone LOGIN PASSWORD 'Canary-foreign'");
    let version = rotating.start();
    rotating.done("createSecret", &version);
    assert_eq!(rotating.fails("setSecret", &version), "unknown-role");
    let foreign = ("shop_owner_clone".to_owned(), "Canary-foreign".to_owned());
    // Before PostgreSQL 15, the application itself can make it a member.
    if versions()[0] < 15 {
        let (user, password) = rotating.user("AWSCURRENT");
        let grant = "GRANT shop_owner TO shop_owner_clone";
        rotating.fixture.server.sql_as(&user, &password, "shop", grant).unwrap();
        assert_eq!(rotating.fails("setSecret", &version), "unknown-role");
    }
    assert!(rotating.fixture.logs_in(&foreign.0, &foreign.1, "postgres"));
    rotating.fixture.query("DROP ROLE shop_owner_clone");

    // The pending version is for another server or role than the current one.
    let host = change(&rotating, "host", "127.0.0.1".into());
    assert_eq!(rotating.fails("setSecret", &version), "server-mismatch");
    change(&rotating, "host", host);
    let master = change(&rotating, "masterarn", Value::Null);
    assert_eq!(rotating.fails("setSecret", &version), "invalid-secret");
    change(&rotating, "masterarn", master);
    assert_eq!(
        rotating.fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'shop_owner_clone'"),
        "0"
    );
    rotating.all_steps(&version);
    assert_eq!(rotating.user("AWSCURRENT").0, "shop_owner_clone");

    // The other role has become an administrator, or the clone is no longer its member.
    let version = rotating.start();
    rotating.done("createSecret", &version);
    let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'shop_owner'";
    let before = rotating.fixture.query(stored);
    for (change, revert, code) in [
        (
            "ALTER ROLE shop_owner CREATEROLE",
            "ALTER ROLE shop_owner NOCREATEROLE",
            "invalid-secret",
        ),
        (
            "REVOKE shop_owner FROM shop_owner_clone",
            "GRANT shop_owner TO shop_owner_clone",
            "unknown-role",
        ),
    ] {
        rotating.fixture.server.master("postgres", change).unwrap();
        assert_eq!(rotating.fails("setSecret", &version), code, "{change}");
        assert_eq!(rotating.fixture.query(stored), before);
        rotating.fixture.server.master("postgres", revert).unwrap();
    }
    rotating.all_steps(&version);
}

/// From PostgreSQL 16 on, a role with `CREATEROLE` and `ADMIN OPTION` on the role can make each other role its
/// member.
#[test]
fn member_of_another_grantor_is_not_a_clone() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let mut rotating = Rotating::new(major, true);
        rotating.fixture.query(
            "CREATE ROLE builder CREATEROLE LOGIN PASSWORD 'Canary-builder';
             GRANT shop_owner TO builder WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
             CREATE ROLE shop_owner_clone LOGIN PASSWORD 'Canary-foreign'",
        );
        let version = rotating.start();
        rotating.done("createSecret", &version);
        let grant = "GRANT shop_owner TO shop_owner_clone";
        let builder = |sql: &str| {
            let server = &rotating.fixture.server;
            server.sql_as("builder", "Canary-builder", "postgres", sql).unwrap();
        };
        builder(grant);
        assert_eq!(rotating.fails("setSecret", &version), "unknown-role");
        assert!(rotating.fixture.logs_in("shop_owner_clone", "Canary-foreign", "postgres"));
    }
}

/// A role that an application declares has its own secret, also if it is a member of the other role.
#[test]
fn managed_role_is_not_a_clone() {
    let mut rotating = Rotating::new(versions()[0], true);
    rotating.fixture.query(
        "CREATE ROLE shop_owner_clone LOGIN PASSWORD 'Canary-managed'; GRANT shop_owner TO shop_owner_clone;
         DO $$ BEGIN EXECUTE format('COMMENT ON ROLE shop_owner_clone IS %L',
           shobj_description('shop_owner'::regrole, 'pg_authid')); END $$",
    );
    let version = rotating.start();
    rotating.done("createSecret", &version);
    assert_eq!(rotating.fails("setSecret", &version), "unknown-role");
    assert!(rotating.fixture.logs_in("shop_owner_clone", "Canary-managed", "postgres"));
    // Without the marker, it is the clone of an earlier rotation.
    rotating.fixture.query("COMMENT ON ROLE shop_owner_clone IS NULL");
    rotating.all_steps(&version);
    assert!(!rotating.fixture.logs_in("shop_owner_clone", "Canary-managed", "postgres"));
}

/// The green environment does not get a new password.
#[test]
fn password_is_not_changed_during_a_deployment() {
    let source = |status| [("BLUE_GREEN_DEPLOYMENT_SOURCE", status)];
    for major in versions() {
        for (function, alternates) in [
            (TopologyFunction::Aurora, false),
            (TopologyFunction::Aurora, true),
            (TopologyFunction::Rds, true),
        ] {
            let mut rotating = Rotating::new(major, alternates);
            // The stand-in has the function of Aurora in this database only.
            let mut secret: Value = serde_json::from_str(&rotating.text("AWSCURRENT")).unwrap();
            secret["dbname"] = "postgres".into();
            rotating.fixture.manager.put(SECRET, &secret.to_string()).unwrap();
            let server = &rotating.fixture.server;
            server.report_topology(function, &source("AVAILABLE")).unwrap();
            let version = rotating.start();
            rotating.done("createSecret", &version);
            let passwords =
                "SELECT string_agg(rolname || rolpassword, ',' ORDER BY 1) FROM pg_authid";
            let before = rotating.fixture.query(passwords);
            let result = rotating.step("setSecret", &version).unwrap_err();
            assert_eq!(result["errorType"], "blue-green-in-progress", "{result:#}");
            let message = result["errorMessage"].as_str().unwrap();
            assert!(message.contains("(status `AVAILABLE`)"), "{message}");
            assert!(message.contains("complete the switchover"), "{message}");
            assert_eq!(rotating.fixture.query(passwords), before);

            let server = &rotating.fixture.server;
            server.report_topology(function, &source("SWITCHOVER_COMPLETED")).unwrap();
            rotating.all_steps(&version);
            // A server that does not answer is reported in the log.
            let server = &rotating.fixture.server;
            server.fail_topology(function, "not available").unwrap();
            let version = rotating.start();
            rotating.done("createSecret", &version);
            let event =
                json!({"Step": "setSecret", "SecretId": SECRET, "ClientRequestToken": version});
            let result = rotating.function.invoke_within(&event, Duration::from_secs(60));
            assert_eq!(result, Ok(Value::Null));
            let log = rotating.function.new_log();
            assert!(log.contains("in a blue/green deployment is not known: "), "{log}");
            rotating.all_steps(&version);
        }
    }
}

/// A master secret that RDS manages contains no host: RDS returns it.
#[test]
fn host_of_the_master_secret_comes_from_rds() {
    let answer = Arc::new(Mutex::new((403, String::new())));
    let api = HttpEndpoint::start({
        let answer = Arc::clone(&answer);
        move |_| answer.lock().unwrap().clone()
    });
    let api = api.unwrap();
    let environment = [("AWS_ENDPOINT_URL_RDS", api.url())];
    let mut rotating = Rotating::with(versions()[0], Some(OF_RDS), &environment);
    let server = &rotating.fixture.server;
    let master = json!({"username": "platform_admin", "password": server.master_password()});
    rotating.fixture.manager.put(OF_RDS, &master.to_string()).unwrap();
    let endpoint = |host: &str, port: u16| {
        format!(
            "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance><Endpoint>\
             <Port>{port}</Port><Address>{host}</Address></Endpoint></DBInstance></DBInstances>\
             </DescribeDBInstancesResult></DescribeDBInstancesResponse>"
        )
    };
    let port = server.port();
    let version = rotating.start();
    rotating.done("createSecret", &version);
    assert_eq!(rotating.fails("setSecret", &version), "no-host");
    // The secret of an application does not decide to which server the master user logs in.
    *answer.lock().unwrap() = (200, endpoint("127.0.0.1", port));
    assert_eq!(rotating.fails("setSecret", &version), "server-mismatch");
    *answer.lock().unwrap() = (200, endpoint("localhost", port));
    rotating.all_steps(&version);
    assert_eq!(rotating.user("AWSCURRENT").0, "shop_owner_clone");
    let asked = api.take_requests();
    assert!(asked[0].line.contains("DBInstanceIdentifier=shop-1"), "{:?}", asked[0].line);
}

/// The secret of an application names another server, on which its author knows the password of the role:
/// no login goes there, and the master user changes nothing.
#[test]
fn secret_of_an_application_chooses_no_server() {
    for major in versions() {
        let mut rotating = Rotating::new(major, true);
        let config = rotating.fixture.package.path().join("rdsprov.toml");
        std::fs::write(config, "[tls]\nmode = \"require\"\n").unwrap();
        let other = Server::start(major).unwrap();
        let guess = "Guess-of-the-attacker-1";
        let create = format!("CREATE ROLE wiki_owner LOGIN PASSWORD '{guess}'");
        other.superuser("postgres", &create).unwrap();
        let create = "CREATE ROLE wiki_owner LOGIN PASSWORD 'Canary-wiki'";
        rotating.fixture.server.master("postgres", create).unwrap();
        let address = format!("127.0.0.1:{}", other.port());
        rotating.write("wiki_owner", guess, "connect_to", address.into());
        let mark = other.log().len();
        let version = rotating.start();
        rotating.done("createSecret", &version);
        for step in ["setSecret", "testSecret", "finishSecret"] {
            assert_eq!(rotating.fails(step, &version), "rotation-login-failed", "{step}");
        }
        assert_eq!(rotating.clones(), "");
        assert!(!other.log()[mark..].contains("wiki_owner"), "a login went to the other server");
        // All logins go where those of the master user go.
        let host = rotating.fixture.server.host();
        let port = rotating.fixture.server.port();
        let mut master: Value =
            serde_json::from_str(&rotating.fixture.manager.get(MASTER).unwrap()).unwrap();
        master["host"] = "db.example.com".into();
        master["connect_to"] = format!("{host}:{port}").into();
        rotating.fixture.manager.put(MASTER, &master.to_string()).unwrap();
        rotating.write("wiki_owner", "Canary-wiki", "host", "db.example.com".into());
        let version = rotating.start();
        rotating.all_steps_without_login(&version);
        assert_eq!(rotating.clones(), "wiki_owner_clone");
    }
}

/// The secret of an application never leads to an administrator, also with a password that is right.
#[test]
fn administrators_get_no_clone() {
    for major in versions() {
        let mut rotating = Rotating::new(major, true);
        rotating.fixture.query(
            "CREATE ROLE helper LOGIN PASSWORD 'Canary-h'; GRANT rds_superuser TO helper;
             CREATE ROLE creator CREATEROLE; CREATE ROLE member LOGIN PASSWORD 'Canary-m';
             GRANT creator TO member; CREATE ROLE root LOGIN SUPERUSER PASSWORD 'Canary-r'",
        );
        let master = rotating.fixture.server.master_password().to_owned();
        for (role, password) in [
            ("platform_admin", master.as_str()),
            ("helper", "Canary-h"),
            ("member", "Canary-m"),
            ("root", "Canary-r"),
        ] {
            rotating.write(role, password, "dbname", "postgres".into());
            let version = rotating.start();
            rotating.done("createSecret", &version);
            assert_eq!(rotating.fails("setSecret", &version), "invalid-secret", "{role}");
        }
        for role in ["rds_superuser", "rdsadmin", "pg_monitor"] {
            rotating.write(role, "Canary-none", "dbname", "postgres".into());
            let version = rotating.start();
            assert_eq!(rotating.fails("createSecret", &version), "invalid-secret", "{role}");
        }
        assert_eq!(rotating.clones(), "");
    }
}

/// The site policy limits the secrets of administrators, also those that the secret of an application names.
#[test]
fn master_secret_must_be_allowed_by_the_site() {
    let directory = tempfile::TempDir::new().unwrap();
    let policy = directory.path().join("policy.toml");
    let allow = |pattern: &str| {
        let table = format!("[environments.\"*\"]\nadmin_secrets = [\"{pattern}\"]\n");
        std::fs::write(&policy, table).unwrap();
    };
    allow("goldenpath/{environment}/rds/*");
    let variable = [("RDSPROV_POLICY", policy.display().to_string())];
    let mut rotating = Rotating::with(versions()[0], Some(MASTER), &variable);
    rotating.rotate();
    allow("goldenpath/{environment}/rds/another");
    let version = rotating.start();
    rotating.done("createSecret", &version);
    assert_eq!(rotating.fails("setSecret", &version), "site-policy-violated");
    allow("goldenpath/{environment}/rds/master");
    rotating.all_steps(&version);
}

/// A version that is pending without a rotation, as a user can write one, is not rotated.
#[test]
fn rotation_must_be_enabled() {
    let mut rotating = Rotating::new(versions()[0], false);
    let before = rotating.text("AWSCURRENT");
    let text = before.replace(&rotating.user("AWSCURRENT").1, "Canary-short");
    rotating.fixture.manager.put_pending(SECRET, &text).unwrap();
    let described = rotating.fixture.manager.describe(SECRET).unwrap();
    let stages = described["VersionIdsToStages"].as_object().unwrap();
    let is_pending = |(_, stages): &(&String, &Value)| stages[0] == "AWSPENDING";
    let version = stages.iter().find(is_pending).unwrap().0.clone();
    for step in STEPS {
        assert_eq!(rotating.fails(step, &version), "rotation-not-started", "{step}");
    }
    assert_eq!(rotating.text("AWSCURRENT"), before);
}

/// A password becomes the current one only if the server accepts it, whatever was invoked before.
#[test]
fn rotation_is_finished_with_an_accepted_password_only() {
    for alternates in [false, true] {
        let mut rotating = Rotating::new(versions()[0], alternates);
        let current = rotating.user("AWSCURRENT");
        let version = rotating.start();
        rotating.done("createSecret", &version);
        assert_eq!(rotating.fails("finishSecret", &version), "rotation-login-failed");
        assert_eq!(rotating.user("AWSCURRENT"), current);
        rotating.all_steps(&version);
    }
}

/// The owner of the database decides nothing about the passwords of other roles.
#[test]
fn iterations_are_those_of_the_server() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let mut rotating = Rotating::new(major, false);
        let stored = "SELECT split_part(split_part(rolpassword, '$', 2), ':', 1)
            FROM pg_authid WHERE rolname = 'shop_owner'";
        rotating.fixture.query("ALTER DATABASE shop SET scram_iterations = 200000");
        rotating.rotate();
        assert_eq!(rotating.fixture.query(stored), "4096");
        rotating.fixture.query("ALTER DATABASE shop RESET scram_iterations");
        rotating.fixture.query("ALTER SYSTEM SET scram_iterations = 10000");
        rotating.fixture.query("SELECT pg_reload_conf()");
        rotating.rotate();
        assert_eq!(rotating.fixture.query(stored), "10000");
        rotating.applied("no_change");
    }
}

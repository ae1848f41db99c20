//! The guides for AWS, containers, Kubernetes and Terraform, and for many servers: each command that
//! needs nothing else than a server is executed. Programs that are not available are replaced by
//! stand-ins, which do no more than the commands of rdsprov need.

use std::path::Path;

use rdsprov_testkit::{HttpEndpoint, HttpProxy, Reply, Server, documents, versions};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::walkthrough::{SHOP, Walkthrough, newest_version, with_reports};

/// Runs the command of the image on this machine, with the variables and volumes of the container.
const DOCKER: &str = r#"
[ "$1" = run ] || exit 0
shift
while [ "$1" != rdsprov ]; do
  case "$1" in
    --env) case "$2" in *=*) export "$2" ;; esac; shift ;;
    --volume) volumes="$volumes ${2#"$PWD/"}"; shift ;;
    --workdir) workdir="$2"; shift ;;
    --cap-drop | --security-opt) shift ;;
  esac
  shift
done
for volume in $volumes; do
  from=$(echo "$volume" | cut -d: -f1) to=$(echo "$volume" | cut -d: -f2)
  set -- $(echo "$@" | sed "s, $to/, $PWD/$from/,g")
  [ "$workdir" = "$to" ] && directory="$from"
done
cd "$directory" && exec "$@"
"#;

/// Prints outputs as Terraform prints them.
const TERRAFORM: &str = r#"
[ "$1" = output ] && cat <<'END'
{
  "environment": {"sensitive": false, "type": "string", "value": "dev"},
  "vpc": {"sensitive": false, "type": "string", "value": "vpc-1"},
  "application_databases": {"sensitive": false, "type": ["map", "any"], "value": {
    "shop": {"database_name": "shop", "username": "shop_owner"}
  }}
}
END
exit 0
"#;

fn repository(name: &str) -> String {
    std::fs::read_to_string(documents::root().join(name)).unwrap()
}

/// Copies a file of the repository.
fn copy(name: &str, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(documents::root().join(name), to).unwrap();
}

/// Returns a server with the secrets of a shop and its reports.
fn shop(fixture: Fixture, page: &'static str, environment: &'static str) -> Walkthrough {
    fixture.app(environment, "shop", "shop_owner");
    fixture.app(environment, "shop_reports", "shop_reports");
    Walkthrough::new(fixture, page, environment)
}

#[test]
fn containers_kubernetes_and_terraform() {
    let text = include_str!("../../../../docs/guides/containers.md");
    let page = shop(Fixture::new(versions()[0]), text, "prod");
    page.stand_in("docker", DOCKER);
    page.write("config/rdsprov.toml", "[definitions]\nfiles = [\"apps.tfvars\"]\n");
    page.write("config/apps.tfvars", SHOP);
    std::fs::create_dir(page.fixture.path().join("records")).unwrap();
    page.step(0);
    page.step(0);
    let image = repository("deploy/container/Dockerfile");
    assert!(image.contains(" AS ci\n") && page.calls().contains("--target ci"));
    page.run("export ALLOW_DB_PROVISION=true", 0);
    page.step(0);
    page.run("rdsprov audit verify records/ledger.jsonl", 0);
    page.run("grep -q create_database records/records.csv", 0);
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'";
    assert_eq!(page.fixture.query(owner), "shop_owner");
    page.step(0);
    page.step(0);
    assert!(repository("deploy/container/docker-compose.yml").contains("\n  rdsprov:\n"));

    // Without the API of Kubernetes, through a tunnel.
    page.turn_to(include_str!("../../../../docs/guides/kubernetes.md"), "prod");
    page.write("envs/prod/terraform.tfvars", &with_reports("reader"));
    let port = page.fixture.server.port().to_string();
    page.step_at("15432", &port, 0);
    page.step_at("15432", &port, 0);
    let connects = "SELECT has_database_privilege('shop_reports', 'shop', 'CONNECT')";
    assert_eq!(page.fixture.query(connects), "t");

    page.fixture.query("DROP DATABASE shop");
    page.fixture.query("DROP ROLE shop_owner, shop_reports");
    page.fixture.app("dev", "shop", "shop_owner");
    page.turn_to(include_str!("../../../../docs/guides/terraform.md"), "dev");
    page.stand_in("terraform", TERRAFORM);
    page.write("envs/dev/terraform.tfvars", SHOP);
    page.step(0);
    page.step(0);
    assert_eq!(page.fixture.query(owner), "shop_owner");
    page.step(0);
    page.fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
    page.step(0);
    let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'shop_owner'";
    assert_eq!(page.fixture.query(limit), "-1");
    page.step(0);
}

#[test]
fn amazon_rds() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    let text = include_str!("../../../../docs/guides/rds.md");
    let page = shop(fixture, text, "dev");
    let (server, port) = (&page.fixture.server, page.fixture.server.port());
    page.declare(SHOP);
    page.step(0);
    page.step(0);

    // The secret that RDS manages has no host: the API of RDS has it.
    let secret = json!({"username": "platform_admin", "password": server.master_password()});
    page.fixture.secret("rds!db-0a1b2c3d", &secret.to_string());
    let manager = page.fixture.secrets_manager.as_ref().unwrap();
    let proxy = HttpProxy::start(manager, |call| {
        let arn = "arn:aws:rds:eu-west-2:111122223333:db:shop-1";
        let tags = json!({"Tags": [{"Key": "aws:rds:primaryDBInstanceArn", "Value": arn}]});
        (call.action == "DescribeSecret").then_some(Reply::Value(tags))
    })
    .unwrap();
    let body = format!(
        "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>\
           <Endpoint><Port>{port}</Port><Address>localhost</Address></Endpoint>\
         </DBInstance></DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>"
    );
    let api = HttpEndpoint::start(move |_| (200, body.clone())).unwrap();
    for (name, value) in proxy.environment() {
        page.run(&format!("export {name}={value}"), 0);
    }
    page.run(&format!("export AWS_ENDPOINT_URL_RDS={}", api.url()), 0);
    assert!(page.step(0).contains("host and port from DB instance `shop-1`"));
    let here = format!("localhost --port {port}");
    page.step_at("shop.abc123.eu-west-2.rds.amazonaws.com", &here, 0);
    assert_eq!(api.take_requests().len(), 1);

    // `trust` stands for a server that accepts the IAM token.
    let rules = server.data_directory().join("pg_hba.conf");
    let text = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, format!("hostssl all token_admin all trust\n{text}")).unwrap();
    page.fixture
        .query("CREATE ROLE token_admin LOGIN CREATEDB CREATEROLE; SELECT pg_reload_conf()");
    let written = "postgres --host shop.cluster-abc123.eu-west-2.rds.amazonaws.com";
    page.step_at(written, &format!("token_admin --host {here}"), 0);

    // A snapshot of prod was restored, and is now the server of qa.
    page.write("rdsprov.toml", "[environments.qa]\napproval = \"none\"\n");
    page.fixture.app("prod", "shop", "shop_owner");
    page.run("ALLOW_DB_PROVISION=true rdsprov apply --env prod -d apps.tfvars", 0);
    page.fixture.app("qa", "shop", "shop_owner");
    page.fixture.secret("goldenpath/qa/rds/master", &server.admin_secret());
    page.run("rdsprov plan --env qa -d apps.tfvars", 3);
    page.step(0);
    page.run("rdsprov check --env qa -d apps.tfvars", 0);
}

/// Returns the first columns of the rows of instances: all but the time and the digest.
fn summary(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| {
        ["orders-eu ", "orders-us ", "billing "].iter().any(|name| line.starts_with(name))
    });
    let columns = rows.map(|line| {
        let words: Vec<&str> =
            line.split_whitespace().take_while(|word| !word.contains('.')).collect();
        words.join(" ")
    });
    columns.collect()
}

#[test]
fn fleet() {
    let text = include_str!("../../../../docs/guides/fleet.md");
    let version = newest_version();
    let page = Walkthrough::new(Fixture::new(version), text, "");
    let others = [0, 1].map(|_| Server::start(version).unwrap());
    let path = page.fixture.path().to_owned();
    for (environment, application) in [("prod", "orders"), ("test", "billing")] {
        page.fixture.app(environment, application, &format!("{application}_owner"));
        let (reports, reader) = (format!("{application}_reports"), format!("{application}_reader"));
        page.fixture.app(environment, &reports, &reader);
    }
    for file in ["apps/orders.tfvars", "apps/billing.tfvars", "apps/rdsprov.toml"] {
        copy(&format!("deploy/fleet/{file}"), &path.join(file));
    }
    page.fixture.secret("goldenpath/test/rds/master", &others[1].admin_secret());
    let certificates = [page.fixture.server.ca_file(), others[0].ca_file(), others[1].ca_file()]
        .map(|file| std::fs::read_to_string(file).unwrap());
    page.write("ca.pem", &certificates.concat());
    page.run("export RDSPROV_CA_FILE=ca.pem", 0);

    // The same instances on this machine, in one account.
    page.copy("toml", 0, "fleet.toml");
    let mut fleet = std::fs::read_to_string(path.join("fleet.toml")).unwrap();
    let here = |port: u16| format!("host = \"localhost\"\nport = {port}");
    for (written, actual) in [
        (r#"host = "orders.abc123.eu-west-2.rds.amazonaws.com""#, here(page.fixture.server.port())),
        (r#"host = "orders.def456.us-east-1.rds.amazonaws.com""#, here(others[0].port())),
        (r#"assume_role = "arn:aws:iam::111122223333:role/rdsprov""#, String::new()),
        ("127.0.0.1:15432", format!("127.0.0.1:{}", others[1].port())),
    ] {
        assert!(fleet.contains(written), "{written}");
        fleet = fleet.replace(written, &actual);
    }
    page.write("fleet.toml", &fleet);
    page.run("ALLOW_DB_PROVISION=true rdsprov apply --fleet fleet.toml --only-instance billing", 0);

    let planned = page.step(0);
    assert_eq!(summary(&planned), summary(text), "{planned}");
    assert!(planned.contains("3 instances: 1 no change, 2 pending."), "{planned}");
    page.step(0);
    page.step(0);
    for server in [&page.fixture.server, &others[0]] {
        let sql = "SELECT has_database_privilege('orders_reader', 'orders', 'CONNECT')";
        assert_eq!(server.superuser("postgres", sql).unwrap().trim(), "t");
    }
    page.run("rdsprov audit verify records/fleet.jsonl", 0);

    // The list of the instances for Step Functions, and their approvals.
    page.turn_to(include_str!("../../../../deploy/stepfunctions/README.md"), "");
    for file in ["fleet.toml", "apps/orders.tfvars", "apps/billing.tfvars", "apps/rdsprov.toml"] {
        copy(&format!("deploy/fleet/{file}"), &path.join("fleet").join(file));
    }
    let instances = || -> Vec<Value> {
        let text = std::fs::read_to_string(path.join("instances.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    page.step(0);
    assert_eq!(instances(), [json!({"instance": "orders-eu"}), json!({"instance": "orders-us"})]);
    // As Step Functions writes the results: the output of an instance is a text.
    let output = json!({"instance": "orders-eu", "result": {"digest": "sha256:1a"}}).to_string();
    page.write("results/1/SUCCEEDED_0.json", &json!([{"Output": output}]).to_string());
    page.step(0);
    assert_eq!(instances(), [json!({"instance": "orders-eu", "approval": "sha256:1a"})]);
}

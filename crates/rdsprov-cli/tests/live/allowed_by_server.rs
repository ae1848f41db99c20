//! A server that allows the administrator what the catalogs deny it, as RDS does for the members of
//! `rds_superuser`: the program asks the server, and does not decide from the catalogs.

use std::process::Output;

use rdsprov_testkit::{DenyingCatalogs, Server, versions};

use crate::fixture::{Fixture, expect};

/// A role that another role has created, and one that does not exist.
const DEFINITIONS: &str = r#"application_databases = {
  shop    = { database_name = "shop", username = "shop_owner", adopt = true, extensions = ["pageinspect"] }
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

/// The beginning of each probe.
const PROBE: &str = "BEGIN READ WRITE; SET LOCAL lock_timeout";

fn site(major: u32) -> (Fixture, String) {
    let fixture = Fixture::on(Server::start_without_tls(major).unwrap(), None);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "reports", "shop_reader");
    fixture.query("CREATE ROLE shop_owner LOGIN");
    let definitions = fixture.definitions(DEFINITIONS);
    (fixture, definitions)
}

fn run(fixture: &Fixture, definitions: &str, port: u16, command: &[&str]) -> Output {
    let (port, secrets) = (port.to_string(), format!("file:{}", fixture.path().display()));
    let place = ["--env", "dev", "--tls", "disable", "--host", "127.0.0.1", "--port", &port];
    let words = [command, &place, &["--secrets", &secrets]].concat();
    fixture.without_connection(definitions, &words).output().unwrap()
}

#[test]
fn catalogs_do_not_decide() {
    for major in versions() {
        let when = format!("PostgreSQL {major}");
        let (fixture, definitions) = site(major);
        let relay = DenyingCatalogs::start(&fixture.server).unwrap();
        let run = |command: &[&str]| run(&fixture, &definitions, relay.port(), command);
        let printed = expect(&run(&["apply", "--allow", "adopts"]), 0);
        assert!(printed.contains("create_extension,success"), "{when}: {printed}");
        assert!(fixture.server.log().contains(PROBE), "{when}");
        assert!(expect(&run(&["apply"]), 0).contains("no_change"), "{when}");
        let owner = "SELECT datdba::regrole FROM pg_database WHERE datname = 'shop'";
        assert_eq!(fixture.query(owner), "shop_owner", "{when}");
    }
}

/// The same catalogs, on a server that also denies it.
#[test]
fn answer_of_the_server_decides() {
    for major in versions() {
        let when = format!("PostgreSQL {major}");
        let (fixture, definitions) = site(major);
        fixture.query("ALTER ROLE platform_admin NOCREATEROLE NOCREATEDB");
        let printed = expect(&run(&fixture, &definitions, fixture.server.port(), &["plan"]), 3);
        for refused in [
            "refused[admin-option-missing] shop: ",
            "refused[administrator-attribute-missing] reports: ",
        ] {
            assert!(printed.contains(refused), "{when}: {refused} is not in {printed}");
        }
        assert!(fixture.server.log().contains(PROBE), "{when}");
    }
}

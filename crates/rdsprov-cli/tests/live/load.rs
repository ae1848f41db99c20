//! The load of an application, beside applies that change the database that it uses.

use std::process::{Command, Output, Stdio};

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

/// The program of Debian's package, which measures servers of all versions.
const PGBENCH: &str = "/usr/lib/postgresql/15/bin/pgbench";

/// Starts pgbench as the owner of database shop.
fn pgbench(fixture: &Fixture, arguments: &[&str]) -> Command {
    let mut command = Command::new(PGBENCH);
    command.envs(fixture.server.psql_environment()).args(arguments);
    command.env("PGUSER", "shop_owner").env("PGPASSWORD", password("shop"));
    command.env("PGDATABASE", "shop").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Returns the transactions per second of pgbench, of which none has failed.
fn transactions_per_second(output: &Output) -> f64 {
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !errors.contains("ERROR"), "{text}{errors}");
    assert!(text.contains("number of failed transactions: 0 "), "{text}{errors}");
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")).unwrap();
    rate.split(' ').next().unwrap().parse().unwrap()
}

/// No transaction of an application fails while applies create databases and roles, and change what many roles
/// may do with its tables. What the load loses is printed.
#[test]
fn applies_fail_no_transaction_of_an_application() {
    let major = *versions().last().unwrap();
    let fixture = Fixture::new(major);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = |readers: usize, level: &str, databases: usize| {
        let reader = |number: usize| {
            fixture.app("dev", &format!("reader{number}"), &format!("reader{number}"));
            format!(
                "reader{number} = {{ database_name = \"shop\", username = \"reader{number}\", access_level = {level:?} }}\n"
            )
        };
        let other = |number: usize| {
            fixture.app("dev", &format!("other{number}"), &format!("other{number}"));
            format!(
                "other{number} = {{ database_name = \"other{number}\", username = \"other{number}\" }}\n"
            )
        };
        let entries: String = (0..readers).map(reader).chain((0..databases).map(other)).collect();
        fixture.definitions(&format!(
            "application_databases = {{\n\
             shop = {{ database_name = \"shop\", username = \"shop_owner\" }}\n{entries}}}"
        ))
    };
    let apply = |definitions: &str| {
        expect(&fixture.run(definitions, &["apply", "--env", "dev"]), 0);
    };
    apply(&definitions(0, "reader", 0));
    let created = pgbench(&fixture, &["--initialize", "--quiet"]).output().unwrap();
    assert!(created.status.success(), "{created:?}");
    let alone = pgbench(&fixture, &["--client=2", "--time=2"]).output().unwrap();
    let alone = transactions_per_second(&alone);

    let mut load = pgbench(&fixture, &["--client=2", "--time=6"]).spawn().unwrap();
    let mut applies = 0;
    for level in ["reader", "editor"].into_iter().cycle() {
        if load.try_wait().unwrap().is_some() {
            break;
        }
        applies += 1;
        apply(&definitions(20, level, applies.min(10)));
    }
    let beside = transactions_per_second(&load.wait_with_output().unwrap());
    assert!(applies > 1, "the load has ended too early");
    eprintln!(
        "PostgreSQL {major}: {alone:.0} transactions per second alone, {beside:.0} beside {applies} applies"
    );
}

//! The number of connections, flights and statements of a run, and of the rows that it writes.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rdsprov_testkit::{DelayRelay, versions};

use crate::fixture::{Fixture, expect};

/// A relay counts what a run with some databases needs.
struct Count {
    connections: usize,
    flights: usize,
}

fn definitions(fixture: &Fixture, databases: usize) -> String {
    let entries = (0..databases).map(|number| {
        let (name, user) = (format!("app{number}"), format!("app{number}_owner"));
        fixture.app("dev", &name, &user);
        format!("{name} = {{ database_name = \"{name}\", username = \"{user}\" }}\n")
    });
    let entries: String = entries.collect();
    fixture.definitions(&format!("application_databases = {{\n{entries}}}"))
}

/// Counts a run on a server that is 80 ms away, so that the machine has time to send each flight.
fn count(fixture: &Fixture, definitions: &str, arguments: &[&str]) -> Count {
    let relay = DelayRelay::start(&fixture.server, Duration::from_millis(80)).unwrap();
    let address = format!("127.0.0.1:{}", relay.port());
    let arguments = [arguments, &["--env", "dev", "--connect-to", &address]].concat();
    expect(&fixture.run(definitions, &arguments), 0);
    Count { connections: relay.connections(), flights: relay.flights() }
}

/// Each further database costs a fixed number of connections and flights.
#[test]
fn each_database_costs_few_flights() {
    for major in versions() {
        // An audit table costs no further ones: its check and its rows are in the flight of the changes.
        let apply: &[&str] = match versions().last() == Some(&major) {
            true => &["apply", "--audit-table", "rdsprov_audit.changes"],
            false => &["apply"],
        };
        let measured = |databases: usize| {
            let fixture = Fixture::new(major);
            let definitions = definitions(&fixture, databases);
            let fresh = count(&fixture, &definitions, apply);
            let again = count(&fixture, &definitions, apply);
            (fresh, again)
        };
        const FEW: usize = 2;
        const MORE: usize = 6;
        let (few, more) = (measured(FEW), measured(MORE));
        // Before PostgreSQL 15, each database has a transaction for its schema public.
        let of_fresh = if major < 15 { (2, 22) } else { (1, 12) };
        for (run, few, more, (connections, flights)) in
            [("fresh", few.0, more.0, of_fresh), ("no change", few.1, more.1, (1, 7))]
        {
            let of_connections = (more.connections - few.connections).div_ceil(MORE - FEW);
            // A machine that is busy can send a flight in two parts.
            let of_flights = (more.flights - few.flights) / (MORE - FEW);
            assert!(
                of_connections <= connections,
                "PostgreSQL {major}, {run}: {of_connections} connections"
            );
            let both = (few.flights, more.flights);
            assert!(
                of_flights <= flights,
                "PostgreSQL {major}, {run}: {of_flights} flights {both:?}"
            );
        }
    }
}

/// After the changes, a run looks only at what it has changed, also where others change something meanwhile.
#[test]
fn databases_that_a_run_does_not_change_are_read_once() {
    const DATABASES: usize = 6;
    for major in versions() {
        let fixture = Fixture::new(major);
        let definitions = definitions(&fixture, DATABASES);
        let apply: &[&str] = &["apply"];
        count(&fixture, &definitions, apply);
        let unchanged = count(&fixture, &definitions, apply);
        fixture.query_in("app3", "GRANT CREATE ON SCHEMA public TO PUBLIC");
        fixture.query("GRANT CONNECT ON DATABASE app3 TO PUBLIC");
        let changed = count(&fixture, &definitions, apply);
        // One that changes the database, and one that looks at it again.
        let further = changed.connections - unchanged.connections;
        assert!(further <= 2, "PostgreSQL {major}: {further} further connections");
        let privilege = "SELECT has_schema_privilege('public', 'public', 'CREATE') OR has_database_privilege('public', 'app3', 'CONNECT')";
        assert_eq!(fixture.query_in("app3", privilege), "f", "PostgreSQL {major}");
    }
}

/// Returns the definitions of an owner of database shop and of some readers.
fn with_readers(fixture: &Fixture, readers: usize) -> String {
    let entry = |name: &str, level: &str| {
        let user = format!("{name}_user");
        fixture.app("dev", name, &user);
        format!(
            "{name} = {{ database_name = \"shop\", username = \"{user}\", access_level = \"{level}\" }}\n"
        )
    };
    let readers = (0..readers).map(|number| entry(&format!("r{number}"), "reader"));
    let entries: String = [entry("shop", "owner")].into_iter().chain(readers).collect();
    fixture.definitions(&format!("application_databases = {{\n{entries}}}"))
}

/// Returns how many rows of `pg_class` of database shop were inserted and updated, as soon as this is at
/// least the minimum: a session reports it when it ends.
fn written_rows(fixture: &Fixture, column: &str, minimum: usize) -> usize {
    let count = "SELECT n_tup_ins, n_tup_upd FROM pg_stat_sys_tables WHERE relname = 'pg_class'";
    let count = count.replace("n_tup_ins, n_tup_upd", column);
    let started = Instant::now();
    loop {
        let rows = fixture.query_in("shop", &count).trim().parse().unwrap();
        if rows >= minimum {
            return rows;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "only {rows} rows: {column}");
        sleep(Duration::from_millis(50));
    }
}

/// The readers of a database get their privileges with one statement for each object, so that each table has
/// one new row in `pg_class`.
#[test]
fn further_readers_cost_no_further_grants() {
    const TABLES: usize = 50;
    const READERS: usize = 20;
    let fixture = Fixture::new(*versions().last().unwrap());
    expect(&fixture.run(&with_readers(&fixture, 0), &["apply", "--env", "dev"]), 0);
    let tables = format!(
        "SET SESSION AUTHORIZATION shop_user;
         DO $$ BEGIN FOR i IN 1..{TABLES} LOOP EXECUTE format('CREATE TABLE t%s (id int)', i); END LOOP; END $$"
    );
    fixture.query_in("shop", &tables);
    let grants = |readers: usize| {
        let definitions = with_readers(&fixture, readers);
        let plan = fixture.run(&definitions, &["plan", "--env", "dev", "--format", "sql"]);
        let script = expect(&plan, 0);
        let is_grant = |line: &&str| line.starts_with("GRANT ") || line.contains(" GRANT ");
        script.lines().filter(is_grant).map(str::to_owned).collect::<Vec<_>>()
    };
    // CONNECT, USAGE, the tables, and the default privileges of tables and of sequences.
    let (few, many) = (grants(2), grants(READERS));
    assert_eq!(few.iter().filter(|line| line.contains("r0_user")).count(), 5, "{few:#?}");
    assert_eq!(few.len(), many.len(), "{few:#?} {many:#?}");

    written_rows(&fixture, "n_tup_ins", TABLES);
    let before = written_rows(&fixture, "n_tup_upd", 0);
    expect(&fixture.run(&with_readers(&fixture, READERS), &["apply", "--env", "dev"]), 0);
    let updated = written_rows(&fixture, "n_tup_upd", before + TABLES) - before;
    assert_eq!(updated, TABLES);
    let readable = "SELECT count(*) FROM pg_class, pg_roles WHERE relname ~ '^t[0-9]+$' AND rolname ~ '^r[0-9]+_user$'
        AND has_table_privilege(rolname, pg_class.oid, 'SELECT')";
    assert_eq!(fixture.query_in("shop", readable).trim(), (READERS * TABLES).to_string());
    expect(&fixture.run(&with_readers(&fixture, READERS), &["check", "--env", "dev"]), 0);
}

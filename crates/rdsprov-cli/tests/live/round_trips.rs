//! The number of connections and flights of a run: what it costs where the server is far away.

use std::time::Duration;

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
        let measured = |databases: usize| {
            let fixture = Fixture::new(major);
            let definitions = definitions(&fixture, databases);
            let fresh = count(&fixture, &definitions, &["apply"]);
            let again = count(&fixture, &definitions, &["apply"]);
            (fresh, again)
        };
        const FEW: usize = 2;
        const MORE: usize = 6;
        let (few, more) = (measured(FEW), measured(MORE));
        // Before PostgreSQL 15, each database has a transaction for its schema public.
        let of_fresh = if major < 15 { (2, 22) } else { (1, 12) };
        for (run, few, more, (connections, flights)) in
            [("fresh", few.0, more.0, of_fresh), ("no change", few.1, more.1, (2, 14))]
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

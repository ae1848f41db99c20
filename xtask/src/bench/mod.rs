//! `cargo xtask bench`: measures the command beside the least that any program needs for the same work.
//!
//! Each ratio compares two programs that run in turns on one server. Times depend on the machine; tests
//! assert counts only.

mod measure;
mod others;
mod report;
mod site;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use measure::{Times, side_by_side};
use others::Others;
use report::{Measured, Row};
use site::{Entry, Site, create_role, log_in};

use crate::process;

/// The file that `--write` updates.
const DOCUMENT: &str = "docs/performance.md";

/// The line of the document before and after the results.
const MARKS: [&str; 2] = ["<!-- results -->\n", "<!-- end of results -->\n"];

#[derive(clap::Args)]
pub struct Options {
    /// PostgreSQL version of the server
    #[arg(long, default_value_t = 17)]
    version: u32,
    /// Numbers of databases, each with its owner
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "50,200")]
    databases: Vec<usize>,
    /// Numbers of tables in one database with 100 readers
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1000,5000,50000")]
    tables: Vec<usize>,
    /// Numbers of applications in one definitions file
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "10,1000,10000")]
    applications: Vec<usize>,
    /// Round-trip time of the server that is far away, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20)]
    rtt: u64,
    /// Number of times that each work is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The command to measure, instead of a release build
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Also measure a script with psycopg, Ansible and pgroles, which are installed in target
    #[arg(long)]
    compare: bool,
    /// Also write the results to a file, as JSON
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Write the results to docs/performance.md
    #[arg(long)]
    write: bool,
}

impl Options {
    /// Returns the command that measures the same.
    fn command(&self) -> String {
        let list = |numbers: &[usize]| {
            numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        format!(
            "cargo xtask bench --databases {} --tables {} --applications {} --rtt {} --rounds {}",
            list(&self.databases),
            list(&self.tables),
            list(&self.applications),
            self.rtt,
            self.rounds
        ) + if self.compare { " --compare" } else { "" }
    }
}

pub fn run(options: &Options) -> Result<(), String> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => {
            let build = ["build", "--locked", "--release", "--bin", "rdsprov"];
            process::run("cargo", &build, &[])?;
            PathBuf::from("target/release/rdsprov")
        }
    };
    let program =
        fs::canonicalize(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    let others = if options.compare { Some(Others::install()?) } else { None };
    let mut bench = Bench { options, program, others, rows: Vec::new() };
    for count in &options.applications {
        bench.definitions(*count)?;
    }
    for count in &options.databases {
        bench.databases(*count)?;
    }
    for count in &options.tables {
        bench.tables(*count)?;
    }
    let machine = format!("`{}`\n\n{}", options.command(), machine(options.version)?);
    println!("{machine}");
    if let Some(path) = &options.json {
        fs::write(path, report::json(&bench.rows, &machine))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if options.write {
        let text = fs::read_to_string(DOCUMENT).map_err(|error| format!("{DOCUMENT}: {error}"))?;
        let (before, rest) = text.split_once(MARKS[0]).ok_or("no results in the document")?;
        let (_, after) = rest.split_once(MARKS[1]).ok_or("the results do not end")?;
        let results = format!("{machine}\n\n{}", report::markdown(&bench.rows));
        fs::write(DOCUMENT, [before, MARKS[0], &results, MARKS[1], after].concat())
            .map_err(|error| format!("{DOCUMENT}: {error}"))?;
    }
    Ok(())
}

/// Describes the machine on which the results were measured.
fn machine(version: u32) -> Result<String, String> {
    let text = fs::read_to_string("/proc/cpuinfo").map_err(|error| error.to_string())?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let processors = text.lines().filter(|line| line.starts_with("processor")).count();
    Ok(format!("Measured with PostgreSQL {version} on {processors} processors ({model})."))
}

/// Another program with its name, and what runs it.
type Program<'a> = (&'a str, &'a dyn Fn() -> Result<measure::Run, String>);

struct Bench<'o> {
    options: &'o Options,
    program: PathBuf,
    others: Option<Others>,
    rows: Vec<Row>,
}

impl Bench<'_> {
    fn add(&mut self, work: String, measured: Measured, goal: Option<f64>) {
        let row = Row { work, measured, goal };
        println!("{}", report::line(&row));
        self.rows.push(row);
    }

    /// Reads and checks one file.
    #[allow(clippy::cast_precision_loss)]
    fn definitions(&mut self, count: usize) -> Result<(), String> {
        let site = Site::start(self.options.version, &self.program)?;
        let file = site.define("definitions.tfvars", &owners(count))?;
        let (mut times, mut memory) = (Times::default(), 0.0_f64);
        for _ in 0..self.options.rounds.max(5) {
            let run = site.rdsprov(&["validate"], &file, 0)?;
            times.add(run.milliseconds);
            memory = memory.max(run.mebibytes);
        }
        let work = format!("{count} applications, validate");
        let goal = 2.0 + 0.02 * count as f64;
        self.add(format!("{work}, memory"), Measured::Memory(memory), Some(64.0));
        self.add(work, Measured::Time(times), Some(goal));
        Ok(())
    }

    /// Creates databases with their owners, and looks at them again.
    fn databases(&mut self, count: usize) -> Result<(), String> {
        let site = Site::start(self.options.version, &self.program)?;
        let entries = owners(count);
        let file = site.define("definitions.tfvars", &entries)?;
        let create: String = entries
            .iter()
            .map(|entry| {
                format!("{}CREATE DATABASE {};\n", create_role(&entry.user), entry.database)
            })
            .collect();
        let look: String = entries
            .iter()
            .map(|Entry { database, user, .. }| {
                let administrator = format!("\\c \"dbname={database}\"\n");
                format!("{}SELECT 1;\n{administrator}SELECT 1;\n", log_in(database, user))
            })
            .collect();
        // The far server has as many databases as the smallest list.
        let is_first = self.options.databases.first() == Some(&count);
        let distances = if is_first { vec![0, self.options.rtt] } else { vec![0] };
        for rtt in distances {
            let (place, goals) = match rtt {
                0 => (String::new(), [1.3, 1.1]),
                _ => (format!(", {rtt} ms away"), [1.0, 0.8]),
            };
            let rounds = self.options.rounds;
            let relay = site.relay(rtt)?;
            let port = if rtt == 0 { site.server.port() } else { relay.port() };
            let apply = |site: &Site| {
                drop_databases(site, count)?;
                site.rdsprov(&["apply"], &file, port).map(|run| run.milliseconds)
            };
            let floor = || {
                drop_databases(&site, count)?;
                site.psql(&create, port).map(|run| run.milliseconds)
            };
            let (work, floor) = side_by_side(rounds, || apply(&site), floor)?;
            let floor_is = "CREATE ROLE and CREATE DATABASE";
            let name = format!("{count} databases, fresh{place}");
            self.add(name, Measured::Ratio { work, floor, floor_is }, Some(goals[0]));
            let again = || site.rdsprov(&["apply"], &file, port).map(|run| run.milliseconds);
            let floor = || site.psql(&look, port).map(|run| run.milliseconds);
            let (work, floor) = side_by_side(rounds, again, floor)?;
            let floor_is = "the same logins and one query each";
            let name = format!("{count} databases, no change{place}");
            self.add(name, Measured::Ratio { work, floor, floor_is }, Some(goals[1]));
        }
        if is_first {
            self.counts(&site, count, &file)?;
            self.databases_of_others(&site, &entries, &create)?;
        }
        Ok(())
    }

    /// Has the other programs create the same databases, and run again.
    fn databases_of_others(
        &mut self,
        site: &Site,
        entries: &[Entry],
        create: &str,
    ) -> Result<(), String> {
        let Some(others) = &self.others else { return Ok(()) };
        let (count, port) = (entries.len(), site.server.port());
        let psycopg = || others.psycopg(site, "databases.py", entries);
        let ansible = || others.ansible(site, entries);
        let programs: [Program<'_>; 2] =
            [("psycopg, setting each password", &psycopg), ("Ansible", &ansible)];
        let mut rows = Vec::new();
        for (name, run) in programs {
            // Once, because Ansible takes minutes.
            let fresh = || {
                drop_databases(site, count)?;
                run().map(|run| run.milliseconds)
            };
            let floor = || {
                drop_databases(site, count)?;
                site.psql(create, port).map(|run| run.milliseconds)
            };
            let (work, floor) = side_by_side(1, fresh, floor)?;
            let floor_is = "CREATE ROLE and CREATE DATABASE";
            rows.push((
                format!("{count} databases, fresh: {name}"),
                Measured::Ratio { work, floor, floor_is },
            ));
            let mut again = Times::default();
            again.add(run()?.milliseconds);
            rows.push((format!("{count} databases, again: {name}"), Measured::Time(again)));
        }
        for (name, measured) in rows {
            self.add(name, measured, None);
        }
        Ok(())
    }

    /// Counts connections and flights.
    #[allow(clippy::cast_precision_loss)]
    fn counts(&mut self, site: &Site, count: usize, file: &Path) -> Result<(), String> {
        for (story, goals) in [("fresh", [55.0, 12.0]), ("no change", [55.0, 7.0])] {
            if story == "fresh" {
                drop_databases(site, count)?;
            }
            let relay = site.relay(self.options.rtt.max(20))?;
            site.rdsprov(&["apply"], file, relay.port())?;
            let (connections, flights) = (relay.connections() as f64, relay.flights() as f64);
            let of_one = flights / if story == "fresh" { count as f64 } else { connections };
            let each = if story == "fresh" { "database" } else { "connection" };
            let work = format!("{count} databases, {story}");
            // The goal of 55 connections is that of 50 databases.
            let goal = goals[0] * count as f64 / 50.0;
            self.add(format!("{work}, connections"), Measured::Count(connections), Some(goal));
            let name = format!("{work}, flights of a {each}");
            self.add(name, Measured::Count(of_one), Some(goals[1]));
        }
        Ok(())
    }

    /// Grants 100 readers access to many tables, and looks at them again.
    fn tables(&mut self, count: usize) -> Result<(), String> {
        const READERS: usize = 100;
        let site = Site::start(self.options.version, &self.program)?;
        let port = site.server.port();
        let entry = |name: &str, level| Entry {
            name: name.to_owned(),
            database: "app1".to_owned(),
            user: format!("{name}_user"),
            level,
        };
        let readers = (0..READERS).map(|number| entry(&format!("reader{number}"), "reader"));
        let all: Vec<Entry> = [entry("app1", "owner")].into_iter().chain(readers).collect();
        let owner = site.define("owner.tfvars", &all[..1])?;
        let file = site.define("definitions.tfvars", &all)?;
        site.rdsprov(&["apply"], &owner, port)?;
        let create = format!(
            "\\c app1
             SET SESSION AUTHORIZATION app1_user;
             DO $$ BEGIN FOR i IN 1..{count} LOOP EXECUTE format('CREATE TABLE t%s ()', i);
               IF i % 1000 = 0 THEN COMMIT; END IF; END LOOP; END $$;\n"
        );
        site.server.script_as_superuser(&create).map_err(|error| error.to_string())?;
        let marker = site.superuser("postgres", MARKER)?;
        site.superuser("postgres", "CREATE DATABASE start TEMPLATE app1")?;
        let reset = || {
            site.superuser("postgres", "DROP DATABASE app1 WITH (FORCE)")?;
            drop_roles(&site, "^reader")?;
            site.superuser("postgres", "CREATE DATABASE app1 TEMPLATE start OWNER app1_user")?;
            site.superuser("postgres", &marker)?;
            site.rdsprov(&["apply"], &owner, port).map(drop)
        };
        let names: Vec<&str> = all[1..].iter().map(|entry| entry.user.as_str()).collect();
        let names = names.join(", ");
        let roles: String = all[1..].iter().map(|entry| create_role(&entry.user)).collect();
        let grants = format!(
            "{roles}{}BEGIN;\nGRANT CONNECT ON DATABASE app1 TO {names};\nGRANT USAGE ON SCHEMA public TO {names};\n\
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO {names};\n\
             ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {names};\nCOMMIT;\n",
            log_in("app1", "app1_user")
        );
        let work = || {
            reset()?;
            site.rdsprov(&["apply"], &file, port).map(|run| run.milliseconds)
        };
        let floor = || {
            reset()?;
            site.psql(&grants, port).map(|run| run.milliseconds)
        };
        let (work, floor) = side_by_side(self.options.rounds, work, floor)?;
        let floor_is = "CREATE ROLE, and lists of grants in one transaction";
        let name = format!("{count} tables, {READERS} readers");
        self.add(format!("{name}, fresh"), Measured::Ratio { work, floor, floor_is }, Some(2.0));
        self.looks(&site, &format!("{name}, no change, never analyzed"), &file)?;
        site.superuser("app1", "ANALYZE")?;
        self.looks(&site, &format!("{name}, no change, analyzed after the grants"), &file)?;
        reset()?;
        site.superuser("app1", "ANALYZE")?;
        site.rdsprov(&["apply"], &file, port)?;
        self.looks(&site, &format!("{name}, no change, analyzed before the grants"), &file)?;

        let plan = || site.rdsprov(&["plan"], &file, port).map(|run| run.milliseconds);
        let (mut unchanged, mut drifted) = (Times::default(), Times::default());
        for _ in 0..self.options.rounds {
            unchanged.add(plan()?);
            let revoke = "REVOKE SELECT ON t1, t2, t3 FROM reader0_user";
            let grant = "GRANT SELECT ON t1, t2, t3 TO reader0_user";
            let as_owner = |sql: &str| format!("SET SESSION AUTHORIZATION app1_user; {sql}");
            site.superuser("app1", &as_owner(revoke))?;
            drifted.add(plan()?);
            site.superuser("app1", &as_owner(grant))?;
        }
        let (work, floor, floor_is) = (drifted, unchanged, "the plan without change");
        let measured = Measured::Ratio { work, floor, floor_is };
        self.add(format!("{name}, three tables drifted"), measured, Some(3.0));
        let memory = site.rdsprov(&["plan"], &file, port)?.mebibytes;
        self.add(format!("{name}, memory"), Measured::Memory(memory), Some(64.0));
        // Last, because they change what is not theirs, too.
        if let Some(others) = &self.others {
            let psycopg = || others.psycopg(&site, "readers.py", &all);
            let pgroles = || others.pgroles(&site, &all);
            let programs: [Program<'_>; 2] =
                [("psycopg, reader by reader", &psycopg), ("pgroles, without passwords", &pgroles)];
            // With more tables, the script takes many minutes. pgroles is the last one, because it also revokes the ADMIN
            // OPTION of the administrator.
            let programs = if count > 5000 { &programs[1..] } else { &programs[..] };
            let created = "CREATE ROLE, and lists of grants in one transaction";
            let mut rows = Vec::new();
            for (program, run) in programs {
                let work = || {
                    reset()?;
                    run().map(|run| run.milliseconds)
                };
                let floor = || {
                    reset()?;
                    site.psql(&grants, port).map(|run| run.milliseconds)
                };
                let (work, floor) = side_by_side(1, work, floor)?;
                let measured = Measured::Ratio { work, floor, floor_is: created };
                rows.push((format!("{name}, fresh: {program}"), measured));
                let again = || run().map(|run| run.milliseconds);
                let floor = || site.psql(AGGREGATE, port).map(|run| run.milliseconds);
                let (work, floor) = side_by_side(1, again, floor)?;
                let floor_is = "one aggregate over pg_class";
                let measured = Measured::Ratio { work, floor, floor_is };
                rows.push((format!("{name}, again: {program}"), measured));
            }
            for (name, measured) in rows {
                self.add(name, measured, None);
            }
        }
        Ok(())
    }

    /// Looks at the tables again, without the logins of the roles, which take as long for one table.
    fn looks(&mut self, site: &Site, name: &str, file: &Path) -> Result<(), String> {
        let port = site.server.port();
        let words = ["apply", "--verify-passwords", "never"];
        let again = || site.rdsprov(&words, file, port).map(|run| run.milliseconds);
        let floor = || site.psql(AGGREGATE, port).map(|run| run.milliseconds);
        let (work, floor) = side_by_side(self.options.rounds, again, floor)?;
        let floor_is = "one aggregate over pg_class";
        self.add(name.to_owned(), Measured::Ratio { work, floor, floor_is }, Some(2.5));
        Ok(())
    }
}

/// The statement that gives database app1 its comment again.
const MARKER: &str = "SELECT format('COMMENT ON DATABASE app1 IS %L', pg_catalog.shobj_description(oid, 'pg_database'))
    FROM pg_database WHERE datname = 'app1'";

/// One aggregate over all relations with their ACLs.
const AGGREGATE: &str = "\\c \"dbname=app1\"\n\
    SELECT count(*), count(DISTINCT relacl::text), sum(cardinality(relacl)) FROM pg_class;\n";

/// Databases with an owner each.
fn owners(count: usize) -> Vec<Entry> {
    let entry = |number: usize| Entry {
        name: format!("app{number}"),
        database: format!("app{number}"),
        user: format!("app{number}_user"),
        level: "owner",
    };
    (1..=count).map(entry).collect()
}

fn drop_databases(site: &Site, count: usize) -> Result<(), String> {
    let mut script = String::new();
    for number in 1..=count {
        let _ = writeln!(script, "DROP DATABASE IF EXISTS app{number} WITH (FORCE);");
    }
    site.server.script_as_superuser(&script).map_err(|error| error.to_string())?;
    drop_roles(site, "^app")
}

fn drop_roles(site: &Site, pattern: &str) -> Result<(), String> {
    let sql = format!(
        "DO $$ DECLARE one name; BEGIN FOR one IN SELECT rolname FROM pg_roles WHERE rolname ~ '{pattern}' LOOP
           EXECUTE format('DROP ROLE %I', one); END LOOP; END $$"
    );
    site.superuser("postgres", &sql).map(drop)
}

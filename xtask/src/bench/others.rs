//! Other programs that do a part of the same work: a script with psycopg, Ansible, and pgroles.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::measure::{self, Run};
use super::site::{Entry, PASSWORD, Site};
use crate::cargo_tool::CargoTool;
use crate::python::Environment;

const PGROLES: CargoTool =
    CargoTool { name: "pgroles-cli", program: "pgroles", version: "0.15.0", optimised: true };

const PROGRAMS: &str = "xtask/src/bench/programs";

/// The other programs, which are installed in `target`.
pub struct Others {
    environment: Environment,
    pgroles: PathBuf,
    programs: PathBuf,
}

impl Others {
    /// Installs the programs.
    pub fn install() -> Result<Self, String> {
        let absolute =
            |path: &str| fs::canonicalize(path).map_err(|error| format!("{path}: {error}"));
        Ok(Self {
            environment: Environment::new("bench", "locks/python/bench.txt")?,
            pgroles: absolute(&PGROLES.program()?)?,
            programs: absolute(PROGRAMS)?,
        })
    }

    /// Runs a script with psycopg.
    pub fn psycopg(&self, site: &Site, script: &str, entries: &[Entry]) -> Result<Run, String> {
        let path = site.write("entries.json", &in_json(entries))?;
        let mut command = Command::new(self.environment.program("python"));
        command.arg(self.programs.join(script)).arg(path);
        measure::run(command.envs(site.server.psql_environment()))
    }

    /// Runs a playbook that creates roles and databases, in one process.
    pub fn ansible(&self, site: &Site, entries: &[Entry]) -> Result<Run, String> {
        let path = site.write("playbook.yml", &playbook(site, entries))?;
        let mut command = Command::new(self.environment.program("ansible-playbook"));
        command.arg("-i").arg("localhost,").arg(path);
        let python = self.environment.program("python");
        command.arg("-e").arg(format!("ansible_python_interpreter={python}"));
        command.env("ANSIBLE_LOCALHOST_WARNING", "false");
        measure::run(command.envs(site.server.psql_environment()))
    }

    /// Has pgroles apply the access of readers to the database of their owner, the first entry.
    pub fn pgroles(&self, site: &Site, entries: &[Entry]) -> Result<Run, String> {
        let manifest = site.write("pgroles.yaml", &manifest(entries))?;
        let database = entries.first().map(|owner| owner.database.as_str()).unwrap_or_default();
        let mut command = Command::new(&self.pgroles);
        command.arg("apply").arg("--file").arg(manifest);
        // It grants nothing on the tables of another owner, except as a superuser.
        command.arg("--database-url").arg(site.superuser_url(database));
        measure::run(&mut command)
    }
}

fn in_json(entries: &[Entry]) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|Entry { database, user, .. }| {
            serde_json::json!({ "database": database, "user": user, "password": PASSWORD })
        })
        .collect();
    serde_json::Value::from(entries).to_string()
}

fn playbook(site: &Site, entries: &[Entry]) -> String {
    let roles: Vec<_> = entries.iter().map(|entry| entry.user.as_str()).collect();
    let databases: String = entries.iter().fold(String::new(), |mut text, entry| {
        let _ = write!(text, "{{name: {}, owner: {}}}, ", entry.database, entry.user);
        text
    });
    let environment = site.server.psql_environment();
    let initial = environment.iter().find(|(name, _)| *name == "PGDATABASE");
    let initial = initial.map(|(_, value)| value.to_string_lossy()).unwrap_or_default();
    let login = "login_host: \"{{ lookup('env', 'PGHOST') }}\", \
                 login_port: \"{{ lookup('env', 'PGPORT') }}\", \
                 login_user: \"{{ lookup('env', 'PGUSER') }}\", \
                 login_password: \"{{ lookup('env', 'PGPASSWORD') }}\"";
    // Since PostgreSQL 16, `postgresql_membership` takes the ADMIN OPTION of the creator for the membership, without
    // which it cannot create a database for the role.
    format!(
        "- hosts: all\n  connection: local\n  gather_facts: false\n  tasks:\n\
         \x20   - community.postgresql.postgresql_user: {{name: \"{{{{ item }}}}\", password: \"{PASSWORD}\", login_db: {initial}, {login}}}\n\
         \x20     loop: [{}]\n\
         \x20   - community.postgresql.postgresql_query: {{query: 'GRANT \"{{{{ item }}}}\" TO CURRENT_USER', login_db: {initial}, {login}}}\n\
         \x20     loop: [{}]\n\
         \x20   - community.postgresql.postgresql_db: {{name: \"{{{{ item.name }}}}\", owner: \"{{{{ item.owner }}}}\", maintenance_db: {initial}, {login}}}\n\
         \x20     loop: [{databases}]\n",
        roles.join(", "),
        roles.join(", "),
    )
}

fn manifest(entries: &[Entry]) -> String {
    let Some((owner, readers)) = entries.split_first() else { return String::new() };
    let mut text = format!(
        "default_owner: {}\nroles:\n  - {{name: {}, login: true}}\n",
        owner.user, owner.user
    );
    for reader in readers {
        let _ = writeln!(text, "  - {{name: {}, login: true}}", reader.user);
    }
    text.push_str("grants:\n");
    for reader in readers {
        let role = &reader.user;
        let _ = writeln!(
            text,
            "  - {{role: {role}, privileges: [CONNECT], object: {{type: database, name: {}}}}}\n  \
               - {{role: {role}, privileges: [USAGE], object: {{type: schema, name: public}}}}\n  \
               - {{role: {role}, privileges: [SELECT], object: {{type: table, schema: public, name: \"*\"}}}}",
            owner.database
        );
    }
    text
}

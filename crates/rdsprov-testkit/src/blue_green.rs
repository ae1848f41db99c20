//! Imitates the server in a blue/green deployment: the functions with its topology, and its warning.

use crate::{Error, Server};

/// The function with which a server reports the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopologyFunction {
    /// `pg_catalog.get_blue_green_fast_switchover_metadata` of Aurora.
    Aurora,
    /// `rds_tools.show_topology` of RDS, in the database `postgres` only.
    Rds,
}

impl TopologyFunction {
    /// Both functions.
    pub const ALL: [Self; 2] = [Self::Aurora, Self::Rds];

    fn name(self) -> &'static str {
        match self {
            Self::Aurora => "pg_catalog.get_blue_green_fast_switchover_metadata",
            Self::Rds => "rds_tools.show_topology",
        }
    }

    /// Returns the databases that contain the function.
    fn databases(self) -> &'static [&'static str] {
        match self {
            Self::Aurora => &["platform", "postgres"],
            Self::Rds => &["postgres"],
        }
    }
}

/// The columns of the functions.
const COLUMNS: &str = "id text, endpoint text, port int, role text, status text, version text";

impl Server {
    /// Creates the function, or replaces it: each node of the topology has a role and a status. The
    /// nodes of a Multi-AZ cluster have neither, which is an empty text here.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn report_topology(
        &self,
        function: TopologyFunction,
        nodes: &[(&str, &str)],
    ) -> Result<(), Error> {
        let rows = nodes.iter().enumerate().map(|(number, (role, status))| {
            format!(
                "('{number}', 'host{number}', 5432, nullif('{role}', ''), nullif('{status}', ''), '1.0')"
            )
        });
        let rows: Vec<String> = rows.collect();
        let name = function.name();
        if function == TopologyFunction::Rds {
            self.superuser(
                "postgres",
                "CREATE SCHEMA IF NOT EXISTS rds_tools;
                 GRANT USAGE ON SCHEMA rds_tools TO rds_superuser;
                 ALTER DATABASE platform SET rds.extensions = 'pg_trgm, rds_tools';
                 ALTER DATABASE postgres SET rds.extensions = 'pg_trgm, rds_tools'",
            )?;
        }
        for database in function.databases() {
            self.superuser(
                database,
                &format!(
                    "CREATE OR REPLACE FUNCTION {name}(caller text) RETURNS TABLE ({COLUMNS})
                     LANGUAGE sql STABLE AS $$ VALUES {} $$",
                    rows.join(", ")
                ),
            )?;
        }
        Ok(())
    }

    /// Has a function that [`Server::report_topology`] has created raise an error.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn fail_topology(&self, function: TopologyFunction, message: &str) -> Result<(), Error> {
        let name = function.name();
        for database in function.databases() {
            self.superuser(
                database,
                &format!(
                    "CREATE OR REPLACE FUNCTION {name}(caller text) RETURNS TABLE ({COLUMNS})
                     LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE EXCEPTION '{message}'; END $$"
                ),
            )?;
        }
        Ok(())
    }

    /// Has each DDL statement in a database warn, as on a server whose green environment does not get
    /// it. Event triggers do not see statements about roles and databases.
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn warn_of_replication(&self, database: &str) -> Result<(), Error> {
        self.superuser(
            database,
            "CREATE FUNCTION public.warn_of_replication() RETURNS event_trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE WARNING 'command will not be replicated to the green instance'; END $$;
             CREATE EVENT TRIGGER warn_of_replication ON ddl_command_end
               EXECUTE FUNCTION public.warn_of_replication()",
        )
        .map(drop)
    }

    /// Ends the warnings of [`Server::warn_of_replication`].
    ///
    /// # Errors
    /// Returns the error output of psql.
    pub fn stop_warnings(&self, database: &str) -> Result<(), Error> {
        self.superuser(
            database,
            "DROP EVENT TRIGGER warn_of_replication; DROP FUNCTION public.warn_of_replication()",
        )
        .map(drop)
    }
}

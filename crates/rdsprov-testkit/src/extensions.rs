//! Extensions for tests: imitations of those with which Amazon RDS extends PostgreSQL.

use std::path::Path;
use std::{fs, process};

use crate::{Error, Server, io_error};

/// An extension with version 1: the lines of its control file, and its script.
#[derive(Debug, Clone, Copy)]
pub struct Extension<'a> {
    /// The name of the extension.
    pub name: &'a str,
    /// The lines of the control file after `default_version`.
    pub control: &'a str,
    /// The SQL script.
    pub script: &'a str,
}

impl Extension<'static> {
    /// Resembles `aws_commons`: not trusted, with a schema of its own that is closed to PUBLIC, and
    /// functions that only `rds_superuser` may execute and grant.
    pub const COMMONS: Self = Self {
        name: "rdsprov_commons",
        control: "relocatable = false",
        script: "
            CREATE SCHEMA rdsprov_commons;
            CREATE FUNCTION rdsprov_commons.create_uri(text) RETURNS text LANGUAGE sql AS $$SELECT 's3://' || $1$$;
            REVOKE ALL ON FUNCTION rdsprov_commons.create_uri(text) FROM PUBLIC;
            GRANT USAGE ON SCHEMA rdsprov_commons TO rds_superuser WITH GRANT OPTION;
            GRANT EXECUTE ON FUNCTION rdsprov_commons.create_uri(text) TO rds_superuser WITH GRANT OPTION;",
    };

    /// Resembles `aws_s3`, which requires `aws_commons`.
    pub const S3: Self = Self {
        name: "rdsprov_s3",
        control: "relocatable = false\nrequires = 'rdsprov_commons'",
        script: "
            CREATE SCHEMA rdsprov_s3;
            CREATE FUNCTION rdsprov_s3.export(uri text) RETURNS text LANGUAGE sql AS 'SELECT $1';
            CREATE PROCEDURE rdsprov_s3.import(uri text, INOUT rows int) LANGUAGE sql AS 'SELECT 7';
            REVOKE ALL ON ALL ROUTINES IN SCHEMA rdsprov_s3 FROM PUBLIC;
            GRANT USAGE ON SCHEMA rdsprov_s3 TO rds_superuser WITH GRANT OPTION;
            GRANT EXECUTE ON ALL ROUTINES IN SCHEMA rdsprov_s3 TO rds_superuser WITH GRANT OPTION;",
    };

    /// Resembles `pg_cron` in what it grants, and is trusted: the owner of a database creates it, and
    /// the bootstrap superuser owns its objects. PUBLIC may execute one of its functions.
    pub const CRON: Self = Self {
        name: "rdsprov_cron",
        control: "trusted = true",
        script: "
            CREATE SCHEMA rdsprov_cron;
            CREATE FUNCTION rdsprov_cron.schedule(text) RETURNS int LANGUAGE sql AS 'SELECT 1';
            CREATE FUNCTION rdsprov_cron.version() RETURNS int LANGUAGE sql AS 'SELECT 2';
            REVOKE ALL ON FUNCTION rdsprov_cron.schedule(text) FROM PUBLIC;
            GRANT USAGE ON SCHEMA rdsprov_cron TO rds_superuser WITH GRANT OPTION;
            GRANT EXECUTE ON FUNCTION rdsprov_cron.schedule(text) TO rds_superuser WITH GRANT OPTION;",
    };

    /// An extension that each owner of a database may create, in the only schema that its control file
    /// allows. The owner of the database owns its objects.
    pub const JOBS: Self = Self {
        name: "rdsprov_jobs",
        control: "superuser = false\nschema = rdsprov_jobs",
        script: "
            CREATE FUNCTION run() RETURNS int LANGUAGE sql AS 'SELECT 3';
            REVOKE ALL ON FUNCTION run() FROM PUBLIC;",
    };

    /// An extension that Amazon RDS lets members of `rds_extension` create. PostgreSQL trusts it, so that
    /// its script is executed as the bootstrap superuser; the script checks what RDS checks, and
    /// [`Extension::hide_trust`] completes the imitation.
    pub const DELEGATED: Self = Self {
        name: "rdsprov_delegated",
        control: "trusted = true",
        script: "
            DO $$ BEGIN
              IF NOT pg_has_role(session_user, 'rds_extension', 'MEMBER') OR 'rdsprov_delegated'
                <> ALL (string_to_array(coalesce(current_setting('rds.allowed_delegated_extensions', true), ''), ',')) THEN
                RAISE insufficient_privilege USING MESSAGE = 'permission denied to create extension \"rdsprov_delegated\"';
              END IF;
            END $$;
            CREATE FUNCTION delegated() RETURNS int LANGUAGE sql AS 'SELECT 5';",
    };

    /// An extension whose function only a superuser may execute and grant.
    pub const CLOSED: Self = Self {
        name: "rdsprov_closed",
        control: "trusted = true",
        script: "
            CREATE FUNCTION reset_all() RETURNS int LANGUAGE sql AS 'SELECT 4';
            REVOKE ALL ON FUNCTION reset_all() FROM PUBLIC;",
    };
}

impl Extension<'_> {
    /// Installs the extension where the programs of the server read it, for all servers of this version.
    ///
    /// Before PostgreSQL 18, only this directory can contain it. The files stay there: a server fails if
    /// one of them disappears while it reads the directory.
    ///
    /// # Errors
    /// Returns an error if the current user may not write to the directory.
    pub fn install(&self, server: &Server) -> Result<(), Error> {
        let share = "SELECT setting FROM pg_config() WHERE name = 'SHAREDIR'";
        let share = server.superuser("postgres", share)?;
        let directory = Path::new(share.trim()).join("extension");
        let name = self.name;
        let control = format!("default_version = '1'\n{}\n", self.control);
        // The control file comes last, and with its content: another test may read it already.
        for (file, text) in
            [(format!("{name}--1.sql"), self.script), (format!("{name}.control"), control.as_str())]
        {
            let incomplete = directory.join(format!("{file}.{}", process::id()));
            let failed = || io_error(format!("cannot install extension {name}"));
            fs::write(&incomplete, text).map_err(failed())?;
            fs::rename(&incomplete, directory.join(file)).map_err(failed())?;
        }
        Ok(())
    }

    /// Makes the catalogs of a database report that PostgreSQL does not trust the extension.
    ///
    /// # Errors
    /// Returns an error if the view cannot be replaced.
    pub fn hide_trust(&self, server: &Server, database: &str) -> Result<(), Error> {
        let view = format!(
            "SET allow_system_table_mods = on;
             CREATE OR REPLACE VIEW pg_catalog.pg_available_extension_versions AS
               SELECT e.name, e.version, x.extname IS NOT NULL AS installed, e.superuser,
                 e.trusted AND e.name <> '{}' AS trusted, e.relocatable, e.schema, e.requires, e.comment
               FROM pg_available_extension_versions() e
               LEFT JOIN pg_extension x ON e.name = x.extname AND e.version = x.extversion",
            self.name
        );
        server.superuser(database, &view).map(drop)
    }
}

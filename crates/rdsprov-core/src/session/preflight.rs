//! The checks of `rdsprov preflight`: what a run needs, checked without changing anything.
//!
//! Nothing stops at the first failure: a check that depends on a failed one is skipped. If the site policy
//! does not allow the run, nothing is contacted.

use super::error::{Error, Kind};
use super::exit_code::ExitCode;
use super::open::{AdminAuth, RunAws, ServerOptions, tls, tls_settings};
use super::record_files::{ConfiguredFiles, Destination, is_same_file};
use super::run_options::RunOptions;
use super::setup::{Setup, SetupBuilder};
use crate::audit::{Columns, CsvWriter, LedgerWriter};
use crate::desired::Desired;
use crate::operations::{AdminCredentials, Preflight};
use crate::preflight::{Check, CheckName, CheckStatus, Checks, PreflightReport};
use crate::text::counted;

/// Checks what a run with these options needs. Changes nothing, and takes no lock.
///
/// Of the options, those for server, secrets, records and lock matter.
pub async fn preflight(setup: SetupBuilder, options: &RunOptions) -> PreflightReport {
    let mut checks = Checks::default();
    let configured = setup.configured_files();
    let without_definitions = setup.clone().without_definitions();
    let built = setup.build().and_then(|setup| {
        let desired = setup.desired_for(&options.server)?;
        Ok((setup, desired))
    });
    let built = match built {
        Ok((setup, desired)) => {
            checks.pass(CheckName::Definitions, declared(&desired));
            Some((setup, desired))
        }
        Err(error) => {
            add_error(&mut checks, CheckName::Definitions, &error);
            // The server can be checked if the environment is known.
            without_definitions.build().ok().and_then(|setup| {
                let ServerOptions { build_id, allow, .. } = &options.server;
                let desired = setup
                    .desired(build_id.as_deref(), allow, &[])
                    .map_err(|error| add_error(&mut checks, CheckName::Definitions, &error))
                    .ok()?;
                Some((setup, desired))
            })
        }
    };
    let setup = built.as_ref().map(|(setup, _)| setup);
    check_records(&mut checks, configured, setup, options);
    let mut server = None;
    if let Some(setup) = setup {
        setup.check_site(&mut checks, &options.server);
    }
    let environment = setup.map(|setup| setup.environment().to_owned());
    match (checks.forbidden(), built) {
        (Some(forbidden), _) => checks.skip_rest(forbidden),
        (None, Some((setup, desired))) => {
            server = setup.check_connection(&mut checks, &desired, options).await;
        }
        (None, None) => checks.skip_rest(CheckName::Definitions),
    }
    checks.report(environment, server)
}

impl PreflightReport {
    /// Returns the exit code: that of the run that the report is about, as far as it is known.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.status {
            CheckStatus::Passed | CheckStatus::Skipped | CheckStatus::Warning => ExitCode::Done,
            CheckStatus::Refused => ExitCode::Refused,
            CheckStatus::Failed => ExitCode::Failed,
        }
    }
}

impl Setup {
    /// Checks whether the site policy allows the settings of the connection.
    fn check_site(&self, checks: &mut Checks, options: &ServerOptions) {
        let login = self.login_with_secret(options);
        let admin = match (options.admin_auth, &login) {
            (AdminAuth::Iam, _) => self.site.check_admin_secret(self.environment(), None),
            (AdminAuth::Password, Ok(AdminCredentials::Secret(id))) => {
                self.site.check_admin_secret(self.environment(), Some(id))
            }
            (AdminAuth::Password, _) => Ok(()),
        };
        if let Err(error) = admin {
            add_error(checks, CheckName::AdminCredentials, &error.into());
        }
        // Any other error about TLS does not prevent the checks of the secrets.
        if let Err(error @ Error::SitePolicy(_)) = tls_settings(&self.config, &self.site, options) {
            add_error(checks, CheckName::Tls, &error);
        }
    }

    /// Makes the checks of secrets and server.
    async fn check_connection(
        &self,
        checks: &mut Checks,
        desired: &Desired,
        options: &RunOptions,
    ) -> Option<String> {
        let aws = RunAws::default();
        let opened = async {
            let source = self.secret_source(&options.server, &aws).await?;
            Ok::<_, Error>((source, self.login(&options.server, &aws).await?))
        };
        let (source, login) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                add_error(checks, CheckName::AdminCredentials, &error);
                checks.skip_rest(CheckName::AdminCredentials);
                return None;
            }
        };
        let overrides = self.overrides(&options.server).map_err(|error| {
            add_error(checks, CheckName::Dns, &error.into());
            CheckName::Dns
        });
        let tls = tls(&self.config, &self.site, &options.server).map_err(|error| {
            add_error(checks, CheckName::Tls, &error);
            CheckName::Tls
        });
        let connection = overrides.and_then(|overrides| Ok((overrides, tls?.0)));
        let lock_timeout = options.lock_timeout.or(self.config.lock_timeout).unwrap_or_default();
        let passwords = self.passwords(&options.server);
        let (source, login, passwords) = (&source, &login, &passwords);
        let preflight = Preflight { desired, source, login, connection, passwords, lock_timeout };
        preflight.run(checks).await
    }
}

/// Returns what the definitions declare.
fn declared(desired: &Desired) -> String {
    format!(
        "{}, {} and {}",
        counted(desired.applications.len(), "application"),
        counted(desired.roles.len(), "role"),
        counted(desired.databases.len(), "database")
    )
}

/// Checks the files for records, without creating one.
fn check_records(
    checks: &mut Checks,
    configured: ConfiguredFiles,
    setup: Option<&Setup>,
    options: &RunOptions,
) {
    let name = CheckName::Records;
    let (csv, ledger, outside) =
        configured.destinations(options.audit_output.as_ref(), options.audit_ledger.as_ref());
    let names_a_file = outside.is_err();
    if let Err(error) = outside {
        add_error(checks, name, &error);
    }
    let columns = if options.instance.is_some() { Columns::Fleet } else { Columns::Run };
    let csv_checked = csv.as_ref().map(|csv| CsvWriter::check(csv.path(), columns));
    let ledger_checked = ledger.as_ref().map(|ledger| LedgerWriter::check(ledger.path()));
    for error in [csv_checked, ledger_checked].into_iter().flatten().filter_map(Result::err) {
        add_error(checks, name, &error.into());
    }
    let used = ledger.as_ref().map(Destination::path);
    if (used.is_some() || !names_a_file)
        && let Some(setup) = setup
        && let Err(error) = setup.site.check_ledger(used, is_same_file)
    {
        add_error(checks, name, &error.into());
    }
    if let Some(setup) = setup
        && let Err(error) = setup.site.check_audit_table(setup.audit_table(&options.server))
    {
        add_error(checks, name, &error.into());
    }
    if checks.contains(name) {
        return;
    }
    let files: Vec<String> =
        [csv, ledger].iter().flatten().map(|file| file.path().display().to_string()).collect();
    checks.pass(
        name,
        match files.as_slice() {
            [] => "no file is named for them".to_owned(),
            files => format!("{} can be written", files.join(" and ")),
        },
    );
}

/// Adds the checks that an error has failed.
fn add_error(checks: &mut Checks, name: CheckName, error: &Error) {
    let status = match error.kind() {
        Kind::Refused => CheckStatus::Refused,
        Kind::Usage | Kind::Failed => CheckStatus::Failed,
    };
    for diagnostic in error.diagnostics() {
        checks.add(Check::from_diagnostic(name, status, &diagnostic));
    }
}

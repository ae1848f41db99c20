//! Implements `rdsprov retire` and `rdsprov teardown`: options, output and confirmation.
//! `rdsprov_core::session` does the work.

use std::collections::BTreeSet;

use rdsprov_core::audit::Command;
use rdsprov_core::desired::Backup;
use rdsprov_core::plan::Detail;
use rdsprov_core::secret_id::RecoveryWindow;
use rdsprov_core::session::{self, Retirement, ServerOptions, Setup};
use rdsprov_core::text::visible;

use crate::apply::{TerminalFrontend, View, dropped, report_outcome, reported, run_options};
use crate::args::{DropArgs, Format, RetireArgs, TeardownArgs};
use crate::error::{CliError, Exit};
use crate::plan::print_plan;
use crate::setup;

pub async fn run(options: &RetireArgs, detail: Detail) -> Result<Exit, CliError> {
    let format = options.output.format;
    refuse_fleet(
        (&options.drops, format),
        Command::Retire,
        "write `access_level = \"none\"` in the entries and run `rdsprov apply --fleet`, or run `rdsprov retire` for each instance",
    )?;
    if options.applications.is_empty() {
        // The option for definitions accepts several files, so it also takes applications after it.
        let error = CliError::usage("no application is named")
            .with_hint("name the applications first: `rdsprov retire APPLICATION… -d FILE`");
        return Err(reported(Command::Retire, format, error));
    }
    let applications: BTreeSet<String> = options.applications.iter().cloned().collect();
    let mut retirement = Retirement::new(applications);
    retirement.drop_role = options.drop_role;
    retirement.drop_database = options.drop_database;
    add_drops(&mut retirement, &options.drops);
    if let Some(path) = &options.out {
        let server = ServerOptions::from(&options.server).retiring(retirement)?;
        let printed = (format, detail);
        let plan =
            print_plan(&setup::new(&options.common)?, &server, printed, false, Some(path)).await?;
        return Ok(Exit::of_plan(&plan));
    }
    let view = View { command: Command::Retire, format, detail, ask: !options.recording.yes };
    let (config, frontend) =
        TerminalFrontend::new(view, options.common.config.as_deref(), &options.recording)?;
    let mut wanted = run_options(&options.recording);
    wanted.server = (&options.server).into();
    wanted.environment.clone_from(&options.common.env);
    let setup = setup::builder(&options.common, config);
    let cancellation = &frontend.cancellation;
    let outcome = session::retire(setup, retirement, &wanted, &frontend, cancellation).await;
    let summary = frontend.retired(&outcome);
    report_outcome(outcome, &frontend, &summary)
}

/// Refuses a fleet: the names of the databases that are dropped are confirmed for one instance.
fn refuse_fleet(
    (options, format): (&DropArgs, Format),
    command: Command,
    hint: &'static str,
) -> Result<(), CliError> {
    if options.fleet.is_none() {
        return Ok(());
    }
    let fact = format!("`rdsprov {command}` runs for one instance, and not for a fleet");
    Err(reported(command, format, CliError::usage(&fact).with_hint(hint)))
}

/// Implements `rdsprov teardown`.
pub async fn teardown(options: &TeardownArgs, detail: Detail) -> Result<Exit, CliError> {
    let (format, ask) = (options.output.format, !options.recording.yes);
    let hint = "run `rdsprov teardown` for each instance";
    refuse_fleet((&options.drops, format), Command::Teardown, hint)?;
    if options.out.is_some() {
        let error = CliError::usage("`rdsprov teardown` saves no plan").with_hint(
            "review the plan with --dry-run, then approve its digest with ALLOW_DB_PROVISION",
        );
        return Err(reported(Command::Teardown, format, error));
    }
    let view = View { command: Command::Teardown, format, detail, ask };
    let (config, frontend) =
        TerminalFrontend::new(view, options.config.as_deref(), &options.recording)?;
    let mut wanted = run_options(&options.recording);
    wanted.server = (&options.server).into();
    wanted.environment.clone_from(&options.env);
    let mut retirement = Retirement::default();
    add_drops(&mut retirement, &options.drops);
    let mut setup = Setup::builder().config(config);
    if let Some(environment) = &options.env {
        setup = setup.environment(environment);
    }
    let cancellation = &frontend.cancellation;
    let outcome = session::teardown(setup, retirement, &wanted, &frontend, cancellation).await;
    let build = visible(options.server.build_id.as_deref().unwrap_or_default());
    let summary = format!(
        "{} What build {build} created in this environment is dropped.{}",
        frontend.applied(&outcome),
        dropped(&outcome)
    );
    report_outcome(outcome, &frontend, &summary)
}

fn add_drops(retirement: &mut Retirement, options: &DropArgs) {
    retirement.end_sessions = options.end_sessions;
    retirement.backup = match &options.backup {
        Some(path) => Some(Backup::File(path.clone())),
        None => options.without_backup.then_some(Backup::Nothing),
    };
    retirement.confirm.clone_from(&options.confirm);
    retirement.delete_secrets = options.delete_secret.then(|| {
        let given = options.recovery_window_days.and_then(RecoveryWindow::new);
        given.unwrap_or_default()
    });
}

//! Implements `rdsprov rotate`: options, output and confirmation. `rdsprov_core::session` rotates.

use std::collections::BTreeSet;

use rdsprov_core::audit::Command;
use rdsprov_core::plan::Detail;
use rdsprov_core::session;

use crate::apply::{TerminalFrontend, View, report_outcome, reported, run_options};
use crate::args::RotateArgs;
use crate::error::{CliError, Exit};
use crate::output::counted;
use crate::setup;

pub async fn run(options: &RotateArgs, detail: Detail) -> Result<Exit, CliError> {
    let (format, ask) = (options.output.format, !options.recording.yes);
    if options.applications.is_empty() {
        // The option for definitions accepts several files, so it also takes applications after it.
        let error = CliError::usage("no application is named")
            .with_hint("name the applications first: `rdsprov rotate APPLICATION… -d FILE`");
        return Err(reported(Command::Rotate, format, error));
    }
    let view = View { command: Command::Rotate, format, detail, ask };
    let (config, frontend) =
        TerminalFrontend::new(view, options.common.config.as_deref(), &options.recording)?;
    let mut wanted = run_options(&options.recording);
    wanted.server = (&options.server).into();
    wanted.environment.clone_from(&options.common.env);
    let setup = setup::builder(&options.common, config);
    let applications = &options.applications;
    let cancellation = &frontend.cancellation;
    let outcome = session::rotate(setup, applications, &wanted, &frontend, cancellation).await;
    let distinct: BTreeSet<&String> = applications.iter().collect();
    let summary = format!(
        "Rotated the passwords of {} in {}. Each new password logs in and is AWSCURRENT.",
        counted(distinct.len(), "application"),
        frontend.elapsed()
    );
    report_outcome(outcome, &frontend, &summary)
}

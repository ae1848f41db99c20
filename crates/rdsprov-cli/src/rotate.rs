//! `rdsprov rotate`: what people see and are asked; the rest is the core's.

use std::sync::atomic::AtomicBool;

use rdsprov_core::session;

use crate::apply::{TerminalFrontend, cancellation_on_signals, recording_options, report_outcome};
use crate::args::{Format, RotateArgs};
use crate::{CliError, Exit, setup};

pub async fn run(options: &RotateArgs) -> Result<Exit, CliError> {
    if options.common.format == Format::Sql {
        return Err(CliError::new(
            Exit::Usage,
            "a rotation is no script; use --format text or json",
        ));
    }
    let config = session::config(options.common.config.as_deref())?;
    let frontend = TerminalFrontend {
        format: options.common.format,
        ask: !options.recording.yes,
        header_printed: AtomicBool::new(false),
    };
    let wanted = session::ApplyOptions {
        server: (&options.server).into(),
        environment: options.common.env.clone(),
        ..recording_options(&options.recording)
    };
    let setup = |config| setup::with_config(&options.common, config);
    let applications = &options.applications;
    report_outcome(
        session::rotate(
            config,
            setup,
            applications,
            &wanted,
            &frontend,
            &cancellation_on_signals(),
        )
        .await,
        "done: each new password logs in, and is AWSCURRENT",
    )
}

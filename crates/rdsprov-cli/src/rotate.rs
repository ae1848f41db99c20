//! `rdsprov rotate`: what people see and are asked; the rest is the core's.

use std::sync::atomic::AtomicBool;

use rdsprov_core::session;

use crate::apply::{Talk, ended, listening, recorded};
use crate::args::{Format, RotateOptions};
use crate::{Exit, Stop, setup};

pub async fn run(options: &RotateOptions) -> Result<Exit, Stop> {
    if options.common.format == Format::Sql {
        return Err(Stop::new(Exit::Usage, "a rotation is no script; use --format text or json"));
    }
    let config = session::config(options.common.config.as_deref())?;
    let front = Talk {
        format: options.common.format,
        ask: !options.recording.yes,
        header_printed: AtomicBool::new(false),
    };
    let wanted = session::ApplyOptions {
        server: (&options.server).into(),
        environment: options.common.env.clone(),
        ..recorded(&options.recording)
    };
    let setup = |config| setup::with_config(&options.common, config);
    let applications = &options.applications;
    ended(
        session::rotate(config, setup, applications, &wanted, &front, &listening()).await,
        "done: each new password logs in, and is AWSCURRENT",
    )
}

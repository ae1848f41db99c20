//! `rdsprov rotate`: what people see and are asked; the rest is the core's.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rdsprov_core::session::{self, Done, Interruption};

use crate::apply::{Talk, listen, recorded, records_lost};
use crate::args::{Format, RotateOptions};
use crate::{Exit, Stop, say, setup};

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
    let interruption = Arc::new(Interruption::default());
    tokio::spawn(listen(interruption.clone()));
    let setup = |config| setup::with_config(&options.common, config);
    let outcome =
        session::rotate(config, setup, &options.applications, &wanted, &front, &interruption).await;
    if let Some(head) = &outcome.ledger_head {
        say::talk(&format!("ledger: record {}, {}", head.sequence, head.hash));
    }
    match outcome.ended {
        Ok(_) if outcome.committed && !say::all_is_said() => return Err(records_lost()),
        Ok(Done::DryRun) => say::talk("a dry run: nothing was changed"),
        Ok(Done::Converged | Done::NothingToDo) => {
            say::talk("done: each new password logs in, and is AWSCURRENT");
        }
        Err(error) if outcome.committed => return Err(Stop::new(Exit::Partial, error)),
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

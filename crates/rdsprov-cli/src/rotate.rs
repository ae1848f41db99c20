//! `rdsprov rotate`: choose, lock, look, plan, gates, record the intent, and then each password in turn.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use rdsprov_core::audit::{Status, Trail};
use rdsprov_core::config::{Approval, Config};
use rdsprov_core::gate::{self, Given};
use rdsprov_core::plan::Step;
use rdsprov_core::rotation::{self, RotationError};
use rdsprov_core::server::{self, Login, StepResult};

use crate::apply::{self, Interruption, Records};
use crate::args::{Format, RotateOptions};
use crate::setup::{self, Setup};
use crate::{Exit, Stop, say};

pub async fn run(options: &RotateOptions) -> Result<Exit, Stop> {
    let config = setup::config(options.common.config.as_deref())?;
    let output = options.audit_output.clone().or_else(|| config.audit.output.clone());
    let mut records = Records::open(output)?;
    let mut trail = Trail {
        environment: options.common.env.clone().unwrap_or_default(),
        build_id: options.server.build_id.clone().unwrap_or_default(),
        run_id: options.run_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
    };
    let interruption = Interruption::listen();
    let result = tokio::select! {
        biased;
        result = recorded(options, config, &mut trail, &mut records, &interruption) => result,
        () = interruption.outside_of_work() => Err(interruption.stop(Exit::Failed)),
    };
    if let Err(stop) = &result {
        let status = if stop.exit == Exit::Refused { Status::Refused } else { Status::Error };
        records.write(&[trail.run("rotate", status, &stop.message)])?;
    }
    result
}

async fn recorded(
    options: &RotateOptions,
    config: Config,
    trail: &mut Trail,
    records: &mut Records,
    interruption: &Interruption,
) -> Result<Exit, Stop> {
    let refused = |error: &dyn ToString| Stop::new(Exit::Refused, error.to_string());
    let failed = |error: &dyn ToString| Stop::new(Exit::Failed, error.to_string());
    if options.common.format == Format::Sql {
        return Err(Stop::new(Exit::Usage, "a rotation is no script; use --format text or json"));
    }
    if options.server.secret_stage.is_some() {
        return Err(Stop::new(Exit::Usage, "rotate goes by both stages; leave --secret-stage out"));
    }
    let setup = Setup::with_config(&options.common, config)?;
    trail.environment.clone_from(&setup.environment);
    let approval = std::env::var("ALLOW_DB_PROVISION").ok();
    let given = match Given::parse(approval.as_deref()) {
        // Nobody asks.
        Err(_) if options.dry_run || setup.approval == Approval::None => Given::Nothing,
        given => given.map_err(|error| refused(&error))?,
    };
    if !options.dry_run {
        gate::before_contact(&setup.environment, setup.approval, &given)
            .map_err(|error| refused(&error))?;
    }
    let desired = setup.desired(&options.server)?;
    let administrator = match setup.login(&options.server).await? {
        Login::Secret(id) => Some(id),
        Login::Token { .. } => None,
    };
    let rotations = rotation::choose(&desired, &options.applications, administrator.as_ref())
        .map_err(not_chosen)?;
    let source = setup.secret_source(&options.server).await?;
    server::check_source(&source).map_err(|error| refused(&error))?;
    let roles: BTreeSet<_> = rotations.iter().map(|rotation| &rotation.role).collect();
    let desired = desired.narrowed_to(&roles);

    let run = setup.connect(&options.server, desired, &source).await?;
    let lock = run.lock().await.map_err(|error| failed(&error))?;
    let planned = run.plan_rotation(&rotations).await.map_err(|error| failed(&error))?;
    apply::show(&planned.plan, options.common.format)?;
    apply::no_refusals(&planned.plan)?;
    if options.dry_run {
        records.write(&trail.dry_run(&planned.plan))?;
        say::talk("a dry run: nothing was changed");
        return Ok(Exit::Done);
    }
    let allowed = options.server.allow.iter().copied().collect();
    gate::check(&planned.plan, setup.approval, &given, &allowed)
        .map_err(|error| refused(&error))?;
    if !options.yes && !apply::agreed().await {
        return Err(refused(&"nobody said yes; nothing was changed"));
    }

    records.write(&[trail.run("intent", Status::NotRun, &planned.plan.digest)])?;
    let kept = Mutex::new((&mut *records, Ok(())));
    let report = |steps: &[Step], results: &[StepResult]| {
        if let Ok(mut kept) = kept.lock() {
            let written = kept.0.write(&trail.results(steps, results));
            kept.1 = std::mem::replace(&mut kept.1, Ok(())).and(written);
        }
    };
    let settings =
        server::RotateOptions { report: Some(&report), stop: Some(interruption.told.clone()) };
    interruption.working.store(true, Ordering::Relaxed);
    let outcome = run.rotate(&lock, &planned, &settings).await;
    let written = kept.into_inner().map_or(Ok(()), |(_, written)| written);
    let outcome = outcome.map_err(|error| refused(&error))?;
    let exit = if outcome.committed { Exit::Partial } else { Exit::Failed };
    written.map_err(|stop| Stop { exit, ..stop })?;
    match outcome.error {
        Some(error) => Err(Stop::new(
            exit,
            format!(
                "{error}\nrun the same command again once the cause is mended: it goes on from here"
            ),
        )),
        None => {
            say::talk("done: each new password logs in, and is AWSCURRENT");
            Ok(Exit::Done)
        }
    }
}

/// An application that nobody declares is a slip of the pen; what cannot be rotated is refused.
fn not_chosen(errors: Vec<RotationError>) -> Stop {
    let slip = |error: &RotationError| matches!(error, RotationError::UnknownApplication { .. });
    let exit = if errors.iter().all(slip) { Exit::Usage } else { Exit::Refused };
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Stop::new(exit, texts.join("\n  and "))
}

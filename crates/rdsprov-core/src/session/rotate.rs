//! The whole of a rotation: choose, lock, look, plan, gates, record the intent, and then each password in turn.

use std::collections::BTreeSet;

use super::apply::{
    ApplyOptions, Attempt, Done, Front, Outcome, Progress, Work, no_refusals, work,
};
use super::error::Error;
use super::interruption::Interruption;
use super::setup::Setup;
use crate::config::Config;
use crate::gate::{self, Given};
use crate::rotation;
use crate::server::{Login, RotateOptions, check_source};

/// Gives applications new passwords, one after another. What records and gates ask for is as for
/// [`super::apply`]; the setup is made here, so that what is wrong with it is recorded.
pub async fn rotate<F: Front>(
    config: Config,
    setup: impl FnOnce(Config) -> Result<Setup, Error>,
    applications: &[String],
    options: &ApplyOptions,
    front: &F,
    interruption: &Interruption,
) -> Outcome {
    work(config, setup, options, front, interruption, Work::Rotate(applications)).await
}

impl<F: Front> Attempt<'_, F> {
    pub(super) async fn rotate(
        &self,
        setup: &Setup,
        applications: &[String],
        given: &Given,
        progress: &mut Progress,
    ) -> Result<Done, Error> {
        let options = self.options;
        let server = &options.server;
        if server.secret_stage.is_some() {
            let message = "rotate goes by both stages; leave --secret-stage out";
            return Err(Error::Usage(message.to_owned()));
        }
        let desired = setup.desired(server.build_id.as_deref(), &server.allow)?;
        let administrator = match setup.login(server).await? {
            Login::Secret(id) => Some(id),
            Login::Token { .. } => None,
        };
        let rotations = rotation::choose(&desired, applications, administrator.as_ref())
            .map_err(Error::Rotation)?;
        let source = setup.secret_source(server).await?;
        check_source(&source).map_err(|error| Error::Rotation(vec![error]))?;
        let roles: BTreeSet<_> = rotations.iter().map(|rotation| &rotation.role).collect();

        let run = setup.open_for(server, desired.narrowed_to(&roles), &source).await?;
        progress.trail.facts.server = Some(run.server());
        let lock = run.lock().await?;
        let planned = run.plan_rotation(&rotations).await?;
        self.show(progress, &planned.plan);
        no_refusals(&planned.plan)?;
        if options.dry_run {
            self.record(progress, &progress.trail.dry_run(&planned.plan))?;
            return Ok(Done::DryRun);
        }
        let allowed = server.allow.iter().copied().collect();
        gate::check(&planned.plan, setup.approval, given, &allowed)?;
        if !self.front.agrees(&planned.plan).await {
            return Err(Error::NotAgreed);
        }
        let stop = Some(self.interruption.receiver());
        let outcome = self
            .reported(&planned.plan, progress, async |report| {
                run.rotate(&lock, &planned, &RotateOptions { report: Some(report), stop }).await
            })
            .await?;
        match outcome.error {
            None => Ok(Done::Converged),
            Some(error) => Err(Error::Statement(error)),
        }
    }
}

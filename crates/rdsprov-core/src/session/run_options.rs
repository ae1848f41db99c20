//! The options of the runs that are recorded, and how such a run succeeds.

use std::path::{Path, PathBuf};

use super::error::{Error, no_refusals};
use super::files::{is_definitions, site_policy};
use super::open::ServerOptions;
use super::usage_error::{BUILD_ID, UsageError, check_length};
use crate::audit::{Attribution, RunContext};
use crate::config::LockTimeout;
use crate::input_file::{self, Input};
use crate::plan::{Plan, SavedPlan, SavedPlanError};
use crate::site_policy::SitePolicy;

/// The options of a run: of `apply`, `delegate` and `rotate`.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// The options for server, secrets and build id.
    pub server: ServerOptions,
    /// The environment of `delegate`. For `apply` and `rotate`, the environment in records of errors
    /// that occur before the definitions are read.
    pub environment: Option<String>,
    /// The run id for records; a random UUID by default.
    pub run_id: Option<String>,
    /// The CSV file for records; by default the one in `rdsprov.toml`.
    pub audit_output: Option<PathBuf>,
    /// The ledger; by default the one in `rdsprov.toml`.
    pub audit_ledger: Option<PathBuf>,
    /// The user who starts the run, for records; by default the user of the operating system.
    pub actor: Option<String>,
    /// The user who approved the run, for records.
    pub approver: Option<String>,
    /// The change request or ticket of the run, for records.
    pub request_id: Option<String>,
    /// The approval: the value of `ALLOW_DB_PROVISION`.
    pub approval: Option<String>,
    /// The only plan that may be executed, or any.
    pub plan_source: PlanSource,
    /// How long the run waits for the lock of another run; by default the value in `rdsprov.toml`,
    /// or else 10 minutes.
    pub lock_timeout: Option<LockTimeout>,
    /// Whether the run ends before the execution of the plan.
    pub dry_run: bool,
    /// Whether the run does not check first that the files for records can be created which
    /// `rdsprov.toml` names: it creates them after the gates only.
    pub skip_preflight: bool,
    /// The name of the instance in records, if the run is part of a fleet.
    pub(super) instance: Option<String>,
    /// The digest over all plans of the fleet, if it was approved.
    pub(super) fleet_approval: Option<String>,
}

/// The options of `apply`.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ApplyOptions {
    /// The options that each run has.
    pub run: RunOptions,
    /// Whether the transactions of other databases are executed after one has failed. A saved plan of
    /// `retire` ends with the first failure.
    pub keep_going: bool,
    /// The names of the databases that a saved plan of `retire` drops, as a confirmation.
    pub confirm: Vec<String>,
}

/// The plan that a run may execute.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum PlanSource {
    /// Any plan that the run makes.
    #[default]
    Any,
    /// The saved plan in a file. The run fails if its own plan differs, unless it is the rest of
    /// this plan: see [`SavedPlan::remainder`].
    File(PathBuf),
    /// A saved plan that was read before. The run fails as with [`PlanSource::File`].
    Saved(Box<SavedPlan>),
    /// A plan that this program has made. The run fails as with [`PlanSource::File`], or, before it
    /// contacts anything, if this plan contains refusals.
    Plan(Box<Plan>),
}

impl RunOptions {
    /// Checks the values that markers and records contain.
    ///
    /// # Errors
    /// Returns [`UsageError::TooLong`].
    pub(super) fn check(&self) -> Result<(), UsageError> {
        let of_instance = |id: &str, instance: &str| {
            id.strip_suffix(instance)?.strip_suffix('/').map(str::to_owned)
        };
        let run_id = self.run_id.as_deref().map(|id| {
            let instance = self.instance.as_deref();
            instance.and_then(|name| of_instance(id, name)).unwrap_or_else(|| id.to_owned())
        });
        for (what, value) in [
            (BUILD_ID, &self.server.build_id),
            ("run id", &run_id),
            ("actor", &self.actor),
            ("approver", &self.approver),
            ("request id", &self.request_id),
        ] {
            check_length(what, value.as_deref())?;
        }
        Ok(())
    }

    /// Returns the context of the records of a command that is not a run: who starts it, and a new run id.
    ///
    /// # Errors
    /// Returns an error if a value of the caller is too long.
    pub fn record_context(&self) -> Result<RunContext, Error> {
        self.check()?;
        Ok(self.context())
    }

    /// Returns the context of the records before anything is known about the server.
    pub(super) fn context(&self) -> RunContext {
        RunContext {
            environment: self.environment.clone().unwrap_or_default(),
            build_id: self.server.build_id.clone().unwrap_or_default(),
            run_id: self.run_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            attribution: Attribution::detect(
                self.actor.clone(),
                self.approver.clone(),
                self.request_id.clone(),
            ),
            instance: self.instance.clone(),
            fleet_approval: self.fleet_approval.clone(),
            ..RunContext::default()
        }
    }
}

impl PlanSource {
    pub(super) fn read(&self, site: &SitePolicy) -> Result<Option<SavedPlan>, Error> {
        match self {
            Self::Any => Ok(None),
            Self::Saved(saved) => Ok(Some((**saved).clone())),
            Self::Plan(plan) => {
                no_refusals(plan)?;
                Ok(Some(SavedPlan::new(plan)?))
            }
            Self::File(path) => read_saved_plan(path, site).map(Some),
        }
    }
}

/// Reads a saved plan within the limits of a site policy, and verifies its digest.
fn read_saved_plan(path: &Path, site: &SitePolicy) -> Result<SavedPlan, Error> {
    let limit = site.plan_limit();
    let text = input_file::read_text_within(path, Input::SavedPlan, limit.as_ref())
        .map_err(|source| Error::PlanUnreadable { path: path.to_owned(), source })?;
    SavedPlan::from_json(&text).map_err(|error| match error {
        SavedPlanError::NotAPlan { .. } if is_definitions(path, &text) => {
            Error::DefinitionsAsPlan { path: path.display().to_string() }
        }
        error => Error::PlanFile { path: path.to_owned(), error },
    })
}

/// Reads a saved plan from a file, and verifies its digest. Contacts nothing.
///
/// # Errors
/// Returns an error if the file cannot be read or is not a saved plan of this version, if it was
/// changed, or if the site policy does not allow its path.
pub fn saved_plan(path: &Path) -> Result<SavedPlan, Error> {
    read_saved_plan(path, &site_policy()?)
}

/// Reads the saved plan of a run whose inputs are invalid, for a better message.
pub(super) fn read_without_setup(source: &PlanSource) -> Result<Option<SavedPlan>, Error> {
    source.read(&site_policy()?)
}

/// How a run succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// The plan was executed, and the next plan is empty.
    Converged,
    /// The first plan was empty.
    NothingToDo,
    /// The first plan was empty, because the saved plan was applied before.
    AlreadyApplied,
    /// The run ended before the execution, as the option `dry_run` requires.
    DryRun,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{ApplyOptions, Cancellation, DefinitionOptions, Setup, apply};

    fn environment() -> DefinitionOptions {
        DefinitionOptions { environment: Some("dev".to_owned()), ..DefinitionOptions::default() }
    }

    /// A marker with a long build id would fill the comments that each plan reads.
    #[tokio::test]
    async fn values_of_records_and_markers_are_of_limited_length() {
        type Value = fn(&mut RunOptions) -> &mut Option<String>;
        let values: [(&str, Value); 5] = [
            ("build id", |options| &mut options.server.build_id),
            ("run id", |options| &mut options.run_id),
            ("actor", |options| &mut options.actor),
            ("approver", |options| &mut options.approver),
            ("request id", |options| &mut options.request_id),
        ];
        for (what, value) in values {
            let directory = tempfile::tempdir().unwrap();
            let ledger = directory.path().join("ledger.jsonl");
            let mut run =
                RunOptions { audit_ledger: Some(ledger.clone()), ..RunOptions::default() };
            *value(&mut run) = Some("ä".repeat(200));
            assert_eq!(run.check(), Ok(()));
            *value(&mut run) = Some("ä".repeat(201));
            let setup = Setup::builder().options(environment()).texts([]);
            let options = ApplyOptions { run, ..ApplyOptions::default() };
            let outcome = apply(setup, &options, &(), &Cancellation::default()).await;
            let message = format!("the {what} has 201 characters; the maximum is 200");
            assert_eq!(outcome.result.unwrap_err().to_string(), message);
            assert!(!ledger.exists());
        }
        // Commands without records use the build id, too.
        let setup = Setup::builder().options(environment()).without_definitions().build().unwrap();
        let error = setup.desired(Some(&"x".repeat(201)), &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "the build id has 201 characters; the maximum is 200");
        // The run id of a fleet is followed by the name of the instance.
        let run = RunOptions {
            run_id: Some(format!("{}/{}", "x".repeat(200), "shop-eu")),
            instance: Some("shop-eu".to_owned()),
            ..RunOptions::default()
        };
        assert_eq!(run.check(), Ok(()));
    }
}

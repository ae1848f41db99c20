//! The run of one instance of a fleet: what the fleet file sets for it, and what the caller sets for all.
//!
//! [`fleet`](super::fleet) runs the instances side by side; a program that runs one instance in each of
//! its invocations takes the inputs of this instance from here.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use super::error::Error;
use super::files::{DefinitionOptions, config, leaves};
use super::open::{AdminAuth, ServerOptions};
use super::run_options::{ApplyOptions, RunOptions};
use super::setup::{Setup, SetupBuilder};
use super::usage_error::UsageError;
use crate::config::Config;
use crate::definitions::Auth;
use crate::fleet::{Fleet, Instance};
use crate::hint::Opt;

/// The number of instances that run at the same time by default.
const PARALLEL: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// The options for a fleet. Those of `run` apply to each instance, except what the fleet file sets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FleetOptions {
    /// The options of each run. An approval by digest is that of all plans together.
    pub run: RunOptions,
    /// The configuration of the instances that name no other.
    pub config: Config,
    /// See [`ApplyOptions::keep_going`]: it concerns the applications of one instance.
    pub keep_going: bool,
    /// The number of instances that run at the same time.
    pub parallel: NonZeroUsize,
    /// The number of failures after which no further instance is started; `None` means no limit.
    pub max_failures: Option<NonZeroUsize>,
    /// The names of the instances; empty means all.
    pub only: Vec<String>,
    /// The environment of the instances; `None` means all environments.
    pub environment: Option<String>,
    /// Whether all instances are planned and [`FleetFrontend::confirm`](super::FleetFrontend::confirm) is called before the first one is
    /// changed. An approval by digest always requires it.
    pub confirm: bool,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            run: RunOptions::default(),
            config: Config::default(),
            keep_going: false,
            parallel: PARALLEL,
            max_failures: None,
            only: Vec::new(),
            environment: None,
            confirm: false,
        }
    }
}

/// The inputs and the options of the run of one instance.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InstanceRun {
    /// The definitions, the configuration and the environment.
    pub setup: SetupBuilder,
    /// The options; those of [`Setup::open`] are in `options.run.server`.
    pub options: ApplyOptions,
}

impl InstanceRun {
    /// Prepares the run of an instance. Reads its configuration file, and contacts nothing.
    ///
    /// # Errors
    /// Returns [`UsageError::UnknownInstance`], or the error of its configuration.
    pub fn new(fleet: &Fleet, name: &str, options: &FleetOptions) -> Result<Self, Error> {
        let instance = instance(fleet, name)?;
        let setup = setup(fleet, instance, options)?;
        Ok(Self { setup, options: apply_options(fleet, instance, options, &run_id(options)) })
    }
}

/// Returns the run id of a fleet, which is the start of that of each instance.
pub(super) fn run_id(options: &FleetOptions) -> String {
    options.run.run_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string())
}

/// Returns the instance with a name.
pub(super) fn instance<'a>(fleet: &'a Fleet, name: &str) -> Result<&'a Instance, UsageError> {
    fleet.instances.iter().find(|one| one.name == name).ok_or_else(|| {
        let known = fleet.instances.iter().map(|one| one.name.clone()).collect();
        UsageError::UnknownInstance { name: name.to_owned(), known }
    })
}

/// Returns the selected instances, in the order of the file.
pub(super) fn selected<'a>(
    fleet: &'a Fleet,
    options: &FleetOptions,
) -> Result<Vec<&'a Instance>, UsageError> {
    for name in &options.only {
        instance(fleet, name)?;
    }
    let of_environment = |one: &&Instance| {
        options.environment.as_ref().is_none_or(|environment| one.environment == *environment)
    };
    let is_named = |one: &&Instance| options.only.is_empty() || options.only.contains(&one.name);
    let selected: Vec<_> = fleet.instances.iter().filter(of_environment).filter(is_named).collect();
    match &options.environment {
        Some(environment) if selected.is_empty() => {
            let known: BTreeSet<_> = fleet.instances.iter().map(|one| &one.environment).collect();
            Err(UsageError::NoInstanceOfEnvironment {
                environment: environment.clone(),
                known: known.into_iter().cloned().collect(),
            })
        }
        _ => Ok(selected),
    }
}

/// Returns the inputs of an instance, whose files are below the directory of the fleet file.
pub(super) fn setup(
    fleet: &Fleet,
    instance: &Instance,
    options: &FleetOptions,
) -> Result<SetupBuilder, Error> {
    let config = match &instance.config {
        Some(path) if leaves(path, &fleet.directory) => {
            return Err(Error::Outside { path: path.clone(), option: Opt::Config });
        }
        Some(path) => config(Some(path))?,
        None => options.config.clone(),
    };
    let (files, directory) = (instance.definitions.clone(), fleet.directory.clone());
    Ok(setup_with(instance, config).files_below(files, directory))
}

/// Returns the inputs of an instance with a configuration, and without definitions.
pub(super) fn setup_with(instance: &Instance, config: Config) -> SetupBuilder {
    let environment = Some(instance.environment.clone());
    let options = DefinitionOptions { environment, ..DefinitionOptions::default() };
    Setup::builder().config(config).options(options)
}

/// Returns the options of a run that changes an instance.
pub(super) fn apply_options(
    fleet: &Fleet,
    instance: &Instance,
    options: &FleetOptions,
    run_id: &str,
) -> ApplyOptions {
    let mut run = options.run.clone();
    run.server = server_options(fleet, instance, options);
    run.environment = Some(instance.environment.clone());
    // The steps of a ledger belong to the intent of their run id, so that each instance has its own.
    run.run_id = Some(format!("{run_id}/{}", instance.name));
    run.instance = Some(instance.name.clone());
    ApplyOptions { run, keep_going: options.keep_going, ..ApplyOptions::default() }
}

/// Returns the options for the server of an instance.
pub(super) fn server_options(
    fleet: &Fleet,
    instance: &Instance,
    options: &FleetOptions,
) -> ServerOptions {
    let mut options = options.run.server.clone();
    options.region.clone_from(&instance.region);
    options.assume_role.clone_from(&instance.assume_role);
    options.overrides.host.clone_from(&instance.host);
    options.overrides.port = instance.port;
    options.overrides.database.clone_from(&instance.dbname);
    options.overrides.connect_to.clone_from(&instance.connect_to);
    options.admin_secret.clone_from(&instance.admin_secret);
    options.admin_auth = match instance.admin_auth {
        Some(Auth::Iam) => AdminAuth::Iam,
        Some(Auth::Password) | None => AdminAuth::Password,
    };
    options.admin_user.clone_from(&instance.admin_user);
    options.allow.extend(instance.allow.iter().copied());
    options.only.clone_from(&instance.only);
    let of_file =
        [Opt::AdminSecret, Opt::AdminUser, Opt::ConnectTo, Opt::Host, Opt::Port, Opt::Region];
    options.of_fleet_file =
        of_file.into_iter().map(|option| (option, fleet.path.clone())).collect();
    options
}

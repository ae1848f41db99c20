//! Executes an operation of the command, and stops it before the invocation ends.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lambda_runtime::Context;
use rdsprov_core::access_report::ShownRoles;
use rdsprov_core::audit::Columns;
use rdsprov_core::config::Config;
use rdsprov_core::definitions::{SourceText, Syntax};
use rdsprov_core::diagnostic::Diagnostic;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::fleet::Fleet;
use rdsprov_core::name::{DatabaseName, RoleName};
use rdsprov_core::operations::AccessQuery;
use rdsprov_core::server::OnServerWait;
use rdsprov_core::session::{
    self, ApplyOptions, Cancellation, Completion, DefinitionOptions, Error, ExitCode, FleetOptions,
    InstanceRun, Outcome, RunOptions, ServerOptions, Setup, SetupBuilder, StopReason,
};
use rdsprov_core::text::visible;
use serde_json::{Map, Value};

use crate::event::{AdminAuth, FileSource, Format, Mode, OnError, ProvisionEvent};
use crate::failure::Failure;
use crate::logging::log_line;
use crate::metrics;
use crate::records::{LogFrontend, RecordsObjects};
use crate::result::{Ending, ErrorResult, RunResult};

/// What inline definitions are called in messages.
const INLINE: &str = "definitions";

/// What an inline fleet file is called in messages.
const INLINE_FLEET: &str = "fleet";

/// Executes an operation, and returns its result.
pub(crate) async fn run(event: ProvisionEvent, context: &Context) -> Result<Value, Failure> {
    let started = Instant::now();
    let cancellation = Arc::new(Cancellation::default());
    let reserve = Duration::from_secs(event.reserve_seconds.into());
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    let timer = tokio::spawn({
        let cancellation = Arc::clone(&cancellation);
        async move {
            tokio::time::sleep(left.saturating_sub(reserve)).await;
            cancellation.cancel(StopReason::Deadline);
        }
    });
    let run_id = event.run_id.clone().unwrap_or_else(|| context.request_id.clone());
    let mut result = RunResult::new(
        event.mode,
        event.environment.clone().unwrap_or_default(),
        run_id,
        event.build_id.clone().unwrap_or_default(),
    );
    let operation = Invocation { event: &event, context, cancellation: &cancellation };
    let ended = match event.mode {
        Mode::Plan | Mode::Check => operation.plan(&mut result).await,
        Mode::Access => operation.access(&mut result).await,
        Mode::Apply => operation.apply(&mut result).await,
    };
    timer.abort();
    if let Err(failure) = &ended {
        let is_stopped = failure.errors.iter().any(|error| error.code == ErrorCode::Interrupted);
        let ending = match failure.exit {
            ExitCode::Refused => Ending::Refused,
            _ if is_stopped && cancellation.is_cancelled() => Ending::OutOfTime,
            _ => Ending::Failed,
        };
        result.end(ending, failure.exit);
        result.errors = failure.errors.iter().map(ErrorResult::from).collect();
    }
    log_line(metrics::line(&result, started.elapsed()));
    let is_pending = result.exit_code == ExitCode::Pending.number();
    let is_raised = ended.is_err() && event.on_error == OnError::Raise;
    if is_raised {
        // The log has a line for each of them already.
        result.records.clear();
    }
    let response = result.into_response().map_err(Failure::internal)?;
    if is_raised || is_pending {
        // A function error has no result, and a schedule discards the result: the log contains it.
        log_line(&response);
    }
    match ended {
        Err(failure) if is_raised => Err(failure),
        _ => Ok(response),
    }
}

/// One operation that the function was invoked for.
struct Invocation<'a> {
    event: &'a ProvisionEvent,
    context: &'a Context,
    cancellation: &'a Cancellation,
}

/// The inputs of an operation, and the options of its run.
struct Inputs {
    setup: SetupBuilder,
    options: ApplyOptions,
}

impl Invocation<'_> {
    async fn plan(&self, result: &mut RunResult) -> Result<(), Failure> {
        let Inputs { setup, options } = self.inputs(result).await?;
        let setup = setup.build()?;
        setup.environment().clone_into(&mut result.environment);
        let options = options.run.server;
        let planned = self
            .in_time(async {
                let mut run = setup.open(&options).await?;
                let server = run.server();
                let (_, _, plan) = run.plan().await?.into_parts();
                Ok((server, plan))
            })
            .await;
        let (server, plan) = planned?;
        result.server = Some(server);
        result.set_plan(&plan, self.event.format, &[]).map_err(Failure::internal)?;
        let (ending, exit) = match self.event.mode {
            Mode::Check if plan.is_as_declared() => (Ending::AsDeclared, ExitCode::of_check(&plan)),
            Mode::Check => (Ending::Differs, ExitCode::of_check(&plan)),
            _ => (Ending::Planned, ExitCode::of_plan(&plan)),
        };
        if exit == ExitCode::Refused {
            return Err(Error::Refused(plan.refusals).into());
        }
        result.end(ending, exit);
        Ok(())
    }

    async fn access(&self, result: &mut RunResult) -> Result<(), Failure> {
        let Inputs { setup, options } = self.inputs(result).await?;
        let setup = setup.build()?;
        setup.environment().clone_into(&mut result.environment);
        let ProvisionEvent { database, role, actor, format, .. } = self.event;
        let mut query = AccessQuery::default();
        query.database = database.clone().map(DatabaseName::new_unchecked);
        query.role = role.clone().map(RoleName::new_unchecked);
        query.actor.clone_from(actor);
        let report = self.in_time(setup.access(&options.run.server, &query)).await?;
        result.access = match format {
            Format::Json => Some(serde_json::to_value(&report).map_err(Failure::internal)?),
            Format::Text => Some(report.to_text(ShownRoles::All).into()),
            Format::Markdown => Some(report.to_markdown(ShownRoles::All).into()),
            Format::None => None,
        };
        if !report.is_complete() {
            let fact = "the report does not cover every database";
            let hint = "correct the reasons in the report, then run again";
            let code = ErrorCode::IncompleteAccessReport;
            let error = Diagnostic::new(code, fact, vec![hint.into()]);
            return Err(Failure::new(ExitCode::Failed, error));
        }
        result.end(Ending::Reported, ExitCode::Done);
        Ok(())
    }

    async fn apply(&self, result: &mut RunResult) -> Result<(), Failure> {
        let Inputs { setup, options } = self.inputs(result).await?;
        let (run, region) = (&options.run, self.event.region.clone());
        let objects = match &self.event.records {
            Some(prefix) => Some(RecordsObjects::start(region, prefix, run, self.context).await?),
            None => None,
        };
        let frontend = LogFrontend::default();
        let mut outcome = session::apply(setup, &options, &frontend, self.cancellation).await;
        let exit = outcome.exit_code();
        self.describe(&mut outcome, result).map_err(Failure::internal)?;
        let mut failure = match outcome.result {
            Ok(completion) => {
                result.end(completion.into(), ExitCode::Done);
                None
            }
            Err(error) => Some(Failure { exit, ..error.into() }),
        };
        let mut not_delivered: Vec<Failure> = frontend.into_failure().into_iter().collect();
        if let Some(objects) = &objects {
            let columns = if result.instance.is_some() { Columns::Fleet } else { Columns::Run };
            match objects.end(&outcome.records, columns).await {
                Ok(uri) => result.records_object = Some(uri.to_string()),
                Err(error) => not_delivered.push(error),
            }
        }
        for error in not_delivered {
            tracing::error!("{}", error.text());
            let exit = if outcome.committed { ExitCode::Partial } else { ExitCode::Failed };
            match &mut failure {
                // The error of the run is more important.
                Some(failure) => failure.errors.extend(error.errors),
                None => failure = Some(Failure { exit, ..error }),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Writes what a run has done into the result.
    fn describe(&self, outcome: &mut Outcome, result: &mut RunResult) -> serde_json::Result<()> {
        let context = &outcome.recorder.context;
        result.environment.clone_from(&context.environment);
        result.server.clone_from(&context.server);
        let statuses: Vec<_> = outcome.steps.iter().map(|(_, result)| &result.status).collect();
        if let Some(plan) = outcome.plans.first() {
            result.set_plan(plan, self.event.format, &statuses)?;
        }
        if let (Err(Error::NotConverged(_)), Some(last)) = (&outcome.result, outcome.plans.last()) {
            result.counts.left = last.steps().count();
        }
        result.records.clone_from(&outcome.records);
        Ok(())
    }

    /// Waits for an operation that changes nothing, until the time is over.
    async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            result = operation => result,
            () = self.cancellation.wait() => {
                Err(Error::Stopped { reason: self.cancellation.reason(), committed: None })
            }
        }
    }

    /// Returns the inputs of the operation, and the options of its run.
    async fn inputs(&self, result: &mut RunResult) -> Result<Inputs, Failure> {
        let event = self.event;
        let config = session::config(None)?;
        let run = self.run_options(&result.run_id);
        let (Some(source), Some(name)) = (&event.fleet, &event.instance) else {
            let setup = self.setup(config).await?;
            let mut options = ApplyOptions::default();
            options.run = run;
            options.keep_going = event.keep_going;
            return Ok(Inputs { setup, options });
        };
        let mut options = FleetOptions::default();
        options.run = run;
        options.config = config;
        options.keep_going = event.keep_going;
        let run = match source {
            FileSource::Object(uri) => {
                let store = session::object_store(None).await?;
                let fleet = session::fleet_object(&store, uri).await?;
                InstanceRun::of_object(&store, &fleet, name, &options).await?
            }
            FileSource::File(path) => {
                InstanceRun::new(&session::packaged_fleet(Path::new(path))?, name, &options)?
            }
            FileSource::Text { text, syntax } => {
                InstanceRun::new(&inline_fleet(text.clone(), *syntax)?, name, &options)?
            }
            FileSource::Inline(map) => {
                InstanceRun::new(&inline_fleet(pretty(map)?, Syntax::Json)?, name, &options)?
            }
        };
        let InstanceRun { setup, options, .. } = run;
        result.instance = Some(name.clone());
        result.environment = options.run.environment.clone().unwrap_or_default();
        result.run_id = options.run.run_id.clone().unwrap_or_default();
        Ok(Inputs { setup, options })
    }

    /// Returns the inputs without a fleet: `rdsprov.toml` in the package, and the definitions.
    async fn setup(&self, mut config: Config) -> Result<SetupBuilder, Failure> {
        let mut texts = None;
        match &self.event.definitions {
            None => {}
            Some(FileSource::File(path)) => config = with_packaged(config, path),
            Some(FileSource::Object(uri)) => {
                let store = session::object_store(self.event.region.clone()).await?;
                texts = Some(session::read_object(&store, uri).await?);
            }
            Some(FileSource::Text { text, syntax }) => {
                let (path, text) = (INLINE.to_owned(), text.clone());
                texts = Some(SourceText { path, text, syntax: *syntax });
            }
            Some(FileSource::Inline(map)) => {
                let (path, text) = (INLINE.to_owned(), pretty(map)?);
                texts = Some(SourceText { path, text, syntax: Syntax::Json });
            }
        }
        let mut options = DefinitionOptions::default();
        options.environment.clone_from(&self.event.environment);
        options.mode = self.event.definitions_mode;
        options.adopt.clone_from(&self.event.adopt);
        let builder = Setup::builder().config(config).options(options);
        Ok(match texts {
            Some(text) => builder.texts([text]),
            None => builder,
        })
    }

    fn server_options(&self) -> ServerOptions {
        let event = self.event.clone();
        let mut options = ServerOptions::default();
        options.admin_secret = event.admin_secret;
        options.admin_auth = match event.admin_auth {
            AdminAuth::Password => session::AdminAuth::Password,
            AdminAuth::Iam => session::AdminAuth::Iam,
        };
        options.admin_user = event.admin_user;
        options.secret_stage = event.secret_stage;
        options.region = event.region;
        options.overrides.host = event.host;
        options.overrides.port = event.port;
        options.overrides.database = event.dbname;
        options.overrides.connect_to = event.connect_to;
        options.overrides.connect_timeout = event.connect_timeout;
        options.overrides.statement_timeout = event.statement_timeout;
        options.overrides.max_connections = event.max_connections;
        options.overrides.on_wait =
            OnServerWait::new(|wait| tracing::warn!("{}", visible(&wait.to_string())));
        options.tls.mode = event.tls;
        options.verify_passwords = event.verify_passwords;
        options.build_id = event.build_id;
        options.allow = event.allow;
        options.adopt_from = event.adopt_from;
        options.only = event.only;
        options.additive = event.additive;
        options.audit_table = event.audit_table;
        options
    }

    fn run_options(&self, run_id: &str) -> RunOptions {
        let event = self.event;
        let function = &self.context.env_config.function_name;
        let actor = || (!function.is_empty()).then(|| format!("lambda:{function}"));
        let mut run = RunOptions::default();
        run.server = self.server_options();
        run.environment.clone_from(&event.environment);
        run.run_id = Some(run_id.to_owned());
        run.actor = event.actor.clone().or_else(actor);
        run.approver.clone_from(&event.approver);
        run.request_id.clone_from(&event.request_id);
        run.approval.clone_from(&event.approval);
        run.lock_timeout = event.lock_timeout;
        run.dry_run = event.dry_run;
        run
    }
}

/// Returns a fleet file that the event contains. Its files are in the package.
fn inline_fleet(text: String, syntax: Syntax) -> Result<Fleet, Error> {
    let path = INLINE_FLEET.to_owned();
    Fleet::parse(&SourceText { path, text, syntax }).map_err(Error::Fleet)
}

fn pretty(map: &Map<String, Value>) -> Result<String, Failure> {
    serde_json::to_string_pretty(map).map_err(Failure::internal)
}

/// Returns the configuration with another definitions file, which must be in the package: the caller
/// of the function may not read other files of its machine.
fn with_packaged(mut config: Config, path: &str) -> Config {
    config.definitions.files = vec![path.to_owned()];
    config.relative_to(Path::new(""))
}

impl From<Completion> for Ending {
    fn from(completion: Completion) -> Self {
        match completion {
            Completion::Converged => Self::Applied,
            Completion::NothingToDo => Self::NoChange,
            Completion::AlreadyApplied => Self::AlreadyApplied,
            Completion::DryRun => Self::DryRun,
        }
    }
}

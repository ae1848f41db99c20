//! Executes an operation of the command, and stops it before the invocation ends.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lambda_runtime::Context;
use rdsprov_core::audit::{Columns, to_csv};
use rdsprov_core::config::Config;
use rdsprov_core::definitions::{SourceText, Syntax};
use rdsprov_core::diagnostic::Diagnostic;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::name::{DatabaseName, RoleName};
use rdsprov_core::operations::AccessQuery;
use rdsprov_core::secrets::{ObjectStore, ObjectUri};
use rdsprov_core::server::OnServerWait;
use rdsprov_core::session::{
    self, Cancellation, Completion, DefinitionOptions, Error, ExitCode, Frontend, Notice, Outcome,
    RunOptions, ServerOptions, Setup, SetupBuilder,
};
use rdsprov_core::text::visible;
use serde_json::Value;

use crate::event::{AdminAuth, DefinitionsSource, Format, Mode, OnError, ProvisionEvent};
use crate::failure::Failure;
use crate::metrics;
use crate::result::{Ending, ErrorResult, RunResult};

/// What inline definitions are called in messages.
const INLINE: &str = "definitions";

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
            cancellation.cancel_at_deadline();
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
    println!("{}", metrics::line(&result, started.elapsed()));
    let is_pending = result.exit_code == ExitCode::Pending.number();
    let response = result.into_response().map_err(Failure::internal)?;
    match ended {
        Err(failure) if event.on_error == OnError::Raise => {
            // A function error has no result, so that the log contains it.
            println!("{response}");
            Err(failure)
        }
        _ => {
            if is_pending {
                // A schedule discards the result: the log contains the difference.
                println!("{response}");
            }
            Ok(response)
        }
    }
}

/// One operation that the function was invoked for.
struct Invocation<'a> {
    event: &'a ProvisionEvent,
    context: &'a Context,
    cancellation: &'a Cancellation,
}

/// Logs what a run waits for.
struct LoggingFrontend;

impl Frontend for LoggingFrontend {
    fn on_notice(&self, notice: &Notice) {
        tracing::warn!("{}", visible(&notice.to_string()));
    }
}

impl Invocation<'_> {
    async fn plan(&self, result: &mut RunResult) -> Result<(), Failure> {
        let setup = self.setup().await?.build()?;
        setup.environment().clone_into(&mut result.environment);
        let options = self.server_options();
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
        let setup = self.setup().await?.build()?;
        setup.environment().clone_into(&mut result.environment);
        let ProvisionEvent { database, role, actor, format, .. } = self.event;
        let mut query = AccessQuery::default();
        query.database = database.clone().map(DatabaseName::new_unchecked);
        query.role = role.clone().map(RoleName::new_unchecked);
        query.actor.clone_from(actor);
        let options = self.server_options();
        let report = self.in_time(setup.access(&options, &query)).await?;
        result.access = match format {
            Format::Json => Some(serde_json::to_value(&report).map_err(Failure::internal)?),
            Format::Text => Some(report.to_text().into()),
            Format::Markdown => Some(report.to_markdown().into()),
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
        let setup = self.setup().await?;
        let records = match &self.event.records {
            Some(uri) => Some(RecordsObject::create(self.event.region.clone(), uri).await?),
            None => None,
        };
        let options = self.apply_options(&result.run_id);
        let mut outcome =
            session::apply(setup, &options, &LoggingFrontend, self.cancellation).await;
        let exit = outcome.exit_code();
        let is_committed = outcome.committed;
        self.describe(&mut outcome, result).map_err(Failure::internal)?;
        let written = match &records {
            Some(object) => object.write(&outcome).await,
            None => Ok(()),
        };
        let mut failure = match outcome.result {
            Ok(completion) => {
                result.end(completion.into(), ExitCode::Done);
                None
            }
            Err(error) => Some(Failure { exit, ..error.into() }),
        };
        match (written, records) {
            (Err(error), _) => {
                let exit = if is_committed { ExitCode::Partial } else { ExitCode::Failed };
                match &mut failure {
                    // The error of the run is more important.
                    Some(failure) => failure.errors.extend(error.errors),
                    None => failure = Some(Failure { exit, ..error }),
                }
            }
            (Ok(()), Some(object)) => result.records_object = Some(object.uri.to_string()),
            (Ok(()), None) => {}
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

    /// Returns the inputs of the operation: `rdsprov.toml` in the package, and the definitions.
    async fn setup(&self) -> Result<SetupBuilder, Failure> {
        let mut config = session::config(None)?;
        let mut texts = None;
        match &self.event.definitions {
            None => {}
            Some(DefinitionsSource::File(path)) => config = with_packaged(config, path),
            Some(DefinitionsSource::Object(uri)) => {
                let maximum = session::maximum_size_of_definitions()?;
                let store = session::object_store(self.event.region.clone()).await?;
                texts = Some(session::read_object(&store, uri, maximum).await?);
            }
            Some(DefinitionsSource::Text { text, syntax }) => {
                let (path, text) = (INLINE.to_owned(), text.clone());
                texts = Some(SourceText { path, text, syntax: *syntax });
            }
            Some(DefinitionsSource::Inline(map)) => {
                let text = serde_json::to_string_pretty(map).map_err(Failure::internal)?;
                let path = INLINE.to_owned();
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
        options.overrides.on_wait =
            OnServerWait::new(|wait| tracing::warn!("{}", visible(&wait.to_string())));
        options.tls.mode = event.tls;
        options.verify_passwords = event.verify_passwords;
        options.build_id = event.build_id;
        options.allow = event.allow;
        options.adopt_from = event.adopt_from;
        options.only = event.only;
        options
    }

    fn apply_options(&self, run_id: &str) -> session::ApplyOptions {
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
        let mut options = session::ApplyOptions::default();
        options.run = run;
        options.keep_going = event.keep_going;
        options
    }
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

/// The object of S3 that receives the records of a run.
struct RecordsObject<'a> {
    store: ObjectStore,
    uri: &'a ObjectUri,
}

impl<'a> RecordsObject<'a> {
    /// Writes the header, so that a run whose records could not be written is not started.
    async fn create(region: Option<String>, uri: &'a ObjectUri) -> Result<Self, Failure> {
        let object = Self { store: session::object_store(region).await?, uri };
        object.put(&to_csv(&[], Columns::Run)).await?;
        Ok(object)
    }

    async fn write(&self, outcome: &Outcome) -> Result<(), Failure> {
        self.put(&to_csv(&outcome.records, Columns::Run)).await
    }

    async fn put(&self, text: &str) -> Result<(), Failure> {
        Ok(self.store.put(self.uri, "text/csv", text.as_bytes()).await?)
    }
}

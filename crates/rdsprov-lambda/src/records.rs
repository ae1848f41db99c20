//! Delivers the records of a run: each row to the log when it is written, and all rows to S3 when the run
//! ends.

use std::io;
use std::sync::{Mutex, PoisonError};

use lambda_runtime::Context;
use rdsprov_core::Timestamp;
use rdsprov_core::audit::{Columns, Record, to_csv};
use rdsprov_core::diagnostic::Diagnostic;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::secrets::{ObjectError, ObjectPrefix, ObjectStore, ObjectUri};
use rdsprov_core::session::{self, ExitCode, Frontend, Notice, RunOptions};
use rdsprov_core::text::visible;
use serde_json::json;

use crate::failure::Failure;
use crate::logging::write_line;

/// How many objects can have one name, with a number at its end.
const SAME_NAME: u32 = 100;

/// Logs the records of a run, and what the run waits for.
///
/// The log has each row, also if the invocation ends before the run, or if the result is too large.
#[derive(Default)]
pub(crate) struct LogFrontend {
    /// Why a row could not be written.
    failure: Mutex<Option<io::Error>>,
}

impl LogFrontend {
    /// Returns the failure of the log, if there was one.
    pub(crate) fn into_failure(self) -> Option<Failure> {
        let error = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        let fact =
            format!("the records in the log are incomplete: stdout cannot be written: {error}");
        let hint = "find the records in the result of the function or in its S3 objects";
        let error = Diagnostic::new(ErrorCode::OutputIncomplete, fact, vec![hint.into()]);
        Some(Failure::new(ExitCode::Failed, error))
    }
}

impl Frontend for LogFrontend {
    fn on_records(&self, records: &[Record]) {
        let mut lines = records.iter().map(|record| json!({ "record": record }));
        if let Err(error) = lines.try_for_each(write_line) {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    fn on_notice(&self, notice: &Notice) {
        tracing::warn!("{}", visible(&notice.to_string()));
    }
}

/// The objects of S3 that receive the records of an invocation. No object is ever replaced: Lambda, a
/// schedule or a user can repeat each event.
pub(crate) struct RecordsObjects<'a> {
    store: ObjectStore,
    prefix: &'a ObjectPrefix,
    /// The name of the objects: the ids of the run and of the invocation.
    name: String,
}

impl<'a> RecordsObjects<'a> {
    /// Creates the object that says that the run has started, so that a run whose records could not be
    /// written does not start. If the invocation ends early, this object names the log with its rows.
    pub(crate) async fn start(
        region: Option<String>,
        prefix: &'a ObjectPrefix,
        run: &RunOptions,
        context: &Context,
    ) -> Result<Self, Failure> {
        let run_id = run.run_id.as_deref().unwrap_or(&context.request_id);
        let name = format!("{run_id}/{}", context.request_id);
        let objects = Self { store: session::object_store(region).await?, prefix, name };
        let function = &context.env_config;
        let text = json!({
            "timestamp_utc": Timestamp::now().to_string(),
            "environment": run.environment,
            "build_id": run.server.build_id,
            "run_id": run_id,
            "request_id": context.request_id,
            "function": function.function_name,
            "log_group": function.log_group,
            "log_stream": function.log_stream,
        });
        objects.create(".started.json", "application/json", &format!("{text:#}\n")).await?;
        Ok(objects)
    }

    /// Creates the object with the records.
    pub(crate) async fn end(
        &self,
        records: &[Record],
        columns: Columns,
    ) -> Result<ObjectUri, Failure> {
        self.create(".csv", "text/csv", &to_csv(records, columns)).await
    }

    /// Creates an object. If one with its name exists, the new one has a number at the end of its name.
    async fn create(
        &self,
        extension: &str,
        content_type: &'static str,
        text: &str,
    ) -> Result<ObjectUri, Failure> {
        let object = |number| {
            let number = if number == 1 { String::new() } else { format!("-{number}") };
            let name = format!("{}{number}{extension}", self.name);
            self.prefix.object(&name).map_err(|_| {
                Failure::event(format!("`{name}` is not the name of an object; shorten `run_id`"))
            })
        };
        for number in 1..=SAME_NAME {
            let uri = object(number)?;
            if self.store.create(&uri, content_type, text.as_bytes()).await? {
                return Ok(uri);
            }
        }
        let reason = format!("{SAME_NAME} objects with this name exist");
        Err(ObjectError::Unwritable { uri: object(1)?, reason }.into())
    }
}

//! Forwards log messages to `logging.getLogger("rdsprov")` for the duration of one call.
//!
//! Messages of libraries go to child loggers, such as `rdsprov.aws_config.profile`. No global subscriber is set,
//! so that other extension modules keep theirs.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyModule;
use rdsprov_core::text::visible;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use crate::call::Call;

const LOGGER: &str = "rdsprov";

/// The part of the AWS SDK that looks for credentials: it warns about each source without them, and logs access
/// key ids and answers of STS. If no source has credentials, rdsprov itself reports an error.
const QUIET: &str = "aws_config";

/// The AWS SDK and the connection pool of its HTTP client, whose debug messages contain requests with the access
/// key id, and addresses with their passwords.
const WITHOUT_REQUESTS: [&str; 2] = ["aws", "hyper_util::client::legacy::pool"];

struct ToLogging {
    level: LevelFilter,
    call: Arc<Call>,
}

/// Returns the subscriber for one call, with the current level of the Python logger.
pub fn subscriber(
    py: Python<'_>,
    call: Arc<Call>,
) -> PyResult<impl Subscriber + Send + Sync + use<>> {
    let level: u32 = logger(py, LOGGER)?.call_method0("getEffectiveLevel")?.extract()?;
    let level = match level {
        ..=10 => LevelFilter::DEBUG,
        11..=20 => LevelFilter::INFO,
        21..=30 => LevelFilter::WARN,
        31..=40 => LevelFilter::ERROR,
        _ => LevelFilter::OFF,
    };
    Ok(tracing_subscriber::registry().with(ToLogging { level, call }))
}

fn logger<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    PyModule::import(py, "logging")?.call_method1("getLogger", (name,))
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("rdsprov")
}

impl<S: Subscriber> Layer<S> for ToLogging {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let is_of = |target: &str| metadata.target().starts_with(target);
        let most = match self.level {
            level if is_of(QUIET) => level.min(LevelFilter::ERROR),
            LevelFilter::DEBUG if WITHOUT_REQUESTS.into_iter().any(is_of) => LevelFilter::INFO,
            LevelFilter::DEBUG => LevelFilter::DEBUG,
            level if is_ours(metadata) => level,
            level => level.min(LevelFilter::WARN),
        };
        *metadata.level() <= most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        let level = match *metadata.level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        let name = if is_ours(metadata) {
            LOGGER.to_owned()
        } else {
            format!("{LOGGER}.{}", metadata.target().replace("::", "."))
        };
        let logged = Python::attach(|py| {
            // An event can contain the text of a server.
            let text = visible(&(text.message + &text.fields));
            logger(py, &name)?.call_method1("log", (level, "%s", text))?;
            Ok(())
        });
        // A handler that raises ends the call: it may be a KeyboardInterrupt.
        if let Err(error) = logged {
            self.call.keep(error);
        }
    }
}

/// The message of an event, and its fields as `name=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

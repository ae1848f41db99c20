//! Implements `--metrics-file`: the result of a run as metrics of Prometheus, for the textfile collector of the
//! node exporter.
//!
//! Each run replaces the file. Only the time of the last success stays until the next success.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use prometheus::{GaugeVec, Opts, Registry, TextEncoder};
use rdsprov_core::audit::Status;
use rdsprov_core::input_file::{self, Input};
use rdsprov_core::plan::{Counts, Plan};
use rdsprov_core::run_report::{RunReport, RunStatus};
use rdsprov_core::text::{os_reason, visible};

use crate::error::Exit;
use crate::output;

const RUN_TIMESTAMP: &str = "rdsprov_run_timestamp_seconds";
const LAST_SUCCESS: &str = "rdsprov_last_success_timestamp_seconds";

/// The metrics about a run.
#[derive(Debug, Default)]
pub struct Metrics {
    command: String,
    environment: String,
    /// The scope of the definitions, or an empty text, which Prometheus takes for no label.
    scope: String,
    /// The server, as `host:port`, or an empty text.
    server: String,
    status: String,
    /// Whether the server is as declared now.
    is_success: bool,
    planned: Counts,
    /// The steps that are left; `None` without a plan.
    pending: Option<usize>,
    refusals: usize,
    /// The changes that were made, by action.
    changes: BTreeMap<String, usize>,
}

impl Metrics {
    /// Returns the metrics of a run that changes a server.
    pub fn of_run(report: &RunReport, scope: Option<&str>) -> Self {
        let mut changes = BTreeMap::new();
        for record in report.records.iter().filter(|record| record.status == Status::Success) {
            *changes.entry(record.action.clone()).or_default() += 1;
        }
        // The record of the whole run is not a change.
        changes.remove(report.command.name());
        let planned: usize = report.planned.total();
        let is_success = matches!(
            report.status,
            RunStatus::Applied | RunStatus::NoChange | RunStatus::AlreadyApplied
        );
        Self {
            command: report.command.to_string(),
            environment: report.environment.clone(),
            scope: scope.unwrap_or_default().to_owned(),
            server: report.server.clone().unwrap_or_default(),
            status: report.status.to_string(),
            is_success,
            planned: report.planned,
            pending: match &report.plan {
                _ if is_success => Some(0),
                Some(_) => Some(planned.saturating_sub(report.committed)),
                None => None,
            },
            refusals: report.plan.as_ref().map_or(0, |plan| plan.refusals.len()),
            changes,
        }
    }

    /// Returns the metrics of `check`, with the environment and scope that it is for. Without a plan, it has
    /// failed.
    pub fn of_check(
        plan: Option<&Plan>,
        (environment, scope): (Option<String>, Option<String>),
        exit: Exit,
    ) -> Self {
        let status = match exit {
            Exit::Done => "no_change",
            Exit::Pending => "pending",
            Exit::Refused => "refused",
            Exit::Usage => "invalid",
            _ => "failed",
        };
        let counts = plan.map(Plan::counts).unwrap_or_default();
        Self {
            command: "check".to_owned(),
            environment: environment.unwrap_or_default(),
            scope: scope.unwrap_or_default(),
            server: plan.and_then(|plan| plan.origin.server.clone()).unwrap_or_default(),
            status: status.to_owned(),
            is_success: exit == Exit::Done,
            planned: counts,
            pending: plan.map(|_| counts.total()),
            refusals: plan.map_or(0, |plan| plan.refusals.len()),
            changes: BTreeMap::new(),
        }
    }

    /// Writes the metrics to a file that other users can read. A failure is a message only.
    pub fn write(mut self, path: &Path, duration: Duration) {
        let earlier = input_file::read_text(path, Input::Configuration).ok();
        self.complete(earlier.as_deref().unwrap_or_default());
        let last_success =
            earlier.as_deref().and_then(|text| last_success(text, &self.environment));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let text = self.text(now, duration, last_success);
        let written = text.map_err(|error| error.to_string()).and_then(|text| {
            output::replace_file(path, &text, 0o644).map_err(|error| os_reason(&error))
        });
        if let Err(reason) = written {
            let path = visible(&path.display().to_string());
            output::message(&format!(
                "the metrics were not written to {path}: {reason}\n\
                 hint: name a file in an existing directory with --metrics-file FILE"
            ));
        }
    }

    /// Takes the labels that a failed run does not know from an earlier file of the same environment: a job
    /// has a file of its own, and its labels stay.
    fn complete(&mut self, earlier: &str) {
        let line = earlier.lines().find(|line| line.starts_with(RUN_TIMESTAMP));
        let Some(line) = line.filter(|_| self.server.is_empty()) else { return };
        let environment = label(line, "environment").unwrap_or_default();
        if !self.environment.is_empty() && self.environment != environment {
            return;
        }
        self.environment = environment;
        if self.scope.is_empty() {
            self.scope = label(line, "scope").unwrap_or_default();
        }
        self.server = label(line, "server").unwrap_or_default();
    }

    fn text(
        &self,
        now: Duration,
        duration: Duration,
        last_success: Option<f64>,
    ) -> prometheus::Result<String> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str, more: &str| -> prometheus::Result<GaugeVec> {
            let labels = ["command", "environment", "scope", "server", more];
            let labels = if more.is_empty() { &labels[..4] } else { &labels };
            let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let run = [self.command.as_str(), &self.environment, &self.scope, &self.server];
        let set = |name: &str, help: &str, value: f64| -> prometheus::Result<()> {
            gauge(name, help, "")?.with_label_values(&run).set(value);
            Ok(())
        };
        set(RUN_TIMESTAMP, "When the run ended.", now.as_secs_f64())?;
        let success = if self.is_success { Some(now.as_secs_f64()) } else { last_success };
        if let Some(success) = success {
            set(
                LAST_SUCCESS,
                "When a run of this job last found or made the server as declared.",
                success,
            )?;
        }
        set("rdsprov_run_duration_seconds", "How long the run took.", duration.as_secs_f64())?;
        if let Some(pending) = self.pending {
            let help = "The steps of the plan that are left: drift.";
            set("rdsprov_pending_steps", help, count(pending))?;
        }
        set("rdsprov_refusals", "The refusals of the plan.", count(self.refusals))?;
        let with = |[a, b, c, d]: [&str; 4], more: &str| [a, b, c, d, more].map(str::to_owned);
        gauge("rdsprov_run_status", "1, with the status of the run.", "status")?
            .with_label_values(&with(run, &self.status))
            .set(1.0);
        let planned =
            gauge("rdsprov_planned_steps", "The steps of the plan by what they do.", "kind")?;
        let Counts { add, change, revoke, drop_databases, drop_roles, rotate } = self.planned;
        for (kind, steps) in [
            ("add", add),
            ("change", change),
            ("revoke", revoke),
            ("drop", drop_databases + drop_roles),
            ("rotate", rotate),
        ] {
            planned.with_label_values(&with(run, kind)).set(count(steps));
        }
        let changes =
            gauge("rdsprov_changes", "The changes that the run made, by action.", "action")?;
        for (action, made) in &self.changes {
            changes.with_label_values(&with(run, action)).set(count(*made));
        }
        TextEncoder::new().encode_to_string(&registry.gather())
    }
}

/// Returns a number as a value of a metric. No plan has so many steps that it would not be exact.
#[allow(clippy::cast_precision_loss, reason = "see above")]
fn count(number: usize) -> f64 {
    number as f64
}

/// Returns the time of the last success in an earlier file, which is of the same environment if it is known.
fn last_success(text: &str, environment: &str) -> Option<f64> {
    let of_metric = |line: &&str| {
        line.strip_prefix(LAST_SUCCESS).is_some_and(|rest| rest.starts_with('{'))
            && (environment.is_empty()
                || label(line, "environment").as_deref() == Some(environment))
    };
    text.lines().find(of_metric)?.rsplit_once(' ')?.1.parse().ok()
}

/// Returns the value of a label in a line of a metric.
fn label(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("{name}=\""))?;
    let mut value = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => value.push(match characters.next()? {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_labels_and_keep_the_last_success() {
        let mut metrics = Metrics {
            command: "apply".to_owned(),
            environment: "prod\"\n".to_owned(),
            scope: "team-a".to_owned(),
            server: "db1:5432".to_owned(),
            status: "applied".to_owned(),
            is_success: true,
            pending: Some(0),
            planned: Counts { add: 2, ..Counts::default() },
            changes: BTreeMap::from([("grant".to_owned(), 2)]),
            ..Metrics::default()
        };
        let second = Duration::from_secs(1);
        let text = metrics.text(Duration::from_secs(100), second, Some(50.0)).unwrap();
        let labels = r#"command="apply",environment="prod\"\n",scope="team-a",server="db1:5432""#;
        for line in [
            format!("{LAST_SUCCESS}{{{labels}}} 100"),
            format!("rdsprov_run_status{{{},status=\"applied\"}} 1", labels),
            format!("rdsprov_changes{{action=\"grant\",{labels}}} 2"),
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        let is_other = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        // The alerts and the dashboard name no other metric.
        let alerts = include_str!("../../../deploy/prometheus/rdsprov.rules.yaml");
        let dashboard = include_str!("../../../deploy/prometheus/dashboard.json");
        for file in [alerts, dashboard] {
            for metric in file.split(is_other).filter(|word| word.starts_with("rdsprov_")) {
                assert!(text.contains(&format!("\n{metric}{{")), "{metric}");
            }
        }
        // A difference without a step, a job without any success, and no job at all have an alert.
        for expression in [
            r#"expr: rdsprov_run_status{command="check", status="pending"} == 1"#,
            "expr: rdsprov_run_timestamp_seconds unless rdsprov_last_success_timestamp_seconds",
            "expr: absent(rdsprov_run_timestamp_seconds)",
        ] {
            assert!(alerts.lines().any(|line| line.trim() == expression), "{expression}");
        }
        let pending = Metrics::of_check(None, (None, None), Exit::Pending);
        let text_of_pending = pending.text(Duration::from_secs(100), second, None).unwrap();
        assert!(text_of_pending.contains(r#",status="pending"} 1"#), "{text_of_pending}");
        assert!(!text_of_pending.contains(LAST_SUCCESS), "{text_of_pending}");
        // A run that fails early keeps the labels of the job, and no other one's.
        let failed = |environment: &str, earlier: &str| {
            let mut failed =
                Metrics::of_check(None, (Some(environment.to_owned()), None), Exit::Failed);
            failed.complete(earlier);
            [failed.environment, failed.scope, failed.server]
        };
        let kept = ["prod\"\n", "team-a", "db1:5432"].map(str::to_owned);
        assert_eq!(failed("", &text), kept);
        assert_eq!(failed("prod\"\n", &text), kept);
        assert_eq!(failed("dev", &text), ["dev", "", ""].map(str::to_owned));
        metrics.is_success = false;
        let text = metrics.text(Duration::from_secs(200), second, last_success(&text, "")).unwrap();
        assert_eq!(last_success(&text, ""), Some(100.0), "{text}");
        assert_eq!(last_success(&text, "prod\"\n"), Some(100.0), "{text}");
        assert_eq!(last_success(&text, "dev"), None, "{text}");
    }
}

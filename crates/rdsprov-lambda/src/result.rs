//! The result of an operation, as the function returns it.

use std::collections::BTreeSet;

use rdsprov_core::audit::Record;
use rdsprov_core::diagnostic::Diagnostic;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::plan::{Hazard, Plan};
use rdsprov_core::session::ExitCode;
use rdsprov_core::step_result::StepStatus;
use rdsprov_core::text::visible_json;
use serde::Serialize;
use serde_json::Value;

use crate::event::{Format, Mode};
use crate::wording::EventWording;

/// The maximum size of a response in bytes. Lambda returns at most 6 MB.
const MAXIMUM_SIZE: usize = 5 * 1024 * 1024;

/// How an operation ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    Planned,
    AsDeclared,
    Differs,
    Reported,
    Applied,
    NoChange,
    AlreadyApplied,
    DryRun,
    Refused,
    /// The time of the invocation was over.
    OutOfTime,
    Failed,
}

/// The steps of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// The steps of all plans of the run.
    pub steps: usize,
    /// The steps that are committed.
    pub applied: usize,
    /// The steps that the next run has to do.
    pub left: usize,
    pub refusals: usize,
    pub notes: usize,
    pub orphaned: usize,
}

/// One error.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ErrorResult {
    code: ErrorCode,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    excerpt: Option<String>,
    hints: Vec<String>,
}

impl From<&Diagnostic> for ErrorResult {
    fn from(error: &Diagnostic) -> Self {
        Self {
            code: error.code,
            message: error.fact.clone(),
            excerpt: error.excerpt.clone(),
            hints: error.hints.iter().map(|hint| hint.worded(&EventWording)).collect(),
        }
    }
}

/// The result of an operation.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunResult {
    pub mode: Mode,
    pub outcome: Ending,
    pub exit_code: u8,
    pub environment: String,
    /// The instance of the fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    pub run_id: String,
    pub build_id: String,
    pub server: Option<String>,
    /// The digest of the plan, which an approval can name.
    pub digest: Option<String>,
    /// What the plan does, in a sentence.
    pub summary: Option<String>,
    pub counts: Counts,
    pub hazards: BTreeSet<Hazard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Record>,
    /// The object that contains the records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_object: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorResult>,
    /// The keys that are left out, because the response would be too large.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<&'static str>,
}

impl RunResult {
    pub(crate) fn new(mode: Mode, environment: String, run_id: String, build_id: String) -> Self {
        Self {
            mode,
            outcome: Ending::Failed,
            exit_code: ExitCode::Failed.number(),
            environment,
            instance: None,
            run_id,
            build_id,
            server: None,
            digest: None,
            summary: None,
            counts: Counts::default(),
            hazards: BTreeSet::new(),
            plan: None,
            access: None,
            records: Vec::new(),
            records_object: None,
            errors: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Sets how the operation ended.
    pub(crate) fn end(&mut self, outcome: Ending, exit: ExitCode) {
        self.outcome = outcome;
        self.exit_code = exit.number();
    }

    /// Sets what a plan contains. `results` are the results of its steps, if it was executed.
    pub(crate) fn set_plan(
        &mut self,
        plan: &Plan,
        format: Format,
        results: &[&StepStatus],
    ) -> serde_json::Result<()> {
        let is_applied = |status: &&&StepStatus| matches!(status, StepStatus::Success);
        let applied = results.iter().filter(is_applied).count();
        let steps = plan.steps().count().max(results.len());
        self.digest = Some(plan.digest.clone());
        self.summary = Some(plan.closing());
        self.hazards = plan.hazards();
        self.counts = Counts {
            steps,
            applied,
            left: steps - applied,
            refusals: plan.refusals.len(),
            notes: plan.notes.len(),
            orphaned: plan.orphaned.len(),
        };
        self.plan = match format {
            Format::Json => Some(serde_json::to_value(plan)?),
            Format::Text => Some(plan.to_text_worded(&EventWording).into()),
            Format::Markdown => Some(plan.to_markdown_worded(&EventWording).into()),
            Format::None => None,
        };
        Ok(())
    }

    /// Returns the response, without what makes it too large.
    pub(crate) fn into_response(mut self) -> serde_json::Result<Value> {
        let is_too_large = |result: &Self| {
            serde_json::to_string(result).map(|text| visible_json(text).len() > MAXIMUM_SIZE)
        };
        if is_too_large(&self)? && self.plan.take().is_some() {
            self.left_out.push("plan");
        }
        if is_too_large(&self)? && self.access.take().is_some() {
            self.left_out.push("access");
        }
        if is_too_large(&self)? {
            self.records.clear();
            self.left_out.push("records");
        }
        serde_json::to_value(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use rdsprov_core::audit::Status;

    use super::*;

    #[test]
    fn response_is_never_larger_than_lambda_allows() {
        let record = Record {
            timestamp: String::new(),
            environment: String::new(),
            build_id: String::new(),
            run_id: String::new(),
            database: String::new(),
            username: String::new(),
            action: String::new(),
            status: Status::Success,
            duration_ms: 0,
            message: "x".repeat(1000),
            instance: None,
        };
        let response = |records: usize, plan: usize| {
            let empty = || String::new();
            let mut result = RunResult::new(Mode::Apply, empty(), empty(), empty());
            result.records = vec![record.clone(); records];
            result.plan = Some("x".repeat(plan).into());
            let response = result.into_response().unwrap();
            assert!(response.to_string().len() <= MAXIMUM_SIZE);
            response
        };
        let all = response(1000, 1000);
        assert_eq!((all["records"].as_array().unwrap().len(), all.get("left_out")), (1000, None));
        let without_plan = response(1000, MAXIMUM_SIZE);
        assert_eq!(without_plan["left_out"], serde_json::json!(["plan"]));
        assert_eq!(without_plan["records"].as_array().unwrap().len(), 1000);
        let without_both = response(6000, 1);
        assert_eq!(without_both["left_out"], serde_json::json!(["plan", "records"]));
        assert_eq!(without_both.get("records"), None);
    }
}

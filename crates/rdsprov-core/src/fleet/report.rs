//! The result for a fleet: what happened to each instance, the digest over all plans, and the summary.

use schemars::JsonSchema;
use serde::Serialize;

use crate::access_report::AccessReport;
use crate::diagnostic::{Diagnostic, ReportedError};
use crate::digest::sha256_json;
use crate::hint::Neutral;
use crate::named_enum::named_enum;
use crate::plan::Plan;
use crate::preflight::{CheckStatus, PreflightReport};
use crate::text::{counted, pretty_json, table, visible};

/// The version of the JSON form.
const FORMAT_VERSION: u32 = 1;

/// What an approved digest covers, so that the digest of a fleet is never that of one plan.
const DIGEST_OF: &str = "rdsprov fleet 1";

/// The number of digits of a digest in the summary.
const SHORT_DIGEST: usize = "sha256:".len() + 12;

named_enum! {
    /// What happened to an instance, from the best to the worst.
    "snake_case" pub enum InstanceStatus {
        /// The server is as declared.
        NoChange,
        /// The checks before a run have passed.
        Ready,
        /// The plan was applied.
        Applied,
        /// The plan was recorded and not applied, because of a dry run.
        DryRun,
        /// The access report was made.
        Reported,
        /// The plan contains changes or findings, or leaves changes pending.
        Pending,
        /// The instance was not started: the run was stopped, or an instance before it has failed.
        NotRun,
        /// The plan was refused, or a gate has stopped the run before a change.
        Refused,
        /// The options or the configuration of the instance are invalid.
        Invalid,
        /// The run has failed, and nothing was changed.
        Failed,
        /// The run has failed after a part of its changes was made.
        Partial,
    }
}

impl InstanceStatus {
    /// Returns whether it counts as a failure.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self >= Self::Refused
    }
}

/// The result for one instance.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct InstanceReport {
    /// The name of the instance.
    pub instance: String,
    /// The name of its environment.
    pub environment: String,
    /// What happened.
    pub status: InstanceStatus,
    /// The number of changes that the plan contains, or that were made.
    pub changes: usize,
    /// The number of changes that an additive plan leaves pending.
    pub pending: usize,
    /// The number of refusals in the plan.
    pub refusals: usize,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The digest of the plan; `null` without a plan.
    pub digest: Option<String>,
    /// Why it failed; `null` if it did not.
    pub errors: Vec<ReportedError>,
    /// The plan; `null` if none was made.
    pub plan: Option<Plan>,
    /// The access report; `null` except for `access`.
    pub access: Option<AccessReport>,
    /// The checks before a run; `null` except for `preflight`.
    pub preflight: Option<PreflightReport>,
    /// The errors as a front end words them.
    #[serde(skip)]
    pub diagnostics: Vec<Diagnostic>,
}

impl InstanceReport {
    /// Creates the report of an instance that was not started.
    #[must_use]
    pub fn not_run(instance: &str, environment: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            environment: environment.to_owned(),
            status: InstanceStatus::NotRun,
            changes: 0,
            pending: 0,
            refusals: 0,
            duration_ms: 0,
            digest: None,
            errors: Vec::new(),
            plan: None,
            access: None,
            preflight: None,
            diagnostics: Vec::new(),
        }
    }

    /// Adds the plan with its digest and its counts.
    pub fn set_plan(&mut self, plan: Plan) {
        self.changes = plan.steps().count();
        self.pending = plan.pending.len();
        self.refusals = plan.refusals.len();
        self.digest = Some(plan.digest.clone());
        self.plan = Some(plan);
    }

    /// Adds the checks before a run, and sets the status to their worst result.
    pub fn set_preflight(&mut self, report: PreflightReport) {
        self.status = match report.status {
            CheckStatus::Passed | CheckStatus::Skipped | CheckStatus::Warning => {
                InstanceStatus::Ready
            }
            CheckStatus::Refused => InstanceStatus::Refused,
            CheckStatus::Failed => InstanceStatus::Failed,
        };
        self.refusals = report.count(CheckStatus::Refused);
        self.preflight = Some(report);
    }

    /// Adds the errors.
    pub fn set_diagnostics(&mut self, diagnostics: Vec<Diagnostic>) {
        self.errors = diagnostics.iter().map(|one| ReportedError::new(one, &Neutral)).collect();
        self.diagnostics = diagnostics;
    }
}

/// The result for a fleet.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct FleetReport {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The worst status of all instances.
    pub status: InstanceStatus,
    /// The digest over all plans, which approves exactly these plans of exactly these instances;
    /// `null` if no instance has a plan.
    pub digest: Option<String>,
    /// The instances, in the order of the fleet file.
    pub instances: Vec<InstanceReport>,
}

impl FleetReport {
    /// Creates the report, and computes its digest and its status.
    #[must_use]
    pub fn new(instances: Vec<InstanceReport>) -> Self {
        let status = instances.iter().map(|one| one.status).max();
        Self {
            format_version: FORMAT_VERSION,
            status: status.unwrap_or(InstanceStatus::NoChange),
            digest: digest(&instances),
            instances,
        }
    }

    /// Returns the document in JSON.
    ///
    /// # Errors
    /// Returns an error if a value cannot be serialized.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
    }

    /// Returns the summary: a table with a line for each instance, and a line for all of them.
    #[must_use]
    pub fn summary(&self) -> String {
        let header =
            ["instance", "environment", "outcome", "changes", "refusals", "time", "digest"];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(self.instances.iter().map(|one| {
            let digest = one.digest.as_deref().unwrap_or("-");
            [
                visible(&one.instance),
                visible(&one.environment),
                one.status.name().replace('_', " "),
                match one.pending {
                    0 => one.changes.to_string(),
                    pending => format!("{}, {pending} pending", one.changes),
                },
                one.refusals.to_string(),
                // The precision is that of the other durations that the program prints.
                format!("{:.1} s", one.duration_ms as f64 / 1000.0),
                digest.get(..SHORT_DIGEST).unwrap_or(digest).to_owned(),
            ]
        }));
        let mut text = table(&rows);
        text += &format!("\n{}\n", self.counts());
        if let Some(digest) = &self.digest {
            text += &format!("Digest over all plans: {digest}\n");
        }
        text
    }

    /// Returns the number of instances of each status: `12 instances: 11 applied, 1 failed.`
    fn counts(&self) -> String {
        let of_status = InstanceStatus::all().filter_map(|status| {
            let count = self.instances.iter().filter(|one| one.status == status).count();
            (count > 0).then(|| format!("{count} {}", status.name().replace('_', " ")))
        });
        let instances = counted(self.instances.len(), "instance");
        format!("{instances}: {}.", of_status.collect::<Vec<_>>().join(", "))
    }
}

/// Returns the digest over all plans. It also covers the instances without a plan: an approval is not
/// valid any more if one of them has a plan.
fn digest(instances: &[InstanceReport]) -> Option<String> {
    let plans: Vec<(&str, Option<&str>)> =
        instances.iter().map(|one| (one.instance.as_str(), one.digest.as_deref())).collect();
    let has_plan = plans.iter().any(|(_, digest)| digest.is_some());
    has_plan.then(|| sha256_json(&(DIGEST_OF, plans)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(name: &str, digest: Option<&str>, status: InstanceStatus) -> InstanceReport {
        let mut report = InstanceReport::not_run(name, "dev");
        report.digest = digest.map(str::to_owned);
        report.status = status;
        report
    }

    #[test]
    fn digest_covers_names_plans_and_missing_plans() {
        use InstanceStatus::{Failed, Pending};
        let digest = |instances: &[(&str, Option<&str>)]| {
            let reports = instances.iter().map(|(name, digest)| planned(name, *digest, Pending));
            FleetReport::new(reports.collect()).digest
        };
        let both = digest(&[("a", Some("1")), ("b", Some("2"))]);
        assert!(both.as_ref().unwrap().starts_with("sha256:"));
        assert_eq!(both, digest(&[("a", Some("1")), ("b", Some("2"))]));
        for other in [
            &[("a", Some("1")), ("b", Some("3"))][..],
            &[("a", Some("1")), ("c", Some("2"))],
            &[("a", Some("2")), ("b", Some("1"))],
            &[("b", Some("2")), ("a", Some("1"))],
            &[("a", Some("1")), ("b", None)],
            &[("a", Some("1"))],
        ] {
            assert_ne!(both, digest(other), "{other:?}");
        }
        assert_eq!(digest(&[("a", None)]), None);
        // The time and the status are not part of it: the failed instance has no plan in both runs.
        let of = |status| FleetReport::new(vec![planned("a", Some("1"), status)]).digest;
        assert_eq!(of(Pending), of(Failed));
    }

    #[test]
    fn summary_is_a_table_with_the_worst_status() {
        use InstanceStatus::{Applied, Failed, NoChange};
        let digest = format!("sha256:{}", "a".repeat(64));
        let mut done = planned("orders-eu", Some(&digest), Applied);
        (done.changes, done.duration_ms) = (12, 1540);
        let instances = vec![done, planned("b", None, Failed), planned("c", Some("x"), NoChange)];
        let report = FleetReport::new(instances);
        assert_eq!(report.status, Failed);
        let fleet = report.digest.clone().unwrap();
        assert_eq!(
            report.summary(),
            format!(
                "\
instance   environment  outcome    changes  refusals  time   digest
orders-eu  dev          applied    12       0         1.5 s  sha256:aaaaaaaaaaaa
b          dev          failed     0        0         0.0 s  -
c          dev          no change  0        0         0.0 s  x

3 instances: 1 no change, 1 applied, 1 failed.
Digest over all plans: {fleet}
"
            )
        );
    }

    #[test]
    fn failures_are_the_worst() {
        let failures: Vec<_> = InstanceStatus::all().filter(|one| one.is_failure()).collect();
        use InstanceStatus::{Failed, Invalid, Partial, Refused};
        assert_eq!(failures, [Refused, Invalid, Failed, Partial]);
    }
}

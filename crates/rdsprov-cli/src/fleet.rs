//! Implements `--fleet`: options and output. `rdsprov_core::session` runs the instances.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdsprov_core::access_report::AccessReport;
use rdsprov_core::audit::{Columns, Record, to_csv};
use rdsprov_core::diagnostic;
use rdsprov_core::fleet::{FleetReport, InstanceReport, InstanceStatus};
use rdsprov_core::operations::AccessQuery;
use rdsprov_core::plan::{Detail, Plan};
use rdsprov_core::session::{self, FleetFrontend, FleetOptions, FleetOutcome, Frontend, Notice};
use rdsprov_core::text::{pretty_json, visible};

use crate::apply::{ask_for, cancellation_on_signals, records_lost, run_options, shows_records};
use crate::args::{
    AccessArgs, AccessFormat, ApplyArgs, CheckArgs, CommonArgs, FleetArgs, Format, LogFormat,
    PlanArgs, PreflightArgs, ValidateArgs,
};
use crate::error::{CliError, Exit};
use crate::output::counted;
use crate::plan::format_plan;
use crate::wording::CommandWording;
use crate::{access, output, preflight, progress};

/// Implements `rdsprov validate --fleet`.
pub fn validate(file: &Path, options: &ValidateArgs, log: LogFormat) -> Result<Exit, CliError> {
    let mut wanted = FleetOptions::default();
    wanted.config = session::config(options.common.config.as_deref())?;
    wanted.environment.clone_from(&options.common.env);
    let fleet = session::fleet(file)?;
    let mut valid = Vec::new();
    let mut result = Exit::Done;
    let mut text = String::new();
    for (instance, setup) in session::fleet_setups(&fleet, &wanted)? {
        let name = visible(&instance.name);
        match setup {
            Ok(setup) => {
                let count = setup.definitions().map_or(0, |all| all.applications.len());
                let applications = counted(count as u64, "application");
                text += &format!("{name} ({}): {applications}\n", visible(&instance.environment));
                valid.push(instance);
            }
            Err(error) => {
                let error = CliError::from(error);
                output::status(&format!("{name}: invalid"));
                error.print(log);
                result = error.exit;
            }
        }
    }
    if result == Exit::Done && options.output.format == Format::Json {
        let document = serde_json::json!({ "instances": valid });
        text = pretty_json(&document).map_err(CliError::internal)? + "\n";
    }
    if result == Exit::Done || options.output.format != Format::Json {
        output::write_stdout(&text);
    }
    Ok(result)
}

/// Implements `rdsprov plan --fleet`.
pub async fn plan(file: &Path, options: &PlanArgs, view: View) -> Result<Exit, CliError> {
    let format = options.output.format;
    let mut wanted = fleet_options(&options.fleet, &options.common)?;
    wanted.run.server = (&options.server).into();
    wanted.run.server.additive = options.additive.additive;
    wanted.run.server.audit_ledger.clone_from(&options.audit_ledger);
    let report = print_plans(file, &wanted, format, view).await?;
    Ok(exit(report.status, options.detailed_exitcode))
}

/// Implements `rdsprov check --fleet`.
pub async fn check(file: &Path, options: &CheckArgs, view: View) -> Result<Exit, CliError> {
    let format = options.output.format;
    let mut wanted = fleet_options(&options.fleet, &options.common)?;
    wanted.run.server = (&options.server).into();
    wanted.run.server.strict = options.strict;
    wanted.run.server.fail_on.clone_from(&options.fail_on);
    wanted.run.server.audit_ledger.clone_from(&options.audit_ledger);
    let report = print_plans(file, &wanted, format, view).await?;
    Ok(exit(report.status, true))
}

async fn print_plans(
    file: &Path,
    options: &FleetOptions,
    format: Format,
    view: View,
) -> Result<FleetReport, CliError> {
    no_script(format)?;
    let fleet = session::fleet(file)?;
    let terminal = FleetTerminal::new(format, view);
    let stop = cancellation_on_signals();
    let report = session::plan_fleet(&fleet, options, &terminal, &stop).await?;
    let of_instance =
        |one: &InstanceReport| one.plan.as_ref().map(|plan| format_plan(plan, format, view.detail));
    print_report(&report, format, of_instance)?;
    Ok(report)
}

/// Implements `rdsprov access --fleet`.
pub async fn access(file: &Path, options: &AccessArgs, view: View) -> Result<Exit, CliError> {
    let format = match options.format {
        AccessFormat::Text => Format::Text,
        AccessFormat::Json => Format::Json,
        AccessFormat::Markdown => Format::Markdown,
        // The rows name their server.
        AccessFormat::Csv => Format::Text,
        AccessFormat::Html => {
            return Err(CliError::usage("an HTML report is for one server, and not for a fleet")
                .with_hint("report one instance without --fleet, or use another --format"));
        }
    };
    let query: AccessQuery = access::query(options);
    let mut wanted = fleet_options(&options.fleet, &options.common)?;
    wanted.run.server = (&options.server).into();
    let fleet = session::fleet(file)?;
    let terminal = FleetTerminal::new(format, view);
    let stop = cancellation_on_signals();
    let report = session::fleet_access(&fleet, &query, &wanted, &terminal, &stop).await?;
    if options.format == AccessFormat::Csv {
        let reports: Vec<&AccessReport> =
            report.instances.iter().filter_map(|one| one.access.as_ref()).collect();
        output::write_stdout(&rows(&reports));
        output::status(report.summary().trim_end());
        return Ok(exit(report.status, true));
    }
    let of_instance = |one: &InstanceReport| {
        one.access.as_ref().map(|report| access::format_report(report, options))
    };
    print_report(&report, format, of_instance)?;
    Ok(exit(report.status, true))
}

/// Returns the rows of all reports under one header.
fn rows(reports: &[&AccessReport]) -> String {
    let texts: Vec<String> = reports.iter().map(|report| report.to_csv()).collect();
    let rows = texts.iter().filter_map(|text| text.split_once('\n')).map(|(_, rows)| rows);
    let header = texts.first().and_then(|text| text.split_once('\n')).map(|(header, _)| header);
    header.map(|header| format!("{header}\n{}", rows.collect::<String>())).unwrap_or_default()
}

/// Implements `rdsprov preflight --fleet`.
pub async fn preflight(file: &Path, options: &PreflightArgs, view: View) -> Result<Exit, CliError> {
    let format = options.output.format;
    let mut wanted = fleet_options(&options.fleet, &options.common)?;
    wanted.run = preflight::run_options(options);
    no_script(format)?;
    let fleet = session::fleet(file)?;
    let terminal = FleetTerminal::new(format, view);
    let stop = cancellation_on_signals();
    let report = session::preflight_fleet(&fleet, &wanted, &terminal, &stop).await?;
    let of_instance = |one: &InstanceReport| {
        one.preflight.as_ref().map(|report| preflight::format_report(report, format))
    };
    print_report(&report, format, of_instance)?;
    Ok(exit(report.status, true))
}

/// Implements `rdsprov apply --fleet`: the records are on stdout, and the report is on stderr.
pub async fn apply(file: &Path, options: &ApplyArgs, view: View) -> Result<Exit, CliError> {
    let format = options.output.format;
    no_script(format)?;
    let mut wanted = fleet_options(&options.fleet, &options.common)?;
    wanted.run = run_options(&options.recording);
    wanted.run.server = (&options.server).into();
    wanted.run.server.additive = options.additive.additive;
    wanted.run.skip_preflight = options.skip_preflight;
    wanted.keep_going = options.no_fail_fast;
    wanted.confirm = !options.recording.yes
        && !options.recording.dry_run
        && std::io::stdin().is_terminal()
        && std::io::stderr().is_terminal();
    let fleet = session::fleet(file)?;
    let shows_records = shows_records(&options.recording, &wanted.config, format)?;
    let terminal = FleetTerminal { shows_records, ..FleetTerminal::new(format, view) };
    if shows_records {
        output::write_stdout(&to_csv(&[], Columns::Fleet));
    }
    let stop = cancellation_on_signals();
    let FleetOutcome { report, error, .. } =
        session::apply_fleet(&fleet, &wanted, &terminal, &stop).await?;
    match format {
        Format::Json => {
            output::write_stdout(&(report.to_json().map_err(CliError::internal)? + "\n"));
        }
        _ => output::status(report.summary().trim_end()),
    }
    if let Some(error) = error {
        return Err(error.into());
    }
    let has_changed =
        !options.recording.dry_run && report.instances.iter().any(|one| one.changes > 0);
    if !report.status.is_failure() && has_changed && !output::flush() {
        return Err(records_lost());
    }
    Ok(exit(report.status, false))
}

fn fleet_options(fleet: &FleetArgs, common: &CommonArgs) -> Result<FleetOptions, CliError> {
    let mut options = FleetOptions::default();
    options.config = session::config(common.config.as_deref())?;
    options.only.clone_from(&fleet.only_instance);
    options.environment.clone_from(&common.env);
    options.parallel = fleet.parallel.unwrap_or(options.parallel);
    options.max_failures =
        if fleet.fail_fast { Some(std::num::NonZeroUsize::MIN) } else { fleet.max_failures };
    Ok(options)
}

/// Returns the exit code for the worst status of all instances.
fn exit(status: InstanceStatus, pending_is_reported: bool) -> Exit {
    match status {
        InstanceStatus::NoChange
        | InstanceStatus::Ready
        | InstanceStatus::Applied
        | InstanceStatus::DryRun
        | InstanceStatus::Reported => Exit::Done,
        InstanceStatus::Pending if pending_is_reported => Exit::Pending,
        InstanceStatus::Pending => Exit::Done,
        InstanceStatus::Refused => Exit::Refused,
        InstanceStatus::Invalid => Exit::Usage,
        InstanceStatus::Partial => Exit::Partial,
        // Instances are left out after a failure, or if the run is stopped.
        _ => Exit::Failed,
    }
}

fn no_script(format: Format) -> Result<(), CliError> {
    if format.is_of_fleets() {
        return Ok(());
    }
    let noun = if format == Format::Sql { "a script is" } else { "annotations are" };
    Err(CliError::usage(format!("{noun} for one server, and not for a fleet"))
        .with_hint("plan one instance without --fleet, or use another --format"))
}

/// Prints the result of each instance under a heading, and the summary.
fn print_report(
    report: &FleetReport,
    format: Format,
    of_instance: impl Fn(&InstanceReport) -> Option<Result<String, CliError>>,
) -> Result<(), CliError> {
    if format == Format::Json {
        output::write_stdout(&(report.to_json().map_err(CliError::internal)? + "\n"));
        return Ok(());
    }
    for one in &report.instances {
        if one.status == InstanceStatus::NoChange {
            continue;
        }
        if let Some(text) = of_instance(one) {
            let heading = heading(&one.instance, &one.environment, format);
            output::write_stdout(&format!("{heading}\n\n{}\n\n", text?.trim_end()));
        }
    }
    let summary = report.summary();
    output::write_stdout(&match format {
        Format::Markdown => format!("## Summary\n\n```\n{summary}```\n"),
        _ => summary,
    });
    Ok(())
}

fn heading(instance: &str, environment: &str, format: Format) -> String {
    let name = format!("{} ({})", visible(instance), visible(environment));
    match format {
        Format::Markdown => format!("## {name}"),
        _ => format!("=== {name} ==="),
    }
}

/// How much of each plan is shown, and the format of errors.
#[derive(Clone, Copy)]
pub struct View {
    pub detail: Detail,
    pub log: LogFormat,
}

/// Prints the progress of all instances to stderr and their records to stdout.
struct FleetTerminal {
    format: Format,
    view: View,
    shows_records: bool,
    /// The plans that are printed, each with the name of its instance.
    printed: Mutex<BTreeSet<(String, String)>>,
    /// Whether an instance that ends is reported.
    reports: AtomicBool,
}

impl FleetTerminal {
    fn new(format: Format, view: View) -> Self {
        Self {
            format,
            view,
            shows_records: false,
            printed: Mutex::default(),
            reports: AtomicBool::new(true),
        }
    }

    /// Prints a plan that contains something, once.
    fn print_plan(&self, instance: &str, plan: &Plan) {
        if self.format == Format::Json || !plan.has_changes() && plan.refusals.is_empty() {
            return;
        }
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        if !printed.insert((instance.to_owned(), plan.digest.clone())) {
            return;
        }
        match format_plan(plan, self.format, self.view.detail) {
            Ok(text) => {
                let heading = heading(instance, &plan.environment, self.format);
                // As for one server: the plan is the result, unless stdout has the records.
                if self.format != Format::Text && !self.shows_records {
                    output::write_stdout(&format!("{heading}\n\n{}\n\n", text.trim_end()));
                    return;
                }
                output::status(&format!("{heading}\n\n{}\n", text.trim_end()));
            }
            Err(error) => error.print(LogFormat::Text),
        }
    }
}

impl FleetFrontend for FleetTerminal {
    fn instance<'a>(&'a self, name: &'a str) -> impl Frontend + 'a {
        InstanceTerminal { fleet: self, name }
    }

    fn on_start(&self, instances: usize) {
        progress::instances(instances);
    }

    fn on_end(&self, report: &InstanceReport) {
        progress::instance_ended();
        if !self.reports.load(Ordering::Relaxed) && report.plan.is_none() {
            // The error of an instance without a plan is printed already.
            return;
        }
        let status = report.status.name().replace('_', " ");
        let changes = match report.changes {
            0 => String::new(),
            changes => format!(", {}", counted(changes, "change")),
        };
        let pending = match report.pending {
            0 => String::new(),
            pending => format!(", {pending} left pending"),
        };
        let line = format!("{}: {status}{changes}{pending}", visible(&report.instance));
        match (self.view.log, report.diagnostics.as_slice()) {
            (_, []) => output::status(&line),
            (LogFormat::Text, errors) => {
                let errors = diagnostic::labelled(errors, &CommandWording);
                output::message(&format!("{line}\n{errors}\n"));
            }
            (LogFormat::Json, errors) => {
                let code = errors.first().map(|error| error.code.name());
                let text: Vec<String> =
                    errors.iter().map(|error| error.text(&CommandWording)).collect();
                let instance = report.instance.as_str();
                tracing::error!(instance, code, "{}", text.join("\n\n"));
            }
        }
    }

    fn on_plans(&self, report: &FleetReport) {
        for one in &report.instances {
            if let Some(plan) = &one.plan {
                self.print_plan(&one.instance, plan);
            }
        }
        if self.format != Format::Json {
            output::status(&report.summary());
        }
        self.reports.store(false, Ordering::Relaxed);
    }

    async fn confirm(&self, _report: &FleetReport) -> bool {
        ask_for("Apply these plans?", "yes").await
    }
}

/// Prints the progress of one instance.
struct InstanceTerminal<'a> {
    fleet: &'a FleetTerminal,
    name: &'a str,
}

impl Frontend for InstanceTerminal<'_> {
    fn on_plan(&self, plan: &Plan) {
        self.fleet.print_plan(self.name, plan);
    }

    fn on_notice(&self, notice: &Notice) {
        output::status(&format!("note: {}: {}", self.name, visible(&notice.to_string())));
    }

    fn on_records(&self, records: &[Record]) {
        if !self.fleet.shows_records {
            return;
        }
        let text = to_csv(records, Columns::Fleet);
        output::write_stdout(text.split_once('\n').map_or("", |(_, rows)| rows));
    }
}

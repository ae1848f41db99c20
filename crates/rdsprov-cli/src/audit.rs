//! Implements `rdsprov audit`: verifies a ledger, and lists the changes that it records.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use rdsprov_core::audit::{
    self, AcknowledgeError, Acknowledgement, Change, Found, UnknownName, Verified,
};
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::input_file;
use rdsprov_core::session::{self, RunOptions, Setup};
use rdsprov_core::text::{os_reason, pretty_json, visible};

use crate::args::{
    AcknowledgeArgs, AuditCommand, FindingsFormat, FoundResult, ReportArgs, VerifyArgs,
};
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::counted;
use crate::wording::path_word;

pub async fn run(command: &AuditCommand) -> Result<Exit, CliError> {
    match command {
        AuditCommand::Verify(options) => verify(options),
        AuditCommand::Report(options) => match &options.ledger {
            Some(path) => report(path, options),
            None => report_tables(options).await,
        },
        AuditCommand::Acknowledge(options) => acknowledge(options),
    }
}

/// Reports the audit tables of a server, and compares them with a ledger.
async fn report_tables(options: &ReportArgs) -> Result<Exit, CliError> {
    let mut builder = Setup::builder().config(session::config(options.config.as_deref())?);
    if let Some(environment) = &options.env {
        builder = builder.environment(environment);
    }
    let setup = builder.without_definitions().build()?;
    let ledger = match &options.audit_ledger {
        Some(path) => Some((path, ledger(path)?)),
        None => None,
    };
    let others = match &ledger {
        Some((path, ledger)) => {
            audit::audited_databases(ledger).map_err(|error| unreadable(path, &error))?
        }
        None => BTreeSet::new(),
    };
    let mut report = setup.audit_tables(&(&options.server).into(), &others).await?;
    if let Some((path, ledger)) = &ledger {
        report.compare(ledger).map_err(|error| unreadable(path, &error))?;
    }
    report
        .select(options.role.as_deref(), options.database.as_deref())
        .map_err(|unknown| unknown_name(&unknown))?;
    output::write_stdout(&match options.format {
        FindingsFormat::Json => report.to_json().map_err(CliError::internal)? + "\n",
        FindingsFormat::Text => report.to_string(),
    });
    Ok(if report.is_consistent() { Exit::Done } else { Exit::Pending })
}

fn verify(options: &VerifyArgs) -> Result<Exit, CliError> {
    let path = &options.ledger;
    let verified = verify_file(path, options.expect.as_deref())?;
    output::write_stdout(&match options.format {
        FindingsFormat::Json => json(&verified)?,
        FindingsFormat::Text => text(path, &verified),
    });
    Ok(if verified.is_intact() { Exit::Done } else { Exit::Failed })
}

fn report(path: &Path, options: &ReportArgs) -> Result<Exit, CliError> {
    let ledger = ledger(path)?;
    let report = audit::report(&ledger, options.role.as_deref(), options.database.as_deref())
        .map_err(|error| unreadable(path, &error))?;
    if let Some(unknown) = &report.unknown {
        return Err(unknown_name(unknown));
    }
    output::write_stdout(&match options.format {
        FindingsFormat::Json => json(&report.changes)?,
        FindingsFormat::Text => {
            let mut text = String::new();
            for finding in &report.verified.findings {
                let _ =
                    writeln!(text, "WARNING: line {}: {}", finding.line, one_line(&finding.error));
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.extend(report.changes.iter().map(Change::to_string));
            text
        }
    });
    if !report.verified.is_intact() {
        return Err(not_intact(path));
    }
    if report.is_certain() {
        return Ok(Exit::Done);
    }
    output::status(&format!(
        "hint: the next run of the same command looks for these changes; if no run can find out about them any more, \
         run `rdsprov audit acknowledge {} --line LINE --found RESULT --reason TEXT`",
        path_word(path)
    ));
    Ok(Exit::Pending)
}

/// Records what a person states about changes without a result.
fn acknowledge(options: &AcknowledgeArgs) -> Result<Exit, CliError> {
    let mut run = RunOptions::default();
    run.actor.clone_from(&options.actor);
    run.approver.clone_from(&options.approver);
    run.request_id.clone_from(&options.request_id);
    let context = run.record_context()?;
    let statement = Acknowledgement {
        lines: options.line.iter().copied().collect(),
        role: options.role.clone(),
        database: options.database.clone(),
        found: match options.found {
            FoundResult::Done => Found::Done,
            FoundResult::NotDone => Found::NotDone,
            FoundResult::Unknown => Found::Unknown,
        },
        reason: options.reason.clone(),
        attribution: context.attribution,
        run_id: context.run_id,
    };
    let changes = audit::acknowledge(&options.ledger, &statement).map_err(|error| {
        let exit = match &error {
            AcknowledgeError::Audit(_) => Exit::Failed,
            _ => Exit::Usage,
        };
        let hints = error.hints();
        hints.into_iter().fold(CliError::new(exit, error.code(), &error), CliError::with_hint)
    })?;
    for change in &changes {
        let text = format!("acknowledged: {} {}", change.step.action, change.step.summary);
        output::write_stdout(&(one_line(&text) + "\n"));
    }
    Ok(Exit::Done)
}

/// Returns the error of a name that no record of a ledger contains.
pub fn unknown_name(unknown: &UnknownName) -> CliError {
    let error = CliError::new(Exit::Failed, unknown.code(), unknown);
    unknown.hints().into_iter().fold(error, CliError::with_hint)
}

/// Reads a ledger.
pub fn ledger(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut ledger = Vec::new();
    open(path)?.read_to_end(&mut ledger).map_err(|error| unreadable(path, &error))?;
    Ok(ledger)
}

/// Returns the error of a ledger with defects.
pub fn not_intact(path: &Path) -> CliError {
    CliError::new(
        Exit::Failed,
        ErrorCode::LedgerDamaged,
        format!("the ledger {} is not intact", path.display()),
    )
    .with_hint(format!("run `rdsprov audit verify {}` to see the lines", path_word(path)))
}

fn verify_file(path: &Path, expected: Option<&str>) -> Result<Verified, CliError> {
    audit::verify(open(path)?, expected).map_err(|error| unreadable(path, &error))
}

fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    input_file::open(path).map(BufReader::new).map_err(|error| unreadable(path, &error))
}

pub fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    let fact = format!("{} cannot be read: {}", path.display(), os_reason(error));
    CliError::new(Exit::Usage, ErrorCode::FileUnreadable, fact)
        .with_hint("check the path and the permissions of the file")
}

fn json(data: &impl serde::Serialize) -> Result<String, CliError> {
    pretty_json(data).map(|text| text + "\n").map_err(CliError::internal)
}

/// Returns a text of a ledger in one line. Its file can contain anything.
fn one_line(text: &impl ToString) -> String {
    visible(&text.to_string())
}

/// Renders the findings as a compiler does: one line each, with file and line number.
fn text(path: &Path, verified: &Verified) -> String {
    let path = visible(&path.display().to_string());
    let mut text = String::new();
    for finding in &verified.findings {
        let _ = writeln!(text, "{path}:{}: {}", finding.line, one_line(&finding.error));
    }
    for note in &verified.notes {
        let _ = writeln!(text, "{path}: note: {}", one_line(note));
    }
    let state = match verified.findings.len() {
        0 => "unchanged since they were written".to_owned(),
        n => counted(n, "defect"),
    };
    let (records, runs) = (counted(verified.records, "record"), counted(verified.runs, "run"));
    let _ = writeln!(text, "{path}: {records} of {runs}, {state}");
    if let Some(since) = verified.since_expected {
        let since = counted(since, "record");
        let _ = writeln!(text, "{path}: the expected record exists, with {since} after it");
    }
    if let Some(head) = verified.head.as_ref().filter(|_| verified.is_intact()) {
        let _ = writeln!(
            text,
            "hash of the last record: {}\nhint: keep it in another place, and give it to the next `rdsprov audit verify` with `--expect`",
            head.hash
        );
    }
    text
}

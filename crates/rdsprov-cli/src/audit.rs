//! `rdsprov audit`: what a ledger tells, and whether it can be believed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use rdsprov_core::audit::{self, Change, Verified};

use crate::args::{AuditCommand, FindingsFormat, ReportArgs, VerifyArgs};
use crate::{CliError, Exit, output};

pub fn run(command: &AuditCommand) -> Result<Exit, CliError> {
    match command {
        AuditCommand::Verify(options) => verify(options),
        AuditCommand::Report(options) => report(options),
    }
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

fn report(options: &ReportArgs) -> Result<Exit, CliError> {
    let path = &options.ledger;
    let verified = verify_file(path, None)?;
    let changes = audit::changes(open(path)?, options.role.as_deref(), options.database.as_deref())
        .map_err(|error| unreadable(path, &error))?;
    output::write_stdout(&match options.format {
        FindingsFormat::Json => json(&changes)?,
        FindingsFormat::Text => changes.iter().map(Change::to_string).collect(),
    });
    if verified.is_intact() {
        return Ok(Exit::Done);
    }
    Err(CliError::new(
        Exit::Failed,
        format!("the ledger is not as it was written: rdsprov audit verify {}", path.display()),
    ))
}

fn verify_file(path: &Path, expected: Option<&str>) -> Result<Verified, CliError> {
    audit::verify(open(path)?, expected).map_err(|error| unreadable(path, &error))
}

fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    File::open(path).map(BufReader::new).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Exit::Usage, format!("{} cannot be read: {error}", path.display()))
}

fn json(data: &impl serde::Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(data)
        .map(|text| text + "\n")
        .map_err(|error| CliError::new(Exit::Failed, error))
}

/// As compilers tell of what is wrong, a line for each finding.
fn text(path: &Path, verified: &Verified) -> String {
    let path = path.display();
    let mut text = String::new();
    for finding in &verified.findings {
        let _ = writeln!(text, "{path}:{}: {}", finding.line, finding.error);
    }
    for note in &verified.notes {
        let _ = writeln!(text, "{path}: note: {note}");
    }
    let Verified { records, runs, .. } = verified;
    let state = match verified.findings.len() {
        0 => "as they were written".to_owned(),
        n => format!("{n} found to be wrong"),
    };
    let _ = writeln!(text, "{path}: {records} records of {runs} runs, {state}");
    if let Some(since) = verified.since_expected {
        let _ = writeln!(text, "{path}: the record expected is there, with {since} after it");
    }
    if let Some(head) = verified.head.as_ref().filter(|_| verified.is_intact()) {
        let _ = writeln!(
            text,
            "head {}\nKeep it elsewhere: `--expect` it the next time, and nothing can be cut off or written anew.",
            head.hash
        );
    }
    text
}

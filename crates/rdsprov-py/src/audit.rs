//! `rdsprov.audit`: verifies a ledger, lists the changes that it records, and reads audit tables.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rdsprov_core::audit;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::input_file;
use rdsprov_core::text::os_reason;
use serde_json::json;

use crate::options::Keywords;
use crate::{errors, values, wait};

/// Opens a ledger and reads it with `read`, without the GIL.
fn read_ledger<T: Send>(
    py: Python<'_>,
    path: &Path,
    read: impl FnOnce(BufReader<File>) -> std::io::Result<T> + Send,
) -> PyResult<T> {
    py.detach(|| input_file::open(path).map(BufReader::new).and_then(read))
        .map_err(|error| unreadable(py, path, &error))
}

fn unreadable(py: Python<'_>, path: &Path, error: &std::io::Error) -> PyErr {
    let fact = format!("{} cannot be read: {}", path.display(), os_reason(error));
    errors::usage_with_code(py, ErrorCode::FileUnreadable, &fact)
}

fn all_bytes(mut ledger: BufReader<File>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ledger.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Implements `rdsprov.audit.verify`.
#[pyfunction]
pub fn verify_ledger<'py>(
    py: Python<'py>,
    path: PathBuf,
    expect: Option<String>,
) -> PyResult<Bound<'py, PyAny>> {
    let verified = read_ledger(py, &path, |ledger| audit::verify(ledger, expect.as_deref()))?;
    let findings: Vec<_> = verified
        .findings
        .iter()
        .map(|finding| {
            let kind = serde_json::to_value(&finding.error).ok();
            let kind = kind.as_ref().and_then(|kind| kind.get("error")).cloned();
            json!({"line": finding.line, "error": kind, "message": finding.error.to_string()})
        })
        .collect();
    let called = json!({
        "records": verified.records,
        "runs": verified.runs,
        "head": verified.head.as_ref().map(|head| &head.hash),
        "since_expected": verified.since_expected,
        "findings": findings,
        "notes": verified.notes,
    });
    values::value(py, "_verified", &called)
}

/// Implements `rdsprov.audit.changes`.
#[pyfunction]
pub fn ledger_changes<'py>(
    py: Python<'py>,
    path: PathBuf,
    role: Option<String>,
    database: Option<String>,
) -> PyResult<Bound<'py, PyTuple>> {
    let report = read_ledger(py, &path, |ledger| {
        audit::report(&all_bytes(ledger)?, role.as_deref(), database.as_deref())
    })?;
    match &report.unknown {
        Some(unknown) => Err(errors::unknown_name(py, unknown)),
        None => values::values(py, "_change", report.changes),
    }
}

/// Implements `rdsprov.audit.tables`.
#[pyfunction]
#[pyo3(signature = (**keywords))]
pub fn audit_tables<'py>(
    py: Python<'py>,
    keywords: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = Keywords(keywords.unwrap_or_else(|| PyDict::new(py)));
    let call = keywords.call()?;
    let (setup, options) = (keywords.setup_without_definitions()?, keywords.server(&call)?);
    let ledger = match keywords.path("audit_ledger")? {
        Some(path) => Some((read_ledger(py, &path, all_bytes)?, path)),
        None => None,
    };
    let others = match &ledger {
        Some((bytes, path)) => {
            audit::audited_databases(bytes).map_err(|error| unreadable(py, path, &error))?
        }
        None => BTreeSet::new(),
    };
    let report = wait::run_interruptible(py, &call, || setup.audit_tables(&options, &others))?;
    let mut report = report.map_err(|error| errors::to_exception(py, &error))?;
    if let Some((bytes, path)) = &ledger {
        report.compare(bytes).map_err(|error| unreadable(py, path, &error))?;
    }
    let (role, database) =
        (keywords.given::<String>("role")?, keywords.given::<String>("database")?);
    report
        .select(role.as_deref(), database.as_deref())
        .map_err(|unknown| errors::unknown_name(py, &unknown))?;
    let called = json!({
        "report": report,
        "is_consistent": report.is_consistent(),
        "text": report.to_string(),
    });
    values::value(py, "_table_report", &called)
}

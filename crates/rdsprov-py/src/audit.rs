//! `rdsprov.audit`: verifies a ledger, and lists the changes that it records.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rdsprov_core::audit;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::input_file;
use rdsprov_core::text::os_reason;
use serde_json::json;

use crate::{errors, values};

/// Opens a ledger and reads it with `read`, without the GIL.
fn read_ledger<T: Send>(
    py: Python<'_>,
    path: &Path,
    read: impl FnOnce(BufReader<File>) -> std::io::Result<T> + Send,
) -> PyResult<T> {
    py.detach(|| input_file::open(path).map(BufReader::new).and_then(read)).map_err(|error| {
        let fact = format!("{} cannot be read: {}", path.display(), os_reason(&error));
        errors::usage_with_code(py, ErrorCode::FileUnreadable, &fact)
    })
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
    let report = read_ledger(py, &path, |mut ledger| {
        let mut bytes = Vec::new();
        ledger.read_to_end(&mut bytes)?;
        audit::report(&bytes, role.as_deref(), database.as_deref())
    })?;
    match &report.unknown {
        Some(unknown) => Err(errors::unknown_name(py, unknown)),
        None => values::values(py, "_change", report.changes),
    }
}

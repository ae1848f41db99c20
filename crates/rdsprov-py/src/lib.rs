//! The extension module of the Python package `rdsprov`.
//!
//! It converts between Python and `rdsprov_core`, and contains no rules about plans, servers or secrets.
//!
//! - `definitions`, `observed`, `plan`, `saved` and `access` wrap types of the core in Python classes.
//! - `calls` has the functions that change nothing, and `runs` those that change a server.
//! - `options` and `mapping` convert Python values to options and definitions; `basis` combines both; `secrets` reads secrets with a
//!   Python callable.
//! - `call` has what ends a call early, and its events; `event_kind` has their kinds.
//! - `wait` runs a call without the GIL and handles signals; `log` forwards log messages to `logging`.
//! - `values` converts plain data to the classes of `rdsprov/_values.py`, and `errors` converts errors to those
//!   of `rdsprov/_errors.py`.

mod access;
mod audit;
mod basis;
mod call;
mod calls;
mod definitions;
mod errors;
mod event_kind;
mod log;
mod mapping;
mod observed;
mod options;
mod plan;
mod runs;
mod saved;
mod secrets;
mod values;
mod wait;
mod wording;

use pyo3::prelude::*;

/// The classes and functions that `rdsprov/__init__.py` exports or calls.
#[pymodule]
mod _rdsprov {
    use std::ffi::OsString;

    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::access::{AccessReport, restore_access};
    #[pymodule_export]
    use crate::audit::{audit_tables, ledger_changes, verify_ledger};
    #[pymodule_export]
    use crate::call::Cancellation;
    #[pymodule_export]
    use crate::calls::{access, check, diff, export, observe, plan, preflight, validate};
    #[pymodule_export]
    use crate::definitions::{Definitions, restore_definitions};
    #[pymodule_export]
    use crate::errors::example_messages;
    #[pymodule_export]
    use crate::mapping::shown;
    #[pymodule_export]
    use crate::observed::{Observed, restore_observed};
    #[pymodule_export]
    use crate::plan::{Plan, restore_plan};
    #[pymodule_export]
    use crate::runs::{apply, delegate, retire, rotate, teardown};
    #[pymodule_export]
    use crate::saved::SavedPlan;
    #[pymodule_export]
    use crate::values::closed_sets;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// Runs the command and returns its exit code. The first argument is the name of the program.
    #[pyfunction]
    fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
        py.detach(|| rdsprov_cli::run(arguments))
    }
}

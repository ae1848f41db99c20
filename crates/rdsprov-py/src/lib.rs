//! `import rdsprov`: Python objects around the core. It holds no rules of its own.
//!
//! `definitions`, `observed` and `plan` are the objects that hold something of the core's; `calls` are the
//! functions that contact something, and `wait` is how they wait: the GIL released, signals heeded, the log
//! going to `logging` (`log`). What is plain data leaves as the classes of `rdsprov/_values.py`, and what
//! goes wrong as those of `rdsprov/_errors.py`.

mod access;
mod audit;
mod calls;
mod definitions;
mod errors;
mod log;
mod mapping;
mod observed;
mod options;
mod plan;
mod secrets;
mod values;
mod wait;

use pyo3::prelude::*;

/// What `rdsprov` is made of.
#[pymodule]
mod _rdsprov {
    use std::ffi::OsString;

    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::access::{AccessReport, restore_access};
    #[pymodule_export]
    use crate::audit::{ledger_changes, verify_ledger};
    #[pymodule_export]
    use crate::calls::{access, apply, check, diff, observe, plan, validate};
    #[pymodule_export]
    use crate::definitions::{Definitions, restore_definitions};
    #[pymodule_export]
    use crate::observed::{Observed, restore_observed};
    #[pymodule_export]
    use crate::plan::{Plan, restore_plan};
    #[pymodule_export]
    use crate::values::closed_sets;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// Runs the command with its arguments, the program's name first; gives its exit code.
    #[pyfunction]
    fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
        py.detach(|| rdsprov_cli::run(arguments))
    }
}

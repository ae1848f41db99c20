//! Implements `rdsprov explain`.

use std::fmt::Write as _;

use rdsprov_core::explain::Code;

use crate::error::{CliError, Exit};
use crate::output;

pub fn run(code: Option<&str>) -> Result<Exit, CliError> {
    let mut text = String::new();
    match code {
        None => {
            for code in Code::all() {
                let _ = writeln!(text, "{}[{}]: {}", code.kind(), code.name(), code.summary());
            }
        }
        Some(name) => {
            let codes = Code::find(name).map_err(|error| {
                let hint = match &error.nearest {
                    Some(nearest) => format!("run `rdsprov explain {nearest}`"),
                    None => "run `rdsprov explain` for a list of all codes".to_owned(),
                };
                CliError::usage(error).with_hint(hint)
            })?;
            for (number, code) in codes.into_iter().enumerate() {
                let gap = if number == 0 { "" } else { "\n" };
                let _ =
                    write!(text, "{gap}{}[{}]\n\n{}", code.kind(), code.name(), code.explanation());
                if let Some(title) = code.runbook_section() {
                    let _ = writeln!(text, "\nRunbook (docs/runbook.md): {title}.");
                }
            }
        }
    }
    output::write_stdout(&text);
    Ok(Exit::Done)
}

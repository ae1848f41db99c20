//! Implements `rdsprov validate`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use rdsprov_core::privilege::AccessLevel;
use rdsprov_core::text::{pretty_json, visible};

use crate::args::{Format, ValidateArgs};
use crate::error::{CliError, Exit};
use crate::{output, setup};

pub fn run(options: &ValidateArgs) -> Result<Exit, CliError> {
    let definitions = setup::definitions(&options.common)?;
    let text = match options.output.format {
        Format::Json => pretty_json(&definitions).map_err(CliError::internal)? + "\n",
        // The command line accepts no other format.
        _ => {
            let mut text = match &definitions.environment {
                Some(environment) => format!("environment {environment}"),
                None => "no environment".to_owned(),
            };
            let _ = writeln!(text, ", {} mode", definitions.mode);
            if definitions.applications.is_empty() {
                text.push_str("no applications are declared\n");
            }
            for app in definitions.applications.values() {
                let access = match app.access_level {
                    AccessLevel::None => "no access to".to_owned(),
                    level => format!("{level} of"),
                };
                let line = format!(
                    "{}: {access} database {} as {}",
                    app.application, app.database_name, app.username
                );
                let _ = writeln!(text, "  {}", visible(&line));
            }
            let owned: BTreeSet<_> = definitions
                .applications
                .values()
                .filter(|app| app.access_level == AccessLevel::Owner)
                .map(|app| &app.database_name)
                .collect();
            let used: BTreeSet<_> =
                definitions.applications.values().map(|app| &app.database_name).collect();
            for database in used.difference(&owned) {
                let note = format!(
                    "note: no application owns database {database}, so that it must exist already"
                );
                let _ = writeln!(text, "{}", visible(&note));
            }
            text
        }
    };
    output::write_stdout(&text);
    Ok(Exit::Done)
}

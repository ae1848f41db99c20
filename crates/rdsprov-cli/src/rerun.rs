//! The command that applies a plan which a gate has refused: that of the user, with what was missing.

use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use rdsprov_core::gate::{GateError, Missing};
use rdsprov_core::plan::Plan;
use rdsprov_core::text::visible;

use crate::wording::{APPROVAL, quoted, with_value};

/// The words of the command that runs.
static WORDS: Mutex<Vec<OsString>> = Mutex::new(Vec::new());

/// Keeps the words of the command that runs.
pub fn start(words: &[OsString]) {
    words.clone_into(&mut WORDS.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The command that runs, with what was missing.
#[derive(Debug, PartialEq, Eq)]
pub struct Rerun(Missing);

impl Rerun {
    /// Returns the command that passes the gates for a plan, if a user can decide that.
    pub fn passing(gate: &GateError, plan: &Plan) -> Option<Self> {
        gate.missing(plan).map(Self)
    }

    /// Returns how to apply the plan that was refused, with the command after `before` and before `after`.
    pub fn hint(&self, [before, after]: [&str; 2]) -> String {
        format!("to apply exactly this plan, run{before}{}{after}", visible(&self.command()))
    }

    /// Returns the command that runs, with what was missing.
    fn command(&self) -> String {
        self.command_line(&WORDS.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the command for a shell: the words of the user, with what was missing.
    fn command_line(&self, arguments: &[OsString]) -> String {
        // What comes after `--` is read as names, whatever it begins with.
        let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
        let (arguments, names) = arguments.split_at(end);
        let shown = |word: &OsString| quoted(&word.to_string_lossy());
        let mut words = Vec::new();
        words.extend(self.0.digest.iter().map(|digest| format!("{APPROVAL}={digest}")));
        words.push("rdsprov".to_owned());
        words.extend(arguments.iter().skip(1).map(shown));
        if !self.0.allow.is_empty() {
            let hazards: Vec<&str> = self.0.allow.iter().map(|hazard| hazard.name()).collect();
            words.push(with_value("allow", &hazards.join(",")));
        }
        let is_confirmed = |name: &str| {
            let given = format!("--confirm={name}");
            arguments.iter().any(|word| *word == *given)
                || arguments.windows(2).any(|two| two[0] == "--confirm" && two[1] == name)
        };
        for database in self.0.confirm.iter().filter(|one| !is_confirmed(one.as_str())) {
            words.push(with_value("confirm", database.as_str()));
        }
        words.extend(names.iter().map(shown));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rdsprov_core::name::DatabaseName;
    use rdsprov_core::plan::Hazard;

    use super::*;
    use crate::args::{CliCommand, CommandLine};

    #[test]
    fn command_has_the_words_of_the_user_and_what_was_missing() {
        let rerun = Rerun(Missing {
            digest: Some("sha256:1".to_owned()),
            allow: vec![Hazard::Adopts, Hazard::RevokesAccess],
            confirm: ["hr", "it's", "shop"].map(DatabaseName::new_unchecked).into(),
        });
        let words =
            ["/usr/bin/rdsprov", "retire", "-d", "a b.tfvars", "--confirm=hr", "--confirm", "shop"];
        assert_eq!(
            rerun.command_line(&words.map(OsString::from)),
            r"ALLOW_DB_PROVISION=sha256:1 rdsprov retire -d 'a b.tfvars' --confirm=hr --confirm shop --allow adopts,revokes_access --confirm 'it'\''s'"
        );
        // Names that begin with `-`, and what is not an option after `--`.
        let rerun = Rerun(Missing {
            digest: None,
            allow: vec![Hazard::DropsDatabase],
            confirm: ["--all", "-rf", "hr"].map(DatabaseName::new_unchecked).into(),
        });
        let words = ["rdsprov", "retire", "--confirm=--all", "--", "-rf", "--confirm=hr"];
        let line = rerun.command_line(&words.map(OsString::from));
        assert_eq!(
            line,
            "rdsprov retire --confirm=--all --allow drops_database --confirm=-rf --confirm hr -- -rf --confirm=hr"
        );
        // The command reads it as it is meant.
        let parsed = CommandLine::try_parse_from(line.split(' ')).unwrap();
        let CliCommand::Retire(options) = parsed.command else { panic!("{line}") };
        assert_eq!(options.applications, ["-rf", "--confirm=hr"]);
    }
}

//! The command that applies a plan which a gate has refused: that of the user, with what was missing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use rdsprov_core::gate::GateError;
use rdsprov_core::name::DatabaseName;
use rdsprov_core::plan::{Action, Hazard, Plan};
use rdsprov_core::policy::ApprovalPolicy;

/// The words of the command that runs.
static WORDS: Mutex<Vec<OsString>> = Mutex::new(Vec::new());

/// Keeps the words of the command that runs.
pub fn start(words: &[OsString]) {
    words.clone_into(&mut WORDS.lock().unwrap_or_else(PoisonError::into_inner));
}

/// What a command needs in addition, so that the gates allow the plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rerun {
    /// The digest of the plan, if the environment requires an approval.
    digest: Option<String>,
    allow: Vec<Hazard>,
    /// The databases that the plan drops.
    confirm: BTreeSet<DatabaseName>,
}

impl Rerun {
    /// Returns what passes the gates for a plan, if a user can decide that. Without a plan, nothing was
    /// contacted, and the gate has the digest of a saved plan.
    pub fn passing(gate: &GateError, plan: Option<&Plan>) -> Option<Self> {
        let required =
            |plan: &Plan| plan.origin.approval.as_deref() != Some(ApprovalPolicy::None.name());
        let digest = match gate {
            GateError::ApprovalMissing { digest, .. }
            | GateError::PlanApprovalMissing { digest, .. }
            | GateError::Stale { digest, .. } => Some(digest.clone()),
            GateError::Hazards { .. } | GateError::DropUnconfirmed { .. } => None,
            _ => return None,
        };
        let of_plan = plan.filter(|plan| required(plan)).map(|plan| plan.digest.clone());
        let allow = plan.map(Plan::hazards_to_allow).unwrap_or_default();
        let drops = plan.into_iter().flat_map(Plan::steps);
        let drops = drops.filter(|step| step.action == Action::DropDatabase);
        let confirm = drops.filter_map(|step| step.database.clone()).collect();
        Some(Self { digest: digest.or(of_plan), allow, confirm })
    }

    /// Returns the command that runs, with what was missing.
    pub fn command(&self) -> String {
        self.command_line(&WORDS.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the command for a shell: the words of the user, with what was missing.
    fn command_line(&self, arguments: &[OsString]) -> String {
        let mut words = Vec::new();
        words.extend(self.digest.iter().map(|digest| format!("ALLOW_DB_PROVISION={digest}")));
        words.push("rdsprov".to_owned());
        words.extend(arguments.iter().skip(1).map(|word| quoted(&word.to_string_lossy())));
        if !self.allow.is_empty() {
            let names: Vec<&str> = self.allow.iter().map(|hazard| hazard.name()).collect();
            words.extend(["--allow".to_owned(), names.join(",")]);
        }
        let is_confirmed = |name: &str| {
            let given = format!("--confirm={name}");
            arguments.iter().any(|word| *word == *given)
                || arguments.windows(2).any(|two| two[0] == "--confirm" && two[1] == name)
        };
        for database in self.confirm.iter().filter(|one| !is_confirmed(one.as_str())) {
            words.extend(["--confirm".to_owned(), quoted(database.as_str())]);
        }
        words.join(" ")
    }
}

/// Returns a word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_has_the_words_of_the_user_and_what_was_missing() {
        let rerun = Rerun {
            digest: Some("sha256:1".to_owned()),
            allow: vec![Hazard::Adopts, Hazard::RevokesAccess],
            confirm: ["hr", "it's", "shop"].map(DatabaseName::new_unchecked).into(),
        };
        let words =
            ["/usr/bin/rdsprov", "retire", "-d", "a b.tfvars", "--confirm=hr", "--confirm", "shop"];
        assert_eq!(
            rerun.command_line(&words.map(OsString::from)),
            r"ALLOW_DB_PROVISION=sha256:1 rdsprov retire -d 'a b.tfvars' --confirm=hr --confirm shop --allow adopts,revokes_access --confirm 'it'\''s'"
        );
        let (environment, digest) = ("prod".to_owned(), "sha256:1".to_owned());
        let missing = GateError::ApprovalMissing { environment, digest: digest.clone() };
        let rerun = Rerun { digest: Some(digest), ..Rerun::default() };
        assert_eq!(Rerun::passing(&missing, None), Some(rerun));
        let invalid = GateError::InvalidApproval { value: "x".to_owned() };
        assert_eq!(Rerun::passing(&invalid, None), None);
    }
}

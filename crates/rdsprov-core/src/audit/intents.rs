//! Finds the intents of a ledger whose steps have no result.
//!
//! A run records the result of each step of its intent. If it is killed, or cannot write its
//! records, results are missing. The next run of the same command on the same server records what
//! it finds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};

use serde::Deserialize;

use super::ledger::{Line, Link, for_each_line};
use super::missing_steps::MissingSteps;
use super::{AnnouncedStep, Command, LedgerWriter, RunContext};

/// An intent of an earlier run, with the steps that have no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnrecordedIntent {
    /// The line of the intent, from 1.
    pub line: u64,
    /// The number of the intent.
    pub sequence: u64,
    /// The run id of the earlier run.
    pub run_id: String,
    /// The SHA-256 of its definitions files.
    pub definitions: Option<String>,
    /// The number of all steps of the intent.
    pub announced: usize,
    /// The steps that have no result, in the order of the plan.
    pub steps: Vec<AnnouncedStep>,
    /// The number of steps of which the run has recorded that it does not know the result.
    pub unknown: usize,
    /// Whether the run has recorded its outcome.
    pub ended: bool,
    environment: String,
    server: Option<String>,
    system_identifier: Option<String>,
    command: Option<String>,
}

impl UnrecordedIntent {
    /// Returns the intent of a run without a ledger, whose steps have no known result.
    #[cfg(feature = "postgres")]
    pub(crate) fn without_ledger(context: &RunContext, steps: Vec<AnnouncedStep>) -> Self {
        Self {
            line: 0,
            sequence: 0,
            run_id: context.run_id.clone(),
            definitions: context.definitions.clone(),
            announced: steps.len(),
            unknown: steps.len(),
            steps,
            ended: false,
            environment: context.environment.clone(),
            server: context.server.clone(),
            system_identifier: context.system_identifier.clone(),
            command: None,
        }
    }

    /// Returns whether the steps of the intent are about a system. A server that does not show its system
    /// identifier may be another one, unless the intent does not contain it either.
    pub(crate) fn is_of_system(&self, system: Option<&str>) -> bool {
        // Earlier versions did not record it.
        self.system_identifier.as_deref().is_none_or(|of_intent| system == Some(of_intent))
    }

    /// Returns whether a run can record what it finds: the intent is for the same command,
    /// environment and server.
    fn concerns(&self, context: &RunContext, command: Command) -> bool {
        self.environment == context.environment
            && self.server == context.server
            && self.is_of_system(context.system_identifier.as_deref())
            && self.command.as_deref().unwrap_or(Command::default().name()) == command.name()
    }
}

/// An intent for whose last missing step a later run has recorded what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recovery {
    /// The line of the intent.
    pub line: u64,
    /// The run id of the earlier run.
    pub of_run: String,
    /// The run id of the run that has recorded it, and the line.
    pub by: (String, u64),
}

/// The keys of a record that show which steps of an intent have a result. A record of a later
/// format version may have others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    environment: String,
    server: Option<String>,
    system_identifier: Option<String>,
    definitions: Option<String>,
    command: Option<String>,
    transactions: Vec<TransactionSteps>,
    status: Option<String>,
    of_intent: Option<u64>,
    action: Option<String>,
    application: Option<String>,
    role: Option<String>,
    database: Option<String>,
    summary: Option<String>,
}

/// The steps of a transaction of an intent.
#[derive(Debug, Deserialize)]
struct TransactionSteps {
    steps: Vec<AnnouncedStep>,
}

impl Details {
    /// Returns the step that the record is about; `None` if it is not about a step.
    fn step(self) -> Option<AnnouncedStep> {
        Some(AnnouncedStep {
            action: self.action?,
            application: self.application?,
            role: self.role,
            database: self.database,
            summary: self.summary?,
        })
    }
}

/// An intent, while the results of its steps are read.
#[derive(Debug)]
struct OpenIntent {
    /// The intent, without its steps.
    intent: UnrecordedIntent,
    missing: MissingSteps<AnnouncedStep>,
}

/// The intents of a ledger, while its records are read in order.
#[derive(Debug, Default)]
pub(super) struct Intents {
    /// The intents with steps without result, by number.
    open: BTreeMap<u64, OpenIntent>,
    /// The numbers of the intents of each run that has no outcome yet.
    of_run: BTreeMap<String, Vec<u64>>,
    recoveries: Vec<Recovery>,
}

impl Intents {
    /// Reads the next record; `text` is its line.
    pub fn record(&mut self, line: u64, link: &Link, text: &[u8]) {
        let details: Details = serde_json::from_slice(text).unwrap_or_default();
        match link.event.as_str() {
            "intent" => {
                let steps: Vec<AnnouncedStep> =
                    details.transactions.into_iter().flat_map(|one| one.steps).collect();
                self.of_run.entry(link.run_id.clone()).or_default().push(link.sequence);
                if steps.is_empty() {
                    return;
                }
                let intent = UnrecordedIntent {
                    line,
                    sequence: link.sequence,
                    run_id: link.run_id.clone(),
                    definitions: details.definitions,
                    announced: steps.len(),
                    steps: Vec::new(),
                    unknown: 0,
                    ended: false,
                    environment: details.environment,
                    server: details.server,
                    system_identifier: details.system_identifier,
                    command: details.command,
                };
                let missing = MissingSteps::new(steps);
                self.open.insert(link.sequence, OpenIntent { intent, missing });
            }
            // The steps of a dry run have no intent.
            "step" if details.status.as_deref() != Some("dry_run") => {
                let last = self.of_run.get(&link.run_id).and_then(|all| all.last());
                let Some(sequence) = last.copied() else { return };
                if details.status.as_deref() != Some("unknown") {
                    self.result(sequence, details);
                } else if let Some(open) = self.open.get_mut(&sequence) {
                    // The step remains without a result, which a later run finds.
                    open.intent.unknown += 1;
                }
            }
            "recovered" => {
                let Some(sequence) = details.of_intent else { return };
                if let Some(intent) = self.result(sequence, details) {
                    let by = (link.run_id.clone(), line);
                    self.recoveries.push(Recovery { line: intent.line, of_run: intent.run_id, by });
                }
            }
            "outcome" => {
                for sequence in self.of_run.remove(&link.run_id).unwrap_or_default() {
                    if let Some(open) = self.open.get_mut(&sequence) {
                        open.intent.ended = true;
                    }
                }
            }
            _ => {}
        }
    }

    /// Reads the result of a step. Returns the intent if none of its steps is missing any more.
    fn result(&mut self, sequence: u64, details: Details) -> Option<UnrecordedIntent> {
        let step = details.step()?;
        let open = self.open.get_mut(&sequence)?;
        open.missing.take(&step)?;
        if !open.missing.is_empty() {
            return None;
        }
        self.open.remove(&sequence).map(|open| open.intent)
    }

    /// Returns the intents with steps without result, and those that later runs have completed.
    pub fn end(self) -> (Vec<UnrecordedIntent>, Vec<Recovery>) {
        let open = self.open.into_values().map(|OpenIntent { intent, missing }| UnrecordedIntent {
            steps: missing.into_steps(),
            ..intent
        });
        (open.collect(), self.recoveries)
    }
}

impl LedgerWriter {
    /// Returns the intents of earlier runs with steps that have no result, if a run with this
    /// context and command can find out what became of them.
    ///
    /// The caller holds the lock on the server, so that no other run is still executing one of them.
    ///
    /// # Errors
    /// Returns an error if the ledger cannot be read.
    pub fn unrecorded(
        &self,
        context: &RunContext,
        command: Command,
    ) -> io::Result<Vec<UnrecordedIntent>> {
        let mut intents = Intents::default();
        for_each_line(BufReader::new(File::open(self.path())?), |number, line| {
            if let Line::Whole(link) = Line::read(line) {
                intents.record(number, &link, line);
            }
        })?;
        let (open, _) = intents.end();
        Ok(open.into_iter().filter(|intent| intent.concerns(context, command)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{EventKind, EventRecorder, Found};
    use crate::plan::{Plan, SecretFindings, test_states};

    /// Another server can answer at the same address: a tunnel, or a server that was created anew.
    #[test]
    fn intent_concerns_one_system() {
        let intent = |system: &str| {
            let mut intents = Intents::default();
            let link = Link {
                format_version: 3,
                sequence: 1,
                timestamp_utc: String::new(),
                run_id: "one".to_owned(),
                event: "intent".to_owned(),
                previous: None,
                hash: String::new(),
            };
            let text = format!(
                r#"{{"environment": "dev", "server": "db:5432", {system} "transactions": [{{"steps":
                [{{"action": "create_role", "application": "shop", "summary": "role shop_owner"}}]}}]}}"#
            );
            intents.record(1, &link, text.as_bytes());
            intents.end().0.remove(0)
        };
        let context = |system: Option<&str>| RunContext {
            environment: "dev".to_owned(),
            server: Some("db:5432".to_owned()),
            system_identifier: system.map(str::to_owned),
            ..RunContext::default()
        };
        let (of_one, of_unknown) = (intent(r#""system_identifier": "1","#), intent(""));
        for (intent, system, expected) in [
            (&of_one, Some("1"), true),
            (&of_one, Some("2"), false),
            (&of_one, None, false),
            (&of_unknown, Some("2"), true),
        ] {
            assert_eq!(intent.concerns(&context(system), Command::default()), expected);
        }

        // The same for a run that looks what became of its own changes.
        let desired = test_states::desired();
        let mut plan = Plan::new(&desired, &test_states::observed(), SecretFindings::default());
        let steps: Vec<AnnouncedStep> = plan.steps().map(Into::into).collect();
        assert!(!steps.is_empty());
        for (intent, system, expected) in [
            (&of_one, Some("1"), Found::NotDone),
            (&of_one, Some("2"), Found::Unknown),
            (&of_one, None, Found::Unknown),
            (&of_unknown, Some("2"), Found::NotDone),
        ] {
            let intent = UnrecordedIntent { steps: steps.clone(), ..intent.clone() };
            plan.origin.system_identifier = system.map(str::to_owned);
            for event in EventRecorder::default().recovered(&plan, &intent) {
                let EventKind::Recovered { found, .. } = event.kind else { panic!("{event:?}") };
                assert_eq!(found, expected);
            }
        }
    }
}

//! Finds the intents of a ledger whose steps have no result.
//!
//! A run records the result of each step of its intent. If it is killed, or cannot write its
//! records, results are missing. Later runs of the same command on the same server record what they find.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};

use serde::Deserialize;

use super::ledger::{Line, Link, for_each_line};
use super::missing_steps::MissingSteps;
use super::{AnnouncedStep, Command, LedgerWriter, RunContext};

/// What tells the records of one run from those of others. Several processes can have the same run id, such as
/// the jobs of one workflow, and write to the same ledger; only one of them at a time changes a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RunKey {
    pub run_id: String,
    environment: String,
    scope: Option<String>,
    server: Option<String>,
    system_identifier: Option<String>,
    instance: Option<String>,
}

impl From<&RunContext> for RunKey {
    fn from(context: &RunContext) -> Self {
        Self {
            run_id: context.run_id.clone(),
            environment: context.environment.clone(),
            scope: context.scope.clone(),
            server: context.server.clone(),
            system_identifier: context.system_identifier.clone(),
            instance: context.instance.clone(),
        }
    }
}

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
    /// The short digest of the definition of each application, if the run was to apply all of them.
    pub(super) definition_digests: BTreeMap<String, String>,
    pub(super) run: RunKey,
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
            definition_digests: BTreeMap::new(),
            run: context.into(),
            command: None,
        }
    }

    /// Returns whether the steps of the intent are about a system. A server that does not show its system
    /// identifier may be another one, unless the intent does not contain it either.
    pub(crate) fn is_of_system(&self, system: Option<&str>) -> bool {
        // Earlier versions did not record it.
        self.run.system_identifier.as_deref().is_none_or(|of_intent| system == Some(of_intent))
    }

    /// Returns whether a run can record what it finds: the intent is for the same command,
    /// environment, scope and server.
    fn concerns(&self, context: &RunContext, command: Command) -> bool {
        self.run.environment == context.environment
            && self.run.scope == context.scope
            && self.run.server == context.server
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
    /// The number of steps of which no run can find out any more whether they were executed.
    pub undecided: usize,
}

/// What a person has stated about steps of an intent, in one or several records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// The person.
    pub actor: String,
    /// The run id of the intent.
    pub of_run: String,
    /// The number of steps.
    pub steps: usize,
    /// The line of the last record.
    pub line: u64,
}

/// The keys of a record that show which steps of an intent have a result. A record of a later
/// format version may have others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    environment: String,
    scope: Option<String>,
    server: Option<String>,
    system_identifier: Option<String>,
    instance: Option<String>,
    definition_digests: BTreeMap<String, String>,
    definitions: Option<String>,
    command: Option<String>,
    transactions: Vec<TransactionSteps>,
    status: Option<String>,
    of_intent: Option<u64>,
    of_run: String,
    actor: String,
    found: Option<String>,
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
    fn run(&self, link: &Link) -> RunKey {
        RunKey {
            run_id: link.run_id.clone(),
            environment: self.environment.clone(),
            scope: self.scope.clone(),
            server: self.server.clone(),
            system_identifier: self.system_identifier.clone(),
            instance: self.instance.clone(),
        }
    }

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
    /// The number of steps of which no run can find out any more whether they were executed.
    undecided: usize,
}

/// A step of which a run has found out that later runs cannot find out about it any more, as soon as this run
/// has changed something.
#[derive(Debug)]
struct Undecided {
    intent: u64,
    step: AnnouncedStep,
    line: u64,
}

/// The intents of a ledger, while its records are read in order.
#[derive(Debug, Default)]
pub(super) struct Intents {
    /// The intents with steps without result, by number.
    open: BTreeMap<u64, OpenIntent>,
    /// The numbers of the intents of each run that has no outcome yet.
    of_run: BTreeMap<RunKey, Vec<u64>>,
    undecided: BTreeMap<RunKey, Vec<Undecided>>,
    recoveries: Vec<Recovery>,
    /// By the number of the intent, and the person.
    acknowledged: BTreeMap<(u64, String), Acknowledged>,
}

impl Intents {
    /// Reads the next record, and returns its run; `text` is its line.
    pub fn record(&mut self, line: u64, link: &Link, text: &[u8]) -> RunKey {
        let details: Details = serde_json::from_slice(text).unwrap_or_default();
        let run = details.run(link);
        match link.event.as_str() {
            "intent" => {
                let steps: Vec<AnnouncedStep> =
                    details.transactions.into_iter().flat_map(|one| one.steps).collect();
                self.of_run.entry(run.clone()).or_default().push(link.sequence);
                if steps.is_empty() {
                    return run;
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
                    definition_digests: details.definition_digests,
                    run: run.clone(),
                    command: details.command,
                };
                let missing = MissingSteps::new(steps);
                self.open.insert(link.sequence, OpenIntent { intent, missing, undecided: 0 });
            }
            // The steps of a dry run have no intent.
            "step" if details.status.as_deref() != Some("dry_run") => {
                let status = details.status.clone();
                if matches!(status.as_deref(), Some("success" | "unknown")) {
                    self.give_up(&run);
                }
                let last = self.of_run.get(&run).and_then(|all| all.last());
                let Some(sequence) = last.copied() else { return run };
                if status.as_deref() != Some("unknown") {
                    if let Some(step) = details.step() {
                        self.result(sequence, &step);
                    }
                } else if let Some(open) = self.open.get_mut(&sequence) {
                    // The step remains without a result, which a later run finds.
                    open.intent.unknown += 1;
                }
            }
            "recovered" => {
                let Some(sequence) = details.of_intent else { return run };
                // A run with the run id of this intent is another one: it does not complete the intent.
                if let Some(all) = self.of_run.get_mut(&run) {
                    all.retain(|one| *one != sequence);
                }
                let is_unknown = details.found.as_deref() == Some("unknown");
                let Some(step) = details.step() else { return run };
                if is_unknown {
                    let all = self.undecided.entry(run.clone()).or_default();
                    all.push(Undecided { intent: sequence, step, line });
                } else if let Some(open) = self.result(sequence, &step) {
                    self.recovered(open, (link.run_id.clone(), line));
                }
            }
            "acknowledged" => {
                let Some(sequence) = details.of_intent else { return run };
                let (of_run, actor) = (details.of_run.clone(), details.actor.clone());
                let key = (sequence, actor.clone());
                let new = Acknowledged { actor, of_run, steps: 0, line };
                let all = self.acknowledged.entry(key).or_insert(new);
                (all.steps, all.line) = (all.steps + 1, line);
                if let Some(step) = details.step() {
                    self.result(sequence, &step);
                }
            }
            "outcome" => {
                if matches!(details.status.as_deref(), Some("success" | "no_change")) {
                    self.give_up(&run);
                }
                self.undecided.remove(&run);
                for sequence in self.of_run.remove(&run).unwrap_or_default() {
                    if let Some(open) = self.open.get_mut(&sequence) {
                        open.intent.ended = true;
                    }
                }
            }
            _ => {}
        }
        run
    }

    /// Reads the result of a step. Returns the intent if none of its steps is missing any more.
    fn result(&mut self, sequence: u64, step: &AnnouncedStep) -> Option<OpenIntent> {
        let open = self.open.get_mut(&sequence)?;
        open.missing.take(step)?;
        if !open.missing.is_empty() {
            return None;
        }
        self.open.remove(&sequence)
    }

    /// Ends the search for the steps that a run could not find out about: it has changed the server since.
    fn give_up(&mut self, run: &RunKey) {
        for Undecided { intent, step, line } in self.undecided.remove(run).unwrap_or_default() {
            if let Some(open) = self.open.get_mut(&intent) {
                open.undecided += 1;
            }
            if let Some(open) = self.result(intent, &step) {
                self.recovered(open, (run.run_id.clone(), line));
            }
        }
    }

    fn recovered(&mut self, OpenIntent { intent, undecided, .. }: OpenIntent, by: (String, u64)) {
        self.recoveries.push(Recovery { line: intent.line, of_run: intent.run_id, by, undecided });
    }

    /// Returns the intents with steps without result, those that later runs have completed, and what persons
    /// have stated.
    pub fn end(self) -> (Vec<UnrecordedIntent>, Vec<Recovery>, Vec<Acknowledged>) {
        let open = self.open.into_values().map(|OpenIntent { intent, missing, .. }| {
            UnrecordedIntent { steps: missing.into_steps(), ..intent }
        });
        (open.collect(), self.recoveries, self.acknowledged.into_values().collect())
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
        let (open, ..) = intents.end();
        Ok(open.into_iter().filter(|intent| intent.concerns(context, command)).collect())
    }
}

#[cfg(test)]
mod tests;

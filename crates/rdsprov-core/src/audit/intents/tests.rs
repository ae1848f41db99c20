use super::*;
use std::fs;
use std::time::Duration;

use jiff::Timestamp;

use crate::audit::{
    AccessAt, Acknowledgement, Attribution, ChangeResult, Event, EventKind, EventRecorder,
    FailureCodes, Found, LedgerTime, Status, UncertainEffect, access_at, acknowledge, report,
    verify,
};
use crate::name::ApplicationName;
use crate::plan::{Plan, SecretFindings, test_states};
use crate::step_result::{StepResult, StepStatus};

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
        (&of_one, Some("1"), true),
        (&of_one, Some("2"), false),
        (&of_one, None, false),
        (&of_unknown, Some("2"), true),
    ] {
        let intent = UnrecordedIntent { steps: steps.clone(), ..intent.clone() };
        plan.origin.system_identifier = system.map(str::to_owned);
        let events = EventRecorder::default().recovered(&plan, &intent);
        assert_eq!(events.len(), if expected { steps.len() } else { 0 });
        for event in events {
            let EventKind::Recovered { found, .. } = event.kind else { panic!("{event:?}") };
            assert_eq!(found, Found::NotDone);
        }
    }
}

/// A ledger, and a plan with all steps of new definitions.
struct Fixture {
    _directory: tempfile::TempDir,
    ledger: LedgerWriter,
    plan: Plan,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ledger = LedgerWriter::open(&directory.path().join("ledger.jsonl")).unwrap();
        let desired = test_states::desired();
        let plan = Plan::new(&desired, &test_states::observed(), SecretFindings::default());
        Self { _directory: directory, ledger, plan }
    }

    /// Returns a plan of a server that is as declared.
    fn nothing_to_do(&self) -> Plan {
        let mut plan = self.plan.clone();
        plan.transactions.clear();
        plan
    }

    fn append(&self, run: &EventRecorder, events: &[Event]) {
        self.ledger.append(&run.context, events).unwrap();
    }

    /// Records the results of all steps of the plan, and the outcome.
    fn finish(&self, run: &EventRecorder, status: Status) {
        let result = StepResult {
            status: StepStatus::Success,
            duration: Duration::ZERO,
            at: Timestamp::now(),
        };
        for transaction in &self.plan.transactions {
            let results = vec![result.clone(); transaction.steps.len()];
            self.append(run, &run.results(&transaction.steps, &results));
        }
        self.end(run, status);
    }

    fn end(&self, run: &EventRecorder, status: Status) {
        self.append(run, &[run.outcome(status, "", FailureCodes::default(), false)]);
    }

    /// Records what a run finds, as `apply` does. Returns what it has found.
    fn recover(&self, run: &EventRecorder, plan: &Plan) -> Vec<Found> {
        let mut all = Vec::new();
        for intent in self.ledger.unrecorded(&run.context, run.command).unwrap() {
            let events = run.recovered(plan, &intent);
            self.append(run, &events);
            all.extend(events.iter().map(|event| match event.kind {
                EventKind::Recovered { found, .. } => found,
                _ => panic!("{event:?}"),
            }));
        }
        all
    }

    fn text(&self) -> Vec<u8> {
        fs::read(self.ledger.path()).unwrap()
    }

    /// Returns the number of changes that were committed, and of those that may have been.
    fn reported(&self) -> (usize, usize) {
        let report = report(&self.text(), None, None).unwrap();
        let is_unknown = |one: &&super::super::Change| one.result == ChangeResult::Unknown;
        let unknown = report.changes.iter().filter(is_unknown).count();
        assert_eq!(report.is_certain(), unknown == 0);
        let text: String = report.changes.iter().map(ToString::to_string).collect();
        assert_eq!(text.matches("it may have been committed").count(), unknown);
        (report.changes.len() - unknown, unknown)
    }

    fn access(&self) -> AccessAt {
        let now: LedgerTime = Timestamp::now().to_string().parse().unwrap();
        access_at(&self.text(), now, None, None).unwrap()
    }
}

/// Returns a run of the definitions with this digest.
fn run(id: &str, definitions: &str) -> EventRecorder {
    EventRecorder {
        context: RunContext {
            environment: "dev".to_owned(),
            run_id: id.to_owned(),
            server: Some("db:5432".to_owned()),
            definitions: Some(definitions.to_owned()),
            ..RunContext::default()
        },
        ..EventRecorder::default()
    }
}

/// Returns the digests of the definitions of applications.
fn digests(plan: &Plan, digest: &str) -> BTreeMap<String, String> {
    plan.steps().map(|step| (step.application.to_string(), digest.to_owned())).collect()
}

/// The run of an intent was killed. Runs that cannot find out about its steps do not end the search, and the
/// reports contain the steps as long as no result is known.
#[test]
fn steps_of_a_killed_run_are_reported_until_a_run_can_find_out() {
    let fixture = Fixture::new();
    let steps = fixture.plan.steps().count();
    let mut killed = run("killed", "sha256:1");
    let intent = killed.intent(&fixture.plan);
    fixture.append(&killed, &[intent]);
    let assert_uncertain = || {
        assert_eq!(fixture.reported(), (0, steps));
        let access = fixture.access();
        assert!(access.granted.is_empty() && !access.is_certain(), "{access:?}");
        assert!(access.uncertain.iter().all(|one| one.effect == UncertainEffect::Grants));
        let text = access.to_text();
        let connect = "CONNECT ON DATABASE \"shop\" may have been granted";
        assert!(text.contains("WARNING") && text.contains(connect), "{text}");
    };
    assert_uncertain();

    // Another application, another scope, other definitions, and a rotation.
    let mut only = fixture.nothing_to_do();
    only.origin.only.insert(ApplicationName::new("other").unwrap());
    let mut scope = run("scope", "sha256:1");
    scope.context.scope = Some("team-b".to_owned());
    let mut other = run("other", "sha256:2");
    other.definitions = BTreeMap::from([("other".to_owned(), "sha256:3".to_owned())]);
    let mut rotation = run("rotation", "sha256:1");
    rotation.command = Command::Rotate;
    let whole = fixture.nothing_to_do();
    for (one, plan) in
        [(run("only", "sha256:1"), &only), (scope, &whole), (other, &whole), (rotation, &whole)]
    {
        assert_eq!(fixture.recover(&one, plan), [], "{}", one.context.run_id);
        fixture.end(&one, Status::NoChange);
        assert_uncertain();
    }

    let next = run("next", "sha256:1");
    assert_eq!(fixture.recover(&next, &whole), vec![Found::Done; steps]);
    assert_eq!(fixture.reported(), (steps, 0));
    let access = fixture.access();
    assert!(access.is_certain() && !access.granted.is_empty(), "{access:?}");
}

/// The application has left all definitions: no run looks at it any more. A person states what is known.
#[test]
fn acknowledged_changes_are_settled_and_stay_in_the_ledger() {
    for found in [Found::Done, Found::NotDone, Found::Unknown] {
        let fixture = Fixture::new();
        let steps = fixture.plan.steps().count();
        let mut killed = run("killed", "sha256:1");
        let intent = killed.intent(&fixture.plan);
        fixture.append(&killed, &[intent]);
        let statement = |line: u64, role: Option<&str>, reason: &str| Acknowledgement {
            lines: [line].into(),
            role: role.map(str::to_owned),
            database: None,
            found,
            reason: reason.to_owned(),
            attribution: Attribution { actor: "grace".to_owned(), ..Attribution::default() },
            run_id: "by-hand".to_owned(),
        };
        let acknowledge = |one: Acknowledgement| acknowledge(fixture.ledger.path(), &one);
        for wrong in [
            statement(2, None, "seen"),
            statement(1, Some("other"), "seen"),
            statement(1, None, " "),
        ] {
            acknowledge(wrong).unwrap_err();
        }
        assert_eq!(fixture.reported(), (0, steps));

        let of_role = acknowledge(statement(1, Some("shop_owner"), "seen")).unwrap().len();
        assert!((1..steps).contains(&of_role), "{of_role} of {steps}");
        assert!(!report(&fixture.text(), None, None).unwrap().is_certain());
        assert_eq!(acknowledge(statement(1, None, "seen")).unwrap().len(), steps - of_role);
        acknowledge(statement(1, None, "again")).unwrap_err();

        let whole = report(&fixture.text(), None, None).unwrap();
        assert!(whole.is_certain());
        assert_eq!(whole.changes.len(), if found == Found::NotDone { 0 } else { steps });
        for change in &whole.changes {
            assert_eq!(change.result == ChangeResult::Committed, found == Found::Done);
            assert_eq!(change.context.run_id, "killed");
            assert!(change.to_string().contains(", acknowledged by grace: seen"), "{change}");
        }
        let access = fixture.access();
        assert!(access.is_certain(), "{access:?}");
        assert_eq!(access.granted.is_empty(), found != Found::Done);
        assert_eq!(access.uncertain.is_empty(), found != Found::Unknown);
        let again = run("again", "sha256:1");
        assert!(fixture.ledger.unrecorded(&again.context, Command::Apply).unwrap().is_empty());
        let verified = verify(fixture.text().as_slice(), None).unwrap();
        assert!(verified.is_intact(), "{:?}", verified.findings);
        let note = format!("grace has acknowledged {steps} of the changes of run killed");
        let notes = verified.notes.join("\n");
        assert!(notes.contains(&note) && notes.contains("run killed has no outcome"), "{notes}");
    }
}

/// A change to another application, or to a comment, changes the digest of the files only.
#[test]
fn definition_of_the_application_decides() {
    for (is_same, found) in [(true, Found::Done), (false, Found::Unknown)] {
        let fixture = Fixture::new();
        let steps = fixture.plan.steps().count();
        let mut killed = run("killed", "sha256:1");
        killed.definitions = digests(&fixture.plan, "sha256:a");
        let intent = killed.intent(&fixture.plan);
        fixture.append(&killed, &[intent]);
        let mut next = run("next", "sha256:2");
        next.definitions = digests(&fixture.plan, if is_same { "sha256:a" } else { "sha256:b" });
        // Another application is new.
        next.definitions.insert("new".to_owned(), "sha256:c".to_owned());
        assert_eq!(fixture.recover(&next, &fixture.nothing_to_do()), vec![found; steps]);
        // A refused run has not changed the server: the search goes on.
        fixture.end(&next, Status::Refused);
        let again = run("again", "sha256:1");
        let open = fixture.ledger.unrecorded(&again.context, Command::Apply).unwrap();
        assert_eq!(open.is_empty(), is_same);

        next.context.run_id = "changed".to_owned();
        fixture.recover(&next, &fixture.nothing_to_do());
        fixture.end(&next, Status::NoChange);
        // Nothing can be found any more, and the reports say so.
        assert!(fixture.ledger.unrecorded(&again.context, Command::Apply).unwrap().is_empty());
        assert_eq!(fixture.reported(), if is_same { (steps, 0) } else { (0, steps) });
        assert_eq!(fixture.access().is_certain(), is_same);
        let notes = verify(fixture.text().as_slice(), None).unwrap().notes.join("\n");
        let undecided = format!("whether {steps} of the steps were committed cannot be found out");
        assert_eq!(notes.contains(&undecided), !is_same, "{notes}");
    }
}

/// The jobs of one workflow can have the same run id and the same ledger.
#[test]
fn results_belong_to_the_run_on_their_server() {
    let fixture = Fixture::new();
    let steps = fixture.plan.steps().count();
    let (mut one, mut other) = (run("same", "sha256:1"), run("same", "sha256:1"));
    other.context.server = Some("other:5432".to_owned());
    let (first, second) = (other.intent(&fixture.plan), one.intent(&fixture.plan));
    fixture.append(&other, &[first]);
    fixture.append(&one, &[second]);
    // The process of `one` is killed, and the other one ends.
    fixture.finish(&other, Status::Success);
    let open = |run: &EventRecorder| {
        fixture.ledger.unrecorded(&run.context, Command::Apply).unwrap().len()
    };
    assert_eq!((open(&one), open(&other)), (1, 0));
    assert_eq!(fixture.reported(), (steps, steps));
    let verified = verify(fixture.text().as_slice(), None).unwrap();
    assert!(verified.is_intact(), "{:?}", verified.findings);
    let note = format!("{steps} of the {steps} steps of its intent in line 2 have no result");
    let notes = verified.notes.join("\n");
    assert!(notes.contains("run same has no outcome") && notes.contains(&note), "{notes}");
    let next = run("next", "sha256:1");
    assert_eq!(fixture.recover(&next, &fixture.nothing_to_do()), vec![Found::Done; steps]);
}

/// A second attempt of a job has the run id of the first one.
#[test]
fn second_run_with_the_same_id_does_not_end_the_first() {
    let fixture = Fixture::new();
    let mut first = run("same", "sha256:1");
    let intent = first.intent(&fixture.plan);
    fixture.append(&first, &[intent]);
    let mut second = run("same", "sha256:1");
    let found = fixture.recover(&second, &fixture.plan);
    assert!(!found.is_empty() && found.iter().all(|one| *one == Found::NotDone), "{found:?}");
    let intent = second.intent(&fixture.plan);
    fixture.append(&second, &[intent]);
    fixture.finish(&second, Status::Success);
    let verified = verify(fixture.text().as_slice(), None).unwrap();
    assert!(verified.is_intact(), "{:?}", verified.findings);
    assert_eq!(fixture.reported().1, 0);
}

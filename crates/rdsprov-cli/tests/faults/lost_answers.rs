//! The answer to a `COMMIT` or `CREATE DATABASE` is lost: the run looks what became of its changes, or else
//! the next run does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rdsprov_testkit::{Delivery, RelayedMessage, versions};

use crate::operation::Operation;
use crate::site::Site;
use crate::tried::{Tried, in_parallel};

/// What becomes of the message and its connection.
const CUTS: [Delivery; 3] = [Delivery::CutConnection, Delivery::CutBefore, Delivery::CutAll];

/// The statements of a run that commit changes.
#[derive(Default)]
struct Commits {
    /// The connections with a transaction that only reads.
    reading: Mutex<BTreeSet<usize>>,
    number: AtomicUsize,
}

impl Commits {
    /// Returns the number of the statement in a message, from 1, if it commits changes.
    fn number_of(&self, message: &RelayedMessage<'_>) -> Option<usize> {
        if !message.is_of_client || message.kind != Some(b'Q') {
            return None;
        }
        let begins = |text: &[u8]| message.body.starts_with(text);
        let mut reading = self.reading.lock().unwrap();
        if begins(b"BEGIN ISOLATION LEVEL") {
            reading.insert(message.connection);
        }
        let is_commit = begins(b"COMMIT") && !reading.remove(&message.connection);
        (is_commit || begins(b"CREATE DATABASE"))
            .then(|| self.number.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

#[test]
fn commit_without_an_answer_is_looked_up() {
    let tried = Tried::default();
    let is_long = std::env::var("RDSPROV_FAULTS").is_ok();
    let majors = versions();
    let items: Vec<(u32, Operation)> = if is_long {
        let operations = [Operation::Fresh, Operation::Drifted, Operation::Delegate];
        majors.iter().flat_map(|major| operations.map(|operation| (*major, operation))).collect()
    } else {
        vec![(majors[0], Operation::Fresh)]
    };
    in_parallel(&items, |(major, operation)| {
        let site = Site::new(major, operation);
        for commit in 1.. {
            // By default, the commit of the roles and the creation of the first database.
            let is_last = !is_long && commit > 2;
            if is_last || !CUTS.iter().all(|cut| lost(&site, commit, *cut, &tried)) {
                break;
            }
        }
    });
    tried.report();
}

/// Loses the answer to the commit of this number. Returns whether there was one.
fn lost(site: &Site, commit: usize, cut: Delivery, tried: &Tried) -> bool {
    let major = site.fixture.server.major();
    let place = format!("PostgreSQL {major}, {:?}, commit {commit}, {cut:?}", site.operation);
    let commits = Arc::<Commits>::default();
    let seen = Arc::clone(&commits);
    let is_reached = || commits.number.load(Ordering::SeqCst) >= commit;
    tried.point(&format!("{:?}, {cut:?}", site.operation), &place, || {
        let run = site.interrupt(
            &place,
            |relay| {
                relay.decide(move |message| match seen.number_of(&message) == Some(commit) {
                    true => cut,
                    false => Delivery::Deliver,
                });
            },
            |_| {},
            || {},
        );
        if !is_reached() {
            return run.code;
        }
        let ledger = site.records();
        let unknown = ledger.count("step", "status", "unknown");
        assert!(unknown > 0, "{place}: {}", run.text);
        let found = |found| ledger.count("recovered", "found", found);
        let (done, not_done) = (found("done"), found("not_done"));
        // What the plan does not show of a change remains for the next run.
        let is_found = match cut {
            Delivery::CutConnection => done > 0 && not_done == 0,
            Delivery::CutBefore => not_done > 0,
            // Nothing can be found without the server.
            _ => done + not_done == 0,
        };
        assert!(is_found, "{place}: {done} done, {not_done} not done\n{}", run.text);
        let says = "as this run has found and recorded";
        assert_eq!(run.text.contains(says), cut != Delivery::CutAll, "{place}: {}", run.text);
        let is_vague = run.text.contains("error[statement-failed]: between ");
        assert_eq!(is_vague, done + not_done < unknown, "{place}: {}", run.text);
        site.verify(&place, &run);
        // The next run has found what is missing.
        let all = site.records();
        let found = all.count("recovered", "found", "done")
            + all.count("recovered", "found", "not_done")
            + all.count("recovered", "found", "unknown");
        assert!(found >= unknown, "{place}: {found} of {unknown} were found");
        run.code
    }) && is_reached()
}

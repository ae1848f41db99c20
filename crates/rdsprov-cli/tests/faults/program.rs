//! The program is killed, or receives signals, at moments chosen at random.

use std::process::Command;
use std::time::Duration;

use crate::operation::{ALL, Operation};
use crate::site::Site;
use crate::tried::{Tried, in_parallel, points, selected};

/// The signals that a run receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signals {
    Kill,
    Interrupt,
    Terminate,
    InterruptTwice,
    TerminateTwice,
}

/// The number of moments for each operation on each version.
const MOMENTS: usize = 60;

const SIGNALS: [Signals; 8] = [
    Signals::Kill,
    Signals::Interrupt,
    Signals::Kill,
    Signals::TerminateTwice,
    Signals::Kill,
    Signals::Terminate,
    Signals::Kill,
    Signals::InterruptTwice,
];

#[test]
fn program_is_killed_or_stopped() {
    let tried = Tried::default();
    let few = [Operation::Fresh, Operation::OtherOwner];
    let operations = if std::env::var("RDSPROV_FAULTS").is_ok() { &ALL[..] } else { &few };
    in_parallel(&selected(operations), |(major, operation)| at_random(major, operation, &tried));
    tried.report();
}

/// Returns a number that looks random, and is the same in each run of the test.
fn random(number: usize) -> usize {
    let mut value = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((value ^ (value >> 27)) >> 16) as usize
}

fn at_random(major: u32, operation: Operation, tried: &Tried) {
    let mut site = Site::new(major, operation);
    for point in points(MOMENTS, 2) {
        let number = 1 + random(point + 1000 * operation as usize) % site.messages;
        let signals = SIGNALS[point % SIGNALS.len()];
        let place = format!(
            "RDSPROV_FAULTS_OPERATION={operation:?} RDSPROV_FAULTS_POINT={point} RDSPROV_TEST_PG={major}: \
             {signals:?} at message {number} of {}",
            site.messages
        );
        let kind = format!("{signals:?}, {operation:?}, PostgreSQL {major}");
        let succeeded = tried.point(&kind, &place, || {
            let (run, acted) =
                site.interrupt_at(&place, number, |run| send(signals, run.id()), || {});
            if acted && signals == Signals::Kill {
                assert_eq!(run.code, None, "{place}");
            } else {
                assert!(site.records().has_ended(), "{place}: no outcome\n{}", run.text);
            }
            site.verify(&place, &run);
            run.code
        });
        if !succeeded {
            site = Site::new(major, operation);
        }
    }
}

fn send(signals: Signals, pid: u32) {
    let (signal, is_sent_twice) = match signals {
        Signals::Kill => ("-KILL", false),
        Signals::Interrupt => ("-INT", false),
        Signals::Terminate => ("-TERM", false),
        Signals::InterruptTwice => ("-INT", true),
        Signals::TerminateTwice => ("-TERM", true),
    };
    for _ in 0..=usize::from(is_sent_twice) {
        // The run may have ended after the first one.
        let _ = Command::new("kill").args([signal, &pid.to_string()]).output();
        std::thread::sleep(Duration::from_millis(20));
    }
}

//! The faults that are tried, and what they led to.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdsprov_testkit::versions;

/// Returns the number in a variable.
fn variable(name: &str) -> Option<usize> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

/// Returns the points to try, from 1 to a number: `few` of them, or the share that is requested.
pub fn points(total: usize, few: usize) -> Vec<usize> {
    if let Some(point) = variable("RDSPROV_FAULTS_POINT") {
        return vec![point];
    }
    match variable("RDSPROV_FAULTS") {
        Some(share) => (1..=total).step_by(share.max(1)).collect(),
        // In the middle of equal parts.
        None => (0..few).map(|part| (2 * part + 1) * total / (2 * few) + 1).collect(),
    }
}

/// The number of servers that are tried at the same time. Runs with a fault wait most of the time.
const WORKERS: usize = 2;

/// Does some work for each item, for several of them at the same time.
pub fn in_parallel<T: Copy + Sync>(items: &[T], work: impl Fn(T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::SeqCst)) {
                    work(*item);
                }
            });
        }
    });
}

/// Returns what to try: each item on all versions, or by default on one of them in turn.
/// `RDSPROV_FAULTS_OPERATION` selects items by their names.
pub fn selected<T: Copy + std::fmt::Debug>(all: &[T]) -> Vec<(u32, T)> {
    let chosen = std::env::var("RDSPROV_FAULTS_OPERATION").unwrap_or_default();
    let is_chosen =
        |item: &&T| chosen.is_empty() || chosen.split(',').any(|name| name == format!("{item:?}"));
    let is_long = std::env::var("RDSPROV_FAULTS").is_ok();
    let majors = versions();
    let of_item = |(number, item): (usize, &T)| {
        let turn = majors[number % majors.len()];
        let majors = if is_long { majors.clone() } else { vec![turn] };
        majors.into_iter().map(|major| (major, *item)).collect::<Vec<_>>()
    };
    all.iter().filter(is_chosen).enumerate().flat_map(of_item).collect()
}

/// The results of faults.
#[derive(Default)]
pub struct Tried {
    /// How many runs ended with each exit code.
    counts: Mutex<BTreeMap<String, usize>>,
    failures: Mutex<Vec<String>>,
}

impl Tried {
    /// Tries one fault, which returns the exit code of its run. Returns whether all assertions held; the
    /// others follow in any case.
    pub fn point(&self, kind: &str, place: &str, try_it: impl FnOnce() -> Option<i32>) -> bool {
        let code = catch_unwind(AssertUnwindSafe(try_it));
        let (key, succeeded) = match code {
            Ok(Some(code)) => (format!("{kind}: exit code {code}"), true),
            Ok(None) => (format!("{kind}: killed"), true),
            Err(_) => {
                self.failures.lock().unwrap().push(place.to_owned());
                (format!("{kind}: FAILED"), false)
            }
        };
        *self.counts.lock().unwrap().entry(key).or_default() += 1;
        succeeded
    }

    /// Prints the numbers, and fails if an assertion has failed.
    pub fn report(self) {
        let counts = self.counts.into_inner().unwrap();
        println!("{} faults: {counts:#?}", counts.values().sum::<usize>());
        let failures = self.failures.into_inner().unwrap();
        assert!(failures.is_empty(), "{} faults failed:\n{}", failures.len(), failures.join("\n"));
    }
}

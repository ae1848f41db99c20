//! Applies randomized definitions to randomized initial states, applies them again, and asks the
//! server whether every role has the access of its level and everything else is unchanged.
//!
//! `RDSPROV_FUZZ_CASES` sets the number of cases over all versions (80),
//! `RDSPROV_FUZZ_MINUTES` a duration instead, `RDSPROV_FUZZ_SEED` a single case.
//! `RDSPROV_FUZZ_SHRINK_SECONDS` sets how many seconds to spend on shrinking a case that fails
//! (30). Each failure prints the command that reproduces it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod access;
mod announced;
mod checker;
mod coverage;
mod declared;
mod fixes;
mod future_objects;
mod host;
mod initial_state;
mod oracle;
mod provision;
mod random;
mod run;
mod shrink;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coverage::Coverage;
use host::Host;
use initial_state::Case;
use random::Random;
use rdsprov_testkit::versions;

/// Selects the cases to run.
enum CaseSelection {
    Cases(usize),
    Until(Instant),
    One(u64),
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

impl CaseSelection {
    fn from_environment() -> Self {
        if let Some(seed) = variable("RDSPROV_FUZZ_SEED") {
            return Self::One(seed);
        }
        match variable::<u64>("RDSPROV_FUZZ_MINUTES") {
            Some(minutes) => Self::Until(Instant::now() + Duration::from_secs(60 * minutes)),
            None => Self::Cases(variable("RDSPROV_FUZZ_CASES").unwrap_or(80)),
        }
    }

    fn includes(&self, number: usize, versions: usize) -> bool {
        match self {
            Self::Cases(count) => number < *count,
            Self::Until(end) => Instant::now() < *end,
            Self::One(_) => number < versions,
        }
    }
}

/// The state that all workers share.
struct Work {
    selection: CaseSelection,
    base: u64,
    versions: Vec<u32>,
    /// The time limit for shrinking a case that fails.
    shrink_time: Duration,
    next: AtomicUsize,
    coverage: Mutex<Coverage>,
    failures: Mutex<BTreeMap<(u64, u32), String>>,
}

/// The default run uses fixed seeds, so that its result does not depend on luck. A timed
/// run uses new seeds.
const BASE: u64 = 20_261_124;

/// The number of failed cases after which a default run stops.
const MAX_FAILURES: usize = 5;

impl Work {
    /// Runs cases until none are left. The servers end with the thread that started them.
    fn run(&self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut hosts: BTreeMap<u32, Host> = BTreeMap::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let failed = self.failures.lock().unwrap().len();
            let enough =
                matches!(self.selection, CaseSelection::Cases(_)) && failed >= MAX_FAILURES;
            if enough || !self.selection.includes(number, self.versions.len()) {
                break;
            }
            let major = self.versions[number % self.versions.len()];
            let seed = match self.selection {
                CaseSelection::One(seed) => seed,
                _ => Random::new(self.base.wrapping_add(number as u64)).next(),
            };
            let host =
                hosts.entry(major).or_insert_with(|| runtime.block_on(Host::start(major)).unwrap());
            if !runtime.block_on(self.case(host, seed, major)) {
                hosts.remove(&major);
            }
        }
    }

    /// Runs a case. Returns whether the server can be used for another one.
    async fn case(&self, host: &Host, seed: u64, major: u32) -> bool {
        let case = Case::generate(seed, major);
        let mut coverage = Coverage::default();
        let result = run::run(host, &case, &mut coverage).await;
        coverage.count(format!("cases: PostgreSQL {major}"));
        self.coverage.lock().unwrap().add(coverage);
        let Err(failure) = result else { return true };
        let (small, failure) = shrink::shrink(host, &case, failure, self.shrink_time).await;
        let text = format!(
            "RDSPROV_FUZZ_SEED={seed} RDSPROV_TEST_PG={major} failed, {:?}: {}\n{small}",
            failure.stage, failure.what
        );
        eprintln!("{text}");
        self.failures.lock().unwrap().insert((seed, major), text);
        failure.stage != run::Stage::HarnessError
    }
}

#[test]
fn server_grants_what_is_declared_and_nothing_else_changes() {
    let selection = CaseSelection::from_environment();
    let base = match selection {
        CaseSelection::Until(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
        CaseSelection::Cases(_) | CaseSelection::One(_) => BASE,
    };
    let work = Work {
        selection,
        base: variable("RDSPROV_FUZZ_BASE").unwrap_or(base),
        versions: versions(),
        shrink_time: Duration::from_secs(variable("RDSPROV_FUZZ_SHRINK_SECONDS").unwrap_or(30)),
        next: AtomicUsize::new(0),
        coverage: Mutex::default(),
        failures: Mutex::default(),
    };
    eprintln!("reproduce these cases with RDSPROV_FUZZ_BASE={}", work.base);
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(4) {
            scope.spawn(|| work.run());
        }
    });
    let coverage = work.coverage.into_inner().unwrap();
    println!("{coverage}");
    let failures = work.failures.into_inner().unwrap();
    for (seed, major) in failures.keys() {
        eprintln!("RDSPROV_FUZZ_SEED={seed} RDSPROV_TEST_PG={major} failed");
    }
    assert!(failures.is_empty(), "{} cases failed, base {}", failures.len(), work.base);
    if matches!(work.selection, CaseSelection::Cases(100..) | CaseSelection::Until(_)) {
        let missing = coverage.missing();
        assert!(missing.is_empty(), "the generator never produced: {missing:?}");
    }
}

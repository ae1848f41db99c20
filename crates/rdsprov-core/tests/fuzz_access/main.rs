//! Definitions and starting states out of chance: applied, applied again, and the server asked whether
//! every role may do what its level says, and whether everything else is as it was.
//!
//! `RDSPROV_FUZZ_CASES` says how many cases (200, over all versions together), `RDSPROV_FUZZ_MINUTES` for
//! how long instead, `RDSPROV_FUZZ_SEED` which one case; `RDSPROV_FUZZ_PATIENCE`, how many seconds a case
//! that fails is made smaller (30). Each failure says how to run it again.

#![allow(clippy::unwrap_used, reason = "a test")]

mod access;
mod declared;
mod host;
mod judge;
mod oracle;
mod random;
mod run;
mod shrink;
mod snapshot;
mod starting;
mod tally;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use host::Host;
use random::Random;
use rdsprov_testkit::versions;
use starting::Case;
use tally::Tally;

/// Which cases there are to be.
enum Amount {
    Cases(usize),
    Until(Instant),
    One(u64),
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
}

impl Amount {
    fn of_environment() -> Self {
        if let Some(seed) = variable("RDSPROV_FUZZ_SEED") {
            return Self::One(seed);
        }
        match variable::<u64>("RDSPROV_FUZZ_MINUTES") {
            Some(minutes) => Self::Until(Instant::now() + Duration::from_secs(60 * minutes)),
            None => Self::Cases(variable("RDSPROV_FUZZ_CASES").unwrap_or(200)),
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

/// What the workers share.
struct Work {
    amount: Amount,
    base: u64,
    versions: Vec<u32>,
    /// How long a case that fails is made smaller.
    patience: Duration,
    next: AtomicUsize,
    tally: Mutex<Tally>,
    failures: Mutex<BTreeMap<(u64, u32), String>>,
}

/// The cases of an ordinary run are the same each time: whether a change lands is no matter of luck. A run of
/// some minutes begins anew each time.
const BASE: u64 = 20_261_124;

/// How many cases fail before an ordinary run gives up.
const ENOUGH: usize = 5;

impl Work {
    /// Takes cases until there are no more. The servers end with the thread that started them.
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
            let enough = matches!(self.amount, Amount::Cases(_)) && failed >= ENOUGH;
            if enough || !self.amount.includes(number, self.versions.len()) {
                break;
            }
            let major = self.versions[number % self.versions.len()];
            let seed = match self.amount {
                Amount::One(seed) => seed,
                _ => Random::new(self.base.wrapping_add(number as u64)).next(),
            };
            let host =
                hosts.entry(major).or_insert_with(|| runtime.block_on(Host::start(major)).unwrap());
            if !runtime.block_on(self.case(host, seed, major)) {
                hosts.remove(&major);
            }
        }
    }

    /// Whether the server can be used again.
    async fn case(&self, host: &Host, seed: u64, major: u32) -> bool {
        let case = Case::generate(seed, major);
        let mut tally = Tally::default();
        let result = run::run(host, &case, &mut tally).await;
        tally.count(format!("cases: PostgreSQL {major}"));
        self.tally.lock().unwrap().add(tally);
        let Err(failure) = result else { return true };
        let (small, failure) = shrink::shrink(host, &case, failure, self.patience).await;
        let text = format!(
            "RDSPROV_FUZZ_SEED={seed} RDSPROV_TEST_PG={major} failed, {:?}: {}\n{small}",
            failure.stage, failure.what
        );
        eprintln!("{text}");
        self.failures.lock().unwrap().insert((seed, major), text);
        failure.stage != run::Stage::Trouble
    }
}

#[test]
fn what_is_declared_is_what_the_server_grants_and_all_else_is_as_before() {
    let amount = Amount::of_environment();
    let base = match amount {
        Amount::Until(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
        Amount::Cases(_) | Amount::One(_) => BASE,
    };
    let work = Work {
        amount,
        base: variable("RDSPROV_FUZZ_BASE").unwrap_or(base),
        versions: versions(),
        patience: Duration::from_secs(variable("RDSPROV_FUZZ_PATIENCE").unwrap_or(30)),
        next: AtomicUsize::new(0),
        tally: Mutex::default(),
        failures: Mutex::default(),
    };
    eprintln!("the cases are those of RDSPROV_FUZZ_BASE={}", work.base);
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(4) {
            scope.spawn(|| work.run());
        }
    });
    let tally = work.tally.into_inner().unwrap();
    println!("{tally}");
    let failures = work.failures.into_inner().unwrap();
    for (seed, major) in failures.keys() {
        eprintln!("RDSPROV_FUZZ_SEED={seed} RDSPROV_TEST_PG={major} failed");
    }
    assert!(failures.is_empty(), "{} cases failed, base {}", failures.len(), work.base);
    if matches!(work.amount, Amount::Cases(100..) | Amount::Until(_)) {
        let missing = tally.missing();
        assert!(missing.is_empty(), "the generator never made: {missing:?}");
    }
}

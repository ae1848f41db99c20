//! The planner against an executable model of PostgreSQL's privilege rules, without a server.
//!
//! Each randomized case of the test `fuzz_access` runs in the model: the model executes the manual
//! changes and the plan, and the same oracle says whether every role has the access of its level and
//! everything else is unchanged. The module `server` compares the model with real servers.
//!
//! `RDSPROV_MODEL_CASES` sets the number of cases over all versions (120), `RDSPROV_FUZZ_BASE` their
//! first seed, and `RDSPROV_FUZZ_SEED` with `RDSPROV_TEST_PG` a single case.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../fuzz_access/checker.rs"]
mod checker;
#[path = "../fuzz_access/coverage.rs"]
mod coverage;
#[path = "../fuzz_access/declared.rs"]
mod declared;
mod defects;
#[path = "../fuzz_access/fixes.rs"]
#[allow(dead_code, reason = "the test `fuzz_access` uses the rest")]
mod fixes;
#[path = "../fuzz_access/future_objects.rs"]
mod future_objects;
#[cfg(feature = "postgres")]
#[path = "../fuzz_access/host.rs"]
#[allow(dead_code, reason = "the test `fuzz_access` uses the rest")]
mod host;
#[path = "../fuzz_access/initial_state/mod.rs"]
#[allow(dead_code, reason = "the test `fuzz_access` uses the rest")]
mod initial_state;
#[path = "../fuzz_access/oracle.rs"]
#[allow(dead_code, reason = "the test `fuzz_access` uses the rest")]
mod oracle;
#[cfg(feature = "postgres")]
#[path = "../fuzz_access/provision.rs"]
mod provision;
#[path = "../fuzz_access/random.rs"]
mod random;
mod run;
#[cfg(feature = "postgres")]
mod server;
mod simulation;
#[path = "../fuzz_access/snapshot.rs"]
#[allow(dead_code, reason = "the test `fuzz_access` uses the rest")]
mod snapshot;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use coverage::Coverage;
use initial_state::Case;
use random::Random;

/// All versions: the model needs no server.
const VERSIONS: [u32; 5] = [14, 15, 16, 17, 18];

/// The default run uses fixed seeds, so that its result does not depend on luck.
const BASE: u64 = 20_261_129;

/// The number of failed cases after which a run stops.
fn max_failures() -> usize {
    variable("RDSPROV_MODEL_FAILURES").unwrap_or(5)
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

/// Returns the seed and the version of a case.
fn seed(base: u64, number: usize) -> (u64, u32) {
    let seed = variable("RDSPROV_FUZZ_SEED")
        .unwrap_or_else(|| Random::new(base.wrapping_add(number as u64)).next());
    let versions = match std::env::var("RDSPROV_TEST_PG") {
        Ok(text) if variable::<u64>("RDSPROV_FUZZ_SEED").is_some() => {
            text.split(',').map(|one| one.parse().unwrap()).collect()
        }
        _ => VERSIONS.to_vec(),
    };
    (seed, versions[number % versions.len()])
}

#[test]
fn plans_give_what_is_declared_and_nothing_else_changes() {
    let base = variable("RDSPROV_FUZZ_BASE").unwrap_or(BASE);
    let cases = match variable::<u64>("RDSPROV_FUZZ_SEED") {
        Some(_) => VERSIONS.len(),
        None => variable("RDSPROV_MODEL_CASES").unwrap_or(120),
    };
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let coverage = Mutex::new(Coverage::default());
    let work = || {
        let mut own = Coverage::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= cases || failures.lock().unwrap().len() >= max_failures() {
                break;
            }
            let (seed, major) = seed(base, number);
            let case = Case::generate(seed, major);
            own.count(format!("cases: PostgreSQL {major}"));
            if let Err(failure) = run::run(&case, major, &mut own) {
                let reproduce = format!("RDSPROV_FUZZ_SEED={seed} RDSPROV_TEST_PG={major}");
                eprintln!("{reproduce} failed, {failure}\n{case}");
                failures.lock().unwrap().push(reproduce);
            }
        }
        coverage.lock().unwrap().add(own);
    };
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(4) {
            scope.spawn(work);
        }
    });
    let coverage = coverage.into_inner().unwrap();
    println!("{coverage}");
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:#?} failed, base {base}");
    if cases >= 5000 {
        let missing = coverage.missing();
        assert!(missing.is_empty(), "the generator never produced: {missing:?}");
    }
}

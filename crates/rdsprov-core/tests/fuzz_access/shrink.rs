//! Shrinks a case that fails to a smaller one that fails at the same stage.

use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::host::Host;
use crate::initial_state::{Base, Case, UNDECLARED_DATABASE};
use crate::run::{Failure, Stage, run};

/// A list of a case whose elements can be left out.
#[derive(Clone, Copy)]
enum Part {
    Applications,
    Drift,
    ByHand,
    Earlier,
}

impl Part {
    const ALL: [Self; 4] = [Self::Drift, Self::Applications, Self::Earlier, Self::ByHand];

    fn len(self, case: &Case) -> usize {
        match self {
            Self::Applications => case.declared.applications.len(),
            Self::Drift => case.drift.len(),
            Self::ByHand => case.by_hand.len(),
            Self::Earlier => case.base.declared().map_or(0, |declared| declared.applications.len()),
        }
    }

    fn without(self, case: &Case, from: usize, count: usize) -> Case {
        let mut case = case.clone();
        match self {
            Self::Applications => drop(case.declared.applications.drain(from..from + count)),
            Self::Drift => drop(case.drift.drain(from..from + count)),
            Self::ByHand => drop(case.by_hand.drain(from..from + count)),
            Self::Earlier => match &mut case.base {
                Base::Nothing => {}
                Base::EarlierRun(declared) | Base::Interrupted(declared, _) => {
                    drop(declared.applications.drain(from..from + count));
                }
            },
        }
        case
    }

    /// Leaves out halves, quarters and so on, down to single elements.
    async fn shrink(self, work: &mut Work<'_>) {
        let mut count = self.len(&work.case).div_ceil(2);
        while count > 0 {
            let mut from = 0;
            while from < self.len(&work.case) {
                let smaller =
                    self.without(&work.case, from, count.min(self.len(&work.case) - from));
                if !work.take(smaller).await {
                    from += count;
                }
            }
            count /= 2;
        }
    }
}

/// A case that fails, and its failure.
struct Work<'a> {
    host: &'a Host,
    case: Case,
    failure: Failure,
    deadline: Instant,
}

impl Work<'_> {
    /// Replaces the case if the smaller one fails in the same way.
    async fn take(&mut self, smaller: Case) -> bool {
        if Instant::now() > self.deadline || !smaller.is_sound() {
            return false;
        }
        match run(self.host, &smaller, &mut Coverage::default()).await {
            Err(failure) if failure.has_same_cause(&self.failure) => {
                (self.case, self.failure) = (smaller, failure);
                true
            }
            _ => false,
        }
    }
}

/// Shrinks a case that fails until the time limit is reached.
pub async fn shrink(
    host: &Host,
    case: &Case,
    failure: Failure,
    shrink_time: Duration,
) -> (Case, Failure) {
    let deadline = Instant::now() + shrink_time;
    let mut work = Work { host, case: case.clone(), failure, deadline };
    if work.failure.stage == Stage::HarnessError {
        return (work.case, work.failure);
    }
    let databases: Vec<String> = case.declared.databases().into_iter().map(str::to_owned).collect();
    for database in databases.iter().map(String::as_str).chain([UNDECLARED_DATABASE]) {
        let smaller = work.case.without_database(database);
        work.take(smaller).await;
    }
    let mut plainer = work.case.clone();
    plainer.base = Base::Nothing;
    work.take(plainer).await;
    loop {
        let before = Part::ALL.map(|part| part.len(&work.case));
        for part in Part::ALL {
            part.shrink(&mut work).await;
        }
        if Instant::now() > deadline || before == Part::ALL.map(|part| part.len(&work.case)) {
            return (work.case, work.failure);
        }
    }
}

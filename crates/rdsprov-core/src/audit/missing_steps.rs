//! The steps of an intent that have no result yet.
//!
//! An intent can contain very many steps, and each result is looked up once. So the steps are kept
//! by their content, and not in a list that is searched.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The steps of an intent that have no result yet, with their positions in the intent.
///
/// An intent can announce equal steps. Each result then belongs to the first of them that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MissingSteps<T: Eq + Hash> {
    positions: HashMap<T, VecDeque<usize>>,
}

impl<T: Eq + Hash> MissingSteps<T> {
    /// Returns all steps of an intent as missing.
    pub fn new(steps: impl IntoIterator<Item = T>) -> Self {
        let mut positions: HashMap<T, VecDeque<usize>> = HashMap::new();
        for (position, step) in steps.into_iter().enumerate() {
            positions.entry(step).or_default().push_back(position);
        }
        Self { positions }
    }

    /// Takes the step of a result, and returns its position; `None` if no such step is missing.
    pub fn take(&mut self, step: &T) -> Option<usize> {
        let positions = self.positions.get_mut(step)?;
        let position = positions.pop_front()?;
        if positions.is_empty() {
            self.positions.remove(step);
        }
        Some(position)
    }

    /// Returns whether each step has a result.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
}

impl<T: Eq + Hash + Clone> MissingSteps<T> {
    /// Returns the missing steps in the order of the intent.
    pub fn into_steps(self) -> Vec<T> {
        let all = self.positions.into_iter();
        let mut steps: Vec<(usize, T)> = all
            .flat_map(|(step, positions)| positions.into_iter().map(move |one| (one, step.clone())))
            .collect();
        steps.sort_unstable_by_key(|(position, _)| *position);
        steps.into_iter().map(|(_, step)| step).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::hash::Hasher;

    use super::*;

    thread_local! {
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// A step that counts how often steps are compared.
    #[derive(Debug, Clone, Eq)]
    struct Counted(usize);

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0 == other.0
        }
    }

    impl Hash for Counted {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    /// Returns the number of comparisons that the results of all steps need, in reverse order.
    fn comparisons(steps: usize) -> usize {
        let mut missing = MissingSteps::new((0..steps).map(Counted));
        COMPARISONS.set(0);
        for step in (0..steps).rev() {
            assert_eq!(missing.take(&Counted(step)), Some(step));
        }
        assert!(missing.is_empty());
        COMPARISONS.get()
    }

    /// A search in a list would need half of the square of the number of steps.
    #[test]
    fn results_need_few_comparisons() {
        for steps in [1_000, 20_000] {
            let number = comparisons(steps);
            assert!(number >= steps && number <= 4 * steps, "{steps} steps: {number}");
        }
    }

    #[test]
    fn equal_steps_are_taken_in_order() {
        let mut missing = MissingSteps::new(["a", "b", "a", "c"]);
        assert_eq!(missing.take(&"a"), Some(0));
        assert_eq!(missing.take(&"d"), None);
        assert_eq!(missing.clone().into_steps(), ["b", "a", "c"]);
        assert_eq!(missing.take(&"a"), Some(2));
        assert_eq!(missing.take(&"a"), None);
        assert_eq!(missing.into_steps(), ["b", "c"]);
    }
}

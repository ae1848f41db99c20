//! Reproducible random numbers: splitmix64, whose output is the same on every platform.

/// A stream of numbers that depends on its seed only.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to `end`, exclusive.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or_default()
    }

    /// Returns a number from `first` to `last`; smaller numbers are more likely.
    pub fn skewed(&mut self, first: usize, last: usize) -> usize {
        let span = last - first + 1;
        first + self.below(span).min(self.below(span))
    }

    /// Returns true with a probability of `percent`.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Returns a random selection, in the original order.
    pub fn some<T: Clone>(&mut self, from: &[T], percent: usize) -> Vec<T> {
        from.iter().filter(|_| self.chance(percent)).cloned().collect()
    }

    /// Returns a random selection of one or more.
    pub fn some_at_least_one<T: Clone>(&mut self, from: &[T], percent: usize) -> Vec<T> {
        let some = self.some(from, percent);
        if some.is_empty() { vec![self.pick(from).clone()] } else { some }
    }
}

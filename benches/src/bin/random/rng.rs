//! Random numbers that depend only on the seed, on every machine and with every version of any
//! library: a plan must stay reproducible for years.

/// SplitMix64.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number from `low` to `high`, inclusive.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// Returns an index below `len`, which must not be 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.between(0, len as u64 - 1)).expect("below a length")
    }

    /// Returns true with a probability of `percent` percent.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// Returns a size from 1.6 KB (the smallest layer) to 3 MB, with all orders of magnitude
    /// equally likely.
    pub(crate) fn size(&mut self) -> u64 {
        let order = self.between(0, 3);
        let low = 1_600 * 7_u64.pow(u32::try_from(order).expect("a small number"));
        self.between(low, (low * 7).min(3_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_yields_same_numbers() {
        let mut rng = Rng::new(1);
        let drawn = [rng.between(0, 999), rng.between(0, 999), rng.size()];
        let mut again = Rng::new(1);
        assert_eq!(drawn, [again.between(0, 999), again.between(0, 999), again.size()]);
        assert_eq!(Rng::new(1).next(), 0x910A_2DEC_8902_5CC1);
    }

    #[test]
    fn sizes_stay_within_bounds() {
        let mut rng = Rng::new(7);
        for _ in 0..10_000 {
            let size = rng.size();
            assert!((1_600..=3_000_000).contains(&size), "{size}");
        }
    }
}

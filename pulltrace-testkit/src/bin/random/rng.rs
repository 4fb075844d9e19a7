//! Numbers that a seed determines, on every machine and with every version of
//! every library: a plan must still be the same years later.

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

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// An index below `len`, which is not zero.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.between(0, len as u64 - 1)).expect("below a length")
    }

    /// True `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// A size between 1.6 KB (the smallest layer) and 3 MB, each order of
    /// magnitude as often as the others.
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
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut rng = Rng::new(1);
        let drawn = [rng.between(0, 999), rng.between(0, 999), rng.size()];
        let mut again = Rng::new(1);
        assert_eq!(
            drawn,
            [again.between(0, 999), again.between(0, 999), again.size()]
        );
        assert_eq!(Rng::new(1).next(), 0x910A_2DEC_8902_5CC1);
    }

    #[test]
    fn sizes_stay_in_their_bounds() {
        let mut rng = Rng::new(7);
        for _ in 0..10_000 {
            let size = rng.size();
            assert!((1_600..=3_000_000).contains(&size), "{size}");
        }
    }
}

//! The typical download speed per registry, used to detect slow pulls.

use std::collections::{BTreeMap, VecDeque};

use crate::entry::Entry;
use crate::pull::{Outcome, Pull};
use crate::time::Now;
use crate::unit::Bytes;

/// Recent download speeds from each registry on this node.
#[derive(Default)]
pub(crate) struct RateBaseline {
    hosts: BTreeMap<String, VecDeque<f64>>,
}

impl RateBaseline {
    /// The maximum number of registries to track. Pulls from others are never classified as slow.
    const MAX_HOSTS: usize = 64;
    const MAX_SAMPLES: usize = 20;
    const MIN_SAMPLES: usize = 3;
    /// A pull below this fraction of the median speed is slow.
    const SLOW_FRACTION: f64 = 0.05;

    pub(crate) fn record(&mut self, pull: &Pull) {
        let Some(repository) = &pull.repository else {
            return;
        };
        let (Some(from), Some(to)) = (pull.resolved_at, pull.downloaded_at) else {
            return;
        };
        let seconds = to.since(from).as_secs_f64();
        if pull.outcome() != Some(Outcome::Completed)
            || pull.motion.downloaded < Bytes(1 << 20)
            || seconds < 0.5
        {
            return;
        }
        if self.hosts.len() >= Self::MAX_HOSTS && !self.hosts.contains_key(repository.host()) {
            return;
        }
        let rates = self.hosts.entry(repository.host().to_owned()).or_default();
        rates.push_back(pull.motion.downloaded.as_f64() / seconds);
        if rates.len() > Self::MAX_SAMPLES {
            rates.pop_front();
        }
    }

    fn median(&self, host: &str) -> Option<f64> {
        let mut rates: Vec<f64> = self.hosts.get(host)?.iter().copied().collect();
        rates.sort_by(f64::total_cmp);
        (rates.len() >= Self::MIN_SAMPLES).then(|| rates[rates.len() / 2])
    }

    pub(crate) fn update_slow_since(&self, entry: &mut Entry, now: Now) {
        let pull = &entry.pull;
        let median = pull.repository.as_ref().and_then(|repository| self.median(repository.host()));
        let is_slow = match (pull.motion.rate, median) {
            (Some(rate), Some(usual)) => {
                rate.get() > 0.0 && rate.get() < usual * Self::SLOW_FRACTION
            }
            _ => false,
        };
        entry.slow_since = match (is_slow, entry.slow_since) {
            (true, from) => from.or(Some(now.node)),
            (false, _) => None,
        };
    }
}

//! How fast pulls usually are, by registry: what a trickle is measured against.

use std::collections::{BTreeMap, VecDeque};

use crate::entry::Entry;
use crate::pull::{Outcome, Pull};
use crate::time::Now;
use crate::unit::Bytes;

/// How fast pulls from each registry usually are on this node.
#[derive(Default)]
pub(crate) struct UsualRates {
    hosts: BTreeMap<String, VecDeque<f64>>,
}

impl UsualRates {
    /// Registries that are remembered; one more is not judged.
    const HOSTS: usize = 64;
    const KEPT: usize = 20;
    const NEEDED: usize = 3;
    /// Below this share of the usual speed a pull trickles.
    const TRICKLE: f64 = 0.05;

    pub(crate) fn learn(&mut self, pull: &Pull) {
        let Some(repository) = &pull.repository else {
            return;
        };
        let (Some(from), Some(to)) = (pull.resolved_at, pull.downloaded_at) else {
            return;
        };
        let seconds = to.since(from).as_secs_f64();
        if pull.outcome() != Some(Outcome::Completed)
            || pull.downloaded < Bytes(1 << 20)
            || seconds < 0.5
        {
            return;
        }
        if self.hosts.len() >= Self::HOSTS && !self.hosts.contains_key(repository.host()) {
            return;
        }
        let rates = self.hosts.entry(repository.host().to_owned()).or_default();
        rates.push_back(pull.downloaded.as_f64() / seconds);
        if rates.len() > Self::KEPT {
            rates.pop_front();
        }
    }

    fn median(&self, host: &str) -> Option<f64> {
        let mut rates: Vec<f64> = self.hosts.get(host)?.iter().copied().collect();
        rates.sort_by(f64::total_cmp);
        (rates.len() >= Self::NEEDED).then(|| rates[rates.len() / 2])
    }

    pub(crate) fn judge(&self, entry: &mut Entry, now: Now) {
        let pull = &entry.shown;
        let usual = pull
            .repository
            .as_ref()
            .and_then(|repository| self.median(repository.host()));
        let trickles = match (pull.rate, usual) {
            (Some(rate), Some(usual)) => rate.get() > 0.0 && rate.get() < usual * Self::TRICKLE,
            _ => false,
        };
        entry.slow_from = match (trickles, entry.slow_from) {
            (true, from) => from.or(Some(now.node)),
            (false, _) => None,
        };
    }
}

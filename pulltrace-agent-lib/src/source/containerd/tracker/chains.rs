//! The chains of a pull: which are unpacked, being unpacked or missing.

use std::collections::{BTreeMap, BTreeSet};

use pulltrace_core::Digest;

/// The known states of the chains of a pull.
#[derive(Debug, Default)]
pub(super) struct ChainStates {
    /// Unpacked chains and their age.
    pub(super) unpacked: BTreeMap<Digest, ChainAge>,
    /// Chains that were being unpacked at some time during the pull.
    pub(super) seen_unpacking: BTreeSet<Digest>,
    /// Bytes written by the unpacking of each chain.
    pub(super) written: BTreeMap<Digest, i64>,
    /// Chains found missing since the last poll.
    pub(super) absent: BTreeSet<Digest>,
    /// True if a chain is missing although one above it exists.
    pub(super) is_broken: bool,
    /// True if the search for existing chains is complete.
    pub(super) is_searched: bool,
    /// True if an unknown chain was already counted as an anomaly.
    pub(super) has_unknown: bool,
}

/// The age of an unpacked chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainAge {
    /// Not yet queried.
    Unknown,
    /// It existed before the pull.
    Preexisting,
    /// It was created during the pull.
    New,
}

impl ChainStates {
    pub(super) fn mark_unpacked(&mut self, chain: &Digest) {
        let age =
            if self.seen_unpacking.contains(chain) { ChainAge::New } else { ChainAge::Unknown };
        self.unpacked.entry(chain.clone()).or_insert(age);
    }

    /// Records the bytes written by the unpacking of a chain.
    pub(super) fn on_usage(&mut self, chain: &Digest, size: i64) {
        if self.seen_unpacking.contains(chain) {
            self.written.insert(chain.clone(), size);
        }
    }
}

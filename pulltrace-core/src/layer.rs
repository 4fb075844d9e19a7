//! The life of one layer of one pull.

use std::fmt;

use crate::id::Digest;
use crate::time::NodeTime;
use crate::unit::{Bytes, BytesPerSecond};
use crate::wait::WaitingOn;

/// What a layer is doing. The words are the wire's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerState {
    /// No byte has come yet, whether or not it was asked for.
    #[default]
    Waiting,
    /// Some bytes are here, and more are to come.
    Downloading,
    /// All bytes are here; unpacking has not begun.
    Downloaded,
    /// All bytes are here, and they are being unpacked.
    Extracting,
    /// Unpacked during this pull.
    Complete,
    /// Unpacked before this pull began: nothing to do.
    Cached,
    /// Served by a lazy snapshotter without its bytes: nothing to do.
    Remote,
}

/// Everything that decides a layer's next state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerFacts {
    /// Bytes of the blob are here.
    pub bytes: bool,
    /// All bytes of the blob are here.
    pub whole: bool,
    /// A snapshot for the layer is prepared.
    pub unpacking: bool,
    /// The layer is unpacked.
    pub unpacked: bool,
    /// It was unpacked before the pull began.
    pub cached: bool,
    /// A lazy snapshotter serves it.
    pub remote: bool,
    /// What was here of its blob is gone: it is fetched anew.
    pub restarted: bool,
}

impl LayerState {
    /// The one transition: from any state, with any facts. It goes back only where the bytes did.
    #[must_use]
    pub fn next(self, facts: LayerFacts) -> Self {
        let seen = if facts.cached {
            Self::Cached
        } else if facts.remote {
            Self::Remote
        } else if facts.unpacked {
            Self::Complete
        } else if facts.whole && facts.unpacking {
            Self::Extracting
        } else if facts.whole {
            Self::Downloaded
        } else if facts.bytes {
            Self::Downloading
        } else {
            Self::Waiting
        };
        if self.is_done() {
            self
        } else if facts.restarted {
            seen
        } else {
            self.max(seen)
        }
    }

    /// Whether nothing is left to do of it.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Complete | Self::Cached | Self::Remote)
    }

    /// Whether there was nothing to do from the start.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        matches!(self, Self::Cached | Self::Remote)
    }

    /// The word: `downloading`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Downloading => "downloading",
            Self::Downloaded => "downloaded",
            Self::Extracting => "extracting",
            Self::Complete => "complete",
            Self::Cached => "cached",
            Self::Remote => "remote",
        }
    }
}

impl fmt::Display for LayerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One layer of a pull, as it is now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Layer {
    /// The digest of its blob.
    pub digest: Digest,
    /// The compressed size, exact.
    pub size: Bytes,
    /// What it is doing.
    pub state: LayerState,
    /// Whether its blob was on the node before the pull began.
    pub blob_cached: bool,
    /// Bytes of the blob that are here, never more than `size`.
    pub downloaded: Bytes,
    /// Bytes that unpacking has written so far, where the runtime was asked. Not compressed, so never
    /// a share of `size`.
    pub unpacked_bytes: Option<Bytes>,
    /// How fast its bytes come; `None` where that is not known, or none come any more.
    pub rate: Option<BytesPerSecond>,
    /// What it waits for, where it does; apart, as few layers wait and a server keeps a great many.
    pub waiting_on: Option<Box<WaitingOn>>,
    /// When the first byte was seen.
    pub started_at: Option<NodeTime>,
    /// When all bytes were seen.
    pub downloaded_at: Option<NodeTime>,
    /// When its unpacking was seen to begin.
    pub extracting_at: Option<NodeTime>,
    /// When it was seen unpacked.
    pub completed_at: Option<NodeTime>,
}

impl Layer {
    /// Whether it is as `other` but for what moves: its bytes and its speed.
    #[must_use]
    pub fn is_same_but_for_motion(&self, other: &Self) -> bool {
        // Whatever comes to a layer later has to be said here.
        let Self {
            digest,
            size,
            state,
            blob_cached,
            downloaded: _,
            unpacked_bytes: _,
            rate: _,
            waiting_on,
            started_at,
            downloaded_at,
            extracting_at,
            completed_at,
        } = self;
        *state == other.state
            && *size == other.size
            && *blob_cached == other.blob_cached
            && *started_at == other.started_at
            && *downloaded_at == other.downloaded_at
            && *extracting_at == other.extracting_at
            && *completed_at == other.completed_at
            && *waiting_on == other.waiting_on
            && *digest == other.digest
    }
}

#[cfg(test)]
mod tests {
    use super::LayerState::*;
    use super::*;

    const ALL: [LayerState; 7] = [
        Waiting,
        Downloading,
        Downloaded,
        Extracting,
        Complete,
        Cached,
        Remote,
    ];

    /// All 128 sets of facts.
    fn all_facts() -> impl Iterator<Item = LayerFacts> {
        (0..128_u32).map(|bits| {
            let bit = |n: u32| bits & (1 << n) != 0;
            LayerFacts {
                bytes: bit(0),
                whole: bit(1),
                unpacking: bit(2),
                unpacked: bit(3),
                cached: bit(4),
                remote: bit(5),
                restarted: bit(6),
            }
        })
    }

    #[test]
    fn a_prepared_snapshot_is_no_unpacking_before_the_bytes_are_here() {
        let facts = LayerFacts {
            unpacking: true,
            ..LayerFacts::default()
        };
        assert_eq!(Waiting.next(facts), Waiting);
        assert_eq!(
            Waiting.next(LayerFacts {
                bytes: true,
                ..facts
            }),
            Downloading
        );
        assert_eq!(
            Downloading.next(LayerFacts {
                whole: true,
                ..facts
            }),
            Extracting
        );
    }

    #[test]
    fn it_goes_back_only_where_its_bytes_did() {
        for state in ALL {
            for facts in all_facts().filter(|facts| !facts.restarted) {
                assert!(
                    state.next(facts) >= state,
                    "{state} went back with {facts:?}"
                );
            }
        }
        let again = LayerFacts {
            bytes: true,
            restarted: true,
            ..LayerFacts::default()
        };
        assert_eq!(Extracting.next(again), Downloading);
    }

    #[test]
    fn it_is_done_only_with_evidence() {
        for state in ALL.into_iter().filter(|state| !state.is_done()) {
            for facts in all_facts().filter(|f| !f.unpacked && !f.cached && !f.remote) {
                assert!(
                    !state.next(facts).is_done(),
                    "{state} was done with {facts:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_done_stays_as_it_was_done() {
        for state in ALL.into_iter().filter(|state| state.is_done()) {
            for facts in all_facts() {
                assert_eq!(state.next(facts), state);
            }
        }
    }
}

//! The lifecycle of one layer of a pull.

use std::ops::{Deref, DerefMut};

use crate::id::Digest;
use crate::time::NodeTime;
use crate::unit::{Bytes, BytesPerSecond};
use crate::wait::WaitingOn;

words! {
    /// The state of a layer. Its names are those on the wire.
    #[derive(Default)]
    #[non_exhaustive]
    pub enum LayerState {
        /// No bytes have arrived, whether or not they were requested.
        #[default]
        Waiting = "waiting",
        /// Some bytes have arrived, others are missing.
        Downloading = "downloading",
        /// All bytes are present; unpacking has not started.
        Downloaded = "downloaded",
        /// All bytes are present and are being unpacked.
        Extracting = "extracting",
        /// Unpacked during this pull.
        Complete = "complete",
        /// Unpacked before this pull started: no work.
        Cached = "cached",
        /// Served by a lazy snapshotter without its bytes: no work.
        Remote = "remote",
    }
}

/// The inputs that determine a layer's next state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerInputs {
    /// Some bytes of the blob are present.
    pub bytes: bool,
    /// All bytes of the blob are present.
    pub blob_complete: bool,
    /// A snapshot for the layer is prepared.
    pub unpacking: bool,
    /// The layer is unpacked.
    pub unpacked: bool,
    /// It was unpacked before the pull started.
    pub cached: bool,
    /// A lazy snapshotter serves it.
    pub remote: bool,
    /// The downloaded bytes were discarded, and the blob is fetched again.
    pub restarted: bool,
}

impl LayerState {
    /// Returns the next state. This is the only transition; a state regresses only after a restart.
    #[must_use]
    pub fn next(self, facts: LayerInputs) -> Self {
        let seen = if facts.cached {
            Self::Cached
        } else if facts.remote {
            Self::Remote
        } else if facts.unpacked {
            Self::Complete
        } else if facts.blob_complete && facts.unpacking {
            Self::Extracting
        } else if facts.blob_complete {
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

    /// Reports whether no work is left.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Complete | Self::Cached | Self::Remote)
    }

    /// Reports whether there was no work from the start.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        matches!(self, Self::Cached | Self::Remote)
    }
}

/// A layer of a pull at one moment. Facts read like fields of the layer: `layer.state`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Layer {
    /// All but its progress.
    pub facts: LayerFacts,
    /// Its progress.
    pub motion: LayerMotion,
}

/// The facts of a layer: all but its progress.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerFacts {
    /// The digest of its blob.
    pub digest: Digest,
    /// The exact compressed size.
    pub size: Bytes,
    /// The current state.
    pub state: LayerState,
    /// True if the blob was on the node before the pull started.
    pub blob_cached: bool,
    /// The current wait, if any. Boxed, as few layers wait and a server keeps very many.
    pub waiting_on: Option<Box<WaitingOn>>,
    /// When the first byte was observed.
    pub started_at: Option<NodeTime>,
    /// When all bytes were first observed.
    pub downloaded_at: Option<NodeTime>,
    /// When unpacking was first observed.
    pub extracting_at: Option<NodeTime>,
    /// When the layer was first observed unpacked.
    pub completed_at: Option<NodeTime>,
}

/// The progress of a layer, which changes while the facts stay the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LayerMotion {
    /// Bytes of the blob present on the node, at most `size`.
    pub downloaded: Bytes,
    /// Uncompressed bytes written by unpacking so far, if the runtime reports them. Not comparable
    /// with `size`.
    pub unpacked_bytes: Option<Bytes>,
    /// The download rate; `None` if it is unknown or the download has ended.
    pub rate: Option<BytesPerSecond>,
}

impl Deref for Layer {
    type Target = LayerFacts;

    fn deref(&self) -> &LayerFacts {
        &self.facts
    }
}

impl DerefMut for Layer {
    fn deref_mut(&mut self) -> &mut LayerFacts {
        &mut self.facts
    }
}

impl Layer {
    /// Creates a layer with a digest, size and state; everything else is unknown.
    #[must_use]
    pub const fn new(digest: Digest, size: Bytes, state: LayerState) -> Self {
        Self {
            facts: LayerFacts {
                digest,
                size,
                state,
                blob_cached: false,
                waiting_on: None,
                started_at: None,
                downloaded_at: None,
                extracting_at: None,
                completed_at: None,
            },
            motion: LayerMotion { downloaded: Bytes::ZERO, unpacked_bytes: None, rate: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LayerState::*;
    use super::*;

    /// All 128 combinations of facts.
    fn all_facts() -> impl Iterator<Item = LayerInputs> {
        (0..128_u32).map(|bits| {
            let bit = |n: u32| bits & (1 << n) != 0;
            LayerInputs {
                bytes: bit(0),
                blob_complete: bit(1),
                unpacking: bit(2),
                unpacked: bit(3),
                cached: bit(4),
                remote: bit(5),
                restarted: bit(6),
            }
        })
    }

    #[test]
    fn extracting_requires_complete_blob() {
        let facts = LayerInputs { unpacking: true, ..LayerInputs::default() };
        assert_eq!(Waiting.next(facts), Waiting);
        assert_eq!(Waiting.next(LayerInputs { bytes: true, ..facts }), Downloading);
        assert_eq!(Downloading.next(LayerInputs { blob_complete: true, ..facts }), Extracting);
    }

    #[test]
    fn state_regresses_only_after_restart() {
        for state in LayerState::ALL {
            for facts in all_facts().filter(|facts| !facts.restarted) {
                assert!(state.next(facts) >= state, "{state} regressed with {facts:?}");
            }
        }
        let again = LayerInputs { bytes: true, restarted: true, ..LayerInputs::default() };
        assert_eq!(Extracting.next(again), Downloading);
    }

    #[test]
    fn done_requires_evidence() {
        for state in LayerState::ALL.into_iter().filter(|state| !state.is_done()) {
            for facts in all_facts().filter(|f| !f.unpacked && !f.cached && !f.remote) {
                assert!(
                    !state.next(facts).is_done(),
                    "{state} ended in a done state with {facts:?}"
                );
            }
        }
    }

    #[test]
    fn done_state_is_final() {
        for state in LayerState::ALL.into_iter().filter(|state| state.is_done()) {
            for facts in all_facts() {
                assert_eq!(state.next(facts), state);
            }
        }
    }
}

//! The bytes of one blob on one node: how many are there, and how fast they come.
//!
//! A blob belongs to a node and a namespace, not to a pull: two pulls that share one see the same.

use std::time::Duration;

use crate::id::PullId;
use crate::observation::{Anomaly, BlobSight};
use crate::rate::RateMeter;
use crate::time::{NodeTime, Now};
use crate::unit::Bytes;

/// What is known of a blob.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blob {
    /// What the manifest says that it weighs; `None` for a manifest itself.
    pub(crate) size: Option<Bytes>,
    pub(crate) state: BlobState,
    pub(crate) meter: RateMeter,
    /// Bytes that came and were thrown away, because the blob was begun anew.
    pub(crate) wasted: Bytes,
    /// When it was first seen to have bytes.
    pub(crate) first_byte: Option<NodeTime>,
    /// When all of its bytes were first seen.
    pub(crate) whole_at: Option<NodeTime>,
}

/// The life of a blob on a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum BlobState {
    /// Nobody writes it, and it is not there.
    #[default]
    Absent,
    /// It is being written.
    Ingesting {
        /// Bytes on disk.
        offset: Bytes,
        /// When the writing began; a resume keeps it.
        started_at: NodeTime,
        /// When bytes last came, by the runtime's stamp.
        updated_at: NodeTime,
        /// The pull that writes it.
        by: Option<PullId>,
    },
    /// All bytes are there.
    Whole,
}

/// What an observation did to a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BlobStep {
    /// Bytes that are there now and were not before.
    pub(crate) grown: Bytes,
    /// It was begun anew: what was there is not any more.
    pub(crate) restarted: bool,
    pub(crate) anomaly: Option<Anomaly>,
}

impl Blob {
    /// Bytes that are there, never more than `size`.
    pub(crate) fn here(&self, size: Bytes) -> Bytes {
        match &self.state {
            BlobState::Absent => Bytes::ZERO,
            BlobState::Ingesting { offset, .. } => (*offset).min(size),
            BlobState::Whole => size,
        }
    }

    /// The one transition: every state meets every sight.
    pub(crate) fn observe(&mut self, sight: &BlobSight, now: Now) -> BlobStep {
        let size = self.size;
        let first = self.state == BlobState::Absent;
        let before = self.here(size.unwrap_or(Bytes(u64::MAX)));
        let mut step = BlobStep::default();
        match sight {
            BlobSight::Whole => {
                if self.state != BlobState::Whole {
                    self.state = BlobState::Whole;
                    self.whole_at = Some(now.node);
                    self.first_byte.get_or_insert(now.node);
                }
            }
            BlobSight::Ingest {
                offset,
                started_at,
                updated_at,
                by,
            } => {
                let mut offset = *offset;
                if let Some(size) = size.filter(|size| offset > *size) {
                    step.anomaly = Some(Anomaly::OffsetBeyondSize);
                    offset = size;
                }
                let next = |offset| BlobState::Ingesting {
                    offset,
                    started_at: *started_at,
                    updated_at: *updated_at,
                    by: by.clone(),
                };
                match &self.state {
                    BlobState::Absent => self.state = next(offset),
                    BlobState::Ingesting {
                        offset: had,
                        started_at: began,
                        ..
                    } if offset < *had => {
                        if started_at > began {
                            step.restarted = true;
                            self.state = next(offset);
                        } else {
                            step.anomaly = Some(Anomaly::OffsetWentBack);
                        }
                    }
                    BlobState::Ingesting { .. } => self.state = next(offset),
                    // The list of ingests is older than what the leases say: an ingest that began
                    // before the blob was whole is the one that made it.
                    BlobState::Whole if self.whole_at.is_some_and(|whole| *started_at <= whole) => {
                    }
                    BlobState::Whole => {
                        step.restarted = true;
                        step.anomaly = Some(Anomaly::BlobReturned);
                        self.state = next(offset);
                    }
                }
                if offset > Bytes::ZERO {
                    self.first_byte.get_or_insert(now.node);
                }
            }
        }
        let after = self.here(size.unwrap_or(Bytes(u64::MAX)));
        if step.restarted {
            self.wasted += before;
            self.whole_at = None;
            step.grown = Bytes::ZERO;
        } else if size.is_some() && !(first && self.is_old(now)) {
            step.grown = after.saturating_sub(before);
        }
        if size.is_some() || matches!(self.state, BlobState::Ingesting { .. }) {
            self.meter.sample(after, now.mono);
        }
        step
    }
}

impl Blob {
    /// Whether what is here came long before it was first looked at: nothing that moves now.
    fn is_old(&self, now: Now) -> bool {
        const FRESH: Duration = Duration::from_secs(5);
        match &self.state {
            BlobState::Ingesting { started_at, .. } => now.node.since(*started_at) > FRESH,
            BlobState::Absent | BlobState::Whole => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Mono;

    fn time(second: i64) -> NodeTime {
        NodeTime::from_unix(second, 0)
    }

    fn ingest(offset: u64, started: i64) -> BlobSight {
        BlobSight::Ingest {
            offset: Bytes(offset),
            started_at: time(started),
            updated_at: time(started),
            by: None,
        }
    }

    /// Each sight a second after the other; what is there at the end, and the anomalies.
    fn run(sights: &[BlobSight]) -> (Blob, Vec<Anomaly>) {
        let mut blob = Blob {
            size: Some(Bytes(100)),
            ..Blob::default()
        };
        let mut anomalies = Vec::new();
        for (second, sight) in (100_i64..).zip(sights) {
            let mono = Mono(Duration::from_secs(second.unsigned_abs()));
            let step = blob.observe(
                sight,
                Now {
                    mono,
                    node: time(second),
                },
            );
            anomalies.extend(step.anomaly);
        }
        (blob, anomalies)
    }

    #[test]
    fn bytes_grow_until_it_is_whole() {
        let (blob, anomalies) = run(&[ingest(0, 99), ingest(40, 99), BlobSight::Whole]);
        assert_eq!((blob.here(Bytes(100)), anomalies), (Bytes(100), vec![]));
    }

    #[test]
    fn bytes_never_go_back_without_a_new_beginning() {
        let (blob, anomalies) = run(&[ingest(40, 99), ingest(30, 99)]);
        assert_eq!(
            (blob.here(Bytes(100)), anomalies),
            (Bytes(40), vec![Anomaly::OffsetWentBack])
        );
    }

    #[test]
    fn a_new_beginning_counts_what_was_wasted() {
        let (blob, anomalies) = run(&[ingest(40, 99), ingest(10, 101)]);
        assert_eq!(
            (blob.here(Bytes(100)), blob.wasted, anomalies),
            (Bytes(10), Bytes(40), vec![])
        );
    }

    #[test]
    fn an_ingest_listed_before_its_commit_changes_nothing() {
        let (blob, anomalies) = run(&[ingest(90, 99), BlobSight::Whole, ingest(95, 99)]);
        assert_eq!((blob.here(Bytes(100)), anomalies), (Bytes(100), vec![]));
    }

    #[test]
    fn a_blob_that_was_collected_and_fetched_again_is_told() {
        let (blob, anomalies) = run(&[BlobSight::Whole, ingest(5, 101)]);
        assert_eq!(
            (blob.here(Bytes(100)), anomalies),
            (Bytes(5), vec![Anomaly::BlobReturned])
        );
    }

    #[test]
    fn more_bytes_than_the_manifest_says_are_not_believed() {
        let (blob, anomalies) = run(&[ingest(101, 99)]);
        assert_eq!(
            (blob.here(Bytes(100)), anomalies),
            (Bytes(100), vec![Anomaly::OffsetBeyondSize])
        );
    }
}

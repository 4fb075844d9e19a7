//! The download of one blob on a node: its bytes and their rate.
//!
//! A blob belongs to a node and a namespace, not to a pull: pulls that share it see the same state.

use std::time::Duration;

use crate::id::PullId;
use crate::observation::{Anomaly, BlobObservation};
use crate::rate::RateMeter;
use crate::time::{NodeTime, Now};
use crate::unit::Bytes;

/// A blob on a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blob {
    /// The size according to the manifest; `None` for a manifest itself.
    pub(crate) size: Option<Bytes>,
    pub(crate) state: BlobState,
    pub(crate) meter: RateMeter,
    /// Bytes that were discarded because the download restarted.
    pub(crate) wasted: Bytes,
    /// When bytes were first observed.
    pub(crate) first_byte: Option<NodeTime>,
    /// When the blob was first observed complete.
    pub(crate) completed_at: Option<NodeTime>,
}

/// The lifecycle of a blob on a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum BlobState {
    /// It is neither present nor being written.
    #[default]
    Absent,
    /// It is being written.
    Ingesting {
        /// Bytes on disk.
        offset: Bytes,
        /// When writing started; a resume does not change it.
        started_at: NodeTime,
        /// When bytes were last written, according to the runtime.
        updated_at: NodeTime,
        /// The pull that writes it.
        by: Option<PullId>,
    },
    /// All bytes are present.
    Complete,
}

/// The effect of an observation on a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BlobUpdate {
    /// Bytes added by the observation.
    pub(crate) grown: Bytes,
    /// The download restarted and discarded the earlier bytes.
    pub(crate) restarted: bool,
    pub(crate) anomaly: Option<Anomaly>,
}

impl Blob {
    /// Returns the bytes present, at most `size`.
    pub(crate) fn present(&self, size: Bytes) -> Bytes {
        match &self.state {
            BlobState::Absent => Bytes::ZERO,
            BlobState::Ingesting { offset, .. } => (*offset).min(size),
            BlobState::Complete => size,
        }
    }

    /// Applies an observation. This is the only transition; it handles every observation in every
    /// state.
    pub(crate) fn observe(&mut self, observed: &BlobObservation, now: Now) -> BlobUpdate {
        let size = self.size;
        let first = self.state == BlobState::Absent;
        let before = self.present(size.unwrap_or(Bytes(u64::MAX)));
        let mut update = BlobUpdate::default();
        match observed {
            BlobObservation::Complete => {
                if self.state != BlobState::Complete {
                    self.state = BlobState::Complete;
                    self.completed_at = Some(now.node);
                    self.first_byte.get_or_insert(now.node);
                }
            }
            BlobObservation::Ingest { offset, started_at, updated_at, by } => {
                let mut offset = *offset;
                if let Some(size) = size.filter(|size| offset > *size) {
                    update.anomaly = Some(Anomaly::OffsetBeyondSize);
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
                    BlobState::Ingesting { offset: old_offset, started_at: old_start, .. }
                        if offset < *old_offset =>
                    {
                        if started_at > old_start {
                            update.restarted = true;
                            self.state = next(offset);
                        } else {
                            update.anomaly = Some(Anomaly::OffsetWentBack);
                        }
                    }
                    BlobState::Ingesting { .. } => self.state = next(offset),
                    // The list of ingests may be stale: an ingest that started before the blob was
                    // complete is the one that completed it.
                    BlobState::Complete
                        if self.completed_at.is_some_and(|whole| *started_at <= whole) => {}
                    BlobState::Complete => {
                        update.restarted = true;
                        update.anomaly = Some(Anomaly::BlobReturned);
                        self.state = next(offset);
                    }
                }
                if offset > Bytes::ZERO {
                    self.first_byte.get_or_insert(now.node);
                }
            }
        }
        let after = self.present(size.unwrap_or(Bytes(u64::MAX)));
        if update.restarted {
            self.wasted += before;
            self.completed_at = None;
            update.grown = Bytes::ZERO;
        } else if size.is_some() && !(first && self.is_preexisting(now)) {
            update.grown = after.saturating_sub(before);
        }
        if size.is_some() || matches!(self.state, BlobState::Ingesting { .. }) {
            self.meter.sample(after, now.mono);
        }
        update
    }
}

impl Blob {
    /// Reports whether the bytes were written long before the first observation, so that they do
    /// not count as growth.
    fn is_preexisting(&self, now: Now) -> bool {
        const FRESH: Duration = Duration::from_secs(5);
        match &self.state {
            BlobState::Ingesting { started_at, .. } => now.node.since(*started_at) > FRESH,
            BlobState::Absent | BlobState::Complete => false,
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

    fn ingest(offset: u64, started: i64) -> BlobObservation {
        BlobObservation::Ingest {
            offset: Bytes(offset),
            started_at: time(started),
            updated_at: time(started),
            by: None,
        }
    }

    /// Applies the observations one second apart. Returns the blob and the anomalies.
    fn run(observations: &[BlobObservation]) -> (Blob, Vec<Anomaly>) {
        let mut blob = Blob { size: Some(Bytes(100)), ..Blob::default() };
        let mut anomalies = Vec::new();
        for (second, observed) in (100_i64..).zip(observations) {
            let mono = Mono(Duration::from_secs(second.unsigned_abs()));
            let step = blob.observe(observed, Now { mono, node: time(second) });
            anomalies.extend(step.anomaly);
        }
        (blob, anomalies)
    }

    #[test]
    fn bytes_grow_until_complete() {
        let (blob, anomalies) = run(&[ingest(0, 99), ingest(40, 99), BlobObservation::Complete]);
        assert_eq!((blob.present(Bytes(100)), anomalies), (Bytes(100), vec![]));
    }

    #[test]
    fn offset_never_decreases_without_restart() {
        let (blob, anomalies) = run(&[ingest(40, 99), ingest(30, 99)]);
        assert_eq!(
            (blob.present(Bytes(100)), anomalies),
            (Bytes(40), vec![Anomaly::OffsetWentBack])
        );
    }

    #[test]
    fn restarted_download_counts_wasted_bytes() {
        let (blob, anomalies) = run(&[ingest(40, 99), ingest(10, 101)]);
        assert_eq!(
            (blob.present(Bytes(100)), blob.wasted, anomalies),
            (Bytes(10), Bytes(40), vec![])
        );
    }

    #[test]
    fn stale_ingest_is_ignored_after_commit() {
        let (blob, anomalies) = run(&[ingest(90, 99), BlobObservation::Complete, ingest(95, 99)]);
        assert_eq!((blob.present(Bytes(100)), anomalies), (Bytes(100), vec![]));
    }

    #[test]
    fn refetched_blob_is_an_anomaly() {
        let (blob, anomalies) = run(&[BlobObservation::Complete, ingest(5, 101)]);
        assert_eq!((blob.present(Bytes(100)), anomalies), (Bytes(5), vec![Anomaly::BlobReturned]));
    }

    #[test]
    fn offset_is_capped_at_manifest_size() {
        let (blob, anomalies) = run(&[ingest(101, 99)]);
        assert_eq!(
            (blob.present(Bytes(100)), anomalies),
            (Bytes(100), vec![Anomaly::OffsetBeyondSize])
        );
    }
}

//! Estimates the remaining time of a pull, as a range.
//!
//! Missing bytes are assumed to arrive at the pull's own rate. Layers unpack one after another as
//! they arrive, at the unpack speed measured on this node.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::image::Compression;
use crate::unit::{Bytes, BytesPerSecond};

/// The remaining time of a pull.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Eta {
    /// The best estimate.
    pub left: Duration,
    /// The optimistic bound.
    pub low: Duration,
    /// The pessimistic bound.
    pub high: Duration,
    /// The basis of the unpacking part.
    pub basis: EtaBasis,
}

words! {
    /// The basis of the unpacking part of an [`Eta`].
    #[non_exhaustive]
    pub enum EtaBasis {
        /// Layers with this compression were unpacked on this node before.
        Learned = "learned",
        /// No such measurement yet; a typical speed is assumed.
        Assumed = "assumed",
    }
}

/// The remaining work of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerWork {
    /// Bytes still to download.
    pub to_fetch: Bytes,
    /// Compressed bytes still to unpack; zero once unpacked.
    pub to_unpack: Bytes,
    /// The compression of the layer.
    pub compression: Compression,
    /// Time spent unpacking so far, if unpacking has started.
    pub unpacking_for: Option<Duration>,
}

/// The speeds that an estimate is based on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speeds {
    /// The download rate of the pull, if known.
    pub pull: Option<BytesPerSecond>,
    /// The download rate of the whole node: an upper bound for a single pull.
    pub node: Option<BytesPerSecond>,
    /// The number of pulls downloading on the node, including this one.
    pub downloading: usize,
    /// Estimated bytes of the pull that have arrived but are not counted yet.
    pub uncounted: Bytes,
}

/// Estimates the remaining time of these layers, lowest first; `None` if bytes are missing and the
/// rate is unknown or zero.
#[must_use]
pub fn estimate(work: &[LayerWork], speeds: Speeds, unpack: &UnpackSpeeds) -> Option<Eta> {
    let moving = |rate: Option<BytesPerSecond>| rate.map(BytesPerSecond::get).filter(|r| *r > 0.0);
    let to_fetch: Bytes = work.iter().map(|layer| layer.to_fetch).sum();
    if to_fetch > Bytes::ZERO && speeds.pull == Some(BytesPerSecond::ZERO) {
        return None;
    }
    let own = moving(speeds.pull);
    #[expect(clippy::cast_precision_loss, reason = "a count of pulls")]
    let fair_share = moving(speeds.node).map(|rate| rate / speeds.downloading.max(1) as f64);
    let (rate, is_measured) = match (own, fair_share) {
        (Some(own), _) => (own, true),
        (None, Some(share)) => (share, false),
        (None, None) if to_fetch == Bytes::ZERO => (f64::INFINITY, true),
        (None, None) => return None,
    };
    let best = moving(speeds.node).unwrap_or(rate).max(rate * 1.15);
    let worst = rate * if is_measured { 0.75 } else { 0.4 };
    let mut basis = EtaBasis::Learned;
    for layer in work.iter().filter(|layer| layer.to_unpack > Bytes::ZERO) {
        if unpack.learned(layer.compression).is_none() {
            basis = EtaBasis::Assumed;
        }
    }
    let (quick, slow) = match basis {
        EtaBasis::Learned => (1.3, 0.7),
        EtaBasis::Assumed => (3.0, 0.33),
    };
    let seconds = |rate: f64, factor: f64| {
        seconds_to_finish(work, speeds.uncounted, rate, |c| unpack.speed(c) * factor)
    };
    let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Some(Eta {
        left: duration(seconds(rate, 1.0)),
        low: duration(seconds(best, quick)),
        high: duration(seconds(worst, slow)),
        basis,
    })
}

/// The fixed cost of unpacking a layer (mount, sync, commit). Measured: 10 to 40 ms.
const PER_LAYER_SECONDS: f64 = 0.025;

/// Returns the seconds until the last layer is unpacked. Bytes arrive in layer order, and a layer
/// unpacks once it is complete and the layer below is unpacked.
fn seconds_to_finish(
    work: &[LayerWork],
    uncounted: Bytes,
    rate: f64,
    unpack: impl Fn(Compression) -> f64,
) -> f64 {
    let (mut to_fetch, mut fetched, mut done) = (Bytes::ZERO, 0.0_f64, 0.0_f64);
    for layer in work {
        to_fetch += layer.to_fetch;
        if rate.is_finite() {
            fetched = to_fetch.saturating_sub(uncounted).as_f64() / rate;
        }
        if layer.to_unpack > Bytes::ZERO {
            let whole = layer.to_unpack.as_f64() / unpack(layer.compression) + PER_LAYER_SECONDS;
            let past = layer.unpacking_for.map_or(0.0, |d| d.as_secs_f64());
            // A layer that is still unpacking keeps at least a tenth of its total time. The estimate
            // stays monotonic: a slower speed never gives a shorter time.
            let left = (whole - past).max(whole * 0.1);
            done = done.max(fetched) + left;
        }
    }
    done.max(fetched)
}

/// The unpack speeds measured on a node.
#[derive(Clone, Debug, Default)]
pub struct UnpackSpeeds {
    samples: BTreeMap<Compression, VecDeque<(Bytes, Duration)>>,
}

impl UnpackSpeeds {
    /// The maximum number of layers to average over; older ones are dropped.
    const MAX_SAMPLES: usize = 16;

    /// Smaller layers are ignored: fixed costs dominate their unpack time.
    const MIN_LAYER_SIZE: Bytes = Bytes(4 << 20);

    /// Records the time it took to unpack a layer of this compressed size.
    pub fn record(&mut self, compression: Compression, size: Bytes, took: Duration) {
        if size < Self::MIN_LAYER_SIZE || took.is_zero() {
            return;
        }
        let seen = self.samples.entry(compression).or_default();
        seen.push_back((size, took));
        if seen.len() > Self::MAX_SAMPLES {
            seen.pop_front();
        }
    }

    /// Returns the measured compressed bytes per second; `None` before the first sample.
    #[must_use]
    pub fn learned(&self, compression: Compression) -> Option<BytesPerSecond> {
        let seen = self.samples.get(&compression)?;
        let bytes: Bytes = seen.iter().map(|(size, _)| *size).sum();
        let took: Duration = seen.iter().map(|(_, took)| *took).sum();
        BytesPerSecond::new(bytes.as_f64() / took.as_secs_f64())
    }

    /// Returns the measured speed, or a default. For gzip that is half of the 2.7 GiB in 30 s on a
    /// fast disk that containerd#13559 reports; the range of the estimate covers the uncertainty.
    fn speed(&self, compression: Compression) -> f64 {
        const MIB: f64 = 1_048_576.0;
        self.learned(compression).map_or(
            match compression {
                Compression::Gzip | Compression::Unknown => 45.0 * MIB,
                Compression::Zstd => 100.0 * MIB,
                Compression::None => 200.0 * MIB,
            },
            BytesPerSecond::get,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn layer(fetch: u64, unpack: u64) -> LayerWork {
        LayerWork {
            to_fetch: Bytes(fetch * MIB),
            to_unpack: Bytes(unpack * MIB),
            compression: Compression::Gzip,
            unpacking_for: None,
        }
    }

    fn speeds(pull: u64, node: u64) -> Speeds {
        let rate =
            |mib: u64| (mib > 0).then(|| BytesPerSecond::new(Bytes(mib * MIB).as_f64()).unwrap());
        Speeds { pull: rate(pull), node: rate(node), downloading: 1, uncounted: Bytes::ZERO }
    }

    fn learned(mib_per_second: u64) -> UnpackSpeeds {
        let mut unpack = UnpackSpeeds::default();
        unpack.record(Compression::Gzip, Bytes(mib_per_second * MIB), Duration::from_secs(1));
        unpack
    }

    #[track_caller]
    fn check(work: &[LayerWork], speeds: Speeds, unpack: &UnpackSpeeds, seconds: f64) {
        let eta = estimate(work, speeds, unpack).expect("an estimate");
        let left = eta.left.as_secs_f64();
        assert!((left - seconds).abs() < 0.1 * seconds + 0.1, "{left}, expected {seconds}");
        assert!(eta.low <= eta.left && eta.left <= eta.high, "{eta:?}");
    }

    #[test]
    fn eta_is_unknown_without_speed() {
        assert_eq!(estimate(&[layer(10, 10)], speeds(0, 0), &learned(50)), None);
    }

    #[test]
    fn eta_adds_last_unpack_to_download() {
        check(&[layer(0, 0), layer(100, 100)], speeds(10, 10), &learned(50), 12.0);
    }

    #[test]
    fn eta_overlaps_unpacking_with_download() {
        check(&[layer(0, 100), layer(100, 50)], speeds(10, 10), &learned(50), 11.0);
    }

    #[test]
    fn eta_is_bounded_by_slow_unpacking() {
        check(&[layer(1, 100), layer(1, 100)], speeds(10, 10), &learned(10), 20.1);
    }

    #[test]
    fn eta_falls_back_to_share_of_node_speed() {
        let mut shared = speeds(0, 10);
        shared.downloading = 2;
        check(&[layer(100, 0)], shared, &learned(50), 20.0);
    }

    #[test]
    fn eta_subtracts_uncounted_bytes() {
        let mut near = speeds(10, 10);
        near.uncounted = Bytes(20 * MIB);
        check(&[layer(30, 0), layer(30, 0)], near, &learned(50), 4.0);
        near.uncounted = Bytes(u64::MAX);
        check(&[layer(30, 50)], near, &learned(50), 1.0);
    }

    #[test]
    fn assumed_unpack_speed_widens_range() {
        let unknown = UnpackSpeeds::default();
        let eta = estimate(&[layer(0, 90)], speeds(0, 0), &unknown).unwrap();
        assert_eq!(eta.basis, EtaBasis::Assumed);
        assert!(eta.high > eta.left * 2);
    }

    #[test]
    fn overdue_unpack_keeps_time_left() {
        let work = LayerWork { unpacking_for: Some(Duration::from_secs(1_000)), ..layer(0, 100) };
        check(&[work], speeds(0, 0), &learned(50), 0.2);
    }

    #[test]
    fn huge_sizes_do_not_overflow() {
        let work =
            LayerWork { to_fetch: Bytes(u64::MAX), to_unpack: Bytes(u64::MAX), ..layer(0, 0) };
        assert!(estimate(&[work; 3], speeds(1, 1), &UnpackSpeeds::default()).is_some());
    }
}

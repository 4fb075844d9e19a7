//! How much longer a pull takes, with a range: never a number without a reason.
//!
//! Bytes still to come are taken at the pull's own speed; layers are unpacked one after another as
//! their bytes arrive, at the speed that this node was seen to unpack with.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::image::Compression;
use crate::unit::{Bytes, BytesPerSecond};

/// How much longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Eta {
    /// The best guess.
    pub left: Duration,
    /// If it goes well.
    pub low: Duration,
    /// If it does not.
    pub high: Duration,
    /// What the unpacking part rests on.
    pub basis: EtaBasis,
}

/// What the unpacking part of an [`Eta`] rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EtaBasis {
    /// This node was seen to unpack layers so compressed.
    Learned,
    /// It was not yet: a speed that is usual elsewhere.
    Assumed,
}

impl EtaBasis {
    /// The word: `learned`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Assumed => "assumed",
        }
    }
}

/// What is left of one layer, lowest layer first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerWork {
    /// Bytes still to come.
    pub to_fetch: Bytes,
    /// Compressed bytes still to unpack; zero where it is done.
    pub to_unpack: Bytes,
    /// How it is compressed.
    pub compression: Compression,
    /// How long it has been unpacking already, where it is.
    pub unpacking_for: Option<Duration>,
}

/// The speeds that an estimate needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speeds {
    /// How fast the pull gets its bytes; `None` where that is not known.
    pub pull: Option<BytesPerSecond>,
    /// How fast the whole node gets bytes: what the pull could have if it were alone.
    pub node: Option<BytesPerSecond>,
    /// How many pulls of the node are downloading, this one included.
    pub downloading: usize,
    /// What of the pull's bytes came already, about, and is not seen yet.
    pub unseen: Bytes,
}

/// The time left; `None` where bytes are to come and no speed is known, or none come.
#[must_use]
pub fn eta(work: &[LayerWork], speeds: Speeds, unpack: &UnpackSpeeds) -> Option<Eta> {
    let moving = |rate: Option<BytesPerSecond>| rate.map(BytesPerSecond::get).filter(|r| *r > 0.0);
    let to_fetch: Bytes = work.iter().map(|layer| layer.to_fetch).sum();
    if to_fetch > Bytes::ZERO && speeds.pull == Some(BytesPerSecond::ZERO) {
        return None;
    }
    let own = moving(speeds.pull);
    #[expect(clippy::cast_precision_loss, reason = "a count of pulls")]
    let share = moving(speeds.node).map(|rate| rate / speeds.downloading.max(1) as f64);
    let (rate, sure) = match (own, share) {
        (Some(own), _) => (own, true),
        (None, Some(share)) => (share, false),
        (None, None) if to_fetch == Bytes::ZERO => (f64::INFINITY, true),
        (None, None) => return None,
    };
    let best = moving(speeds.node).unwrap_or(rate).max(rate * 1.15);
    let worst = rate * if sure { 0.75 } else { 0.4 };
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
    let seconds =
        |rate: f64, factor: f64| finish(work, speeds.unseen, rate, |c| unpack.speed(c) * factor);
    let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Some(Eta {
        left: duration(seconds(rate, 1.0)),
        low: duration(seconds(best, quick)),
        high: duration(seconds(worst, slow)),
        basis,
    })
}

/// What unpacking a layer costs beyond its bytes: a mount, a sync, a commit. Measured 10 to 40 ms.
const PER_LAYER_SECONDS: f64 = 0.025;

/// Bytes come in the order of the layers; each layer is unpacked when it and all below are there.
fn finish(
    work: &[LayerWork],
    unseen: Bytes,
    rate: f64,
    unpack: impl Fn(Compression) -> f64,
) -> f64 {
    let (mut to_fetch, mut fetched, mut done) = (Bytes::ZERO, 0.0_f64, 0.0_f64);
    for layer in work {
        to_fetch += layer.to_fetch;
        if rate.is_finite() {
            fetched = to_fetch.saturating_sub(unseen).as_f64() / rate;
        }
        if layer.to_unpack > Bytes::ZERO {
            let whole = layer.to_unpack.as_f64() / unpack(layer.compression) + PER_LAYER_SECONDS;
            let past = layer.unpacking_for.map_or(0.0, |d| d.as_secs_f64());
            // It goes on, so it is not over: where it takes longer a tenth is left. A slower guess is never
            // a shorter one.
            let left = (whole - past).max(whole * 0.1);
            done = done.max(fetched) + left;
        }
    }
    done.max(fetched)
}

/// How fast a node unpacks, learned from what it did.
#[derive(Clone, Debug, Default)]
pub struct UnpackSpeeds {
    seen: BTreeMap<Compression, VecDeque<(Bytes, Duration)>>,
}

impl UnpackSpeeds {
    /// Layers that a learned speed rests on at the most; older ones are forgotten.
    const KEPT: usize = 16;

    /// Smaller layers say nothing: their time is not their bytes'.
    const SMALLEST: Bytes = Bytes(4 << 20);

    /// A layer of this compressed size took so long to unpack.
    pub fn learn(&mut self, compression: Compression, size: Bytes, took: Duration) {
        if size < Self::SMALLEST || took.is_zero() {
            return;
        }
        let seen = self.seen.entry(compression).or_default();
        seen.push_back((size, took));
        if seen.len() > Self::KEPT {
            seen.pop_front();
        }
    }

    /// Compressed bytes per second as seen on this node; `None` where none was seen.
    #[must_use]
    pub fn learned(&self, compression: Compression) -> Option<BytesPerSecond> {
        let seen = self.seen.get(&compression)?;
        let bytes: Bytes = seen.iter().map(|(size, _)| *size).sum();
        let took: Duration = seen.iter().map(|(_, took)| *took).sum();
        BytesPerSecond::new(bytes.as_f64() / took.as_secs_f64())
    }

    /// Learned, or what is usual: a containerd issue tells of 2.7 GiB of gzip in 30 s on a fast disk
    /// (containerd#13559); half of that is assumed, and the range says how little that means.
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
        Speeds {
            pull: rate(pull),
            node: rate(node),
            downloading: 1,
            unseen: Bytes::ZERO,
        }
    }

    fn learned(mib_per_second: u64) -> UnpackSpeeds {
        let mut unpack = UnpackSpeeds::default();
        unpack.learn(
            Compression::Gzip,
            Bytes(mib_per_second * MIB),
            Duration::from_secs(1),
        );
        unpack
    }

    #[track_caller]
    fn check(work: &[LayerWork], speeds: Speeds, unpack: &UnpackSpeeds, seconds: f64) {
        let eta = eta(work, speeds, unpack).expect("an estimate");
        let left = eta.left.as_secs_f64();
        assert!(
            (left - seconds).abs() < 0.1 * seconds + 0.1,
            "{left} is not {seconds}"
        );
        assert!(eta.low <= eta.left && eta.left <= eta.high, "{eta:?}");
    }

    #[test]
    fn nothing_known_is_no_number() {
        assert_eq!(eta(&[layer(10, 10)], speeds(0, 0), &learned(50)), None);
    }

    #[test]
    fn bytes_at_the_pulls_speed_then_the_last_layer_unpacks() {
        check(
            &[layer(0, 0), layer(100, 100)],
            speeds(10, 10),
            &learned(50),
            12.0,
        );
    }

    #[test]
    fn lower_layers_unpack_while_upper_ones_come() {
        check(
            &[layer(0, 100), layer(100, 50)],
            speeds(10, 10),
            &learned(50),
            11.0,
        );
    }

    #[test]
    fn unpacking_can_be_what_takes_long() {
        check(
            &[layer(1, 100), layer(1, 100)],
            speeds(10, 10),
            &learned(10),
            20.1,
        );
    }

    #[test]
    fn without_an_own_speed_a_share_of_the_node_is_taken() {
        let mut shared = speeds(0, 10);
        shared.downloading = 2;
        check(&[layer(100, 0)], shared, &learned(50), 20.0);
    }

    #[test]
    fn what_came_and_is_not_seen_yet_is_not_waited_for() {
        let mut near = speeds(10, 10);
        near.unseen = Bytes(20 * MIB);
        check(&[layer(30, 0), layer(30, 0)], near, &learned(50), 4.0);
        near.unseen = Bytes(u64::MAX);
        check(&[layer(30, 50)], near, &learned(50), 1.0);
    }

    #[test]
    fn an_assumed_speed_is_said_to_be_one() {
        let unknown = UnpackSpeeds::default();
        let eta = eta(&[layer(0, 90)], speeds(0, 0), &unknown).unwrap();
        assert_eq!(eta.basis, EtaBasis::Assumed);
        assert!(eta.high > eta.left * 2);
    }

    #[test]
    fn what_takes_longer_than_expected_still_ends_later_than_now() {
        let work = LayerWork {
            unpacking_for: Some(Duration::from_secs(1_000)),
            ..layer(0, 100)
        };
        check(&[work], speeds(0, 0), &learned(50), 0.2);
    }

    #[test]
    fn hostile_sizes_give_a_number() {
        let work = LayerWork {
            to_fetch: Bytes(u64::MAX),
            to_unpack: Bytes(u64::MAX),
            ..layer(0, 0)
        };
        assert!(eta(&[work; 3], speeds(1, 1), &UnpackSpeeds::default()).is_some());
    }
}

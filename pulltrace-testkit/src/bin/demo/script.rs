//! What is pulled, and when: a function of a seed. The first minute is fixed
//! and shows everything there is; after that it goes on for ever, varied.
//!
//! Nothing here pulls. Names and versions come from a list that ends, so that
//! what is kept for them does.

use std::time::Duration;

/// One layer to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) name: String,
    pub(crate) content: Content,
    /// At most so many bytes per second; only the line's limit when `None`.
    pub(crate) rate: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// So many random bytes.
    Random(u64),
    /// So many small files: little to load, much to unpack.
    Files(usize),
}

/// What goes wrong with a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// The connection breaks at this byte of the last layer, each time.
    Breaks { at: u64 },
    /// The last layer stands still at this byte for a while.
    Stalls { at: u64, time: Duration },
    /// The registry does not answer for a while.
    Silence { time: Duration },
}

/// One pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pull {
    pub(crate) repository: &'static str,
    pub(crate) tag: String,
    /// The lowest first.
    pub(crate) layers: Vec<Piece>,
    /// Whether there is an image for another platform, too.
    pub(crate) multi_arch: bool,
    pub(crate) trouble: Trouble,
}

impl Pull {
    /// `shop/checkout:1.4.0`.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    /// Whether it is meant to fail.
    pub(crate) fn fails(&self) -> bool {
        matches!(self.trouble, Trouble::Breaks { .. })
    }
}

/// A pull, so long after the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) after: Duration,
    pub(crate) pull: Pull,
}

/// After so many versions a name begins again with the first.
const VERSIONS: u64 = 20;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Backup,
    Recommender,
    Checkout,
    Catalog,
    Ledger,
    Indexer,
    Storefront,
    Proxy,
    Gateway,
    Collector,
}

use Service::{
    Backup, Catalog, Checkout, Collector, Gateway, Indexer, Ledger, Proxy, Recommender, Storefront,
};

/// A version of a service: the `n`th.
pub(crate) fn pull(service: Service, n: u64) -> Pull {
    let n = n % VERSIONS;
    // Bases change now and then, as they do.
    let (era, patch) = (n / 5, n % 5);
    let alpine = || random(&format!("alpine-3.{}", 20 + era), 3 * MIB + 400 * KIB);
    let debian = || random(&format!("debian-12.{}", 5 + era), 24 * MIB);
    let jre = || random(&format!("jre-21.{era}"), 44 * MIB);
    let node = || random(&format!("node-22.{era}"), 31 * MIB);
    let own = |size| random(&format!("{service:?}-{n}"), size);
    let (repository, layers, trouble) = match service {
        Backup => ("tools/backup", vec![alpine(), own(2 * MIB)], Trouble::None),
        Recommender => {
            let weights = Piece {
                rate: Some(3 * MIB),
                ..random(&format!("weights-{n}"), 150 * MIB)
            };
            let python = random(&format!("python-3.12.{era}"), 31 * MIB);
            let layers = vec![debian(), python, weights, own(5 * MIB)];
            ("ml/recommender", layers, Trouble::None)
        }
        Checkout => (
            "shop/checkout",
            vec![alpine(), jre(), own(9 * MIB)],
            Trouble::None,
        ),
        Catalog => (
            "shop/catalog",
            vec![alpine(), jre(), own(13 * MIB)],
            Trouble::None,
        ),
        Ledger => {
            let trouble = Trouble::Breaks { at: 11 * MIB };
            ("pay/ledger", vec![debian(), own(18 * MIB)], trouble)
        }
        Indexer => {
            let time = Duration::from_secs(45 + 3 * patch);
            let trouble = Trouble::Stalls { at: 15 * MIB, time };
            ("search/indexer", vec![debian(), own(26 * MIB)], trouble)
        }
        Storefront => {
            let modules = Piece {
                name: format!("node-modules-{era}"),
                content: Content::Files(24_000),
                rate: None,
            };
            let layers = vec![debian(), node(), modules, own(3 * MIB)];
            ("web/storefront", layers, Trouble::None)
        }
        Proxy => ("edge/proxy", vec![alpine(), own(17 * MIB)], Trouble::None),
        Gateway => {
            let time = Duration::from_secs(8 + patch);
            let trouble = Trouble::Silence { time };
            ("auth/gateway", vec![alpine(), own(11 * MIB)], trouble)
        }
        Collector => {
            let part = |i: u64| random(&format!("collector-{n}-{i}"), MIB + i * 200 * KIB);
            let layers = std::iter::once(alpine()).chain((0..14).map(part));
            ("obs/collector", layers.collect(), Trouble::None)
        }
    };
    Pull {
        repository,
        tag: format!("{}.{}.{patch}", 1 + repository.len() % 4, 4 + era),
        layers,
        multi_arch: service == Proxy,
        trouble,
    }
}

fn random(name: &str, size: u64) -> Piece {
    Piece {
        name: name.to_owned(),
        content: Content::Random(size),
        rate: None,
    }
}

fn step(millis: u64, service: Service, n: u64) -> Step {
    Step {
        after: Duration::from_millis(millis),
        pull: pull(service, n),
    }
}

/// Everything once, within half a minute. The second backup is there already.
fn first() -> Vec<Step> {
    vec![
        step(0, Backup, 0),
        step(1_000, Recommender, 0),
        step(2_500, Checkout, 0),
        step(200, Catalog, 0),
        step(3_000, Backup, 0),
        step(4_000, Ledger, 0),
        step(2_000, Indexer, 0),
        step(5_000, Gateway, 0),
        step(5_000, Storefront, 0),
        step(6_000, Proxy, 0),
        step(6_000, Collector, 0),
    ]
}

/// What ends by itself after some ten seconds.
pub(crate) fn brief() -> Vec<Step> {
    vec![
        step(0, Backup, 0),
        step(500, Checkout, 0),
        step(100, Catalog, 0),
        step(1_500, Backup, 0),
        step(500, Proxy, 0),
        step(500, Ledger, 0),
        step(1_500, Collector, 0),
    ]
}

/// All that is pulled, in this order, without an end.
pub(crate) fn endless(seed: u64) -> impl Iterator<Item = Step> {
    let mut dice = Dice(seed);
    let rounds = (1_u64..).flat_map(move |round| round_of(round, &mut dice));
    first().into_iter().chain(rounds)
}

/// Some ninety seconds, in which everything happens again.
fn round_of(round: u64, dice: &mut Dice) -> Vec<Step> {
    let mut services = [
        Backup,
        Recommender,
        Checkout,
        Ledger,
        Indexer,
        Storefront,
        Proxy,
        Gateway,
        Collector,
    ];
    for last in (1..services.len()).rev() {
        services.swap(last, dice.below(last as u64 + 1) as usize);
    }
    let mut steps = Vec::new();
    for service in services {
        steps.push(step(5_000 + dice.below(6_000), service, round));
        // The two that share, together; and now and then one once more.
        if service == Checkout {
            steps.push(step(200, Catalog, round));
        } else if matches!(service, Backup | Proxy) {
            steps.push(step(4_000 + dice.below(4_000), service, round));
        }
    }
    steps
}

/// SplitMix64: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(steps: &[Step]) -> BTreeSet<String> {
        steps.iter().map(|step| step.pull.name()).collect()
    }

    #[test]
    fn the_same_seed_is_the_same_demo() {
        let take = |seed| endless(seed).take(200).collect::<Vec<_>>();
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn everything_happens_within_the_first_forty_seconds() {
        let first = first();
        let time: Duration = first.iter().map(|step| step.after).sum();
        assert!(time < Duration::from_secs(40), "{time:?}");
        let pulls: Vec<_> = first.iter().map(|step| &step.pull).collect();
        let troubles = |is: fn(&Trouble) -> bool| pulls.iter().any(|pull| is(&pull.trouble));
        assert!(troubles(|t| matches!(t, Trouble::Breaks { .. })));
        assert!(troubles(|t| matches!(t, Trouble::Stalls { .. })));
        assert!(troubles(|t| matches!(t, Trouble::Silence { .. })));
        assert!(pulls.iter().any(|pull| pull.multi_arch));
        assert!(names(&first).len() < first.len(), "one is pulled again");
    }

    #[test]
    fn a_trouble_strikes_within_the_last_layer() {
        for Step { pull, .. } in endless(3).take(300) {
            let Some(Content::Random(size)) = pull.layers.last().map(|layer| layer.content) else {
                panic!("{pull:?}");
            };
            match pull.trouble {
                Trouble::Breaks { at } | Trouble::Stalls { at, .. } => assert!(at < size),
                Trouble::None | Trouble::Silence { .. } => {}
            }
        }
    }

    #[test]
    fn the_list_of_images_ends() {
        let long: Vec<_> = endless(1).take(5_000).collect();
        let count = names(&long).len();
        assert_eq!(names(&long[2_500..]).len(), count);
        assert_eq!(count as u64, 10 * VERSIONS);
    }
}

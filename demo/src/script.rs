//! The pulls of the demo and their times, determined by a seed. The first minute is fixed and
//! covers every case; after that it continues forever with variations.
//!
//! Nothing here pulls. The list of names and versions is finite, so the data kept for them is
//! bounded.

use std::time::Duration;

/// A layer to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerSpec {
    pub(crate) name: String,
    pub(crate) content: Content,
    /// The rate limit in bytes per second; only that of the registry when `None`.
    pub(crate) rate: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// This many random bytes.
    Random(u64),
    /// This many small files: little to download, much to unpack.
    Files(usize),
}

/// The fault of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No fault.
    None,
    /// The connection is cut at this byte of the last layer, on every attempt.
    CutConnection { at: u64 },
    /// The last layer stalls at this byte for a while.
    Stall { at: u64, duration: Duration },
    /// The registry does not answer for a while.
    NoResponse { duration: Duration },
}

/// One pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullSpec {
    pub(crate) repository: &'static str,
    pub(crate) tag: String,
    /// Lowest first.
    pub(crate) layers: Vec<LayerSpec>,
    /// True if the index also has an image for another platform.
    pub(crate) multi_arch: bool,
    pub(crate) fault: Fault,
}

impl PullSpec {
    /// The name with the tag: `shop/checkout:1.4.0`.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    /// Reports whether the pull should fail.
    pub(crate) fn should_fail(&self) -> bool {
        matches!(self.fault, Fault::CutConnection { .. })
    }
}

/// A pull and its delay after the previous one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) delay: Duration,
    pub(crate) pull: PullSpec,
}

/// Versions repeat after this many.
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

/// Returns the `n`th version of a service.
pub(crate) fn pull(service: Service, n: u64) -> PullSpec {
    let n = n % VERSIONS;
    // Base images change occasionally, as they do in reality.
    let (era, patch) = (n / 5, n % 5);
    let alpine = || random(&format!("alpine-3.{}", 20 + era), 3 * MIB + 400 * KIB);
    let debian = || random(&format!("debian-12.{}", 5 + era), 24 * MIB);
    let jre = || random(&format!("jre-21.{era}"), 44 * MIB);
    let node = || random(&format!("node-22.{era}"), 31 * MIB);
    let own = |size| random(&format!("{service:?}-{n}"), size);
    let (repository, layers, fault) = match service {
        Backup => ("tools/backup", vec![alpine(), own(2 * MIB)], Fault::None),
        Recommender => {
            let weights =
                LayerSpec { rate: Some(3 * MIB), ..random(&format!("weights-{n}"), 150 * MIB) };
            let python = random(&format!("python-3.12.{era}"), 31 * MIB);
            let layers = vec![debian(), python, weights, own(5 * MIB)];
            ("ml/recommender", layers, Fault::None)
        }
        Checkout => ("shop/checkout", vec![alpine(), jre(), own(9 * MIB)], Fault::None),
        Catalog => ("shop/catalog", vec![alpine(), jre(), own(13 * MIB)], Fault::None),
        Ledger => {
            let fault = Fault::CutConnection { at: 11 * MIB };
            ("pay/ledger", vec![debian(), own(18 * MIB)], fault)
        }
        Indexer => {
            let duration = Duration::from_secs(45 + 3 * patch);
            let fault = Fault::Stall { at: 15 * MIB, duration };
            ("search/indexer", vec![debian(), own(26 * MIB)], fault)
        }
        Storefront => {
            let modules = LayerSpec {
                name: format!("node-modules-{era}"),
                content: Content::Files(24_000),
                rate: None,
            };
            let layers = vec![debian(), node(), modules, own(3 * MIB)];
            ("web/storefront", layers, Fault::None)
        }
        Proxy => ("edge/proxy", vec![alpine(), own(17 * MIB)], Fault::None),
        Gateway => {
            let duration = Duration::from_secs(8 + patch);
            let fault = Fault::NoResponse { duration };
            ("auth/gateway", vec![alpine(), own(11 * MIB)], fault)
        }
        Collector => {
            let part = |i: u64| random(&format!("collector-{n}-{i}"), MIB + i * 200 * KIB);
            let layers = std::iter::once(alpine()).chain((0..14).map(part));
            ("obs/collector", layers.collect(), Fault::None)
        }
    };
    PullSpec {
        repository,
        tag: format!("{}.{}.{patch}", 1 + repository.len() % 4, 4 + era),
        layers,
        multi_arch: service == Proxy,
        fault,
    }
}

fn random(name: &str, size: u64) -> LayerSpec {
    LayerSpec { name: name.to_owned(), content: Content::Random(size), rate: None }
}

fn step(millis: u64, service: Service, n: u64) -> Step {
    Step { delay: Duration::from_millis(millis), pull: pull(service, n) }
}

/// Every case once, within 35 seconds. The second backup is already present.
fn opening() -> Vec<Step> {
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

/// A script that ends after about ten seconds.
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

/// An infinite sequence of pulls.
pub(crate) fn endless(seed: u64) -> impl Iterator<Item = Step> {
    let mut rng = Rng(seed);
    let rounds = (1_u64..).flat_map(move |round| round_steps(round, &mut rng));
    opening().into_iter().chain(rounds)
}

/// About ninety seconds that cover every case again.
fn round_steps(round: u64, rng: &mut Rng) -> Vec<Step> {
    let mut services =
        [Backup, Recommender, Checkout, Ledger, Indexer, Storefront, Proxy, Gateway, Collector];
    for last in (1..services.len()).rev() {
        services.swap(last, rng.below(last as u64 + 1) as usize);
    }
    let mut steps = Vec::new();
    for service in services {
        steps.push(step(5_000 + rng.below(6_000), service, round));
        // The two services that share layers start together; some are pulled a second time.
        if service == Checkout {
            steps.push(step(200, Catalog, round));
        } else if matches!(service, Backup | Proxy) {
            steps.push(step(4_000 + rng.below(4_000), service, round));
        }
    }
    steps
}

/// SplitMix64: the same numbers for the same seed.
struct Rng(u64);

impl Rng {
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
    fn same_seed_yields_same_script() {
        let take = |seed| endless(seed).take(200).collect::<Vec<_>>();
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn opening_covers_every_case_within_forty_seconds() {
        let first = opening();
        let time: Duration = first.iter().map(|step| step.delay).sum();
        assert!(time < Duration::from_secs(40), "{time:?}");
        let pulls: Vec<_> = first.iter().map(|step| &step.pull).collect();
        let troubles = |is: fn(&Fault) -> bool| pulls.iter().any(|pull| is(&pull.fault));
        assert!(troubles(|t| matches!(t, Fault::CutConnection { .. })));
        assert!(troubles(|t| matches!(t, Fault::Stall { .. })));
        assert!(troubles(|t| matches!(t, Fault::NoResponse { .. })));
        assert!(pulls.iter().any(|pull| pull.multi_arch));
        assert!(names(&first).len() < first.len(), "an image is pulled twice");
    }

    #[test]
    fn fault_offsets_lie_within_last_layer() {
        for Step { pull, .. } in endless(3).take(300) {
            let Some(Content::Random(size)) = pull.layers.last().map(|layer| layer.content) else {
                panic!("{pull:?}");
            };
            match pull.fault {
                Fault::CutConnection { at } | Fault::Stall { at, .. } => assert!(at < size),
                Fault::None | Fault::NoResponse { .. } => {}
            }
        }
    }

    #[test]
    fn image_names_repeat_after_all_versions() {
        let long: Vec<_> = endless(1).take(5_000).collect();
        let count = names(&long).len();
        assert_eq!(names(&long[2_500..]).len(), count);
        assert_eq!(count as u64, 10 * VERSIONS);
    }
}

//! The rollouts of the demo with pods. The first ones cover every case; after that one service
//! after the other gets a new version, forever.

use std::time::Duration;

use serde_json::{Value, json};

use crate::script::{PullSpec, Service, pull};

/// A rollout of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rollout {
    /// The delay after the previous rollout.
    pub(crate) delay: Duration,
    pub(crate) namespace: &'static str,
    /// The name of the workload.
    pub(crate) name: &'static str,
    /// The names of its pods.
    pub(crate) pods: Vec<String>,
    /// The image of its init container.
    pub(crate) init: Option<PullSpec>,
    pub(crate) image: PullSpec,
    /// True if the image was never pushed.
    pub(crate) image_missing: bool,
}

/// Namespace, name, number of pods, image.
type Workload = (&'static str, &'static str, usize, Service);

const CHECKOUT: Workload = ("shop", "checkout", 2, Service::Checkout);
const PROXY: Workload = ("edge", "proxy", 1, Service::Proxy);
const STOREFRONT: Workload = ("web", "storefront", 1, Service::Storefront);
const LEDGER: Workload = ("pay", "ledger", 1, Service::Ledger);
const RECOMMENDER: Workload = ("ml", "recommender", 1, Service::Recommender);
const COLLECTOR: Workload = ("obs", "collector", 1, Service::Collector);

/// An infinite sequence of rollouts, determined by the seed.
pub(crate) fn rollouts(seed: u64) -> impl Iterator<Item = Rollout> {
    let first = [
        (0, CHECKOUT),
        (300, PROXY),
        (300, LEDGER),
        (1_000, STOREFRONT),
        (12_000, RECOMMENDER),
        (4_000, COLLECTOR),
    ];
    let later = [
        (25_000, CHECKOUT),
        (3_000, PROXY),
        (12_000, STOREFRONT),
        (2_000, COLLECTOR),
        (15_000, RECOMMENDER),
    ];
    let first = first.map(move |(after, owner)| rollout(after, owner, 0, seed));
    let rounds = (1_u64..).flat_map(move |version| {
        later.map(move |(after, owner)| rollout(after, owner, version, seed))
    });
    first.into_iter().chain(rounds)
}

fn rollout(after: u64, owner: Workload, version: u64, seed: u64) -> Rollout {
    let (namespace, name, count, service) = owner;
    let of = |index: usize, count: usize| {
        let text = format!("{seed} {version} {name} {index}");
        random_suffix(&text, count)
    };
    let set = of(count, 9);
    let pods = (0..count).map(|index| match owner {
        LEDGER => format!("{name}-{index}"),
        COLLECTOR => format!("{name}-{}", of(index, 5)),
        _ => format!("{name}-{set}-{}", of(index, 5)),
    });
    Rollout {
        delay: Duration::from_millis(after),
        namespace,
        name,
        pods: pods.collect(),
        init: (owner == STOREFRONT).then(|| pull(Service::Backup, version)),
        image: pull(service, version),
        image_missing: owner == LEDGER,
    }
}

/// A suffix in the alphabet of Kubernetes' generated names, derived from the text.
fn random_suffix(of: &str, count: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in of.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let letter = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let which = (state >> 33) % LETTERS.len() as u64;
        char::from(LETTERS[usize::try_from(which).unwrap_or_default()])
    };
    (0..count).map(letter).collect()
}

impl Rollout {
    /// The pod spec for this node, with images on this host.
    pub(crate) fn spec(&self, node: &str, host: &str) -> Value {
        let image = |pull: &PullSpec| format!("{host}/{}", pull.name());
        let init = self.init.as_ref().map(image);
        let init = init.map(|image| json!({"name": "migrate", "image": image}));
        json!({
            "nodeName": node,
            "hostNetwork": true,
            "terminationGracePeriodSeconds": 1,
            "initContainers": init.into_iter().collect::<Vec<_>>(),
            "containers": [{"name": self.name, "image": image(&self.image)}],
        })
    }

    /// The images to push, and for each whether its container exits.
    pub(crate) fn images(&self) -> Vec<(PullSpec, bool)> {
        let init = self.init.clone().map(|pull| (pull, true));
        let own = (!self.image_missing).then(|| (self.image.clone(), false));
        init.into_iter().chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn same_seed_yields_same_rollouts() {
        let take = |seed| rollouts(seed).take(50).collect::<Vec<_>>();
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn first_rollouts_cover_shared_init_and_missing_images() {
        let first: Vec<_> = rollouts(1).take(6).collect();
        assert!(first.iter().any(|rollout| rollout.pods.len() == 2));
        assert!(first.iter().any(|rollout| rollout.init.is_some()));
        assert!(first.iter().any(|rollout| rollout.image_missing));
        let names: Vec<_> = rollouts(1).take(200).flat_map(|one| one.pods).collect();
        let unlike: BTreeSet<_> = names.iter().collect();
        assert_eq!(unlike.len(), names.len(), "pod names are unique");
    }
}

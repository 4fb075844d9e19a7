//! Which pods there are, and when: the first ones show everything there is; after that one service after the other
//! gets a new version, for ever.

use std::time::Duration;

use serde_json::{Value, json};

use crate::script::{Pull, Service, pull};

/// What somebody rolls out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rollout {
    /// So long after the one before.
    pub(crate) after: Duration,
    pub(crate) namespace: &'static str,
    /// The name of what makes its pods.
    pub(crate) name: &'static str,
    /// The names of its pods.
    pub(crate) pods: Vec<String>,
    /// What runs before its container, and ends.
    pub(crate) init: Option<Pull>,
    pub(crate) image: Pull,
    /// Whether its image was never pushed.
    pub(crate) missing: bool,
}

/// Namespace, name, how many pods, their image.
type Owner = (&'static str, &'static str, usize, Service);

const CHECKOUT: Owner = ("shop", "checkout", 2, Service::Checkout);
const PROXY: Owner = ("edge", "proxy", 1, Service::Proxy);
const STOREFRONT: Owner = ("web", "storefront", 1, Service::Storefront);
const LEDGER: Owner = ("pay", "ledger", 1, Service::Ledger);
const RECOMMENDER: Owner = ("ml", "recommender", 1, Service::Recommender);
const COLLECTOR: Owner = ("obs", "collector", 1, Service::Collector);

/// All rollouts, in this order, without an end; the same of the same seed.
pub(crate) fn endless(seed: u64) -> impl Iterator<Item = Rollout> {
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

fn rollout(after: u64, owner: Owner, version: u64, seed: u64) -> Rollout {
    let (namespace, name, count, service) = owner;
    let of = |index: usize, count: usize| {
        let text = format!("{seed} {version} {name} {index}");
        letters(&text, count)
    };
    let set = of(count, 9);
    let pods = (0..count).map(|index| match owner {
        LEDGER => format!("{name}-{index}"),
        COLLECTOR => format!("{name}-{}", of(index, 5)),
        _ => format!("{name}-{set}-{}", of(index, 5)),
    });
    Rollout {
        after: Duration::from_millis(after),
        namespace,
        name,
        pods: pods.collect(),
        init: (owner == STOREFRONT).then(|| pull(Service::Backup, version)),
        image: pull(service, version),
        missing: owner == LEDGER,
    }
}

/// Letters as Kubernetes makes names of: the same of the same text.
fn letters(of: &str, count: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in of.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let letter = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let which = (state >> 33) % LETTERS.len() as u64;
        char::from(LETTERS[usize::try_from(which).unwrap_or_default()])
    };
    (0..count).map(letter).collect()
}

impl Rollout {
    /// What each of its pods is, on this node, with images of this host.
    pub(crate) fn spec(&self, node: &str, host: &str) -> Value {
        let image = |pull: &Pull| format!("{host}/{}", pull.name());
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

    /// The images that are to be pushed, and whether what is started of them ends.
    pub(crate) fn images(&self) -> Vec<(Pull, bool)> {
        let init = self.init.clone().map(|pull| (pull, true));
        let own = (!self.missing).then(|| (self.image.clone(), false));
        init.into_iter().chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_is_the_same_demo() {
        let take = |seed| endless(seed).take(50).collect::<Vec<_>>();
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn two_pods_want_one_image_one_has_an_init_container_and_one_fails() {
        let first: Vec<_> = endless(1).take(6).collect();
        assert!(first.iter().any(|rollout| rollout.pods.len() == 2));
        assert!(first.iter().any(|rollout| rollout.init.is_some()));
        assert!(first.iter().any(|rollout| rollout.missing));
        let names: Vec<_> = endless(1).take(200).flat_map(|one| one.pods).collect();
        let unlike: BTreeSet<_> = names.iter().collect();
        assert_eq!(unlike.len(), names.len(), "a name twice");
    }
}

//! What a scenario gets: a containerd of its own, a registry, and somebody who watches.

use std::pin::Pin;
use std::time::Duration;

use pulltrace_agent_lib::source::containerd::Containerd as Source;
use pulltrace_core::Anomaly;
use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options};
use pulltrace_testkit::need;
use pulltrace_testkit::registry::Registry;

use crate::watch::Watch;

/// The longest that anything is waited for.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A scenario, named after what a user sees.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) options: fn(&ContainerdBinary) -> Options,
    pub(crate) play: fn(Kit) -> Pin<Box<dyn Future<Output = Kit>>>,
    /// Anomalies that the scenario is about; any other fails it.
    pub(crate) doubts: &'static [Anomaly],
}

/// Makes a [`Scenario`] of a function from a kit to the kit.
macro_rules! scenario {
    ($play:ident $(, options = $options:expr)? $(, doubts = $doubts:expr)?) => {{
        #[allow(unused_mut, unused_assignments)]
        let mut options: fn(&pulltrace_testkit::containerd::ContainerdBinary) -> pulltrace_testkit::containerd::Options =
            |_| pulltrace_testkit::containerd::Options::quick();
        $(options = $options;)?
        #[allow(unused_mut, unused_assignments)]
        let mut doubts: &'static [pulltrace_core::Anomaly] = &[];
        $(doubts = $doubts;)?
        $crate::kit::Scenario { name: stringify!($play), options, play: |kit| Box::pin($play(kit)), doubts }
    }};
}
pub(crate) use scenario;

pub(crate) struct Kit {
    pub(crate) containerd: Containerd,
    pub(crate) registry: Registry,
    pub(crate) watch: Watch,
}

impl Scenario {
    pub(crate) async fn run(&self, version: &str) {
        let Some(binary) = need::or_skip(need::containerd(version)) else {
            return;
        };
        let containerd = Containerd::start(&binary, &(self.options)(&binary))
            .await
            .expect("containerd starts");
        let registry = Registry::start().expect("the registry starts");
        let watch = Watch::begin(source(&containerd).start());
        watch
            .until("containerd is connected", |moment| {
                moment.connected.then_some(())
            })
            .await;
        let kit = (self.play)(Kit {
            containerd,
            registry,
            watch,
        })
        .await;
        kit.watch.assert_true(self.doubts);
    }
}

/// A collector of this containerd, not started yet.
pub(crate) fn source(containerd: &Containerd) -> pulltrace_agent_lib::source::containerd::Builder {
    Source::builder("node-1".parse().expect("a node name")).socket(containerd.socket())
}

impl Kit {
    /// Whether this containerd fetches by the transfer service, with slots of the node.
    pub(crate) fn has_shared_slots(&self) -> bool {
        self.containerd.binary().at_least(2, 1)
    }
}

//! What a scenario gets: a containerd of its own, a registry, and somebody who watches.

use std::pin::Pin;
use std::time::Duration;

use pulltrace_agent_lib::source::containerd::{Builder, Containerd as Source};
use pulltrace_core::{Anomaly, Limits};
use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options};
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::need;
use pulltrace_testkit::registry::{Gate, Registry};

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
        let watch = Watch::begin(source(&containerd).start(), Limits::default());
        watch.connected().await;
        let kit = (self.play)(Kit {
            containerd,
            registry,
            watch,
        })
        .await;
        kit.watch.settled().await;
        kit.watch.assert_true(self.doubts);
    }
}

/// A collector of this containerd, not started yet.
pub(crate) fn source(containerd: &Containerd) -> Builder {
    Source::builder("node-1".parse().expect("a node name")).socket(containerd.socket())
}

/// An image of random layers, each of so many MiB.
pub(crate) fn image_of(names: &[&str], mib_each: u64) -> Image {
    let layers = names.iter().map(|name| Layer::random(name, mib(mib_each)));
    Image::builder().layers(layers).build()
}

impl Kit {
    /// Pushes an image under this name and begins to pull it as the kubelet does.
    pub(crate) fn pull(&self, name: &str, image: &Image) -> Pull {
        self.containerd.cri().pull(&self.registry.push(name, image))
    }

    /// Pulls an image to its end.
    pub(crate) async fn pull_whole(&self, name: &str, image: &Image) {
        let outcome = self.pull(name, image).outcome().await;
        outcome.unwrap_or_else(|error| panic!("the pull of {name} fails: {error}"));
    }

    /// Begins to pull an image whose only layer stands at `at` until the gate opens, and waits until a part of
    /// it is seen.
    pub(crate) async fn pull_half(&self, name: &str, image: &Image, at: u64) -> (Pull, Gate) {
        let gate = self.registry.blob(&image.layers()[0].descriptor.digest);
        let gate = gate.hold(at);
        let pull = self.pull(name, image);
        let path = name.split(':').next().expect("a path");
        self.watch.until_bytes(path, mib(1)).await;
        (pull, gate)
    }

    /// Watches anew, as after a restart of the agent.
    pub(crate) fn watch_anew(&mut self, source: Builder, limits: Limits) -> Watch {
        std::mem::replace(&mut self.watch, Watch::begin(source.start(), limits))
    }

    /// Whether this containerd fetches by the transfer service, with slots of the node.
    pub(crate) fn has_shared_slots(&self) -> bool {
        self.containerd.binary().at_least(2, 1)
    }
}

//! The environment of a scenario: containerd, registry, and a watched source.

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

/// Timeout of every wait.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A scenario, named after the user-visible behaviour.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) options: fn(&ContainerdBinary) -> Options,
    pub(crate) play: fn(Kit) -> Pin<Box<dyn Future<Output = Kit>>>,
    /// Anomalies that the scenario provokes; any other fails it.
    pub(crate) doubts: &'static [Anomaly],
}

/// Creates a [`Scenario`] from a function that takes and returns the kit.
macro_rules! scenario {
    ($play:ident $(, options = $options:expr)? $(, doubts = $doubts:expr)?) => {{
        #[allow(unused_mut, unused_assignments)]
        let mut options: fn(&pulltrace_testkit::containerd::ContainerdBinary) -> pulltrace_testkit::containerd::Options =
            |_| pulltrace_testkit::containerd::Options::in_memory();
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
        let containerd =
            Containerd::start(&binary, &(self.options)(&binary)).await.expect("containerd starts");
        let registry = Registry::start().expect("the registry starts");
        let watch = Watch::start(source(&containerd).start(), Limits::default());
        watch.wait_connected().await;
        let kit = (self.play)(Kit { containerd, registry, watch }).await;
        kit.watch.wait_settled().await;
        kit.watch.assert_consistent(self.doubts);
    }
}

/// Returns the builder of a source for this containerd.
pub(crate) fn source(containerd: &Containerd) -> Builder {
    Source::builder("node-1".parse().expect("a node name")).socket(containerd.socket())
}

/// Returns an image of random layers of this size.
pub(crate) fn image_of(names: &[&str], mib_each: u64) -> Image {
    let layers = names.iter().map(|name| Layer::random(name, mib(mib_each)));
    Image::builder().layers(layers).build()
}

impl Kit {
    /// Pushes an image and pulls it like the kubelet.
    pub(crate) fn pull(&self, name: &str, image: &Image) -> Pull {
        self.containerd.cri().pull(&self.registry.push(name, image))
    }

    /// Pulls an image and waits for success.
    pub(crate) async fn pull_to_end(&self, name: &str, image: &Image) {
        let outcome = self.pull(name, image).outcome().await;
        outcome.unwrap_or_else(|error| panic!("failed to pull {name}: {error}"));
    }

    /// Pulls an image whose first layer is held at `at`, and waits until a part of it is visible.
    pub(crate) async fn pull_held(&self, name: &str, image: &Image, at: u64) -> (Pull, Gate) {
        let gate = self.registry.blob(&image.layers()[0].descriptor.digest);
        let gate = gate.hold(at);
        let pull = self.pull(name, image);
        let path = name.split(':').next().expect("a path");
        self.watch.wait_bytes(path, mib(1)).await;
        (pull, gate)
    }

    /// Starts a new watch, like a restarted agent; returns the old one.
    pub(crate) fn restart_watch(&mut self, source: Builder, limits: Limits) -> Watch {
        std::mem::replace(&mut self.watch, Watch::start(source.start(), limits))
    }

    /// Reports whether this containerd pulls with the transfer service, whose download slots all
    /// pulls share.
    pub(crate) fn shares_download_slots(&self) -> bool {
        self.containerd.binary().at_least(2, 1)
    }
}

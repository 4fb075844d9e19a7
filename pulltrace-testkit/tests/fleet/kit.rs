//! The environment of a scenario: containerd, registry, agent, server, and a reader of the event
//! stream.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use pulltrace_client::{Client, Filter};
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::PullStatus;
use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options};
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::need::{self, Missing};
use pulltrace_testkit::program::{self, Agent, Server};
use pulltrace_testkit::registry::{Gate, Registry};
use pulltrace_testkit::wait;

use crate::reader::{Reader, ReaderLog};

/// Timeout of every wait.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A scenario, named after the user-visible behaviour.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Additional flags of the agent.
    pub(crate) agent: &'static [&'static str],
    pub(crate) play: fn(Kit) -> Pin<Box<dyn Future<Output = Kit>>>,
}

/// Creates a [`Scenario`] from a function that takes and returns the kit.
macro_rules! scenario {
    ($play:ident $(, agent = $agent:expr)?) => {{
        #[allow(unused_mut, unused_assignments)]
        let mut agent: &'static [&'static str] = &[];
        $(agent = $agent;)?
        $crate::kit::Scenario { name: stringify!($play), agent, play: |kit| Box::pin($play(kit)) }
    }};
}
pub(crate) use scenario;

// Fields are dropped in this order: clients before servers.
pub(crate) struct Kit {
    pub(crate) reader: Reader,
    pub(crate) agent: Agent,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) containerd: Containerd,
    pub(crate) registry: Registry,
}

/// Prerequisites, checked before anything is started.
pub(crate) struct Needs {
    containerd: ContainerdBinary,
    agent: PathBuf,
    server: PathBuf,
}

pub(crate) fn needs(version: &str) -> Result<Needs, Missing> {
    Ok(Needs {
        containerd: need::containerd(version)?,
        agent: program::find("pulltrace-agent")?,
        server: program::find("pulltrace-server")?,
    })
}

impl Scenario {
    pub(crate) async fn run(&self, version: &str) {
        let Some(needs) = need::or_skip(needs(version)) else {
            return;
        };
        let flags = ["--metrics-addr", "off"];
        let kit = Kit::start(needs, self.agent, &flags).await;
        let kit = (self.play)(kit).await;
        kit.reader.assert_consistent();
        kit.assert_converged().await;
    }
}

/// Returns an image of random layers of this size.
pub(crate) fn image_of(names: &[&str], mib_each: u64) -> Image {
    let layers = names.iter().map(|name| Layer::random(name, mib(mib_each)));
    Image::builder().layers(layers).build()
}

pub(crate) fn total(image: &Image) -> u64 {
    image.manifest().unique_layer_bytes()
}

impl Kit {
    /// Starts everything, with additional flags for agent and server.
    pub(crate) async fn start(needs: Needs, agent: &[&str], server: &[&str]) -> Self {
        let containerd = Containerd::start(&needs.containerd, &Options::in_memory()).await;
        let containerd = containerd.expect("containerd starts");
        let registry = Registry::start().expect("the registry starts");
        let dir = containerd.dir();
        let server = Server::start_with(needs.server, dir, server).await;
        let server = server.expect("the server starts");
        let client = Client::builder(server.url()).build().expect("a client");
        let reader = Reader::start(&client);
        let (socket, url) = (containerd.socket(), server.url());
        let agent = Agent::start(needs.agent, dir, &socket, url, agent).await;
        let kit = Self {
            reader,
            agent: agent.expect("the agent starts"),
            server,
            client,
            containerd,
            registry,
        };
        kit.wait_agent_connected().await;
        kit
    }

    /// Pushes an image and pulls it like the kubelet.
    pub(crate) fn pull(&self, name: &str, image: &Image) -> Pull {
        self.containerd.cri().pull(&self.registry.push(name, image))
    }

    /// Holds the transfer of the image's first layer at a byte offset.
    pub(crate) fn hold(&self, image: &Image, at: u64) -> Gate {
        self.registry.blob(&image.layers()[0].descriptor.digest).hold(at)
    }

    /// Pulls an image whose first layer is held at `at`, and waits until a part of it is visible.
    pub(crate) async fn pull_held(
        &self,
        name: &str,
        image: &Image,
        at: u64,
    ) -> (Pull, Gate, PullStatus) {
        let gate = self.hold(image, at);
        let pull = self.pull(name, image);
        let path = name.split(':').next().expect("a path").to_owned();
        let half = |log: &ReaderLog| {
            let row = log.find(&path)?;
            (row.downloaded_bytes >= Some(mib(1))).then(|| row.clone())
        };
        let row = self.until(&format!("a part of {path} is downloaded"), half).await;
        (pull, gate, row)
    }

    /// Waits until `look` finds something in the reader's log.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&ReaderLog) -> Option<T>,
    ) -> T {
        let found = wait::until(what, TIMEOUT, async || look(&self.reader.log())).await;
        found.unwrap_or_else(|error| panic!("{error}; {}", self.logs()))
    }

    /// Waits until the reader has seen the end of this pull.
    pub(crate) async fn wait_ended(&self, path: &str) -> PullStatus {
        let ended = |log: &ReaderLog| log.find(path).filter(|row| row.outcome.is_some()).cloned();
        self.until(&format!("{path} has ended"), ended).await
    }

    /// Waits until the agent has logged `what` this many times.
    pub(crate) async fn wait_for_agent_log(&self, what: &str, times: usize) {
        let logged = async || (self.agent.log().matches(what).count() >= times).then_some(());
        let logged =
            wait::until(format!("the agent has logged `{what}` {times} times"), TIMEOUT, logged)
                .await;
        logged.unwrap_or_else(|error| panic!("{error}; {}", self.logs()));
    }

    /// Restarts a killed agent and waits until it has reported. It then knows the live pulls; it
    /// makes no claims about pulls that it has not seen live.
    pub(crate) async fn restart_agent(&mut self) {
        let before = self.last_report_at().await;
        self.agent.restart().await.expect("restarted");
        let reported = async || (self.last_report_at().await > before).then_some(());
        let reported = wait::until("the restarted agent has reported", TIMEOUT, reported).await;
        reported.unwrap_or_else(|error| panic!("{error}; {}", self.logs()));
    }

    /// Returns the time of the agent's last report, according to the server.
    async fn last_report_at(&self) -> NodeTime {
        let nodes = self.client.nodes().await.expect("server responds").nodes;
        nodes.first().expect("a node").last_report_at
    }

    /// Waits until the agent has reported a containerd version.
    async fn wait_agent_connected(&self) {
        let connected = async || {
            let nodes = self.client.nodes().await.ok()?.nodes;
            nodes.iter().any(|node| node.runtime_version.is_some()).then_some(())
        };
        let connected = wait::until("the agent has reported", TIMEOUT, connected).await;
        connected.unwrap_or_else(|error| panic!("{error}; {}", self.logs()));
    }

    /// Returns all pulls of the server's list.
    pub(crate) async fn list(&self) -> Vec<PullStatus> {
        let list = self.client.pulls(&Filter::default()).await;
        list.expect("server responds").pulls
    }

    /// Returns the listed pull of this repository path.
    pub(crate) async fn listed(&self, path: &str) -> Option<PullStatus> {
        self.list().await.into_iter().find(|row| crate::reader::is_pull_of(row, path))
    }

    /// Asserts that the list equals the reader's last state of each pull.
    pub(crate) async fn assert_converged(&self) {
        let same = async || {
            let list = self.list().await;
            let log = self.reader.log();
            list.iter().all(|row| log.last(&row.id) == Some(row)).then_some(())
        };
        let same = wait::until("the reader and the list agree", TIMEOUT, same).await;
        if let Err(error) = same {
            let list = self.list().await;
            let log = self.reader.log();
            let differ = list.iter().filter(|row| log.last(&row.id) != Some(row));
            let differ: Vec<_> = differ.map(|row| (row, log.last(&row.id))).collect();
            panic!("{error}: {differ:#?}; {}", self.logs());
        }
    }

    pub(crate) fn logs(&self) -> String {
        let (agent, server) = (self.agent.log(), self.server.log());
        format!("agent:\n{agent}\nserver:\n{server}\nreader: {:#?}", self.reader.log())
    }
}

//! What a scenario gets: a containerd of its own, a registry, an agent, a server, and somebody who reads.

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

use crate::reader::{Log, Reader};

/// The longest that anything is waited for.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A scenario, named after what a user sees.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What the agent is started with beside what it needs.
    pub(crate) agent: &'static [&'static str],
    pub(crate) play: fn(Kit) -> Pin<Box<dyn Future<Output = Kit>>>,
}

/// Makes a [`Scenario`] of a function from a kit to the kit.
macro_rules! scenario {
    ($play:ident $(, agent = $agent:expr)?) => {{
        #[allow(unused_mut, unused_assignments)]
        let mut agent: &'static [&'static str] = &[];
        $(agent = $agent;)?
        $crate::kit::Scenario { name: stringify!($play), agent, play: |kit| Box::pin($play(kit)) }
    }};
}
pub(crate) use scenario;

// The order is that in which they go: those who ask before those who answer.
pub(crate) struct Kit {
    pub(crate) reader: Reader,
    pub(crate) agent: Agent,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) containerd: Containerd,
    pub(crate) registry: Registry,
}

/// What must be there before anything is started.
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
        kit.reader.assert_true();
        kit.converged().await;
    }
}

/// An image of random layers, each of so many MiB.
pub(crate) fn image_of(names: &[&str], mib_each: u64) -> Image {
    let layers = names.iter().map(|name| Layer::random(name, mib(mib_each)));
    Image::builder().layers(layers).build()
}

pub(crate) fn total(image: &Image) -> u64 {
    image.manifest().unique_layer_bytes()
}

impl Kit {
    /// All of it, with an agent and a server of these flags beside what they need.
    pub(crate) async fn start(needs: Needs, agent: &[&str], server: &[&str]) -> Self {
        let containerd = Containerd::start(&needs.containerd, &Options::quick()).await;
        let containerd = containerd.expect("containerd starts");
        let registry = Registry::start().expect("the registry starts");
        let dir = containerd.dir();
        let server = Server::start_with(needs.server, dir, server).await;
        let server = server.expect("the server starts");
        let client = Client::builder(server.url()).build().expect("a client");
        let reader = Reader::begin(&client);
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
        kit.agent_connected().await;
        kit
    }

    /// Pushes an image under this name and begins to pull it as the kubelet does.
    pub(crate) fn pull(&self, name: &str, image: &Image) -> Pull {
        self.containerd.cri().pull(&self.registry.push(name, image))
    }

    /// Holds the first layer of an image at this byte.
    pub(crate) fn hold(&self, image: &Image, at: u64) -> Gate {
        self.registry
            .blob(&image.layers()[0].descriptor.digest)
            .hold(at)
    }

    /// Begins to pull an image whose only layer stands at `at`, and waits until a part of it is seen.
    pub(crate) async fn pull_half(
        &self,
        name: &str,
        image: &Image,
        at: u64,
    ) -> (Pull, Gate, PullStatus) {
        let gate = self.hold(image, at);
        let pull = self.pull(name, image);
        let path = name.split(':').next().expect("a path").to_owned();
        let half = |log: &Log| {
            let row = log.find(&path)?;
            (row.downloaded_bytes >= Some(mib(1))).then(|| row.clone())
        };
        let row = self.until(&format!("a part of {path} is here"), half).await;
        (pull, gate, row)
    }

    /// Waits until what the reader knows is as asked.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut(&Log) -> Option<T>) -> T {
        let found = wait::until(what, SOON, async || look(&self.reader.log())).await;
        found.unwrap_or_else(|error| panic!("{error}; {}", self.logs()))
    }

    /// Waits until this pull has ended at the reader.
    pub(crate) async fn ended(&self, path: &str) -> PullStatus {
        let ended = |log: &Log| log.find(path).filter(|row| row.outcome.is_some()).cloned();
        self.until(&format!("{path} has ended"), ended).await
    }

    /// Waits until the agent has logged this so often.
    pub(crate) async fn agent_says(&self, what: &str, times: usize) {
        let said = async || (self.agent.log().matches(what).count() >= times).then_some(());
        let said = wait::until(format!("the agent says `{what}` {times} times"), SOON, said).await;
        said.unwrap_or_else(|error| panic!("{error}; {}", self.logs()));
    }

    /// Starts an agent that was killed again, and waits until the server has heard it: it has then seen what
    /// goes on. What it has not seen alive it does not claim.
    pub(crate) async fn agent_again(&mut self) {
        let before = self.heard_at().await;
        self.agent.restart().await.expect("it starts again");
        let heard = async || (self.heard_at().await > before).then_some(());
        let heard = wait::until("the new agent has reported", SOON, heard).await;
        heard.unwrap_or_else(|error| panic!("{error}; {}", self.logs()));
    }

    /// When the server last heard the node's agent.
    async fn heard_at(&self) -> NodeTime {
        let nodes = self.client.nodes().await.expect("the server answers").nodes;
        nodes.first().expect("a node").last_report_at
    }

    /// Waits until the server has heard the agent, and of a containerd.
    async fn agent_connected(&self) {
        let connected = async || {
            let nodes = self.client.nodes().await.ok()?.nodes;
            nodes
                .iter()
                .any(|node| node.runtime_version.is_some())
                .then_some(())
        };
        let connected = wait::until("the agent has reported", SOON, connected).await;
        connected.unwrap_or_else(|error| panic!("{error}; {}", self.logs()));
    }

    /// The server's list.
    pub(crate) async fn list(&self) -> Vec<PullStatus> {
        let list = self.client.pulls(&Filter::default()).await;
        list.expect("the server answers").pulls
    }

    /// The row of the list whose image has this repository path.
    pub(crate) async fn listed(&self, path: &str) -> Option<PullStatus> {
        self.list()
            .await
            .into_iter()
            .find(|row| crate::reader::is_of(row, path))
    }

    /// That the list says of each pull what the reader was told last.
    pub(crate) async fn converged(&self) {
        let same = async || {
            let list = self.list().await;
            let log = self.reader.log();
            list.iter()
                .all(|row| log.last(&row.id) == Some(row))
                .then_some(())
        };
        let same = wait::until("the reader knows what the list says", SOON, same).await;
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
        format!(
            "agent:\n{agent}\nserver:\n{server}\nreader: {:#?}",
            self.reader.log()
        )
    }
}

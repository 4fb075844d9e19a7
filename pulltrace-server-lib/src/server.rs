//! A whole server, in parts: its router for a program of one's own, and what must run beside it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::{Semaphore, watch};
use tokio::time::MissedTickBehavior;

use crate::access::{Access, OpenListener};
use crate::clock::Clock;
use crate::cluster::{PodSource, PullEventSource};
use crate::hear::{self, Cluster, Drive};
use crate::http::{self, About, Api, ClusterName, FrameAncestors, HttpLimits};
use crate::limits::Limits;
use crate::metrics::Stats;
#[cfg(feature = "metrics")]
use crate::metrics::{Metrics, MetricsError};
use crate::ready::Ready;
use crate::serve::{self, Listener, ServeLimits};
use crate::table::{Shared, Table};
use crate::throughput::{self, Throughput};
#[cfg(feature = "ui")]
use crate::ui::Page;
use crate::writer::{Intake, Writer};

/// How often token files are read again.
const RELOAD: Duration = Duration::from_secs(10);

/// A server that was set up and does not run yet.
///
/// By itself it serves what it is to [`listen`](Self::listen) on:
///
/// ```no_run
/// use pulltrace_server_lib::{Access, Listener, Server};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut server = Server::builder().access(Access::new()).build()?;
/// let listener = Listener::bind("127.0.0.1:8080".parse()?).await?;
/// println!("{}", listener.url());
/// server.listen(listener)?;
/// server.run(async { /* e.g. a signal */ }).await;
/// # Ok(()) }
/// ```
///
/// In an axum program of one's own it is a router, and a task that runs beside it:
///
/// ```no_run
/// use pulltrace_server_lib::{Access, Server};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// // Who is let in is decided by the program around it.
/// let server = Server::builder().access(Access::new().insecure_open()).build()?;
/// let app = axum::Router::new()
///     .route("/", axum::routing::get(async || "my own program"))
///     .nest_service("/pulltrace", server.router());
/// let task = tokio::spawn(server.run(std::future::pending()));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// axum::serve(listener, app).await?;
/// task.await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Server {
    api: Arc<Api>,
    writer: Writer,
    sources: Sources,
    serve: ServeLimits,
    frame_ancestors: FrameAncestors,
    stop: watch::Sender<bool>,
    listeners: Vec<(Listener, Router)>,
    #[cfg(feature = "metrics")]
    metrics: Arc<Metrics>,
}

/// What is to be driven while the server runs.
#[derive(Default)]
struct Sources {
    pods: Option<Drive>,
    events: Option<Drive>,
}

impl Sources {
    fn given(&self) -> Cluster {
        Cluster {
            pods: self.pods.is_some(),
            events: self.events.is_some(),
        }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given().fmt(f)
    }
}

/// Makes a [`Server`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    access: Access,
    sources: Sources,
    limits: Limits,
    http: HttpLimits,
    serve: ServeLimits,
    clock: Clock,
    revision: String,
    cluster_name: Option<ClusterName>,
    #[cfg(feature = "ui")]
    page: &'static Page,
    frame_ancestors: FrameAncestors,
}

/// A server that cannot be set up. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Its metrics cannot be set up.
    #[cfg(feature = "metrics")]
    #[error("the server cannot be set up")]
    Metrics(#[from] MetricsError),
}

impl Builder {
    /// Who may report and read. Default: whoever is on this machine.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Where pods are heard of, which runs while the server does. Default: nowhere; then nothing is known of
    /// what a pod waits for beyond what its kubelet says.
    pub fn pods(mut self, source: impl PodSource) -> Self {
        self.sources.pods = Some(hear::pods(source));
        self
    }

    /// Where it is heard what kubelets say of images. Default: nowhere.
    pub fn pull_events(mut self, source: impl PullEventSource) -> Self {
        self.sources.events = Some(hear::events(source));
        self
    }

    /// The bounds of what is kept. Default: those of [`Limits`].
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The bounds of requests. Default: those of [`HttpLimits`].
    pub const fn http_limits(mut self, limits: HttpLimits) -> Self {
        self.http = limits;
        self
    }

    /// The bounds of connections. Default: those of [`ServeLimits`].
    pub const fn serve_limits(mut self, limits: ServeLimits) -> Self {
        self.serve = limits;
        self
    }

    /// The clock. Default: that of this machine.
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What was built, for people and for the label of a metric. Default: `unknown`.
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = revision.into();
        self
    }

    /// What people call the cluster. Default: nothing.
    pub fn cluster_name(mut self, name: ClusterName) -> Self {
        self.cluster_name = Some(name);
        self
    }

    /// Which sites may show the page within their own. Default: none.
    pub fn frame_ancestors(mut self, sites: FrameAncestors) -> Self {
        self.frame_ancestors = sites;
        self
    }

    /// Another page than the embedded one.
    #[cfg(all(test, feature = "ui"))]
    pub(crate) const fn page(mut self, page: &'static Page) -> Self {
        self.page = page;
        self
    }

    /// Makes the server.
    ///
    /// # Errors
    /// Where a part of it cannot be set up.
    pub fn build(self) -> Result<Server, ServerError> {
        let stats = Arc::new(Stats::default());
        let about = About {
            version: format!("{} ({})", env!("CARGO_PKG_VERSION"), self.revision),
            cluster_name: self.cluster_name,
            started_at: self.clock.now().at,
            keeps_ended: self.limits.history_ttl,
        };
        let writer = Writer::builder().clock(self.clock).limits(self.limits);
        #[cfg(feature = "metrics")]
        let metrics = Arc::new(Metrics::new(&stats, &self.revision)?);
        #[cfg(feature = "metrics")]
        let writer = {
            let metrics = Arc::clone(&metrics);
            writer.observer(move |changes, _| metrics.count(changes))
        };
        let (writer, intake, shared) = writer.start();
        #[cfg(feature = "metrics")]
        metrics.watch(&shared);
        let (stop, stopping) = watch::channel(false);
        let api = Api {
            about,
            shared,
            intake,
            access: self.access,
            ready: Ready::default(),
            cluster: self.sources.given(),
            throughput: Throughput::default(),
            stats,
            clock: self.clock,
            limits: self.http,
            places: Arc::new(Semaphore::new(self.http.readers)),
            packers: Arc::new(Semaphore::new(self.http.packed_readers)),
            stopping,
            #[cfg(feature = "ui")]
            page: self.page,
        };
        api.ready
            .require("state", false, "the server does not run yet");
        let given = api.cluster;
        for (name, given) in [("pods", given.pods), ("events", given.events)] {
            if given {
                api.ready.note(name, false, "the server does not run yet");
            } else {
                hear::none(name, &api.ready);
            }
        }
        Ok(Server {
            api: Arc::new(api),
            writer,
            sources: self.sources,
            serve: self.serve,
            frame_ancestors: self.frame_ancestors,
            stop,
            listeners: Vec::new(),
            #[cfg(feature = "metrics")]
            metrics,
        })
    }
}

impl Server {
    /// Begins a server.
    pub fn builder() -> Builder {
        Builder {
            access: Access::default(),
            sources: Sources::default(),
            limits: Limits::default(),
            http: HttpLimits::default(),
            serve: ServeLimits::default(),
            clock: Clock::system(),
            revision: "unknown".to_owned(),
            cluster_name: None,
            #[cfg(feature = "ui")]
            page: Page::embedded(),
            frame_ancestors: FrameAncestors::default(),
        }
    }

    /// The API and, with feature `ui`, the page: to be served by [`listen`](Self::listen), or mounted
    /// in a program of one's own, below a path by axum's `nest_service`.
    ///
    /// Mounted, nothing is known of the connection: readers and agents are let in by tokens, or by
    /// [`Access::insecure_open`]; and a reader that never reads is not cut off, though it holds no more
    /// than 64 KiB and a row.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.api), &self.frame_ancestors)
    }

    /// `/metrics` and `/healthz`, for a listener of their own.
    #[cfg(feature = "metrics")]
    pub fn metrics_router(&self) -> Router {
        http::metrics_router(Arc::clone(&self.metrics))
    }

    /// What all nodes pull.
    #[must_use]
    pub fn table(&self) -> &Shared {
        &self.api.shared
    }

    /// Where reports go in that do not come over HTTP.
    #[must_use]
    pub fn intake(&self) -> &Intake {
        &self.api.intake
    }

    /// Whether it can do its work.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.api.ready
    }

    /// Serves the router on a listener once the server runs.
    ///
    /// # Errors
    /// Where it would be open to anybody who reaches it, and [`Access`] does not say that this is meant.
    pub fn listen(&mut self, listener: Listener) -> Result<(), OpenListener> {
        self.api.access.check(listener.address())?;
        let router = self.router();
        self.listeners.push((listener, router));
        Ok(())
    }

    /// Serves metrics on a listener once the server runs. They name registries, and no image, node or
    /// pod; whoever reaches the listener may read them.
    #[cfg(feature = "metrics")]
    pub fn listen_metrics(&mut self, listener: Listener) {
        let router = self.metrics_router();
        self.listeners.push((listener, router));
    }

    /// Runs until `shutdown` is ready. Then readers are told to come back, requests are waited for as
    /// [`ServeLimits::drain`] says, and what was reported until then is taken.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            api,
            writer,
            sources,
            serve,
            stop,
            listeners,
            ..
        } = self;
        let (end, ended) = watch::channel(false);
        let stopping = stop.subscribe();
        let mut serving = tokio::task::JoinSet::new();
        // Before the first request can be answered: what comes in from here on is taken.
        api.ready
            .require("state", true, "reports are taken and read");
        for (listener, router) in listeners {
            let stats = Arc::clone(&api.stats);
            let stopping = stopping.clone();
            let until = async move { wait(stopping).await };
            serving.spawn(serve::serve(listener, router, serve, stats, until));
        }
        // They end with this, and so do the connections that they hold.
        let mut hearing = tokio::task::JoinSet::new();
        for drive in [sources.pods, sources.events].into_iter().flatten() {
            hearing.spawn(drive(api.intake.clone(), api.ready.clone()));
        }
        if api.access.is_open() {
            tracing::warn!(
                "--insecure-open: whoever reaches this server may do what no token is asked for"
            );
        }
        let reloading = reload_for_ever(&api);
        let looking = look_for_ever(&api);
        let around = async {
            tokio::select! {
                () = shutdown => {}
                () = reloading => {}
                () = looking => {}
            }
            api.ready
                .require("state", false, "the server is about to stop");
            stop.send_replace(true);
            while serving.join_next().await.is_some() {}
            end.send_replace(true);
        };
        // A task of its own runs where the requests are that it serves, and not on another thread.
        let writing = tokio::spawn(writer.run(wait(ended)));
        around.await;
        hearing.shutdown().await;
        if let Err(error) = writing.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

async fn wait(mut signal: watch::Receiver<bool>) {
    // Where nobody can say it any more, it is time, too.
    drop(signal.wait_for(|now| *now).await);
}

/// Never ends: reads token files again and again.
async fn reload_for_ever(api: &Api) {
    let mut told = false;
    loop {
        tokio::time::sleep(RELOAD).await;
        match api.access.reload() {
            Ok(()) => told = false,
            Err(error) if !told => {
                told = true;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the tokens stay as they were");
            }
            Err(_) => {}
        }
    }
}

/// Never ends: looks again and again at how fast all nodes download.
async fn look_for_ever(api: &Api) {
    let mut step = tokio::time::interval(throughput::STEP);
    step.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        step.tick().await;
        let nodes = |table: &Table| throughput::sum(table.nodes().map(|node| &node.view));
        let sum = api.shared.read(nodes);
        api.throughput.take(api.clock.now(), sum);
    }
}

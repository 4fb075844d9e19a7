//! The complete server: its router, its background tasks and its builder.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::{Semaphore, watch};
use tokio::time::MissedTickBehavior;

use crate::access::{Access, OpenListenerError};
use crate::clock::Clock;
use crate::cluster::{PodSource, PullEventSource};
use crate::http::{self, ApiState, ClusterName, FrameAncestors, HttpLimits, ServerInfo};
use crate::limits::Limits;
use crate::metrics::HttpCounters;
#[cfg(feature = "metrics")]
use crate::metrics::{Metrics, MetricsError};
use crate::ready::Readiness;
use crate::serve::{self, Listener, ServeLimits};
use crate::sources::{self, ConfiguredSources, SourceTask};
use crate::table::{SharedTable, Table};
use crate::throughput::{self, ThroughputHistory};
#[cfg(feature = "ui")]
use crate::ui::Page;
use crate::writer::{Intake, Writer};

/// Interval between reloads of the token files.
const TOKEN_RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// A configured server that is not running yet.
///
/// It can serve its own [`listen`](Self::listen) addresses:
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
/// Or it can be mounted in an axum application, as a router and a background task:
///
/// ```no_run
/// use pulltrace_server_lib::{Access, Server};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// // Authorization is up to the application.
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
    api: Arc<ApiState>,
    writer: Writer,
    sources: Sources,
    serve: ServeLimits,
    frame_ancestors: FrameAncestors,
    stop: watch::Sender<bool>,
    listeners: Vec<(Listener, Router)>,
    #[cfg(feature = "metrics")]
    metrics: Arc<Metrics>,
}

/// Tasks of the sources, started when the server runs.
#[derive(Default)]
struct Sources {
    pods: Option<SourceTask>,
    events: Option<SourceTask>,
}

impl Sources {
    fn configured(&self) -> ConfiguredSources {
        ConfiguredSources { pods: self.pods.is_some(), events: self.events.is_some() }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.configured().fmt(f)
    }
}

/// A builder of a [`Server`].
#[derive(Debug)]
#[must_use]
pub struct ServerBuilder {
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

/// A failure to set up the server. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The metrics could not be set up.
    #[cfg(feature = "metrics")]
    #[error("failed to set up the server")]
    Metrics(#[from] MetricsError),
}

impl ServerBuilder {
    /// Access control for agents and readers. Default: loopback listeners only.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// The source of pods. Default: none; then pods are known only from kubelet events, if at all.
    pub fn pods(mut self, source: impl PodSource + 'static) -> Self {
        self.sources.pods = Some(sources::pod_task(source));
        self
    }

    /// The source of kubelet events. Default: none.
    pub fn pull_events(mut self, source: impl PullEventSource + 'static) -> Self {
        self.sources.events = Some(sources::event_task(source));
        self
    }

    /// Limits of the server's state. Default: [`Limits::default`].
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Limits of requests. Default: [`HttpLimits::default`].
    pub const fn http_limits(mut self, limits: HttpLimits) -> Self {
        self.http = limits;
        self
    }

    /// Limits of connections. Default: [`ServeLimits::default`].
    pub const fn serve_limits(mut self, limits: ServeLimits) -> Self {
        self.serve = limits;
        self
    }

    /// The clock. Default: the system clock.
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The source revision of the build, shown in the version and as a metric label. Default:
    /// `unknown`.
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = revision.into();
        self
    }

    /// The display name of the cluster. Default: none.
    pub fn cluster_name(mut self, name: ClusterName) -> Self {
        self.cluster_name = Some(name);
        self
    }

    /// Sites that may embed the page in a frame. Default: none.
    pub fn frame_ancestors(mut self, sites: FrameAncestors) -> Self {
        self.frame_ancestors = sites;
        self
    }

    /// Replaces the embedded page.
    #[cfg(all(test, feature = "ui"))]
    pub(crate) const fn page(mut self, page: &'static Page) -> Self {
        self.page = page;
        self
    }

    /// Builds the server.
    ///
    /// # Errors
    /// Fails if a component cannot be set up.
    pub fn build(self) -> Result<Server, ServerError> {
        let stats = Arc::new(HttpCounters::default());
        let info = ServerInfo {
            version: format!("{} ({})", env!("CARGO_PKG_VERSION"), self.revision),
            cluster_name: self.cluster_name,
            started_at: self.clock.now().at,
            history_ttl: self.limits.history_ttl,
        };
        let writer = Writer::builder().clock(self.clock).limits(self.limits);
        #[cfg(feature = "metrics")]
        let metrics = Arc::new(Metrics::new(&stats, &self.revision)?);
        #[cfg(feature = "metrics")]
        let writer = {
            let metrics = Arc::clone(&metrics);
            writer.observer(move |changes, _| metrics.record(changes))
        };
        let (writer, intake, shared) = writer.start();
        #[cfg(feature = "metrics")]
        metrics.observe(&shared);
        let (stop, stopping) = watch::channel(false);
        let api = ApiState {
            info,
            shared,
            intake,
            access: self.access,
            readiness: Readiness::default(),
            cluster: self.sources.configured(),
            throughput: ThroughputHistory::default(),
            counters: stats,
            clock: self.clock,
            limits: self.http,
            reader_slots: Arc::new(Semaphore::new(self.http.max_readers)),
            encoder_slots: Arc::new(Semaphore::new(self.http.max_compressed_readers)),
            stopping,
            #[cfg(feature = "ui")]
            page: self.page,
        };
        api.readiness.set_required("state", false, "the server is not running yet");
        let given = api.cluster;
        for (name, given) in [("pods", given.pods), ("events", given.events)] {
            if given {
                api.readiness.set_optional(name, false, "the server is not running yet");
            } else {
                sources::report_disabled(name, &api.readiness);
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
    /// Creates a builder with default settings.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
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

    /// The router of the API and, with feature `ui`, the page. It is served by
    /// [`listen`](Self::listen), or mounted in another application, below a path with axum's
    /// `nest_service`.
    ///
    /// A mounted router has no information about the connection. So readers and agents need tokens
    /// or [`Access::insecure_open`], and stalled readers are not disconnected, although each holds
    /// no more than 64 KiB and a row.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.api), &self.frame_ancestors)
    }

    /// The router of `/metrics` and `/healthz`, for a separate listener.
    #[cfg(feature = "metrics")]
    pub fn metrics_router(&self) -> Router {
        http::metrics_router(Arc::clone(&self.metrics))
    }

    /// The pulls of all nodes.
    #[must_use]
    pub fn table(&self) -> &SharedTable {
        &self.api.shared
    }

    /// The intake for reports that are not received over HTTP.
    #[must_use]
    pub fn intake(&self) -> &Intake {
        &self.api.intake
    }

    /// The readiness conditions.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.api.readiness
    }

    /// Serves the router on a listener when the server runs.
    ///
    /// # Errors
    /// Fails if the listener would allow unauthenticated access and [`Access`] does not permit
    /// that.
    pub fn listen(&mut self, listener: Listener) -> Result<(), OpenListenerError> {
        self.api.access.check_listener(listener.address())?;
        let router = self.router();
        self.listeners.push((listener, router));
        Ok(())
    }

    /// Serves metrics on a listener when the server runs, without authorization. The metrics name
    /// registries and nodes, but no images or pods.
    #[cfg(feature = "metrics")]
    pub fn listen_metrics(&mut self, listener: Listener) {
        let router = self.metrics_router();
        self.listeners.push((listener, router));
    }

    /// Runs until `shutdown` completes. Then asks readers to reconnect, waits for requests for up
    /// to [`ServeLimits::drain_timeout`], and processes all reports received until then.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { api, writer, sources, serve, stop, listeners, .. } = self;
        let (end, ended) = watch::channel(false);
        let stopping = stop.subscribe();
        let mut serving = tokio::task::JoinSet::new();
        // Set before the first request is served: reports are accepted from now on.
        api.readiness.set_required("state", true, "accepting reports");
        for (listener, router) in listeners {
            let stats = Arc::clone(&api.counters);
            let stopping = stopping.clone();
            let until = async move { wait_until_set(stopping).await };
            serving.spawn(serve::serve(listener, router, serve, stats, until));
        }
        // Dropped with this function, which closes the connections of the sources.
        let mut hearing = tokio::task::JoinSet::new();
        for drive in [sources.pods, sources.events].into_iter().flatten() {
            hearing.spawn(drive(api.intake.clone(), api.readiness.clone()));
        }
        if api.access.is_open() {
            tracing::warn!("--insecure-open: unauthenticated access is enabled");
        }
        let reloading = reload_tokens_periodically(&api);
        let looking = sample_throughput(&api);
        let around = async {
            tokio::select! {
                () = shutdown => {}
                () = reloading => {}
                () = looking => {}
            }
            api.readiness.set_required("state", false, "the server is shutting down");
            stop.send_replace(true);
            while serving.join_next().await.is_some() {}
            end.send_replace(true);
        };
        // Spawned, so that it runs on the worker threads that serve requests; `run` itself may be
        // polled on another thread by `block_on`.
        let writing = tokio::spawn(writer.run(wait_until_set(ended)));
        around.await;
        hearing.shutdown().await;
        if let Err(error) = writing.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

async fn wait_until_set(mut signal: watch::Receiver<bool>) {
    // A dropped sender means shutdown, too.
    drop(signal.wait_for(|now| *now).await);
}

/// Reloads the token files every 10 s, forever.
async fn reload_tokens_periodically(api: &ApiState) {
    let mut warned = false;
    loop {
        tokio::time::sleep(TOKEN_RELOAD_INTERVAL).await;
        match api.access.reload() {
            Ok(()) => warned = false,
            Err(error) if !warned => {
                warned = true;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "failed to reload the token files; keeping the current tokens"
                );
            }
            Err(_) => {}
        }
    }
}

/// Samples the total download speed, forever.
async fn sample_throughput(api: &ApiState) {
    let mut step = tokio::time::interval(throughput::STEP);
    step.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        step.tick().await;
        let nodes = |table: &Table| throughput::total_speed(table.nodes().map(|node| &node.view));
        let sum = api.shared.read(nodes);
        api.throughput.record(api.clock.now(), sum);
    }
}

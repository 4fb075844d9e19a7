//! `pulltrace watch --server`: shows the pulls of all nodes, as reported by a server.

use std::io::{self, Write as _};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use pulltrace_agent_lib::Clock;
use pulltrace_client::{Client, Filter, FollowEvent, Start};
use pulltrace_core::error::error_chain;
use pulltrace_core::wire::v1::PullStatus;
use pulltrace_core::{Mono, NodeTotals, Pull};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Sender};

use pulltrace_shell::log::LogArgs;
use pulltrace_shell::shutdown::Shutdown;

use super::remote::{self, RemotePulls, ServerMessage, Urgency};
use crate::cli::WatchArgs;
use crate::error::Error;
use crate::log;
use crate::source::{Origin, SharedStatus, SourceStatus};
use crate::view::pod_context::PodContext;
use crate::view::scene::Scene;
use crate::view::{OutputMode, TICK, View};

/// Delay before a start or end is shown, so that simultaneous changes appear together.
const COALESCE_DELAY: Duration = Duration::from_millis(20);

/// The default of `--namespace`.
const DEFAULT_NAMESPACE: &str = "k8s.io";

/// Retry delay until the server has answered for the first time.
const RETRY_DELAY: Duration = Duration::from_secs(2);

pub(super) async fn run(
    url: String,
    args: WatchArgs,
    log: LogArgs,
    stop: Shutdown,
) -> Result<(), Error> {
    let mut client = Client::builder(url.clone());
    if let Some(file) = &args.server.token_file {
        client = client.token_file(file);
    }
    let client = client.build().map_err(Error::Client)?;
    let form = OutputMode::from_args(args.view)?;
    log::init(log, form.screen(), false);
    if args.source.namespace.as_str() != DEFAULT_NAMESPACE {
        tracing::warn!(target: "pulltrace::watch", "--namespace has no effect with --server: use -n (--pod-namespace) to select pods");
    }
    let interval = args.report_interval.unwrap_or(form.default_interval());
    let (to, mut messages) = mpsc::channel(64);
    let filters = (remote::list_filter(&args.server), remote::stream_filter(&args.server));
    tokio::spawn(follow_server(client, filters, to));
    let clock = Clock::system();
    let mut view = RemoteView::new(url, form, RemotePulls::new(args.server.phase), clock);

    let mut resized = signal(SignalKind::window_change()).map_err(Error::Runtime)?;
    let (mut due, mut tick) = (clock.now().mono, clock.now().mono);
    loop {
        let now = clock.now().mono;
        tokio::select! {
            () = stop.wait() => break,
            next = messages.recv() => match next {
                Some(next) => {
                    if view.apply(next?, now)? == Some(Urgency::Immediate) {
                        due = due.min(now + COALESCE_DELAY);
                    }
                }
                None => return Err(Error::Panicked),
            },
            _ = resized.recv() => view.draw()?,
            () = tokio::time::sleep(due.min(tick).since(now)) => {
                if due.since(now).is_zero() {
                    view.show()?;
                    due = now + interval;
                } else {
                    view.tick()?;
                }
                tick = now + TICK;
            }
        }
    }
    view.show()
}

/// Lists all pulls of a server, then follows changes; lists again after a reset.
async fn follow_server(
    client: Client,
    (all, some): (Filter, Filter),
    to: Sender<Result<ServerMessage, Error>>,
) {
    loop {
        let list = match client.pulls(&all).await {
            Ok(list) => list,
            Err(error) if error.is_transient() => {
                let retry_in = error.retry_after().unwrap_or(RETRY_DELAY);
                let away = FollowEvent::Disconnected { error, retry_in };
                if to.send(Ok(ServerMessage::Update(away))).await.is_err() {
                    return;
                }
                tokio::time::sleep(retry_in).await;
                continue;
            }
            Err(error) => {
                // The receiver may have been dropped.
                let _unheard = to.send(Err(Error::Refused(error.into()))).await;
                return;
            }
        };
        let mut stream = pin!(client.follow(&some, Start::after(&list)));
        if to.send(Ok(ServerMessage::Snapshot(list))).await.is_err() {
            return;
        }
        // The stream ends only after an error.
        while let Some(followed) = stream.next().await {
            let message = match followed {
                Ok(FollowEvent::Reset) => break,
                Ok(followed) => Ok(ServerMessage::Update(followed)),
                Err(error) => Err(Error::Refused(error.into())),
            };
            let failed = message.is_err();
            if to.send(message).await.is_err() || failed {
                return;
            }
        }
    }
}

/// The pulls of a server and their view.
struct RemoteView {
    pulls: RemotePulls,
    clock: Clock,
    status: SharedStatus,
    /// Draws or prints lines. JSON is written without it.
    view: View,
    json: bool,
    /// Set once a warning about unknown data was logged.
    warned: bool,
}

impl RemoteView {
    fn new(url: String, form: OutputMode, pulls: RemotePulls, clock: Clock) -> Self {
        let status = SharedStatus::default();
        let scene = Scene::new(Origin::Server(url), clock.now().node);
        let json = matches!(form, OutputMode::Json);
        Self {
            pulls,
            clock,
            view: View::new(form, scene, Arc::clone(&status), io::stdout()),
            status,
            json,
            warned: false,
        }
    }

    fn apply(&mut self, message: ServerMessage, at: Mono) -> Result<Option<Urgency>, Error> {
        let before = *self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match (&message, before) {
            (ServerMessage::Update(FollowEvent::Disconnected { .. }), SourceStatus::Lost(_)) => {
                before
            }
            (ServerMessage::Update(FollowEvent::Disconnected { error, .. }), _) => {
                let error = error_chain(error);
                tracing::warn!(target: "pulltrace::watch", "{error}; retrying");
                SourceStatus::Lost(self.pulls.now(self.clock.now()))
            }
            (_, SourceStatus::Lost(_)) => {
                tracing::info!(target: "pulltrace::watch", "connected to the server");
                SourceStatus::Connected
            }
            _ => SourceStatus::Connected,
        };
        if let ServerMessage::Update(FollowEvent::Skipped(error)) = &message {
            self.warn_unknown_once(error);
        }
        let news = self.pulls.apply(message, at);
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = now;
        if now != before {
            self.tick()?;
        }
        Ok(news)
    }

    /// Updates elapsed times.
    fn tick(&mut self) -> Result<(), Error> {
        self.view.scene.now = self.pulls.now(self.clock.now());
        self.draw()
    }

    /// Shows the changes since the last call.
    fn show(&mut self) -> Result<(), Error> {
        let here = self.clock.now();
        let now = self.pulls.now(here);
        let (stale, expired) =
            (self.pulls.take_newly_missing(), self.pulls.take_expired(here.mono));
        if self.json {
            return self.write().map_err(Error::Output);
        }
        let pulls = &self.view.scene.pulls;
        let doubted = stale.iter().filter_map(|id| pulls.get(id));
        let lost = expired.iter().filter_map(|id| pulls.get(id));
        let mut changed: Vec<_> = doubted
            .map(|pull| remote::mark_stale(pull, now))
            .chain(lost.map(|pull| remote::end_as_unknown(pull, now)))
            .map(Arc::new)
            .collect();
        for status in self.pulls.take_changed() {
            let mut pull = match Pull::try_from(&status) {
                Ok(pull) => pull,
                Err(error) => {
                    self.warn_unknown_once(&error);
                    continue;
                }
            };
            let before = self.view.scene.pulls.get(&pull.id);
            if status.slow {
                // The server does not report since when: use the time at which it was first seen.
                pull.slow_since = before.and_then(|before| before.slow_since).or(Some(now));
            }
            let superseded = status.supersedes.as_ref();
            if let Some(before) = superseded.and_then(|id| id.parse().ok()) {
                self.view.scene.remove(&before);
            }
            if self.pulls.has_left_phases(&status) {
                self.view.scene.remove(&pull.id);
            } else {
                self.view.scene.set_pod_context(&pull.id, PodContext::from_status(&status));
                changed.push(Arc::new(pull));
            }
        }
        changed.sort_by_key(|pull| (pull.ended_at.is_none(), pull.ended_at, pull.started_at));
        let shown = self.view.show(&changed, false, NodeTotals::default(), now);
        shown.map_err(Error::Output)
    }

    fn write(&mut self) -> io::Result<()> {
        let changed = self.pulls.take_changed();
        let mut out = io::stdout().lock();
        for status in changed.iter().filter(|status| !self.pulls.has_left_phases(status)) {
            write_json_line(&mut out, status)?;
        }
        out.flush()
    }

    fn draw(&mut self) -> Result<(), Error> {
        self.view.draw().map_err(Error::Output)
    }

    /// Logs only once: a newer server may send unknown data every second.
    fn warn_unknown_once(&mut self, error: &(dyn std::error::Error + 'static)) {
        if !std::mem::replace(&mut self.warned, true) {
            let error = error_chain(error);
            tracing::warn!(target: "pulltrace::server", "ignored unknown data from the server: {error}");
        }
    }
}

fn write_json_line(mut out: &mut impl io::Write, status: &PullStatus) -> io::Result<()> {
    serde_json::to_writer(&mut out, status)?;
    out.write_all(b"\n")
}

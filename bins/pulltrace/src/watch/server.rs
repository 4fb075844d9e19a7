//! `pulltrace watch --server`: what all nodes pull, as a server tells it.

use std::io::{self, Write as _};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use pulltrace_agent_lib::Clock;
use pulltrace_client::{Client, Filter, Followed, Start};
use pulltrace_core::wire::v1::PullStatus;
use pulltrace_core::{Mono, NodeSums, Pull};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Sender};

use pulltrace_shell::log::LogArgs;
use pulltrace_shell::stop::Stop;

use super::told::{self, News, Said, Told};
use super::{DRAWN, TICK, WRITTEN};
use crate::cli::WatchArgs;
use crate::error::Error;
use crate::log;
use crate::source::{Shared, Sight, Teller};
use crate::view::known::Known;
use crate::view::scene::Scene;
use crate::view::{Form, View};

/// From a start or an end to its showing: what comes together is shown together.
const SOON: Duration = Duration::from_millis(20);

/// The containerd namespace that is meant where none is given.
const KUBELETS: &str = "k8s.io";

/// Until a server that is away is asked again, before it was heard for the first time.
const RETRY: Duration = Duration::from_secs(2);

pub(super) async fn run(
    url: String,
    args: WatchArgs,
    log: LogArgs,
    stop: Stop,
) -> Result<(), Error> {
    let mut client = Client::builder(url.clone());
    if let Some(file) = &args.server.token_file {
        client = client.token_file(file);
    }
    let client = client.build().map_err(Error::Client)?;
    let form = Form::choose(args.view)?;
    log::begin(log, form.screen(), false);
    if args.source.namespace.as_str() != KUBELETS {
        tracing::warn!(target: "pulltrace::watch", "--namespace is one of containerd and does nothing with --server: -n, --pod-namespace, chooses pods");
    }
    let usual = match form {
        Form::Live(..) => DRAWN,
        Form::Plain | Form::Json => WRITTEN,
    };
    let interval = args.report_interval.unwrap_or(usual);
    let (to, mut said) = mpsc::channel(64);
    let filters = (told::of_list(&args.server), told::of_stream(&args.server));
    tokio::spawn(ask(client, filters, to));
    let clock = Clock::system();
    let mut shown = Shown::new(url, form, Told::new(args.server.phase), clock);

    let mut resized = signal(SignalKind::window_change()).map_err(Error::Runtime)?;
    let (mut due, mut tick) = (clock.now().mono, clock.now().mono);
    loop {
        let now = clock.now().mono;
        tokio::select! {
            () = stop.wait() => break,
            next = said.recv() => match next {
                Some(next) => {
                    if shown.take(next?, now)? == Some(News::AtOnce) {
                        due = due.min(now + SOON);
                    }
                }
                None => return Err(Error::Panicked),
            },
            _ = resized.recv() => shown.draw()?,
            () = tokio::time::sleep(due.min(tick).since(now)) => {
                if due.since(now).is_zero() {
                    shown.show()?;
                    due = now + interval;
                } else {
                    shown.pass()?;
                }
                tick = now + TICK;
            }
        }
    }
    shown.show()
}

/// Asks a server: all that it knows, then what happens; and anew where it cannot say all of that.
async fn ask(client: Client, (all, some): (Filter, Filter), to: Sender<Result<Said, Error>>) {
    loop {
        let list = match client.pulls(&all).await {
            Ok(list) => list,
            Err(error) if error.is_transient() => {
                let retry_in = error.retry_after().unwrap_or(RETRY);
                let away = Followed::Away { error, retry_in };
                if to.send(Ok(Said::Followed(away))).await.is_err() {
                    return;
                }
                tokio::time::sleep(retry_in).await;
                continue;
            }
            Err(error) => {
                // Nobody may ask any more.
                let _unheard = to.send(Err(Error::Refused(error.into()))).await;
                return;
            }
        };
        let mut stream = pin!(client.follow(&some, Start::after(&list)));
        if to.send(Ok(Said::All(list))).await.is_err() {
            return;
        }
        // It ends behind an error only.
        while let Some(followed) = stream.next().await {
            let said = match followed {
                Ok(Followed::Reset) => break,
                Ok(followed) => Ok(Said::Followed(followed)),
                Err(error) => Err(Error::Refused(error.into())),
            };
            let over = said.is_err();
            if to.send(said).await.is_err() || over {
                return;
            }
        }
    }
}

/// Everything that is shown, and how.
struct Shown {
    told: Told,
    clock: Clock,
    sight: Shared,
    /// Draws or writes; of JSON it only keeps what was told.
    view: View,
    json: bool,
    /// Whether it was said that something is not understood.
    puzzled: bool,
}

impl Shown {
    fn new(url: String, form: Form, told: Told, clock: Clock) -> Self {
        let sight = Shared::default();
        let scene = Scene::new(Teller::Server(url), clock.now().node);
        let json = matches!(form, Form::Json);
        Self {
            told,
            clock,
            view: View::new(form, scene, Arc::clone(&sight), io::stdout()),
            sight,
            json,
            puzzled: false,
        }
    }

    fn take(&mut self, said: Said, at: Mono) -> Result<Option<News>, Error> {
        let before = *self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match (&said, before) {
            (Said::Followed(Followed::Away { .. }), Sight::Lost(_)) => before,
            (Said::Followed(Followed::Away { error, .. }), _) => {
                let error = pulltrace_shell::error::chain(error);
                tracing::warn!(target: "pulltrace::watch", "{error}: it is looked for until it is back");
                Sight::Lost(self.told.now(self.clock.now()))
            }
            (_, Sight::Lost(_)) => {
                tracing::info!(target: "pulltrace::watch", "the server answers");
                Sight::Sees
            }
            _ => Sight::Sees,
        };
        if let Said::Followed(Followed::NotUnderstood(error)) = &said {
            self.puzzle(error);
        }
        let news = self.told.take(said, at);
        *self.sight.lock().unwrap_or_else(PoisonError::into_inner) = now;
        if now != before {
            self.pass()?;
        }
        Ok(news)
    }

    /// Shows that time passed.
    fn pass(&mut self) -> Result<(), Error> {
        self.view.scene.now = self.told.now(self.clock.now());
        self.draw()
    }

    /// Shows what changed, and the time.
    fn show(&mut self) -> Result<(), Error> {
        let here = self.clock.now();
        let now = self.told.now(here);
        let (doubted, lost) = (self.told.doubted(), self.told.unheard(here.mono));
        if self.json {
            return self.write().map_err(Error::Output);
        }
        let pulls = &self.view.scene.pulls;
        let doubted = doubted.iter().filter_map(|id| pulls.get(id));
        let lost = lost.iter().filter_map(|id| pulls.get(id));
        let mut changed: Vec<_> = doubted
            .map(|pull| told::unseen(pull, now))
            .chain(lost.map(|pull| told::lost(pull, now)))
            .map(Arc::new)
            .collect();
        for status in self.told.changed() {
            let mut pull = match Pull::try_from(&status) {
                Ok(pull) => pull,
                Err(error) => {
                    self.puzzle(&error);
                    continue;
                }
            };
            let before = self.view.scene.pulls.get(&pull.id);
            if status.slow {
                // Since when is not told: at the least since it was first seen to be.
                pull.slow_since = before.and_then(|before| before.slow_since).or(Some(now));
            }
            let superseded = status.supersedes.as_ref();
            if let Some(before) = superseded.and_then(|id| id.parse().ok()) {
                self.view.scene.remove(&before);
            }
            if self.told.is_gone(&status) {
                self.view.scene.remove(&pull.id);
            } else {
                self.view.scene.know(&pull.id, Known::of(&status));
                changed.push(Arc::new(pull));
            }
        }
        changed.sort_by_key(|pull| (pull.ended_at.is_none(), pull.ended_at, pull.started_at));
        let shown = self.view.show(&changed, false, NodeSums::default(), now);
        shown.map_err(Error::Output)
    }

    fn write(&mut self) -> io::Result<()> {
        let changed = self.told.changed();
        let mut out = io::stdout().lock();
        for status in changed.iter().filter(|status| !self.told.is_gone(status)) {
            line(&mut out, status)?;
        }
        out.flush()
    }

    fn draw(&mut self) -> Result<(), Error> {
        self.view.draw().map_err(Error::Output)
    }

    /// Once: a server of a later version may say it each second.
    fn puzzle(&mut self, error: &(dyn std::error::Error + 'static)) {
        if !std::mem::replace(&mut self.puzzled, true) {
            let error = pulltrace_shell::error::chain(error);
            tracing::warn!(target: "pulltrace::server", "something is left out: {error}");
        }
    }
}

fn line(mut out: &mut impl io::Write, status: &PullStatus) -> io::Result<()> {
    serde_json::to_writer(&mut out, status)?;
    out.write_all(b"\n")
}

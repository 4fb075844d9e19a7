//! One pod as it changes, until all its images are there or it is gone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use pulltrace_core::Mono;
use pulltrace_core::wire::v1::{PodEnd, PodEndReason};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use super::Waiting;
use crate::http::Api;
use crate::json;
use crate::table::Mark;

/// Changes are told at most so often.
const PACE: Duration = Duration::from_millis(250);

/// A sign of life.
const PING: Duration = Duration::from_secs(5);

/// A reader of one pod. It keeps the last version that it told.
pub(super) struct Follow {
    api: Arc<Api>,
    pod: Waiting,
    step: Step,
    /// The last change when it was last looked at, and when that was.
    looked: (u64, Mono),
    changes: watch::Receiver<Mark>,
    stopping: watch::Receiver<bool>,
    ping: Interval,
}

/// What comes next.
enum Step {
    /// What there is now, which was true at this change.
    Tell(u64),
    /// The end, since.
    End(PodEndReason, u64),
    /// What changes.
    Follow,
    /// Nothing.
    Over,
}

impl Follow {
    pub(super) fn new(api: &Arc<Api>, (seq, pod): (u64, Waiting)) -> Self {
        let mut ping = tokio::time::interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        Self {
            api: Arc::clone(api),
            pod,
            step: Step::Tell(seq),
            looked: (seq, api.clock.now().mono),
            changes: api.shared.changes(),
            stopping: api.stopping.clone(),
            ping,
        }
    }

    /// The pieces of the stream.
    pub(super) fn pieces(self) -> impl Stream<Item = String> + Send + 'static {
        stream::unfold(self, async |mut follow| {
            let piece = follow.next().await?;
            Some((piece, follow))
        })
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            match std::mem::replace(&mut self.step, Step::Follow) {
                Step::Tell(seq) => {
                    if self.pod.view.is_ready() {
                        self.step = Step::End(PodEndReason::Ready, seq);
                    }
                    let pulls = self.pod.pulls(&self.api, seq);
                    let data = json::text(&pulls);
                    return Some(format!("data: {data}\n\n"));
                }
                Step::End(reason, seq) => {
                    self.step = Step::Over;
                    let now = self.api.clock.now().at;
                    let end = PodEnd { reason, seq, now };
                    let data = json::text(&end);
                    return Some(format!("event: end\ndata: {data}\n\n"));
                }
                Step::Over => return None,
                Step::Follow => {}
            }
            if *self.stopping.borrow() {
                self.step = Step::Over;
                return Some(": the server is about to stop\nretry: 1000\n\n".to_owned());
            }
            let (seq, at) = self.looked;
            let rest = PACE.saturating_sub(self.api.clock.now().mono.since(at));
            let rested = rest.is_zero();
            if rested && self.changes.borrow_and_update().seq > seq {
                self.look();
                continue;
            }
            tokio::select! {
                biased;
                _ = self.stopping.changed() => {}
                _ = self.ping.tick() => return Some(self.place()),
                () = tokio::time::sleep(rest), if !rested => {}
                changed = self.changes.changed(), if rested => {
                    if changed.is_err() {
                        self.step = Step::Over;
                    }
                }
            }
        }
    }

    /// Looks whether its pod is another one than what was told.
    fn look(&mut self) {
        let now = self.api.clock.now().mono;
        let (seq, pod) = self.pod.again(&self.api.shared);
        self.looked = (seq, now);
        match pod.filter(|pod| !pod.view.gone) {
            Some(pod) if pod.is_same(&self.pod) => {}
            Some(pod) => {
                self.pod = pod;
                self.step = Step::Tell(seq);
            }
            None => self.step = Step::End(PodEndReason::Gone, seq),
        }
    }

    fn place(&self) -> String {
        let ((seq, _), now) = (self.looked, self.api.clock.now().at);
        format!("event: ping\ndata: {{\"seq\":{seq},\"now\":\"{now}\"}}\n\n")
    }
}

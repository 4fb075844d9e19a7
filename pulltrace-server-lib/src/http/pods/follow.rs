//! Streams one pod until all of its images are present or it is deleted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use pulltrace_core::Mono;
use pulltrace_core::wire::v1::{PodEnd, PodEndReason};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use super::snapshot::PodSnapshot;
use crate::http::state::ApiState;
use crate::json;
use crate::table::TableVersion;

/// Minimum time between two snapshots.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// Interval of keep-alive pings.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// A stream of one pod, which remembers the last snapshot it sent.
pub(super) struct PodFollower {
    api: Arc<ApiState>,
    pod: PodSnapshot,
    state: FollowState,
    /// Sequence number and time of the last check.
    last_check: (u64, Mono),
    changes: watch::Receiver<TableVersion>,
    stopping: watch::Receiver<bool>,
    ping: Interval,
}

/// The next step of the stream.
enum FollowState {
    /// Send the current snapshot, which is valid for this sequence number.
    SendSnapshot(u64),
    /// Send the end of the stream, with the reason and sequence number.
    SendEnd(PodEndReason, u64),
    /// Wait for a change.
    WaitForChange,
    /// The stream is closed.
    Closed,
}

impl PodFollower {
    pub(super) fn new(api: &Arc<ApiState>, (seq, pod): (u64, PodSnapshot)) -> Self {
        let mut ping = tokio::time::interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        Self {
            api: Arc::clone(api),
            pod,
            state: FollowState::SendSnapshot(seq),
            last_check: (seq, api.clock.now().mono),
            changes: api.shared.subscribe(),
            stopping: api.stopping.clone(),
            ping,
        }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = String> + Send + 'static {
        stream::unfold(self, async |mut follow| {
            let piece = follow.next().await?;
            Some((piece, follow))
        })
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            match std::mem::replace(&mut self.state, FollowState::WaitForChange) {
                FollowState::SendSnapshot(seq) => {
                    if self.pod.view.is_ready() {
                        self.state = FollowState::SendEnd(PodEndReason::Ready, seq);
                    }
                    let pulls = self.pod.pulls(&self.api, seq);
                    let data = json::to_string(&pulls);
                    return Some(format!("data: {data}\n\n"));
                }
                FollowState::SendEnd(reason, seq) => {
                    self.state = FollowState::Closed;
                    let now = self.api.clock.now().at;
                    let end = PodEnd { reason, seq, now };
                    let data = json::to_string(&end);
                    return Some(format!("event: end\ndata: {data}\n\n"));
                }
                FollowState::Closed => return None,
                FollowState::WaitForChange => {}
            }
            if *self.stopping.borrow() {
                self.state = FollowState::Closed;
                return Some(": the server is about to stop\nretry: 1000\n\n".to_owned());
            }
            let (seq, at) = self.last_check;
            let rest = MIN_INTERVAL.saturating_sub(self.api.clock.now().mono.since(at));
            let rested = rest.is_zero();
            if rested && self.changes.borrow_and_update().seq > seq {
                self.check_for_change();
                continue;
            }
            tokio::select! {
                biased;
                _ = self.stopping.changed() => {}
                _ = self.ping.tick() => return Some(self.ping_event()),
                () = tokio::time::sleep(rest), if !rested => {}
                changed = self.changes.changed(), if rested => {
                    if changed.is_err() {
                        self.state = FollowState::Closed;
                    }
                }
            }
        }
    }

    /// Checks whether the pod differs from the snapshot sent last.
    fn check_for_change(&mut self) {
        let now = self.api.clock.now().mono;
        let (seq, pod) = self.pod.refreshed(&self.api.shared);
        self.last_check = (seq, now);
        match pod.filter(|pod| !pod.view.gone) {
            Some(pod) if pod.is_same_version(&self.pod) => {}
            Some(pod) => {
                self.pod = pod;
                self.state = FollowState::SendSnapshot(seq);
            }
            None => self.state = FollowState::SendEnd(PodEndReason::Gone, seq),
        }
    }

    fn ping_event(&self) -> String {
        let ((seq, _), now) = (self.last_check, self.api.clock.now().at);
        format!("event: ping\ndata: {{\"seq\":{seq},\"now\":\"{now}\"}}\n\n")
    }
}

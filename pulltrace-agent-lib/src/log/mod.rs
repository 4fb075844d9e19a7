//! The log of pulls: one line when a pull ends, and one every 15 s while it runs.
//!
//! Deciding which lines are due is separate from writing them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Change, ChangeKind, Mono, NodeTime, Now, Outcome, Phase, Pull, PullId, PullTable,
};

/// Interval between two lines of the same pull.
const LOG_INTERVAL: Duration = Duration::from_secs(15);

/// Decides which pulls to log.
#[derive(Debug, Default)]
pub(crate) struct PullLog {
    /// Live pulls, and when each was last logged or first seen. Bounded by the table.
    last_logged: BTreeMap<PullId, Mono>,
}

impl PullLog {
    /// Returns the pulls to log now: those that just ended, then those whose interval has passed.
    pub(crate) fn due(
        &mut self,
        changes: &[Change],
        table: &PullTable,
        now: Now,
    ) -> Vec<Arc<Pull>> {
        let mut due = Vec::new();
        for change in changes {
            match change.kind {
                ChangeKind::Progressed => {}
                ChangeKind::Started => {
                    self.last_logged.insert(change.pull.id.clone(), now.mono);
                }
                ChangeKind::Ended => {
                    self.last_logged.remove(&change.pull.id);
                    due.push(Arc::clone(&change.pull));
                }
            }
        }
        for (id, logged_at) in &mut self.last_logged {
            if now.mono.since(*logged_at) >= LOG_INTERVAL {
                *logged_at = now.mono;
                due.extend(table.get(id).cloned());
            }
        }
        due
    }
}

/// Formats the message: the progress of a pull, or how it ended.
fn message(pull: &Pull, now: NodeTime) -> String {
    let title = pull.display_name().unwrap_or_else(|| "an unknown image".into());
    let took = duration(pull, now);
    match pull.phase {
        Phase::Ended(Outcome::Completed) => format!(
            "pulled {title} in {:.1} s: {} downloaded, {} cached",
            took.as_secs_f64(),
            pull.motion.downloaded,
            pull.cached,
        ),
        Phase::Ended(outcome) => {
            let how = match outcome {
                Outcome::Completed | Outcome::Failed => "failed",
                Outcome::Cancelled => "was cancelled",
                _ => "ended with unknown outcome",
            };
            format!("the pull of {title} {how} after {:.1} s", took.as_secs_f64())
        }
        phase => {
            let mut text = format!("pulling {title}: {phase}");
            if let (Some(percent), Some(all)) = (pull.motion.percent, pull.to_download) {
                text += &format!(", {percent}, {} of {all}", pull.motion.downloaded);
            }
            if let Some(rate) = pull.motion.rate {
                text += &format!(", {rate}");
            }
            if let Some(waiting) = &pull.waiting_on {
                text += &format!(", waiting for {}", waiting.kind);
            }
            if pull.stalled_since.is_some() {
                text += ", stalled";
            }
            text
        }
    }
}

fn duration(pull: &Pull, now: NodeTime) -> Duration {
    pull.ended_at.unwrap_or(now).since(pull.started_at)
}

/// Logs a pull. Unknown fields are omitted.
pub(crate) fn write(pull: &Pull, now: NodeTime) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "pulltrace::pull",
                node = pull.id.node().as_str(),
                image = pull.display_name(),
                id = %pull.id,
                phase = pull.outcome().is_none().then(|| pull.phase.as_str()),
                outcome = pull.outcome().map(Outcome::as_str),
                reason = pull.failure.as_ref().map(|failure| failure.reason.as_str()),
                percent = pull.motion.percent.map(pulltrace_core::Percent::get),
                total_bytes = pull.total.map(|bytes| bytes.0),
                cached_bytes = pull.total.map(|_| pull.cached.0),
                to_download_bytes = pull.to_download.map(|bytes| bytes.0),
                downloaded_bytes = pull.total.map(|_| pull.motion.downloaded.0),
                bytes_per_second = pull.motion.rate.map(|rate| rate.get().round()),
                eta_ms = pull.motion.eta.map(|eta| millis(eta.left)),
                waiting_on = pull.waiting_on.as_ref().map(|waiting| waiting.kind.as_str()),
                stalled_since = pull.stalled_since.map(tracing::field::display),
                stale_since = pull.stale_since.map(tracing::field::display),
                duration_ms = millis(duration(pull, now)),
                "{}", message(pull, now)
            )
        };
    }
    match pull.outcome() {
        None | Some(Outcome::Completed) => line!(info),
        Some(_) => line!(warn),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

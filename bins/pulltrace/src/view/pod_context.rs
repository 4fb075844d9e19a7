//! Kubernetes details of a pull: waiting pods, attempt, next retry.

use std::collections::BTreeMap;

use pulltrace_core::wire::v1::{PodLink, PullStatus};
use pulltrace_core::{NodeTime, PullId};

use super::format;

/// Kubernetes details by pull; pulls without any have no entry.
pub(crate) type PodContexts = BTreeMap<PullId, PodContext>;

/// Number of pods that are named; the rest are counted.
const MAX_NAMED_PODS: usize = 2;

/// Kubernetes details of a pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodContext {
    /// Linked pods, each once: `shop/web (app)`.
    pods: Vec<String>,
    /// Candidate pods if the match is ambiguous.
    candidates: Vec<String>,
    attempt: Option<u32>,
    retry_at: Option<NodeTime>,
}

impl PodContext {
    /// Returns `None` if the server has no details.
    pub(crate) fn from_status(status: &PullStatus) -> Option<Self> {
        let failure = status.failure.as_ref();
        let context = Self {
            pods: pod_names(&status.pods),
            candidates: pod_names(&status.candidates),
            attempt: status.attempt,
            retry_at: failure.and_then(|failure| failure.next_retry_at),
        };
        (context != Self::default()).then_some(context)
    }

    /// Formats the details that do not depend on the time: `for shop/web (app), 3rd attempt`.
    pub(crate) fn summary(&self) -> Option<String> {
        let mut parts = Vec::new();
        if !self.pods.is_empty() {
            parts.push(format!("for {}", join_names(&self.pods, "and")));
        }
        if !self.candidates.is_empty() {
            parts.push(format!("possibly for {}", join_names(&self.candidates, "or")));
        }
        parts.extend(self.attempt.filter(|number| *number > 1).map(ordinal_attempt));
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Formats all details: `for shop/web (app), 3rd attempt, retry in 12 s`.
    pub(crate) fn summary_with_retry(&self, now: NodeTime) -> Option<String> {
        let parts: Vec<_> = self.summary().into_iter().chain(self.retry_text(now)).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Formats the next retry: `retry in 12 s`. The kubelet retries at its next sync, so it may be
    /// late.
    fn retry_text(&self, now: NodeTime) -> Option<String> {
        /// A retry that is later than this waits for an unknown reason and is not shown.
        const OVERDUE: std::time::Duration = std::time::Duration::from_secs(60);
        let at = self.retry_at?;
        match at.since(now).as_secs() {
            0 if now.since(at) > OVERDUE => None,
            0 => Some("retrying".to_owned()),
            _ => Some(format!("retry in {}", format::seconds(at.since(now)))),
        }
    }
}

/// Returns each pod once, with all its containers that need the image.
fn pod_names(links: &[PodLink]) -> Vec<String> {
    let mut found: Vec<(&PodLink, Vec<&str>)> = Vec::new();
    for link in links {
        match found.iter_mut().find(|(first, _)| first.uid == link.uid) {
            Some((_, containers)) => containers.push(&link.container),
            None => found.push((link, vec![&link.container])),
        }
    }
    let text = |(link, containers): (&PodLink, Vec<&str>)| {
        let pod = format!("{}/{}", link.namespace, link.pod_name);
        match containers.join(", ").as_str() {
            "" => pod,
            containers => format!("{pod} ({containers})"),
        }
    };
    found.into_iter().map(text).collect()
}

/// Joins names: `a`, `a and b`, `a, b and 3 more`.
fn join_names(names: &[String], join: &str) -> String {
    let shown = names.iter().take(MAX_NAMED_PODS).cloned();
    let rest = names.len().saturating_sub(MAX_NAMED_PODS);
    let more = (rest > 0).then(|| format!("{rest} more"));
    let mut parts: Vec<_> = shown.chain(more).collect();
    match (parts.pop(), parts.is_empty()) {
        (Some(last), false) => format!("{} {join} {last}", parts.join(", ")),
        (last, _) => last.unwrap_or_default(),
    }
}

/// Formats an attempt number: `3rd attempt`.
fn ordinal_attempt(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending} attempt")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture::at;

    fn status(more: &str) -> PullStatus {
        let line = format!(
            r#"{{"id":"lease~w1~k8s.io~a~0","nodeName":"w1","phase":"failed","totalKnown":false,
                "startedAt":"2026-11-24T20:00:00Z"{more}}}"#
        );
        serde_json::from_str(&line).unwrap()
    }

    fn links(names: &[(&str, &str)]) -> String {
        let link = |(pod, container): &(&str, &str)| {
            format!(
                r#"{{"namespace":"shop","podName":"{pod}","uid":"{pod}","container":"{container}","image":"a"}}"#
            )
        };
        let links: Vec<_> = names.iter().map(link).collect();
        format!("[{}]", links.join(","))
    }

    #[test]
    fn pods_are_listed_once_and_truncated() {
        let who = |names: &[(&str, &str)]| {
            let context = PodContext::from_status(&status(&format!(r#","pods":{}"#, links(names))));
            context.and_then(|known| known.summary())
        };
        assert_eq!(who(&[]), None);
        assert_eq!(who(&[("a", "x")]).unwrap(), "for shop/a (x)");
        let two = [("a", "x"), ("b", "x"), ("a", "y")];
        assert_eq!(who(&two).unwrap(), "for shop/a (x, y) and shop/b (x)");
        let many = [("a", "x"), ("b", "x"), ("c", "x"), ("d", "x")];
        assert_eq!(who(&many).unwrap(), "for shop/a (x), shop/b (x) and 2 more");
    }

    #[test]
    fn candidates_are_marked_as_possible() {
        let more = links(&[("a", "x"), ("b", "x")]);
        let context =
            PodContext::from_status(&status(&format!(r#","attempt":2,"candidates":{more}"#)));
        assert_eq!(
            context.unwrap().summary().unwrap(),
            "possibly for shop/a (x) or shop/b (x), 2nd attempt"
        );
    }

    #[test]
    fn retry_counts_down_and_disappears() {
        let failure = r#","failure":{"reason":"dns","nextRetryAt":"2026-11-24T20:00:12Z"}"#;
        let known = PodContext::from_status(&status(failure)).unwrap();
        let texts: Vec<_> = [0, 11, 12, 30, 90].map(|second| known.retry_text(at(second))).into();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            texts,
            [some("retry in 12 s"), some("retry in 1 s"), some("retrying"), some("retrying"), None]
        );
    }

    #[test]
    fn attempts_use_ordinals() {
        let words: Vec<_> = [2, 3, 4, 11, 12, 13, 21, 112].map(ordinal_attempt).into();
        assert_eq!(
            words.join(" ").replace(" attempt", ""),
            "2nd 3rd 4th 11th 12th 13th 21st 112th"
        );
    }
}

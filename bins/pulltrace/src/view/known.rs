//! What Kubernetes adds to a pull, as it is shown: who waits for it, which try it is, when it is tried
//! again.

use std::collections::BTreeMap;

use pulltrace_core::wire::v1::{PodLink, PullStatus};
use pulltrace_core::{NodeTime, PullId};

use super::words;

/// What is known so of the pulls of a scene; of one of which nothing is known there is no entry.
pub(crate) type KnownPulls = BTreeMap<PullId, Known>;

/// So many pods are named; the others are counted.
const NAMED: usize = 2;

/// What Kubernetes adds to a pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// `shop/web (app)`, each pod once.
    pods: Vec<String>,
    /// The same, where nothing decides between several images.
    perhaps: Vec<String>,
    attempt: Option<u32>,
    retry_at: Option<NodeTime>,
}

impl Known {
    /// `None` where a server knows nothing of it.
    pub(crate) fn of(status: &PullStatus) -> Option<Self> {
        let failure = status.failure.as_ref();
        let known = Self {
            pods: pods(&status.pods),
            perhaps: pods(&status.candidates),
            attempt: status.attempt,
            retry_at: failure.and_then(|failure| failure.next_retry_at),
        };
        (known != Self::default()).then_some(known)
    }

    /// What stays as it is while time passes: `for shop/web (app) and 2 more, 3rd try`.
    pub(crate) fn who(&self) -> Option<String> {
        let mut parts = Vec::new();
        if !self.pods.is_empty() {
            parts.push(format!("for {}", named(&self.pods, "and")));
        }
        if !self.perhaps.is_empty() {
            parts.push(format!("perhaps for {}", named(&self.perhaps, "or")));
        }
        parts.extend(self.attempt.filter(|number| *number > 1).map(tried));
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// All of it: `for shop/web (app), 3rd try, again in 12 s`.
    pub(crate) fn all(&self, now: NodeTime) -> Option<String> {
        let parts: Vec<_> = self.who().into_iter().chain(self.again(now)).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// `again in 12 s`: the kubelet tries at the sync that follows, so it may be late.
    fn again(&self, now: NodeTime) -> Option<String> {
        /// So long after it was due nobody knows what it waits for.
        const OVERDUE: std::time::Duration = std::time::Duration::from_secs(60);
        let at = self.retry_at?;
        match at.since(now).as_secs() {
            0 if now.since(at) > OVERDUE => None,
            0 => Some("again any moment".to_owned()),
            _ => Some(format!("again in {}", words::seconds(at.since(now)))),
        }
    }
}

/// Each pod once, with all of its containers that want the image.
fn pods(links: &[PodLink]) -> Vec<String> {
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

/// `a`, `a and b`, `a, b and 3 more`.
fn named(names: &[String], join: &str) -> String {
    let shown = names.iter().take(NAMED).cloned();
    let rest = names.len().saturating_sub(NAMED);
    let more = (rest > 0).then(|| format!("{rest} more"));
    let mut parts: Vec<_> = shown.chain(more).collect();
    match (parts.pop(), parts.is_empty()) {
        (Some(last), false) => format!("{} {join} {last}", parts.join(", ")),
        (last, _) => last.unwrap_or_default(),
    }
}

/// `3rd try`.
fn tried(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending} try")
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
    fn pods_are_named_once_and_many_are_counted() {
        let who = |names: &[(&str, &str)]| {
            let known = Known::of(&status(&format!(r#","pods":{}"#, links(names))));
            known.and_then(|known| known.who())
        };
        assert_eq!(who(&[]), None);
        assert_eq!(who(&[("a", "x")]).unwrap(), "for shop/a (x)");
        let two = [("a", "x"), ("b", "x"), ("a", "y")];
        assert_eq!(who(&two).unwrap(), "for shop/a (x, y) and shop/b (x)");
        let many = [("a", "x"), ("b", "x"), ("c", "x"), ("d", "x")];
        assert_eq!(who(&many).unwrap(), "for shop/a (x), shop/b (x) and 2 more");
    }

    #[test]
    fn candidates_are_said_as_a_guess() {
        let more = links(&[("a", "x"), ("b", "x")]);
        let known = Known::of(&status(&format!(r#","attempt":2,"candidates":{more}"#)));
        assert_eq!(
            known.unwrap().who().unwrap(),
            "perhaps for shop/a (x) or shop/b (x), 2nd try"
        );
    }

    #[test]
    fn the_next_try_counts_down_and_is_not_said_for_ever() {
        let failure = r#","failure":{"reason":"dns","nextRetryAt":"2026-11-24T20:00:12Z"}"#;
        let known = Known::of(&status(failure)).unwrap();
        let texts: Vec<_> = [0, 11, 12, 30, 90]
            .map(|second| known.again(at(second)))
            .into();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            texts,
            [
                some("again in 12 s"),
                some("again in 1 s"),
                some("again any moment"),
                some("again any moment"),
                None
            ]
        );
    }

    #[test]
    fn tries_are_counted_as_people_do() {
        let words: Vec<_> = [2, 3, 4, 11, 12, 13, 21, 112].map(tried).into();
        assert_eq!(
            words.join(" ").replace(" try", ""),
            "2nd 3rd 4th 11th 12th 13th 21st 112th"
        );
    }
}

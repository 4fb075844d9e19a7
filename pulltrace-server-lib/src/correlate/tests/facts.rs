//! The demands of one node, for tests of single phases.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{Mono, Pull, RequestedImage};

use crate::cluster::{Pod, PullEvent};
use crate::correlate::attribution::{AttributedPull, Attribution, attribute};
use crate::correlate::demand::{self, Candidate, DeclaredImage, DemandKey, ImageDemand};
use crate::correlate::pull_mode::PullMode;
use crate::correlate::tag_index::TagIndex;

/// The time at which all facts were received.
pub(in crate::correlate) const NOW: Mono = Mono(Duration::from_secs(1_000));

#[derive(Default)]
pub(in crate::correlate) struct Facts(pub(in crate::correlate) BTreeMap<DemandKey, ImageDemand>);

impl Facts {
    pub(in crate::correlate) fn event(mut self, event: &PullEvent) -> Self {
        let key = DemandKey {
            uid: event.pod.uid.clone(),
            consumer: event.consumer.clone().unwrap(),
            image: event.message.image.clone().unwrap(),
        };
        let new = || ImageDemand::new(event.pod.clone(), NOW);
        self.0.entry(key).or_insert_with(new).record_event(event, true, NOW);
        self
    }

    pub(in crate::correlate) fn pod(mut self, pod: Pod) -> Self {
        for (order, image) in pod.images.into_iter().enumerate() {
            let key = DemandKey {
                uid: pod.pod.uid.clone(),
                consumer: image.consumer,
                image: image.image,
            };
            let new = || ImageDemand::new(pod.pod.clone(), NOW);
            let declared =
                DeclaredImage { order, name: image.name, kind: image.kind, status: image.presence };
            self.0.entry(key).or_insert_with(new).declare(declared, NOW);
        }
        self
    }

    pub(in crate::correlate) fn candidates(&self) -> Vec<Candidate<'_>> {
        demand::candidates(&self.0, std::iter::empty(), NOW)
    }

    /// Attributes pulls, with the ends just received.
    pub(in crate::correlate) fn attribute<'a>(&'a self, pulls: &'a [Arc<Pull>]) -> Attribution<'a> {
        let pulls = pulls
            .iter()
            .map(|pull| AttributedPull::new(pull, pull.outcome().is_some().then_some(NOW)));
        attribute(pulls.collect(), self.candidates(), &TagIndex::default(), PullMode::Unknown)
    }
}

pub(in crate::correlate) fn image(name: &str) -> RequestedImage {
    RequestedImage::from_text(name)
}

/// Returns the pods linked to each pull, by name.
pub(in crate::correlate) fn linked_pods(attribution: &Attribution<'_>) -> Vec<Vec<String>> {
    let pods = |attributed: &AttributedPull<'_>| {
        let waiters = attributed.links.pods.iter().map(|(waiter, _)| waiter);
        waiters.map(|waiter| waiter.pod.name.to_string()).collect()
    };
    attribution.pulls.iter().map(pods).collect()
}

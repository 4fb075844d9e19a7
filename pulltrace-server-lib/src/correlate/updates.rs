//! Applies the updates of the sources to the facts of the nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use pulltrace_core::{PodUid, Pull};

use super::demand::{DeclaredImage, DemandKey};
use super::matching::is_tagged;
use super::{Correlator, PendingUpdate, Received};
use crate::cluster::{ImagePresence, Pod, PullEvent, volume_consumer};

/// Older events may be replayed, so they do not prove that their pod still exists.
const MAX_EVENT_AGE: Duration = Duration::from_mins(5);

impl Pod {
    /// Reports whether any of its images may be missing.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let waits = |state: &ImagePresence| matches!(state, ImagePresence::Waiting { .. });
        self.images.iter().any(|image| waits(&image.presence))
    }
}

impl Correlator {
    pub(super) fn upsert_pod(&mut self, pod: Pod, update: &mut PendingUpdate) {
        self.stats.pod_updates += 1;
        for image in &pod.images {
            if let ImagePresence::Present { root_digest: Some(root), .. } = &image.presence
                && let Some(name) = image.image.image_ref().filter(|name| is_tagged(name))
            {
                self.tag_index.insert(root, name, None);
            }
        }
        let uid = &pod.pod.uid;
        if !pod.is_waiting() && !self.pods.contains_key(uid) {
            return;
        }
        let now = update.now.mono;
        let limit = self.demand_limit();
        let node = self.nodes.entry(pod.node.clone()).or_default();
        let mut demanded = BTreeSet::new();
        let mut is_changed = false;
        for (order, image) in pod.images.into_iter().enumerate() {
            let key = DemandKey { uid: uid.clone(), consumer: image.consumer, image: image.image };
            let Some(demand) = node.demand(key.clone(), &pod.pod, limit, now) else {
                self.stats.demands_refused += 1;
                continue;
            };
            demanded.insert(key);
            let declared =
                DeclaredImage { order, name: image.name, kind: image.kind, status: image.presence };
            is_changed |= demand.declare(declared, now);
        }
        for (_, demand) in node.demands_of_pod_mut(uid).filter(|(key, _)| !demanded.contains(key)) {
            if demand.declared.take().is_some() {
                demand.pod_removed_at = Some(now);
                is_changed = true;
            }
        }
        if is_changed {
            update.dirty.insert(pod.node.clone());
        }
        self.pods.insert(uid.clone(), pod.node);
    }

    /// Marks a pod as removed. If it was only missing from a new list, a pod known from events alone
    /// is kept, since it may be newer than the list.
    pub(super) fn remove_pod(
        &mut self,
        uid: &PodUid,
        received: Received,
        update: &mut PendingUpdate,
    ) {
        let Some(name) = self.pods.get(uid) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        for (_, demand) in node.demands_of_pod_mut(uid) {
            let is_removed = demand.declared.is_some() || received == Received::Live;
            if demand.pod_removed_at.is_none() && is_removed {
                demand.pod_removed_at = Some(update.now.mono);
                demand.updated_at = update.now.mono;
                update.dirty.insert(name.clone());
            }
        }
    }

    pub(super) fn record_event(
        &mut self,
        event: &PullEvent,
        received: Received,
        update: &mut PendingUpdate,
    ) {
        self.stats.events += 1;
        // Without an image it adds no information to earlier events.
        let Some(image) = &event.message.image else {
            return;
        };
        let key = DemandKey {
            uid: event.pod.uid.clone(),
            consumer: event.consumer.clone().unwrap_or_else(|| volume_consumer(image)),
            image: image.clone(),
        };
        let limit = self.demand_limit();
        let node = self.nodes.entry(event.node.clone()).or_default();
        let node_now = node.local_time(update.now);
        let Some(demand) = node.demand(key, &event.pod, limit, update.now.mono) else {
            self.stats.demands_refused += 1;
            return;
        };
        // After a gap, a source may resend all existing events as new.
        let is_live =
            received == Received::Live && node_now.since(event.last_seen) <= MAX_EVENT_AGE;
        if demand.record_event(event, is_live, update.now.mono) {
            update.dirty.insert(event.node.clone());
        }
        self.pods.insert(event.pod.uid.clone(), event.node.clone());
    }

    /// Returns the number of demands that a node may have.
    const fn demand_limit(&self) -> usize {
        if self.stats.demands >= self.limits.demands as u64 {
            0
        } else {
            self.limits.demands_per_node
        }
    }

    /// Adds the tags of a completed pull to the index, and marks the nodes to evaluate because of
    /// it.
    pub(super) fn index_tags(&mut self, pull: &Pull, update: &mut PendingUpdate) {
        let Some(root) = &pull.root else { return };
        let mut is_new = false;
        for name in pull.names.iter().filter(|name| is_tagged(name)) {
            is_new |= self.tag_index.insert(root, name, pull.total);
        }
        if is_new {
            let nodes = self.nodes.iter().filter(|(_, node)| node.is_pulling(root));
            update.dirty.extend(nodes.map(|(name, _)| name.clone()));
        }
    }
}

//! Applies updates of the sources to the nodes, without deciding anything.

use std::collections::BTreeSet;
use std::time::Duration;

use pulltrace_core::{NodeName, PodUid, Pull, TagOrDigest};

use super::Correlator;
use super::demand::{DeclaredImage, DemandKey, ImageDemand};
use crate::change::shift;
use crate::clock::ServerNow;
use crate::cluster::{ImagePresence, Pod, PullEvent, volume_consumer};

/// Older events may be replayed, so they do not prove that their pod still exists.
const MAX_EVENT_AGE: Duration = Duration::from_mins(5);

impl Correlator {
    pub(super) fn upsert_pod(&mut self, pod: Pod, now: ServerNow, dirty: &mut BTreeSet<NodeName>) {
        self.stats.pod_updates += 1;
        for image in &pod.images {
            if let (ImagePresence::Present { root_digest: Some(root), .. }, Some(name)) =
                (&image.presence, image.image.image_ref())
                && matches!(name.tag_or_digest(), TagOrDigest::Tag(_))
            {
                self.tag_index.insert(root, name, None);
            }
        }
        let uid = &pod.pod.uid;
        let waiting = pod.is_waiting();
        if !waiting && !self.pods.contains_key(uid) {
            return;
        }
        let node = self.nodes.entry(pod.node.clone()).or_default();
        let (max_per_node, max_total) = (self.limits.demands_per_node, self.limits.demands);
        let mut demanded = BTreeSet::new();
        for (order, image) in pod.images.into_iter().enumerate() {
            let key = DemandKey { uid: uid.clone(), consumer: image.consumer, image: image.image };
            let full = node.demands.len() >= max_per_node || self.stats.demands >= max_total as u64;
            if full && !node.demands.contains_key(&key) {
                self.stats.demands_refused += 1;
                continue;
            }
            demanded.insert(key.clone());
            let new = || ImageDemand::new(pod.pod.clone(), now.mono);
            let demand = node.demands.entry(key).or_insert_with(new);
            let since = match &demand.declared {
                Some(before) if before.status == image.presence => before.status_since,
                _ => now.mono,
            };
            let declared = Some(DeclaredImage {
                order,
                name: image.name,
                kind: image.kind,
                status: image.presence,
                status_since: since,
            });
            if demand.declared != declared || demand.pod_removed_at.is_some() {
                (demand.declared, demand.pod_removed_at, demand.updated_at) =
                    (declared, None, now.mono);
                dirty.insert(pod.node.clone());
            }
        }
        for (_, demand) in node.demands_of_pod_mut(uid).filter(|(key, _)| !demanded.contains(key)) {
            if demand.declared.take().is_some() {
                demand.pod_removed_at = Some(now.mono);
                dirty.insert(pod.node.clone());
            }
        }
        self.pods.insert(uid.clone(), pod.node);
    }

    /// Marks a pod as removed. With `listed`, it was missing from a new list: a pod known from
    /// events alone is kept, since it may be newer than the list.
    pub(super) fn remove_pod(
        &mut self,
        uid: &PodUid,
        listed: bool,
        now: ServerNow,
        dirty: &mut BTreeSet<NodeName>,
    ) {
        let Some(name) = self.pods.get(uid) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        for (_, demand) in node.demands_of_pod_mut(uid) {
            if demand.pod_removed_at.is_none() && (demand.declared.is_some() || !listed) {
                demand.pod_removed_at = Some(now.mono);
                demand.updated_at = now.mono;
                dirty.insert(name.clone());
            }
        }
    }

    pub(super) fn record_event(
        &mut self,
        event: &PullEvent,
        live: bool,
        now: ServerNow,
        dirty: &mut BTreeSet<NodeName>,
    ) {
        self.stats.events += 1;
        // Without an image it adds no information to earlier events.
        let Some(image) = &event.image else {
            return;
        };
        let key = DemandKey {
            uid: event.pod.uid.clone(),
            consumer: event.consumer.clone().unwrap_or_else(|| volume_consumer(image)),
            image: image.clone(),
        };
        let node = self.nodes.entry(event.node.clone()).or_default();
        let full = node.demands.len() >= self.limits.demands_per_node
            || self.stats.demands >= self.limits.demands as u64;
        if full && !node.demands.contains_key(&key) {
            self.stats.demands_refused += 1;
            return;
        }
        let new = || ImageDemand::new(event.pod.clone(), now.mono);
        let demand = node.demands.entry(key).or_insert_with(new);
        let node_now = shift(now.at, node.clock_offset_ms.saturating_neg());
        // After a gap, a source may resend all existing events as new.
        let live = live && node_now.since(event.last_seen) <= MAX_EVENT_AGE;
        if demand.record_event(event, live, now.mono) {
            dirty.insert(event.node.clone());
        }
        self.pods.insert(event.pod.uid.clone(), event.node.clone());
    }

    /// Adds the tags of a completed pull to the index, and marks the nodes to evaluate because of
    /// it.
    pub(super) fn index_tags(&mut self, pull: &Pull, dirty: &mut BTreeSet<NodeName>) {
        let Some(root) = &pull.root else { return };
        let mut is_new = false;
        for name in &pull.names {
            if matches!(name.tag_or_digest(), TagOrDigest::Tag(_)) {
                is_new |= self.tag_index.insert(root, name, pull.total);
            }
        }
        if is_new {
            let nodes = self.nodes.iter().filter(|(_, node)| node.is_pulling(root));
            dirty.extend(nodes.map(|(name, _)| name.clone()));
        }
    }
}

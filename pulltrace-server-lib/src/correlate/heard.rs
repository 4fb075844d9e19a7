//! What a source said becomes facts of a node; nothing is decided here.

use std::collections::BTreeSet;
use std::time::Duration;

use pulltrace_core::{NodeName, PodUid, Pull, Version};

use super::Correlator;
use super::want::{Key, Spec, Want};
use crate::change::shift;
use crate::clock::ServerNow;
use crate::cluster::{Pod, PullEvent, Seen, volume_slot};

/// What happened within this is believed of a pod that no source of pods knows.
const RECENT: Duration = Duration::from_mins(5);

impl Correlator {
    pub(super) fn take_pod(&mut self, pod: Pod, now: ServerNow, dirty: &mut BTreeSet<NodeName>) {
        self.stats.pods += 1;
        for image in &pod.images {
            if let (
                Seen::Present {
                    root: Some(root), ..
                },
                Some(name),
            ) = (&image.state, image.image.named())
                && matches!(name.version(), Version::Tag(_))
            {
                self.learned.learn(root, name, None);
            }
        }
        let uid = &pod.pod.uid;
        let waiting = pod.is_waiting();
        if !waiting && !self.pods.contains_key(uid) {
            return;
        }
        let node = self.nodes.entry(pod.node.clone()).or_default();
        let (most, all) = (self.limits.wants_per_node, self.limits.wants);
        let mut named = BTreeSet::new();
        for (order, image) in pod.images.into_iter().enumerate() {
            let key = Key {
                uid: uid.clone(),
                slot: image.slot,
                image: image.image,
            };
            let full = node.wants.len() >= most || self.stats.wants >= all as u64;
            if full && !node.wants.contains_key(&key) {
                self.stats.wants_refused += 1;
                continue;
            }
            named.insert(key.clone());
            let new = || Want::new(pod.pod.clone(), now.mono);
            let want = node.wants.entry(key).or_insert_with(new);
            let since = match &want.spec {
                Some(before) if before.seen == image.state => before.since,
                _ => now.mono,
            };
            let spec = Some(Spec {
                order,
                name: image.name,
                kind: image.kind,
                seen: image.state,
                since,
            });
            if want.spec != spec || want.gone.is_some() {
                (want.spec, want.gone, want.news) = (spec, None, now.mono);
                dirty.insert(pod.node.clone());
            }
        }
        for (_, want) in node
            .wants_of_mut(uid)
            .filter(|(key, _)| !named.contains(key))
        {
            if want.spec.take().is_some() {
                want.gone = Some(now.mono);
                dirty.insert(pod.node.clone());
            }
        }
        self.pods.insert(uid.clone(), pod.node);
    }

    /// A pod is gone. `listed`: since it was not listed, so that one of which only its kubelet spoke
    /// may have come later.
    pub(super) fn lose_pod(
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
        for (_, want) in node.wants_of_mut(uid) {
            if want.gone.is_none() && (want.spec.is_some() || !listed) {
                want.gone = Some(now.mono);
                want.news = now.mono;
                dirty.insert(name.clone());
            }
        }
    }

    pub(super) fn take_event(
        &mut self,
        event: &PullEvent,
        live: bool,
        now: ServerNow,
        dirty: &mut BTreeSet<NodeName>,
    ) {
        self.stats.events += 1;
        // Without an image it says no more than what was said before.
        let Some(image) = &event.image else {
            return;
        };
        let key = Key {
            uid: event.pod.uid.clone(),
            slot: event.slot.clone().unwrap_or_else(|| volume_slot(image)),
            image: image.clone(),
        };
        let node = self.nodes.entry(event.node.clone()).or_default();
        let full = node.wants.len() >= self.limits.wants_per_node
            || self.stats.wants >= self.limits.wants as u64;
        if full && !node.wants.contains_key(&key) {
            self.stats.wants_refused += 1;
            return;
        }
        let new = || Want::new(event.pod.clone(), now.mono);
        let want = node.wants.entry(key).or_insert_with(new);
        let node_now = shift(now.at, node.offset_ms.saturating_neg());
        // After a gap all that there is may be said as if it happened now.
        let live = live && node_now.since(event.last) <= RECENT;
        if want.hear(event, live, now.mono) {
            dirty.insert(event.node.clone());
        }
        self.pods.insert(event.pod.uid.clone(), event.node.clone());
    }

    /// Learns the names of a finished pull, and finds the nodes to which that is news.
    pub(super) fn learn(&mut self, pull: &Pull, dirty: &mut BTreeSet<NodeName>) {
        let Some(root) = &pull.root else { return };
        let mut news = false;
        for name in &pull.names {
            if matches!(name.version(), Version::Tag(_)) {
                news |= self.learned.learn(root, name, pull.total);
            }
        }
        if news {
            let nodes = self.nodes.iter().filter(|(_, node)| node.pulls_live(root));
            dirty.extend(nodes.map(|(name, _)| name.clone()));
        }
    }
}

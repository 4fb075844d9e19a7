//! A pod and its pulls at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use pulltrace_core::wire::v1::{PodPulls, PodStatus};
use pulltrace_core::{KubeName, PullId};

use crate::change::PodView;
use crate::correlate::pod_status;
use crate::http::state::ApiState;
use crate::table::{Row, SharedTable, Table};

/// A pod with the rows needed to describe it.
#[derive(Clone, Debug)]
pub(super) struct PodSnapshot {
    pub(super) view: Arc<PodView>,
    rows: HashMap<PullId, Arc<Row>>,
}

impl PodSnapshot {
    pub(super) fn new(table: &Table, view: &Arc<PodView>) -> Self {
        let mut rows = HashMap::new();
        let mut take = |id: &PullId| {
            let row = table.get(id)?;
            rows.insert(id.clone(), Arc::clone(row));
            row.pull.waiting_on.as_ref()?.pull.clone()
        };
        for id in view.images.iter().filter_map(|image| image.pull.as_ref()) {
            // A pull that waits for another one moves if that one does.
            if let Some(before) = take(id) {
                take(&before);
            }
        }
        Self { view: Arc::clone(view), rows }
    }

    /// Finds a pod by name, with the sequence number of the table. If several pods had the name,
    /// prefers one that is not deleted, then one that is still waiting.
    pub(super) fn find(
        shared: &SharedTable,
        namespace: &KubeName,
        name: &KubeName,
    ) -> Option<(u64, Self)> {
        shared.read(|table| {
            let views = table.pods_named(namespace, name);
            let view = views.max_by_key(|view| (!view.gone, !view.is_ready()))?;
            Some((table.seq(), Self::new(table, view)))
        })
    }

    /// Looks up the same pod again, by uid.
    pub(super) fn refreshed(&self, shared: &SharedTable) -> (u64, Option<Self>) {
        let pod = &self.view.pod;
        shared.read(|table| {
            let mut views = table.pods_named(&pod.namespace, &pod.name);
            let view = views.find(|view| view.pod.uid == pod.uid);
            (table.seq(), view.map(|view| Self::new(table, view)))
        })
    }

    /// Returns whether the pod and all of its rows are unchanged.
    pub(super) fn is_same_version(&self, other: &Self) -> bool {
        let same = |(id, row): (&PullId, &Arc<Row>)| {
            let other = other.rows.get(id);
            other.is_some_and(|other| other.seq == row.seq)
        };
        Arc::ptr_eq(&self.view, &other.view)
            && self.rows.len() == other.rows.len()
            && self.rows.iter().all(same)
    }

    pub(super) fn status(&self) -> PodStatus {
        pod_status(&self.view, |id| {
            let row = self.rows.get(id)?;
            Some((Arc::clone(&row.pull), row.correction))
        })
    }

    pub(super) fn pulls(&self, api: &ApiState, seq: u64) -> PodPulls {
        let mut ids: Vec<&PullId> = Vec::new();
        for id in self.view.images.iter().filter_map(|image| image.pull.as_ref()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let rows = ids.into_iter().filter_map(|id| self.rows.get(id));
        PodPulls {
            epoch: api.shared.read(|table| table.epoch().to_owned()),
            seq,
            now: api.clock.now().at,
            pod: self.status(),
            pulls: rows.map(|row| row.status(false)).collect(),
        }
    }
}

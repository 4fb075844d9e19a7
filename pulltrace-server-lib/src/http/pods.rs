//! Pod endpoints: the list of waiting pods, and a single pod, once or as a stream.

mod follow;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use pulltrace_core::wire::v1::{PodPulls, PodStatus};
use pulltrace_core::{KubeName, PodRef, PullId};

use super::ApiState;
use super::body;
use super::events;
use super::lists::{list_head, parse_limit, stream_list};
use super::problem::ProblemResponse;
use super::query::{Filter, QueryParams};
use crate::change::PodView;
use crate::cluster::{SourceFailure, SourceFailureKind};
use crate::correlate::{SourceHealth, pod_status};
use crate::json;
use crate::table::{Row, SharedTable, Table};
use follow::PodFollower;

/// Pods scanned under one lock, so that readers do not delay the writer.
const SCAN_BATCH: usize = 500;

pub(super) async fn list(
    State(api): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ProblemResponse> {
    let known = ["node", "namespace", "pod", "image", "limit", "continue"];
    let query = QueryParams::parse(query.as_deref(), &known)?;
    require_pod_source(&api)?;
    let filter = Filter::from_query(&query, true)?;
    let limit = parse_limit(&query)?;
    let after = match query.get("continue").map(parse_continue) {
        None => None,
        Some(Some(pod)) => Some(pod),
        Some(None) => {
            return Err(ProblemResponse::invalid_query()
                .with_detail("invalid `continue`: expected the value from the previous page"));
        }
    };
    let head = list_head(&api);
    let cluster = api.cluster.status(&api.shared.cluster_health());
    let cluster = json::to_string(&cluster);
    let (pods, next) = scan_page(&api, &filter, after, limit).await;
    let next = next.map_or_else(String::new, |pod| {
        let (namespace, name, uid) = (&pod.namespace, &pod.name, &pod.uid);
        format!(",\"continue\":\"{namespace}/{name}/{uid}\"")
    });
    let pods = pods.into_iter();
    let pods = pods.map(|pod| json::to_string(&pod.status()));
    let head = format!("{head},\"cluster\":{cluster},\"pods\":[");
    Ok(body::json_stream(&headers, stream_list(head, pods, format!("]{next}}}"))))
}

/// Returns the first `limit` matching pods after `after`, and the last one if there may be more.
async fn scan_page(
    api: &ApiState,
    filter: &Filter,
    after: Option<PodRef>,
    limit: usize,
) -> (Vec<PodSnapshot>, Option<PodRef>) {
    let mut pods: Vec<PodSnapshot> = Vec::new();
    let mut after = after;
    loop {
        let (batch, found) = api.shared.read(|table| {
            let views: Vec<Arc<PodView>> =
                table.pods(after.as_ref()).take(SCAN_BATCH).cloned().collect();
            let wanted = |view: &&Arc<PodView>| {
                let images = view.images.iter().map(|image| &image.image);
                !view.gone && filter.matches_pod(&view.pod, &view.node, images)
            };
            let found = views.iter().filter(wanted);
            let found = found.take(limit - pods.len() + 1);
            let found: Vec<PodSnapshot> = found.map(|view| PodSnapshot::new(table, view)).collect();
            (views, found)
        });
        for pod in found {
            if pods.len() == limit {
                let last = pods.last().map(|pod| pod.view.pod.clone());
                return (pods, last);
            }
            pods.push(pod);
        }
        match batch.last() {
            Some(last) if batch.len() == SCAN_BATCH => after = Some(last.pod.clone()),
            _ => return (pods, None),
        }
        // A selective filter scans many pods; let other tasks run.
        tokio::task::yield_now().await;
    }
}

pub(super) async fn pulls(
    State(api): State<Arc<ApiState>>,
    Path((namespace, pod)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, ProblemResponse> {
    let query = QueryParams::parse(query.as_deref(), &["follow"])?;
    let follow = query.choice("follow", &[("0", false), ("1", true)], false)?;
    require_pod_source(&api)?;
    let names: Option<(KubeName, KubeName)> = namespace.parse().ok().zip(pod.parse().ok());
    let Some((namespace, pod)) = names else {
        return Err(ProblemResponse::not_found().with_detail("invalid namespace or pod name"));
    };
    if follow && *request.method() == Method::HEAD {
        return Err(ProblemResponse::method_not_allowed());
    }
    let named = PodSnapshot::find(&api.shared, &namespace, &pod);
    let Some(now) = named.filter(|(_, pod)| !pod.view.gone) else {
        return Err(pod_not_found(&api, &namespace, &pod));
    };
    if follow {
        let permit = events::acquire_reader_slot(&api)?;
        let pieces = PodFollower::new(&api, now).into_stream();
        return Ok(events::stream_response(&api, &request, permit, pieces));
    }
    let (seq, pod) = now;
    Ok(body::json_value(request.headers(), &pod.pulls(&api, seq)))
}

fn require_pod_source(api: &ApiState) -> Result<(), ProblemResponse> {
    if api.cluster.has_any() { Ok(()) } else { Err(ProblemResponse::pods_unavailable("pods are")) }
}

/// Parses the `continue` parameter: `namespace/name/uid`.
fn parse_continue(text: &str) -> Option<PodRef> {
    let mut names = text.split('/');
    let mut next = || names.next();
    let pod = PodRef {
        namespace: next()?.parse().ok()?,
        name: next()?.parse().ok()?,
        uid: next()?.parse().ok()?,
    };
    names.next().is_none().then_some(pod)
}

/// Explains why a pod is not found: it does not wait for an image, or its source is not live.
fn pod_not_found(api: &ApiState, namespace: &KubeName, pod: &KubeName) -> ProblemResponse {
    let health = api.shared.cluster_health().pods;
    let why = match &health {
        _ if !api.cluster.pods => " (known from kubelet events only)".to_owned(),
        SourceHealth::Live => String::new(),
        SourceHealth::Failing(SourceFailure { kind, message })
            if *kind == SourceFailureKind::Forbidden =>
        {
            format!(" (known from kubelet events only; pods are {kind}: {message})")
        }
        SourceHealth::Failing(SourceFailure { kind, message }) => {
            return ProblemResponse::unavailable("not_heard", "Pods are temporarily unavailable")
                .with_detail(format!("{kind}: {message}"));
        }
        SourceHealth::Unknown | SourceHealth::Listing => {
            return ProblemResponse::unavailable("not_heard", "Pods are still being listed");
        }
    };
    ProblemResponse::not_found().with_detail(format!(
        "pod {namespace}/{pod} is not waiting for an image{why}: it has all its images, has no \
         node yet, or does not exist; see `kubectl get pod -n {namespace} {pod}` and /api/v1/pulls?namespace={namespace}&pod={pod}"
    ))
}

/// A pod with the rows needed to describe it.
#[derive(Clone, Debug)]
struct PodSnapshot {
    view: Arc<PodView>,
    rows: HashMap<PullId, Arc<Row>>,
}

impl PodSnapshot {
    fn new(table: &Table, view: &Arc<PodView>) -> Self {
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
    fn find(shared: &SharedTable, namespace: &KubeName, name: &KubeName) -> Option<(u64, Self)> {
        shared.read(|table| {
            let views = table.pods_named(namespace, name);
            let view = views.max_by_key(|view| (!view.gone, !view.is_ready()))?;
            Some((table.seq(), Self::new(table, view)))
        })
    }

    /// Looks up the same pod again, by uid.
    fn refreshed(&self, shared: &SharedTable) -> (u64, Option<Self>) {
        let pod = &self.view.pod;
        shared.read(|table| {
            let mut views = table.pods_named(&pod.namespace, &pod.name);
            let view = views.find(|view| view.pod.uid == pod.uid);
            (table.seq(), view.map(|view| Self::new(table, view)))
        })
    }

    /// Returns whether the pod and all of its rows are unchanged.
    fn is_same_version(&self, other: &Self) -> bool {
        let same = |(id, row): (&PullId, &Arc<Row>)| {
            let other = other.rows.get(id);
            other.is_some_and(|other| other.seq == row.seq)
        };
        Arc::ptr_eq(&self.view, &other.view)
            && self.rows.len() == other.rows.len()
            && self.rows.iter().all(same)
    }

    fn status(&self) -> PodStatus {
        pod_status(&self.view, |id| {
            let row = self.rows.get(id)?;
            Some((Arc::clone(&row.pull), row.correction))
        })
    }

    fn pulls(&self, api: &ApiState, seq: u64) -> PodPulls {
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

//! Pod endpoints: the list of waiting pods, and a single pod, once or as a stream.

mod follow;
mod snapshot;

use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use pulltrace_core::wire::v1::{PodEnd, PodList, PodPulls};
use pulltrace_core::{KubeName, PodRef};

use self::follow::PodFollower;
use self::snapshot::PodSnapshot;
use super::body;
use super::lists::{CONTINUE, LIMIT, list_head, parse_limit, stream_list};
use super::openapi::{Endpoint, Param, Routes, choice, content, content_any_of, response, text};
use super::problem::ProblemResponse;
use super::query::{Filter, IMAGE, NAMESPACE, NODE, POD, QueryParams};
use super::state::ApiState;
use super::stream::{acquire_reader_slot, stream_response};
use crate::change::PodView;
use crate::cluster::{SourceFailure, SourceFailureKind};
use crate::correlate::SourceHealth;
use crate::json;

/// Pods scanned under one lock, so that readers do not delay the writer.
const SCAN_BATCH: usize = 500;

static LIST_PARAMS: [&Param; 6] = [&NODE, &NAMESPACE, &POD, &IMAGE, &LIMIT, &CONTINUE];

static POD_NAMESPACE: Param =
    Param::path("namespaceOfPod", "namespace", || text("The namespace of the pod."));
static POD_NAME: Param = Param::path("nameOfPod", "pod", || text("The name of the pod."));
static FOLLOW: Param = Param::query("follow", "follow", || {
    choice(&FOLLOW_WORDS, "Stream each change, until all images are present or the pod is gone.")
});

const FOLLOW_WORDS: [(&str, bool); 2] = [("0", false), ("1", true)];

static PULLS_PARAMS: [&Param; 3] = [&POD_NAMESPACE, &POD_NAME, &FOLLOW];

pub(super) fn routes() -> Routes {
    let pulls_response = response("The pod with its pulls, or the stream.")
        .content("application/json", content::<PodPulls>())
        .content("text/event-stream", content_any_of::<PodPulls, PodEnd>());
    Routes::default()
        .get(
            "/api/v1/pods",
            list,
            Endpoint::new("listPods", "List the pods that wait for an image")
                .params(&LIST_PARAMS)
                .json::<PodList>(),
        )
        .get(
            "/api/v1/namespaces/{namespace}/pods/{pod}/pulls",
            pulls,
            Endpoint::new("getPodPulls", "Get the images that a pod waits for")
                .description(
                    "With follow=1, server-sent events: events without a name are a PodPulls, \
                     sent at once and after each change; `ping` is a keep-alive; `end` is a \
                     PodEnd and the last event.",
                )
                .params(&PULLS_PARAMS)
                .response("200", pulls_response)
                .or_problem(),
        )
}

async fn list(
    State(api): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ProblemResponse> {
    let query = QueryParams::parse(query.as_deref(), &LIST_PARAMS)?;
    require_pod_source(&api)?;
    let filter = Filter::from_query(&query, true)?;
    let limit = parse_limit(&query)?;
    let after = match query.get(&CONTINUE).map(parse_continue) {
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

async fn pulls(
    State(api): State<Arc<ApiState>>,
    Path((namespace, pod)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, ProblemResponse> {
    let query = QueryParams::parse(query.as_deref(), &PULLS_PARAMS)?;
    let follow = query.choice(&FOLLOW, &FOLLOW_WORDS)?;
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
        let permit = acquire_reader_slot(&api)?;
        let pieces = PodFollower::new(&api, now).into_stream();
        return Ok(stream_response(&api, &request, permit, pieces));
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

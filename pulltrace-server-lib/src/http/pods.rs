//! What pods wait for: all of them in a list, and one of them, once or as it changes.

mod follow;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use pulltrace_core::wire::v1::{PodPulls, PodStatus};
use pulltrace_core::{KubeName, PodRef, PullId};

use super::Api;
use super::body;
use super::events;
use super::lists::{head, limit, pieces};
use super::problem::Refusal;
use super::query::{Filter, Query};
use crate::cluster::{Trouble, TroubleKind};
use crate::correlate::{Heard, PodView, pod_status};
use crate::json;
use crate::table::{Row, Shared, Table};
use follow::Follow;

/// Pods that are looked at in one go, so that the writer waits for no reader.
const PAGE: usize = 500;

/// `GET /api/v1/pods`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let known = ["node", "namespace", "pod", "image", "limit", "continue"];
    let query = Query::parse(query.as_deref(), &known)?;
    known_here(&api)?;
    let filter = Filter::of(&query, true)?;
    let limit = limit(&query)?;
    let after = match query.get("continue").map(place) {
        None => None,
        Some(Some(pod)) => Some(pod),
        Some(None) => {
            return Err(Refusal::query().detail("`continue` is what the page before said"));
        }
    };
    let head = head(&api);
    let cluster = api.cluster.status(&api.shared.listening());
    let cluster = json::text(&cluster);
    let (pods, next) = page(&api, &filter, after, limit).await;
    let next = next.map_or_else(String::new, |pod| {
        let (namespace, name, uid) = (&pod.namespace, &pod.name, &pod.uid);
        format!(",\"continue\":\"{namespace}/{name}/{uid}\"")
    });
    let pods = pods.into_iter();
    let pods = pods.map(|pod| json::text(&pod.status()));
    let head = format!("{head},\"cluster\":{cluster},\"pods\":[");
    Ok(body::json(
        &headers,
        pieces(head, pods, format!("]{next}}}")),
    ))
}

/// The first `limit` pods after one that the filter wants, and where there may be more the last of them.
async fn page(
    api: &Api,
    filter: &Filter,
    after: Option<PodRef>,
    limit: usize,
) -> (Vec<Waiting>, Option<PodRef>) {
    let mut pods: Vec<Waiting> = Vec::new();
    let mut after = after;
    loop {
        let (looked_at, found) = api.shared.read(|table| {
            let views: Vec<Arc<PodView>> = table.pods(after.as_ref()).take(PAGE).cloned().collect();
            let wanted = |view: &&Arc<PodView>| {
                let images = view.images.iter().map(|image| &image.image);
                !view.gone && filter.wants_pod(&view.pod, &view.node, images)
            };
            let found = views.iter().filter(wanted);
            let found = found.take(limit - pods.len() + 1);
            let found: Vec<Waiting> = found.map(|view| Waiting::of(table, view)).collect();
            (views, found)
        });
        for pod in found {
            if pods.len() == limit {
                let last = pods.last().map(|pod| pod.view.pod.clone());
                return (pods, last);
            }
            pods.push(pod);
        }
        match looked_at.last() {
            Some(last) if looked_at.len() == PAGE => after = Some(last.pod.clone()),
            _ => return (pods, None),
        }
        // A filter that wants little looks at much.
        tokio::task::yield_now().await;
    }
}

/// `GET /api/v1/namespaces/{namespace}/pods/{pod}/pulls`.
pub(super) async fn pulls(
    State(api): State<Arc<Api>>,
    Path((namespace, pod)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let query = Query::parse(query.as_deref(), &["follow"])?;
    let follow = query.word("follow", &[("0", false), ("1", true)], false)?;
    known_here(&api)?;
    let names: Option<(KubeName, KubeName)> = namespace.parse().ok().zip(pod.parse().ok());
    let Some((namespace, pod)) = names else {
        return Err(Refusal::not_found().detail("that is no name of a namespace, or of a pod"));
    };
    if follow && *request.method() == Method::HEAD {
        return Err(Refusal::method());
    }
    let named = Waiting::named(&api.shared, &namespace, &pod);
    let Some(now) = named.filter(|(_, pod)| !pod.view.gone) else {
        return Err(not_there(&api, &namespace, &pod));
    };
    if follow {
        let place = events::place(&api)?;
        let pieces = Follow::new(&api, now).pieces();
        return Ok(events::answer(&api, &request, place, pieces));
    }
    let (seq, pod) = now;
    Ok(body::told(request.headers(), &pod.pulls(&api, seq)))
}

fn known_here(api: &Api) -> Result<(), Refusal> {
    if api.cluster.is_any() {
        Ok(())
    } else {
        Err(Refusal::no_pods("pods are"))
    }
}

/// The pod of a place in the list: `namespace/name/uid`.
fn place(text: &str) -> Option<PodRef> {
    let mut names = text.split('/');
    let mut next = || names.next();
    let pod = PodRef {
        namespace: next()?.parse().ok()?,
        name: next()?.parse().ok()?,
        uid: next()?.parse().ok()?,
    };
    names.next().is_none().then_some(pod)
}

/// Why a pod is not there: it does not wait, or that cannot be known now.
fn not_there(api: &Api, namespace: &KubeName, pod: &KubeName) -> Refusal {
    let heard = api.shared.listening().pods;
    let why = match &heard {
        _ if !api.cluster.pods => ", among those of which their kubelets spoke".to_owned(),
        Heard::Live => String::new(),
        Heard::Trouble(Trouble { kind, message }) if *kind == TroubleKind::Forbidden => {
            format!(", among those of which their kubelets spoke (pods are {kind}: {message})")
        }
        Heard::Trouble(Trouble { kind, message }) => {
            return Refusal::full("not_heard", "Pods are not heard of at the moment")
                .detail(format!("{kind}: {message}"));
        }
        Heard::Nothing | Heard::Listing => {
            return Refusal::full("not_heard", "The server is still told which pods there are");
        }
    };
    Refusal::not_found().detail(format!(
        "no pod {namespace}/{pod} is known to wait for an image{why}; one that has all of them, has no node \
         yet or is gone is not here: see `kubectl get pod -n {namespace} {pod}`, and for its pulls \
         /api/v1/pulls?namespace={namespace}&pod={pod}"
    ))
}

/// A pod with the rows that it takes to say what it waits for.
#[derive(Clone, Debug)]
struct Waiting {
    view: Arc<PodView>,
    rows: HashMap<PullId, Arc<Row>>,
}

impl Waiting {
    fn of(table: &Table, view: &Arc<PodView>) -> Self {
        let mut rows = HashMap::new();
        let mut take = |id: &PullId| {
            let row = table.get(id)?;
            rows.insert(id.clone(), Arc::clone(row));
            row.pull.waiting_on.as_ref()?.pull.clone()
        };
        for id in view.images.iter().filter_map(|image| image.pull.as_ref()) {
            // What its pull waits for moves, or does not.
            if let Some(before) = take(id) {
                take(&before);
            }
        }
        Self {
            view: Arc::clone(view),
            rows,
        }
    }

    /// The pod of this name and where in the changes that is true: where it was made again, the one that is
    /// not gone, and of several the one that waits.
    fn named(shared: &Shared, namespace: &KubeName, name: &KubeName) -> Option<(u64, Self)> {
        shared.read(|table| {
            let views = table.pods_named(namespace, name);
            let view = views.max_by_key(|view| (!view.gone, !view.is_ready()))?;
            Some((table.seq(), Self::of(table, view)))
        })
    }

    /// The same pod later, where it is still there.
    fn again(&self, shared: &Shared) -> (u64, Option<Self>) {
        let pod = &self.view.pod;
        shared.read(|table| {
            let mut views = table.pods_named(&pod.namespace, &pod.name);
            let view = views.find(|view| view.pod.uid == pod.uid);
            (table.seq(), view.map(|view| Self::of(table, view)))
        })
    }

    /// Whether it is in each part the same version.
    fn is_same(&self, other: &Self) -> bool {
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

    fn pulls(&self, api: &Api, seq: u64) -> PodPulls {
        let mut ids: Vec<&PullId> = Vec::new();
        for id in self
            .view
            .images
            .iter()
            .filter_map(|image| image.pull.as_ref())
        {
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

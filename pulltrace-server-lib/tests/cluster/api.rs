//! A fake API server that lists and watches pods and events. The test controls its objects, its
//! responses and its history.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Objects by resource and name.
type Objects = BTreeMap<(&'static str, String), Value>;

#[derive(Debug, Default)]
struct Inner {
    version: u64,
    /// Changes before this version are forgotten.
    oldest: u64,
    objects: Objects,
    changes: Vec<(u64, &'static str, &'static str, Value)>,
    /// Responses to return instead, by path prefix.
    overrides: Vec<(String, u16, String)>,
    /// The only accepted token, if set.
    token: Option<String>,
    /// Continue tokens that have expired.
    expired: Vec<String>,
    requests: Vec<String>,
    /// Watches end when this changes.
    watch_generation: u64,
    /// Watches end as soon as they were accepted.
    closes_watches: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct FakeApiServer {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
    home: Arc<TempDir>,
    address: String,
    _task: Arc<Task>,
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl FakeApiServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner { version: 1, ..Inner::default() }));
        let moved = watch::Sender::new(0);
        let state = (Arc::clone(&inner), moved.clone());
        let router = Router::new().fallback(handle).with_state(state);
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            inner,
            changed: moved,
            home: Arc::new(TempDir::new().unwrap()),
            address,
            _task: Arc::new(Task(task)),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn set(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner());
        self.changed.send_modify(|moved| *moved += 1);
    }

    /// Writes a kubeconfig with this user.
    pub(crate) fn kubeconfig(&self, user: &Value) -> PathBuf {
        let path = self.home.path().join("kubeconfig");
        // YAML is a superset of JSON.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": self.address}}],
            "users": [{"name": "test", "user": user}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Creates or updates an object; its uid is its name.
    pub(crate) fn put(&self, list: &'static str, mut object: Value) {
        self.set(|inner| {
            inner.version += 1;
            object["metadata"]["resourceVersion"] = inner.version.to_string().into();
            object["metadata"]["creationTimestamp"] = "2026-11-24T16:18:27Z".into();
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let old = inner.objects.insert((list, name), object.clone());
            let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
            inner.changes.push((inner.version, list, kind, object));
        });
    }

    pub(crate) fn remove(&self, list: &'static str, name: &str) {
        self.set(|inner| {
            inner.version += 1;
            let mut object = inner.objects.remove(&(list, name.to_owned())).unwrap();
            object["metadata"]["resourceVersion"] = inner.version.to_string().into();
            inner.changes.push((inner.version, list, "DELETED", object));
        });
    }

    pub(crate) fn get(&self, list: &'static str, name: &str) -> Value {
        self.inner().objects[&(list, name.to_owned())].clone()
    }

    /// Sends a line to all watches that is not an object.
    pub(crate) fn send_raw(&self, list: &'static str, kind: &'static str, object: Value) {
        self.set(|inner| {
            inner.version += 1;
            inner.changes.push((inner.version, list, kind, object));
        });
    }

    /// Returns this response for paths with this prefix, and ends all watches.
    pub(crate) fn answer(&self, path: &str, code: u16, body: &str) {
        self.set(|inner| {
            inner.overrides.push((path.to_owned(), code, body.to_owned()));
            inner.watch_generation += 1;
        });
    }

    /// Removes all overrides.
    pub(crate) fn recover(&self) {
        self.set(|inner| inner.overrides.clear());
    }

    /// Forgets all changes so far, and ends all watches.
    pub(crate) fn forget(&self) {
        self.set(|inner| {
            // Later changes have a higher version than the last one seen, and than the forgotten
            // ones.
            inner.version += 1;
            inner.oldest = inner.version;
            inner.watch_generation += 1;
        });
    }

    /// Accepts watches, but ends them immediately.
    pub(crate) fn close_watches(&self, closes: bool) {
        self.set(|inner| {
            inner.closes_watches = closes;
            inner.watch_generation += 1;
        });
    }

    pub(crate) fn accept_only(&self, token: &str) {
        self.set(|inner| {
            inner.token = Some(token.to_owned());
            inner.watch_generation += 1;
        });
    }

    /// Expires this continue token, once.
    pub(crate) fn expire_page(&self, page: &str) {
        self.set(|inner| inner.expired.push(page.to_owned()));
    }

    /// All request URIs so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.inner().requests.clone()
    }
}

type ServerState = (Arc<Mutex<Inner>>, watch::Sender<u64>);

async fn handle(
    State((inner, moved)): State<ServerState>,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let path = uri.path().to_owned();
    let mut state = inner.lock().unwrap();
    state.requests.push(uri.to_string());
    let instead = state.overrides.iter().find(|(of, ..)| path.starts_with(of));
    if let Some((_, code, body)) = instead {
        let code = StatusCode::from_u16(*code).unwrap();
        return (code, body.clone()).into_response();
    }
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
    if state.token.is_some() && state.token.as_deref() != token {
        return status_response(401, "Unauthorized");
    }
    let list = ["pods", "events"].into_iter().find(|list| path.ends_with(list));
    let list = list.expect("pods or events");
    let namespace = path.strip_prefix("/api/v1/namespaces/");
    let namespace = namespace.map(|rest| rest.split('/').next().unwrap().to_owned());
    let selector = query["fieldSelector"].clone();
    let wanted = move |object: &Value| {
        let is = |name: &Option<String>| {
            name.as_deref().is_none_or(|name| object["metadata"]["namespace"] == name)
        };
        let reason = selector.strip_prefix("reason=").and_then(|rest| rest.split(',').next());
        is(&namespace) && reason.is_none_or(|reason| object["reason"] == reason)
    };
    if query.get("watch").is_some_and(|watch| watch == "true") {
        let from = query["resourceVersion"].parse().unwrap();
        if state.closes_watches {
            return StatusCode::OK.into_response();
        }
        let cuts = state.watch_generation;
        drop(state);
        return watch_response(&inner, &moved, list, from, cuts, wanted);
    }
    let page: usize = query["limit"].parse().unwrap();
    let token = query.get("continue").cloned();
    if let Some(at) = state.expired.iter().position(|page| Some(page) == token.as_ref()) {
        state.expired.remove(at);
        return status_response(410, "The provided continue parameter is too old");
    }
    let start: usize = token.map_or(0, |token| token.parse().unwrap());
    let all = state.objects.iter().filter(|((of, _), _)| *of == list);
    let all: Vec<&Value> = all.map(|(_, object)| object).filter(|object| wanted(object)).collect();
    let items: Vec<&Value> = all.iter().skip(start).take(page).copied().collect();
    let next = (start + page < all.len()).then(|| (start + page).to_string());
    let metadata = json!({"resourceVersion": state.version.to_string(), "continue": next});
    json!({"kind": "List", "metadata": metadata, "items": items}).to_string().into_response()
}

fn watch_response(
    inner: &Arc<Mutex<Inner>>,
    moved: &watch::Sender<u64>,
    list: &'static str,
    from: u64,
    cuts: u64,
    wanted: impl Fn(&Value) -> bool + Send + 'static,
) -> Response {
    let start = (Arc::clone(inner), moved.subscribe(), from, wanted);
    let lines = stream::unfold(start, move |(inner, mut moved, from, wanted)| async move {
        loop {
            moved.mark_unchanged();
            {
                let state = inner.lock().unwrap();
                if state.watch_generation != cuts {
                    return None;
                }
                let line = |kind: &str, object: &Value| {
                    let line = format!("{}\n", json!({"type": kind, "object": object}));
                    Ok::<_, Infallible>(Bytes::from(line))
                };
                if from < state.oldest {
                    let gone = json!({"kind": "Status", "code": 410, "message": "too old resource version"});
                    drop(state);
                    return Some((line("ERROR", &gone), (inner, moved, u64::MAX, wanted)));
                }
                let new = state.changes.iter().find(|(version, of, kind, object)| {
                    // Lines that are not objects are sent to all watches.
                    *version > from
                        && *of == list
                        && (object["metadata"].is_null() || *kind == "BOOKMARK" || wanted(object))
                });
                if let Some((version, _, kind, object)) = new {
                    let (version, line) = (*version, line(kind, object));
                    drop(state);
                    return Some((line, (inner, moved, version, wanted)));
                }
            }
            moved.changed().await.ok()?;
        }
    });
    Body::from_stream(lines).into_response()
}

/// An error response of the Kubernetes API.
pub(crate) fn status_json(code: u16, message: &str) -> String {
    json!({"kind": "Status", "status": "Failure", "code": code, "message": message}).to_string()
}

fn status_response(code: u16, message: &str) -> Response {
    let body = status_json(code, message);
    (StatusCode::from_u16(code).unwrap(), body).into_response()
}

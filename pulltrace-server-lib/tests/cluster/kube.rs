//! The API server sources, on a fake API server.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use pulltrace_server_lib::cluster::kube::{Config, KubePods, KubePullEvents};
use pulltrace_server_lib::cluster::{
    PodSource, PodUpdate, PullEventSource, PullEventUpdate, SourceFailureKind,
};
use pulltrace_server_lib::testing::conformance::{self, Rig};
use serde_json::{Value, json};

use crate::api::{FakeApiServer, status_json};

const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn pod(namespace: &str, name: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "uid": name},
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "a"}]},
    })
}

fn event(namespace: &str, name: &str, reason: &str) -> Value {
    let message = match reason {
        "Pulling" => "Pulling image \"a\"",
        _ => "Container image \"a\" already present on machine",
    };
    json!({
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "kind": "Pod", "namespace": namespace, "name": "web", "uid": "u-1",
            "fieldPath": "spec.containers{app}",
        },
        "reason": reason,
        "message": message,
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": "2026-11-24T16:18:27Z",
        "lastTimestamp": "2026-11-24T16:18:27Z",
        "count": 1,
    })
}

async fn connect(
    api: &FakeApiServer,
    user: &Value,
    namespaces: &[&str],
) -> (KubePods, KubePullEvents) {
    let config = Config {
        kubeconfig: Some(api.kubeconfig(user)),
        context: None,
        namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
    };
    config.connect().await.unwrap()
}

/// A receiver of pods, which tracks them by name.
#[derive(Debug)]
pub(crate) struct PodListener {
    source: KubePods,
    known: BTreeSet<String>,
    resets: usize,
    malformed: usize,
}

impl PodListener {
    pub(crate) async fn pods(api: &FakeApiServer, user: &Value) -> Self {
        Self::new(connect(api, user, &[]).await.0)
    }

    fn new(source: KubePods) -> Self {
        Self { source, known: BTreeSet::new(), resets: 0, malformed: 0 }
    }

    async fn next(&mut self) -> PodUpdate {
        let next = tokio::time::timeout(DEADLINE, self.source.next()).await;
        let update =
            next.expect("timed out").expect("the source failed").expect("the source ended");
        match &update {
            PodUpdate::Init => {
                self.resets += 1;
                self.known.clear();
            }
            PodUpdate::InitApply(pod) | PodUpdate::Apply(pod) => {
                self.known.insert(pod.pod.name.to_string());
            }
            PodUpdate::Delete(uid) => drop(self.known.remove(uid.as_str())),
            PodUpdate::Malformed => self.malformed += 1,
            _ => {}
        }
        update
    }

    async fn wait_for(&mut self, is: impl Fn(&PodUpdate) -> bool) {
        while !is(&self.next().await) {}
    }

    pub(crate) async fn wait_for_init_done(&mut self) {
        self.wait_for(|update| *update == PodUpdate::InitDone).await;
    }

    async fn wait_for_failure(&mut self) -> (SourceFailureKind, String) {
        loop {
            if let PodUpdate::Failing(trouble) = self.next().await {
                return (trouble.kind, trouble.message);
            }
        }
    }
}

/// Pods or events of the API server.
struct Cluster {
    api: FakeApiServer,
    list: &'static str,
}

impl Cluster {
    async fn new(list: &'static str) -> Self {
        Self { api: FakeApiServer::start().await, list }
    }

    fn name(thing: u32) -> String {
        format!("thing-{thing}.{thing}")
    }
}

macro_rules! rig {
    ($name:ident, $source:ty, $which:tt) => {
        struct $name(Cluster);

        impl Rig for $name {
            type Source = $source;
            type Error = Infallible;

            async fn source(&mut self) -> Result<$source, Infallible> {
                Ok(connect(&self.0.api, &json!({}), &[]).await.$which)
            }

            async fn make(&mut self, thing: u32) -> Result<String, Infallible> {
                let name = Cluster::name(thing);
                let object = match self.0.list {
                    "pods" => pod("shop", &name),
                    // Use several reasons, so that several watches are involved.
                    _ => event("shop", &name, ["Pulling", "Pulled"][thing as usize % 2]),
                };
                self.0.api.put(self.0.list, object);
                Ok(name)
            }

            async fn change(&mut self, thing: u32) -> Result<(), Infallible> {
                let mut object = self.0.api.get(self.0.list, &Cluster::name(thing));
                object["count"] = 2.into();
                self.0.api.put(self.0.list, object);
                Ok(())
            }

            async fn remove(&mut self, thing: u32) -> Result<(), Infallible> {
                self.0.api.remove(self.0.list, &Cluster::name(thing));
                Ok(())
            }

            async fn lose(&mut self) -> Result<(), Infallible> {
                self.0.api.answer("/api/v1", 503, "starting");
                Ok(())
            }

            async fn restore(&mut self, gap: bool) -> Result<(), Infallible> {
                if gap {
                    self.0.api.forget();
                }
                self.0.api.recover();
                Ok(())
            }
        }
    };
}

rig!(PodRig, KubePods, 0);
rig!(EventRig, KubePullEvents, 1);

#[tokio::test]
async fn kube_pods_pass_conformance() {
    let mut rig = PodRig(Cluster::new("pods").await);
    conformance::pods(&mut rig).await.unwrap();
}

#[tokio::test]
async fn kube_events_pass_conformance() {
    let mut rig = EventRig(Cluster::new("events").await);
    conformance::pull_events(&mut rig).await.unwrap();
}

#[tokio::test]
async fn requests_select_only_needed_objects() {
    let api = FakeApiServer::start().await;
    let (pods, mut events) = connect(&api, &json!({}), &["shop"]).await;
    PodListener::new(pods).wait_for_init_done().await;
    let done = async { while events.next().await.unwrap() != Some(PullEventUpdate::InitDone) {} };
    tokio::time::timeout(DEADLINE, done).await.unwrap();
    let asked = api.requests();
    let lists: Vec<&str> = asked
        .iter()
        .filter(|uri| !uri.contains("watch=true"))
        .map(|uri| uri.split("&limit").next().unwrap())
        .collect();
    let pods = "/api/v1/namespaces/shop/pods?&fieldSelector=spec.nodeName%21%3D%2Cstatus.phase%21%3DSucceeded%2C\
                status.phase%21%3DFailed";
    assert!(lists.contains(&pods), "{lists:?}");
    for reason in ["Pulling", "Pulled", "Failed", "InspectFailed", "ErrImageNeverPull"] {
        let events = format!(
            "/api/v1/namespaces/shop/events?&fieldSelector=reason%3D{reason}%2CinvolvedObject.kind%3DPod"
        );
        assert!(lists.contains(&events.as_str()), "{lists:?}");
    }
    assert_eq!(lists.len(), 6);
}

#[tokio::test]
async fn missing_permission_is_reported_once_and_recovers() {
    let api = FakeApiServer::start().await;
    api.put("pods", pod("shop", "web-1"));
    api.put("events", event("shop", "e.1", "Pulling"));
    api.answer(
        "/api/v1/pods",
        403,
        &status_json(403, "pods is forbidden: User \"me\" cannot list"),
    );
    let (pods, mut events) = connect(&api, &json!({}), &[]).await;
    let mut pods = PodListener::new(pods);
    let (kind, message) = pods.wait_for_failure().await;
    assert_eq!(kind, SourceFailureKind::Forbidden);
    assert!(message.contains("User \"me\"") && message.contains("RBAC"), "{message}");
    let events_listed = async {
        while !matches!(events.next().await, Ok(Some(PullEventUpdate::InitApply(_)))) {}
        while events.next().await.unwrap() != Some(PullEventUpdate::InitDone) {}
    };
    tokio::time::timeout(DEADLINE, events_listed).await.unwrap();
    // Several retries happen before the permission is granted, without further updates.
    let asked = || api.requests().iter().filter(|uri| uri.starts_with("/api/v1/pods")).count();
    let mut seen = Box::pin(pods.next());
    let until_asked = async {
        while asked() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        update = &mut seen => panic!("{update:?}"),
        () = until_asked => {}
    }
    api.recover();
    assert_eq!(seen.await, PodUpdate::Init);
    pods.wait_for_init_done().await;
    assert!(pods.known.contains("web-1"));
}

#[tokio::test]
async fn html_responses_are_malformed() {
    let api = FakeApiServer::start().await;
    api.answer("/api/v1", 200, "<!doctype html><title>Sign in</title>");
    let mut pods = PodListener::pods(&api, &json!({})).await;
    let (kind, message) = pods.wait_for_failure().await;
    assert_eq!(kind, SourceFailureKind::Malformed);
    assert!(message.contains("address of an API server"), "{message}");
    api.answer("/api/v1", 404, "<!doctype html>");
    api.recover();
    pods.wait_for_init_done().await;
}

#[tokio::test]
async fn watches_closed_immediately_are_failure_without_tight_loop() {
    let api = FakeApiServer::start().await;
    let mut pods = PodListener::pods(&api, &json!({})).await;
    pods.wait_for_init_done().await;
    let watches = || {
        let is = |uri: &&String| uri.starts_with("/api/v1/pods") && uri.contains("watch=true");
        api.requests().iter().filter(is).count()
    };
    api.close_watches(true);
    let (kind, _) = pods.wait_for_failure().await;
    assert_eq!(kind, SourceFailureKind::Unreachable);
    // Without a back-off, there would be thousands.
    let before = watches();
    let silent = tokio::time::timeout(Duration::from_secs(3), pods.source.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    assert!(watches() - before < 20, "{} watches in 3 s", watches() - before);
    api.close_watches(false);
    pods.wait_for_init_done().await;
    assert_eq!(pods.resets, 1, "no relist");
}

#[tokio::test]
async fn watch_end_soon_after_event_is_no_failure() {
    let api = FakeApiServer::start().await;
    let mut pods = PodListener::pods(&api, &json!({})).await;
    pods.wait_for_init_done().await;
    api.put("pods", pod("shop", "web-1"));
    pods.wait_for(|update| matches!(update, PodUpdate::Apply(_))).await;
    // Ends the open watches.
    api.close_watches(false);
    api.put("pods", pod("shop", "web-2"));
    let update = pods.next().await;
    assert!(matches!(update, PodUpdate::Apply(_)), "{update:?}");
}

#[tokio::test]
async fn rotated_token_in_kubeconfig_is_picked_up() {
    let api = FakeApiServer::start().await;
    api.accept_only("old");
    let mut pods = PodListener::pods(&api, &json!({"token": "old"})).await;
    pods.wait_for_init_done().await;
    api.accept_only("new");
    let (kind, message) = pods.wait_for_failure().await;
    assert_eq!(kind, SourceFailureKind::Unauthorized);
    assert!(!message.contains("old"), "{message}");
    api.kubeconfig(&json!({"token": "new"}));
    pods.wait_for_init_done().await;
    assert_eq!(pods.resets, 1, "no relist");
}

#[tokio::test]
async fn paginated_list_restarts_when_continue_token_expires() {
    let api = FakeApiServer::start().await;
    for number in 0..1_201 {
        api.put("pods", pod("shop", &format!("web-{number:04}")));
    }
    let mut pods = PodListener::pods(&api, &json!({})).await;
    pods.wait_for_init_done().await;
    assert_eq!((pods.known.len(), pods.resets), (1_201, 1));
    api.expire_page("1000");
    let mut pods = PodListener::pods(&api, &json!({})).await;
    pods.wait_for_init_done().await;
    assert_eq!((pods.known.len(), pods.resets), (1_201, 2));
}

#[tokio::test]
async fn slow_receiver_limits_pages_read() {
    let api = FakeApiServer::start().await;
    for number in 0..4_000 {
        api.put("pods", pod("shop", &format!("web-{number:04}")));
    }
    let pages = || {
        let is = |uri: &&String| uri.starts_with("/api/v1/pods") && !uri.contains("watch=true");
        api.requests().iter().filter(is).count()
    };
    let mut pods = PodListener::pods(&api, &json!({})).await;
    while pages() < 3 {
        tokio::task::yield_now().await;
    }
    for taken in 1..=400 {
        pods.next().await;
        // 1,024 updates are queued, one is being sent, and its page is in memory.
        assert!(pages() <= (taken + 1_024 + 1) / 500 + 1, "{taken}");
    }
    pods.wait_for_init_done().await;
    assert_eq!((pods.known.len(), pages()), (4_000, 8));
}

#[tokio::test]
async fn forbidden_namespace_does_not_hide_others() {
    let api = FakeApiServer::start().await;
    for namespace in ["a", "b", "c"] {
        api.put("pods", pod(namespace, &format!("web-{namespace}")));
    }
    let forbidden = status_json(403, "pods is forbidden in the namespace \"a\"");
    api.answer("/api/v1/namespaces/a/pods", 403, &forbidden);
    let mut pods = PodListener::new(connect(&api, &json!({}), &["a", "b"]).await.0);
    pods.wait_for_init_done().await;
    assert_eq!(pods.known, BTreeSet::from(["web-b".to_owned()]));
    assert_eq!(pods.wait_for_failure().await.0, SourceFailureKind::Forbidden);
    api.put("pods", pod("b", "web-b2"));
    pods.wait_for(|update| matches!(update, PodUpdate::Apply(_))).await;
    api.recover();
    pods.wait_for_init_done().await;
    let all = ["web-a", "web-b", "web-b2"].map(str::to_owned);
    assert_eq!((&pods.known, pods.resets), (&BTreeSet::from(all), 2));
}

#[tokio::test]
async fn gap_replays_events_without_init() {
    let api = FakeApiServer::start().await;
    api.put("events", event("shop", "e.1", "Pulling"));
    let (_pods, mut events) = connect(&api, &json!({}), &[]).await;
    let mut seen = Vec::new();
    let mut until = async |wanted: &str| {
        loop {
            let next = tokio::time::timeout(DEADLINE, events.next()).await;
            let update = next.unwrap().unwrap().unwrap();
            let word = match &update {
                PullEventUpdate::InitApply(event) => format!("init_apply {}", event.name),
                PullEventUpdate::Apply(event) => format!("apply {}", event.name),
                other => format!("{other:?}"),
            };
            seen.push(word.clone());
            if word == wanted {
                return seen.clone();
            }
        }
    };
    until("InitDone").await;
    api.forget();
    until("apply e.1").await;
    api.put("events", event("shop", "e.2", "Pulled"));
    assert_eq!(
        until("apply e.2").await,
        ["Init", "init_apply e.1", "InitDone", "apply e.1", "apply e.2"]
    );
}

#[tokio::test]
async fn malformed_objects_and_lines_are_recovered_from() {
    let api = FakeApiServer::start().await;
    api.put("pods", pod("shop", "web-1"));
    let mut pods = PodListener::pods(&api, &json!({})).await;
    pods.wait_for_init_done().await;
    api.send_raw("pods", "ADDED", json!({"metadata": {"name": 7, "resourceVersion": "3"}}));
    pods.wait_for(|update| *update == PodUpdate::Malformed).await;
    let bookmark = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}});
    api.send_raw("pods", "BOOKMARK", bookmark);
    api.put("pods", pod("shop", "web-2"));
    pods.wait_for(|update| matches!(update, PodUpdate::Apply(_))).await;
    // An unknown line type causes a relist.
    api.send_raw("pods", "GREETING", json!({}));
    assert_eq!(pods.wait_for_failure().await.0, SourceFailureKind::Malformed);
    pods.wait_for_init_done().await;
    api.send_raw("pods", "ERROR", json!({"code": 500, "message": "etcd event"}));
    assert_eq!(pods.wait_for_failure().await.0, SourceFailureKind::Unreachable);
    pods.wait_for_init_done().await;
    assert_eq!((pods.known.len(), pods.resets, pods.malformed), (2, 3, 1));
}

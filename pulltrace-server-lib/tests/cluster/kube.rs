//! Sources of an API server, on one that a test commands.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use pulltrace_server_lib::cluster::kube::{Config, KubePods, KubePullEvents};
use pulltrace_server_lib::cluster::{
    PodSource, PodUpdate, PullEventSource, PullEventUpdate, TroubleKind,
};
use pulltrace_server_lib::testing::conformance::{self, Rig};
use serde_json::{Value, json};

use crate::api::{Api, refusal};

const SOON: Duration = Duration::from_secs(30);

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

async fn connect(api: &Api, user: &Value, namespaces: &[&str]) -> (KubePods, KubePullEvents) {
    let config = Config {
        kubeconfig: Some(api.kubeconfig(user)),
        context: None,
        namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
    };
    config.connect().await.unwrap()
}

/// Who listens to pods, each by its name.
#[derive(Debug)]
pub(crate) struct Listener {
    source: KubePods,
    known: BTreeSet<String>,
    resets: usize,
    odd: usize,
}

impl Listener {
    pub(crate) async fn pods(api: &Api, user: &Value) -> Self {
        Self::of(connect(api, user, &[]).await.0)
    }

    fn of(source: KubePods) -> Self {
        Self {
            source,
            known: BTreeSet::new(),
            resets: 0,
            odd: 0,
        }
    }

    async fn next(&mut self) -> PodUpdate {
        let next = tokio::time::timeout(SOON, self.source.next()).await;
        let update = next.expect("it says something").expect("it goes on");
        match &update {
            PodUpdate::Reset => {
                self.resets += 1;
                self.known.clear();
            }
            PodUpdate::Init(pod) | PodUpdate::Applied(pod) => {
                self.known.insert(pod.pod.name.to_string());
            }
            PodUpdate::Deleted(uid) => drop(self.known.remove(uid.as_str())),
            PodUpdate::Odd => self.odd += 1,
            PodUpdate::Done | PodUpdate::Trouble(_) => {}
        }
        update
    }

    async fn until(&mut self, is: impl Fn(&PodUpdate) -> bool) {
        while !is(&self.next().await) {}
    }

    pub(crate) async fn until_done(&mut self) {
        self.until(|update| *update == PodUpdate::Done).await;
    }

    async fn until_trouble(&mut self) -> (TroubleKind, String) {
        loop {
            if let PodUpdate::Trouble(trouble) = self.next().await {
                return (trouble.kind, trouble.message);
            }
        }
    }
}

/// Pods or events of the API server.
struct Cluster {
    api: Api,
    list: &'static str,
}

impl Cluster {
    async fn new(list: &'static str) -> Self {
        Self {
            api: Api::start().await,
            list,
        }
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
                    // Of all kinds, so that all watches are in it.
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
async fn pods_of_an_api_server_keep_the_contract_of_a_source() {
    let mut rig = PodRig(Cluster::new("pods").await);
    conformance::pods(&mut rig).await.unwrap();
}

#[tokio::test]
async fn events_of_an_api_server_keep_the_contract_of_a_source() {
    let mut rig = EventRig(Cluster::new("events").await);
    conformance::pull_events(&mut rig).await.unwrap();
}

#[tokio::test]
async fn only_what_is_used_is_asked_for() {
    let api = Api::start().await;
    let (pods, mut events) = connect(&api, &json!({}), &["shop"]).await;
    Listener::of(pods).until_done().await;
    let done = async { while events.next().await != Some(PullEventUpdate::Done) {} };
    tokio::time::timeout(SOON, done).await.unwrap();
    let asked = api.asked();
    let lists: Vec<&str> = asked
        .iter()
        .filter(|uri| !uri.contains("watch=true"))
        .map(|uri| uri.split("&limit").next().unwrap())
        .collect();
    let pods = "/api/v1/namespaces/shop/pods?&fieldSelector=spec.nodeName%21%3D%2Cstatus.phase%21%3DSucceeded%2C\
                status.phase%21%3DFailed";
    assert!(lists.contains(&pods), "{lists:?}");
    for reason in [
        "Pulling",
        "Pulled",
        "Failed",
        "InspectFailed",
        "ErrImageNeverPull",
    ] {
        let events = format!(
            "/api/v1/namespaces/shop/events?&fieldSelector=reason%3D{reason}%2CinvolvedObject.kind%3DPod"
        );
        assert!(lists.contains(&events.as_str()), "{lists:?}");
    }
    assert_eq!(lists.len(), 6);
}

#[tokio::test]
async fn missing_permission_is_said_once_and_recovered_from_each_kind_alone() {
    let api = Api::start().await;
    api.put("pods", pod("shop", "web-1"));
    api.put("events", event("shop", "e.1", "Pulling"));
    api.answer(
        "/api/v1/pods",
        403,
        &refusal(403, "pods is forbidden: User \"me\" cannot list"),
    );
    let (pods, mut events) = connect(&api, &json!({}), &[]).await;
    let mut pods = Listener::of(pods);
    let (kind, message) = pods.until_trouble().await;
    assert_eq!(kind, TroubleKind::Forbidden);
    assert!(
        message.contains("User \"me\"") && message.contains("RBAC"),
        "{message}"
    );
    let heard = async {
        while !matches!(events.next().await, Some(PullEventUpdate::Init(_))) {}
        while events.next().await != Some(PullEventUpdate::Done) {}
    };
    tokio::time::timeout(SOON, heard).await.unwrap();
    // It was asked for again before it is given, and nothing was said of that.
    let asked = || {
        api.asked()
            .iter()
            .filter(|uri| uri.starts_with("/api/v1/pods"))
            .count()
    };
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
    assert_eq!(seen.await, PodUpdate::Reset);
    pods.until_done().await;
    assert!(pods.known.contains("web-1"));
}

#[tokio::test]
async fn an_address_that_answers_pages_of_html_is_odd_and_no_pods() {
    let api = Api::start().await;
    api.answer("/api/v1", 200, "<!doctype html><title>Sign in</title>");
    let mut pods = Listener::pods(&api, &json!({})).await;
    let (kind, message) = pods.until_trouble().await;
    assert_eq!(kind, TroubleKind::Odd);
    assert!(message.contains("address of an API server"), "{message}");
    api.answer("/api/v1", 404, "<!doctype html>");
    api.recover();
    pods.until_done().await;
}

#[tokio::test]
async fn who_has_a_new_token_in_the_kubeconfig_is_heard_again() {
    let api = Api::start().await;
    api.take_only("old");
    let mut pods = Listener::pods(&api, &json!({"token": "old"})).await;
    pods.until_done().await;
    api.take_only("new");
    let (kind, message) = pods.until_trouble().await;
    assert_eq!(kind, TroubleKind::Unauthorized);
    assert!(!message.contains("old"), "{message}");
    api.kubeconfig(&json!({"token": "new"}));
    pods.until_done().await;
    assert_eq!(pods.resets, 1, "nothing was missed");
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_begins_anew_where_one_is_forgotten() {
    let api = Api::start().await;
    for number in 0..1_201 {
        api.put("pods", pod("shop", &format!("web-{number:04}")));
    }
    let mut pods = Listener::pods(&api, &json!({})).await;
    pods.until_done().await;
    assert_eq!((pods.known.len(), pods.resets), (1_201, 1));
    api.expire("1000");
    let mut pods = Listener::pods(&api, &json!({})).await;
    pods.until_done().await;
    assert_eq!((pods.known.len(), pods.resets), (1_201, 2));
}

#[tokio::test]
async fn no_more_is_read_than_a_slow_listener_may_be_behind() {
    let api = Api::start().await;
    for number in 0..4_000 {
        api.put("pods", pod("shop", &format!("web-{number:04}")));
    }
    let pages = || {
        let is = |uri: &&String| uri.starts_with("/api/v1/pods") && !uri.contains("watch=true");
        api.asked().iter().filter(is).count()
    };
    let mut pods = Listener::pods(&api, &json!({})).await;
    while pages() < 3 {
        tokio::task::yield_now().await;
    }
    for taken in 1..=400 {
        pods.next().await;
        // 1,024 wait, one is being said, and the page that it is of is held.
        assert!(pages() <= (taken + 1_024 + 1) / 500 + 1, "{taken}");
    }
    pods.until_done().await;
    assert_eq!((pods.known.len(), pages()), (4_000, 8));
}

#[tokio::test]
async fn namespaces_are_merged_and_one_that_may_not_be_read_does_not_hide_the_others() {
    let api = Api::start().await;
    for namespace in ["a", "b", "c"] {
        api.put("pods", pod(namespace, &format!("web-{namespace}")));
    }
    let forbidden = refusal(403, "pods is forbidden in the namespace \"a\"");
    api.answer("/api/v1/namespaces/a/pods", 403, &forbidden);
    let mut pods = Listener::of(connect(&api, &json!({}), &["a", "b"]).await.0);
    pods.until_done().await;
    assert_eq!(pods.known, BTreeSet::from(["web-b".to_owned()]));
    assert_eq!(pods.until_trouble().await.0, TroubleKind::Forbidden);
    api.put("pods", pod("b", "web-b2"));
    pods.until(|update| matches!(update, PodUpdate::Applied(_)))
        .await;
    api.recover();
    pods.until_done().await;
    let all = ["web-a", "web-b", "web-b2"].map(str::to_owned);
    assert_eq!((&pods.known, pods.resets), (&BTreeSet::from(all), 2));
}

#[tokio::test]
async fn after_a_gap_events_are_said_again_and_do_not_begin_anew() {
    let api = Api::start().await;
    api.put("events", event("shop", "e.1", "Pulling"));
    let (_pods, mut events) = connect(&api, &json!({}), &[]).await;
    let mut said = Vec::new();
    let mut until = async |wanted: &str| {
        loop {
            let next = tokio::time::timeout(SOON, events.next()).await;
            let update = next.unwrap().unwrap();
            let word = match &update {
                PullEventUpdate::Init(event) => format!("init {}", event.name),
                PullEventUpdate::Applied(event) => format!("applied {}", event.name),
                other => format!("{other:?}"),
            };
            said.push(word.clone());
            if word == wanted {
                return said.clone();
            }
        }
    };
    until("Done").await;
    api.forget();
    until("applied e.1").await;
    api.put("events", event("shop", "e.2", "Pulled"));
    assert_eq!(
        until("applied e.2").await,
        ["Reset", "init e.1", "Done", "applied e.1", "applied e.2"]
    );
}

#[tokio::test]
async fn lines_that_are_none_and_odd_objects_harm_nothing() {
    let api = Api::start().await;
    api.put("pods", pod("shop", "web-1"));
    let mut pods = Listener::pods(&api, &json!({})).await;
    pods.until_done().await;
    api.say("pods", "ADDED", json!({"metadata": {"name": 7}}));
    pods.until(|update| *update == PodUpdate::Odd).await;
    api.say(
        "pods",
        "BOOKMARK",
        json!({"metadata": {"resourceVersion": "9"}}),
    );
    api.put("pods", pod("shop", "web-2"));
    pods.until(|update| matches!(update, PodUpdate::Applied(_)))
        .await;
    // What a watch cannot say begins anew.
    api.say("pods", "GREETING", json!({}));
    assert_eq!(pods.until_trouble().await.0, TroubleKind::Odd);
    pods.until_done().await;
    api.say(
        "pods",
        "ERROR",
        json!({"code": 500, "message": "etcd event"}),
    );
    assert_eq!(pods.until_trouble().await.0, TroubleKind::Unreachable);
    pods.until_done().await;
    assert_eq!((pods.known.len(), pods.resets, pods.odd), (2, 3, 1));
}

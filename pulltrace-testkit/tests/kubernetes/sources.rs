//! The server's sources of pods and events on a real API server: in order, in trouble, and in numbers.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use pulltrace_server_lib::cluster::kube::{Config, KubePods, KubePullEvents};
use pulltrace_server_lib::cluster::{
    PodSource, PodUpdate, PullEventSource, PullEventUpdate, Seen, TroubleKind,
};
use pulltrace_server_lib::testing::conformance::{self, Rig};
use pulltrace_testkit::kubernetes::{ADMIN, ApiError, ApiServer, Client, Kubelet};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::kit::api_server;

type Failure = Arc<dyn std::error::Error + Send + Sync>;

/// A source asks again after 30 s at the latest, and one that just started may refuse it once more.
const PATIENCE: Duration = Duration::from_secs(100);

async fn connect(kubeconfig: PathBuf) -> (KubePods, KubePullEvents) {
    let config = Config {
        kubeconfig: Some(kubeconfig),
        ..Config::default()
    };
    config.connect().await.expect("two sources")
}

/// The next that is not one of many.
async fn next<T: Debug>(what: impl Future<Output = Option<T>>) -> T {
    let next = tokio::time::timeout(PATIENCE, what).await;
    next.expect("it says something").expect("it goes on")
}

async fn pods_until(pods: &mut KubePods, is: impl Fn(&PodUpdate) -> bool) -> PodUpdate {
    loop {
        let update = next(pods.next()).await;
        if is(&update) {
            return update;
        }
    }
}

async fn events_until(events: &mut KubePullEvents, is: impl Fn(&PullEventUpdate) -> bool) {
    while !is(&next(events.next()).await) {}
}

async fn pods_trouble(pods: &mut KubePods) -> TroubleKind {
    match pods_until(pods, |update| matches!(update, PodUpdate::Trouble(_))).await {
        PodUpdate::Trouble(trouble) => trouble.kind,
        other => panic!("{other:?}"),
    }
}

fn spec() -> Value {
    json!({"nodeName": "node-1", "containers": [{"name": "app", "image": "shop/web:1"}]})
}

/// The way to an API server, that can be closed while the server runs.
struct Way {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Way {
    async fn new(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let open = watch::Sender::new(true);
        let is_open = open.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (to, mut is_open) = (to.clone(), is_open.clone());
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(to).await else {
                        return;
                    };
                    let closed = is_open.wait_for(|open| !open);
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = closed => {}
                    }
                });
            }
        });
        Self { address, open }
    }
}

/// A real API server behind a way that can be closed, with one pod that events are of.
struct Cluster {
    server: ApiServer,
    way: Way,
    kubelet: Kubelet,
    pod: Value,
    kubeconfig: PathBuf,
}

impl Cluster {
    async fn new() -> Option<Self> {
        let server = api_server().await?;
        let admin = server.admin().clone();
        admin.namespace("shop").await.expect("a namespace");
        let pod = admin.pod("shop", "first", spec()).await.expect("a pod");
        let way = Way::new(server.url().replace("https://", "")).await;
        let kubeconfig = server.kubeconfig(ADMIN).expect("a kubeconfig");
        let text = std::fs::read_to_string(&kubeconfig).expect("a kubeconfig");
        let text = text.replace(&server.url(), &format!("https://{}", way.address));
        std::fs::write(&kubeconfig, text).expect("a kubeconfig");
        Some(Self {
            kubelet: Kubelet::new(&admin, "node-1"),
            server,
            way,
            pod,
            kubeconfig,
        })
    }

    async fn says(&mut self, thing: u32) -> Result<String, Failure> {
        let said = says_pulling(&mut self.kubelet, &self.pod, thing).await;
        said.map_err(failed)
    }
}

/// That the image `shop/web:{thing}` is pulled; the name of the event.
async fn says_pulling(kubelet: &mut Kubelet, pod: &Value, thing: u32) -> Result<String, ApiError> {
    let at = "2026-01-02T03:04:05.6Z".parse().expect("an instant");
    let message = format!("Pulling image \"shop/web:{thing}\"");
    let part = Some("spec.containers{app}");
    let event = kubelet.says(at, pod, part, "Normal", "Pulling", &message);
    let name = event.await?["metadata"]["name"].clone();
    Ok(name.as_str().unwrap_or_default().to_owned())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Arc::new(error)
}

/// With how many changes were made: each must change something.
struct PodRig(Cluster, u32);

impl Rig for PodRig {
    type Source = KubePods;
    type Error = Failure;

    fn patience(&self) -> Duration {
        PATIENCE
    }

    async fn source(&mut self) -> Result<KubePods, Failure> {
        Ok(connect(self.0.kubeconfig.clone()).await.0)
    }

    async fn make(&mut self, thing: u32) -> Result<String, Failure> {
        let admin = self.0.server.admin();
        let pod = admin.pod("shop", &format!("web-{thing}"), spec()).await;
        let uid = pod.map_err(failed)?["metadata"]["uid"].clone();
        Ok(uid.as_str().unwrap_or_default().to_owned())
    }

    async fn change(&mut self, thing: u32) -> Result<(), Failure> {
        self.1 += 1;
        let status = json!({"message": format!("change {}", self.1)});
        let admin = self.0.server.admin();
        let changed = admin
            .pod_status("shop", &format!("web-{thing}"), status)
            .await;
        changed.map(drop).map_err(failed)
    }

    async fn remove(&mut self, thing: u32) -> Result<(), Failure> {
        let admin = self.0.server.admin();
        admin
            .delete_pod("shop", &format!("web-{thing}"))
            .await
            .map_err(failed)
    }

    async fn lose(&mut self) -> Result<(), Failure> {
        self.0.way.open.send_replace(false);
        Ok(())
    }

    async fn restore(&mut self, gap: bool) -> Result<(), Failure> {
        if gap {
            self.0.server.restart().await.map_err(failed)?;
        }
        self.0.way.open.send_replace(true);
        Ok(())
    }
}

struct EventRig(Cluster);

impl Rig for EventRig {
    type Source = KubePullEvents;
    type Error = Failure;

    fn patience(&self) -> Duration {
        PATIENCE
    }

    async fn source(&mut self) -> Result<KubePullEvents, Failure> {
        Ok(connect(self.0.kubeconfig.clone()).await.1)
    }

    async fn make(&mut self, thing: u32) -> Result<String, Failure> {
        self.0.says(thing).await
    }

    async fn change(&mut self, thing: u32) -> Result<(), Failure> {
        self.0.says(thing).await.map(drop)
    }

    async fn remove(&mut self, thing: u32) -> Result<(), Failure> {
        let name = self.0.says(thing).await?;
        let path = format!("/api/v1/namespaces/shop/events/{name}");
        self.0.server.admin().delete(&path).await.map_err(failed)
    }

    async fn lose(&mut self) -> Result<(), Failure> {
        self.0.way.open.send_replace(false);
        Ok(())
    }

    async fn restore(&mut self, gap: bool) -> Result<(), Failure> {
        if gap {
            self.0.server.compact().await.map_err(failed)?;
        }
        self.0.way.open.send_replace(true);
        Ok(())
    }
}

#[tokio::test]
async fn both_sources_keep_their_contract_over_breaks_restarts_and_compactions() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let mut pods = PodRig(cluster, 0);
    conformance::pods(&mut pods).await.unwrap();
    conformance::pull_events(&mut EventRig(pods.0))
        .await
        .unwrap();
}

/// An event is heard, also by a source that missed a short outage and so told of no trouble.
async fn hears(events: &mut KubePullEvents, name: &str) {
    let is_it = |update: &PullEventUpdate| matches!(update, PullEventUpdate::Applied(event) if *event.name == *name);
    events_until(events, is_it).await;
}

#[tokio::test]
async fn a_server_that_is_killed_a_token_that_is_revoked_and_rights_that_go_are_told_and_recovered_from()
 {
    let Some(mut server) = api_server().await else {
        return;
    };
    let admin = server.admin().clone();
    admin.namespace("shop").await.unwrap();
    admin.service_account("shop", "pulltrace").await.unwrap();
    let first = admin.pod("shop", "web-1", spec()).await.unwrap();
    let user = "system:serviceaccount:shop:pulltrace";
    let of_pods = admin
        .grant(user, None, &["list", "watch"], &["pods"])
        .await
        .unwrap();
    let token = admin.token("shop", "pulltrace", &[], None).await.unwrap();
    let kubeconfig = server.kubeconfig(&token).unwrap();
    let (mut pods, mut events) = connect(kubeconfig.clone()).await;

    // Pods alone.
    pods_until(&mut pods, |update| *update == PodUpdate::Done).await;
    let forbidden = |update: &PullEventUpdate| matches!(update, PullEventUpdate::Trouble(trouble) if trouble.kind == TroubleKind::Forbidden);
    events_until(&mut events, forbidden).await;
    let of_events = admin
        .grant(user, None, &["list", "watch"], &["events"])
        .await
        .unwrap();
    events_until(&mut events, |update| *update == PullEventUpdate::Done).await;

    // Killed, and started again.
    server.kill9().await.unwrap();
    assert_eq!(pods_trouble(&mut pods).await, TroubleKind::Unreachable);
    server.restart().await.unwrap();
    pods_until(&mut pods, |update| *update == PodUpdate::Done).await;
    let mut kubelet = Kubelet::new(&admin, "node-1");
    let said = says_pulling(&mut kubelet, &first, 1).await.unwrap();
    hears(&mut events, &said).await;

    // Rights that are gone are missed when a watch begins.
    admin.revoke(of_pods).await.unwrap();
    server.restart().await.unwrap();
    loop {
        match pods_trouble(&mut pods).await {
            TroubleKind::Forbidden => break,
            // It was not there for a while.
            kind => assert_eq!(kind, TroubleKind::Unreachable),
        }
    }
    let said = says_pulling(&mut kubelet, &first, 2).await.unwrap();
    hears(&mut events, &said).await;
    let of_pods = admin
        .grant(user, None, &["list", "watch"], &["pods"])
        .await
        .unwrap();
    pods_until(&mut pods, |update| *update == PodUpdate::Done).await;

    // A token that is revoked, and a new one in its place.
    let account = "/api/v1/namespaces/shop/serviceaccounts/pulltrace";
    admin.delete(account).await.unwrap();
    server.restart().await.unwrap();
    while pods_trouble(&mut pods).await != TroubleKind::Unauthorized {}
    admin.service_account("shop", "pulltrace").await.unwrap();
    let token = admin.token("shop", "pulltrace", &[], None).await.unwrap();
    std::fs::copy(server.kubeconfig(&token).unwrap(), &kubeconfig).unwrap();
    pods_until(&mut pods, |update| *update == PodUpdate::Done).await;
    events_until(&mut events, |update| *update == PullEventUpdate::Done).await;
    admin.pod("shop", "web-2", spec()).await.unwrap();
    pods_until(
        &mut pods,
        |update| matches!(update, PodUpdate::Applied(pod) if pod.pod.name.as_str() == "web-2"),
    )
    .await;
    drop((of_pods, of_events));
}

#[tokio::test]
async fn pods_are_told_without_those_that_have_no_node_or_have_finished() {
    let Some(server) = api_server().await else {
        return;
    };
    let admin = server.admin();
    admin.namespace("shop").await.unwrap();
    let unscheduled = json!({"containers": [{"name": "app", "image": "shop/web:1"}]});
    admin.pod("shop", "unscheduled", unscheduled).await.unwrap();
    let (mut pods, _events) = connect(server.kubeconfig(ADMIN).unwrap()).await;
    assert_eq!(next(pods.next()).await, PodUpdate::Reset);
    assert_eq!(next(pods.next()).await, PodUpdate::Done);
    let pod = admin.pod("shop", "web-1", spec()).await.unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    match next(pods.next()).await {
        PodUpdate::Applied(pod) => assert!(matches!(pod.images[0].state, Seen::Waiting { .. })),
        other => panic!("{other:?}"),
    }
    let finished = json!({"phase": "Succeeded"});
    admin.pod_status("shop", "web-1", finished).await.unwrap();
    assert_eq!(
        next(pods.next()).await,
        PodUpdate::Deleted(uid.parse().unwrap())
    );
}

/// How many are created at once.
const AT_ONCE: usize = 32;

async fn make_pods(admin: &Client, from: usize, to: usize) {
    let values: Vec<Value> = (0..30)
        .map(|number| json!({"name": format!("VARIABLE_{number}"), "value": "x".repeat(60)}))
        .collect();
    let spec = &json!({"nodeName": "node-1", "containers": [
        {"name": "app", "image": "registry.example.com/shop/web:1.2.3", "env": values},
    ]});
    let make = |number| async move {
        let name = format!("web-{number:05}");
        admin.pod("shop", &name, spec.clone()).await.expect("a pod")
    };
    stream::iter(from..to)
        .map(make)
        .buffer_unordered(AT_ONCE)
        .for_each(async |_| {})
        .await;
}

#[tokio::test]
async fn twenty_thousand_pods_are_listed_and_a_flood_of_events_is_heard_whole() {
    let Some(server) = api_server().await else {
        return;
    };
    let admin = server.admin();
    admin.namespace("shop").await.unwrap();
    make_pods(admin, 0, 20_000).await;
    let (mut pods, mut events) = connect(server.kubeconfig(ADMIN).unwrap()).await;
    let mut known = BTreeSet::new();
    loop {
        match next(pods.next()).await {
            PodUpdate::Init(pod) => drop(known.insert(pod.pod.uid)),
            PodUpdate::Done => break,
            other => assert_eq!(other, PodUpdate::Reset),
        }
    }
    assert_eq!(known.len(), 20_000);

    // Nobody reads while they come: what is not taken waits at the API server.
    events_until(&mut events, |update| *update == PullEventUpdate::Done).await;
    let pod = &admin
        .get("/api/v1/namespaces/shop/pods/web-00000")
        .await
        .unwrap();
    let says = |number: usize| async move {
        let mut kubelet = Kubelet::new(admin, &format!("node-{number}"));
        let nanos = 1_767_323_045_000_000_000 + number as i128;
        let at = jiff::Timestamp::from_nanosecond(nanos).expect("a time");
        let message = format!("Pulling image \"shop/web:{number}\"");
        let part = Some("spec.containers{app}");
        let said = kubelet
            .says(at, pod, part, "Normal", "Pulling", &message)
            .await;
        said.expect("an event");
    };
    stream::iter(0..5_000)
        .map(says)
        .buffer_unordered(AT_ONCE)
        .for_each(async |()| {})
        .await;
    let mut heard = BTreeSet::new();
    while heard.len() < 5_000 {
        match next(events.next()).await {
            PullEventUpdate::Applied(event) => drop(heard.insert(event.name)),
            other => panic!("{other:?}"),
        }
    }
}

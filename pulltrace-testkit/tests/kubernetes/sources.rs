//! The server's pod and event sources on a real API server: contract, failures, and large numbers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use pulltrace_server_lib::cluster::kube::{Config, KubePods, KubePullEvents};
use pulltrace_server_lib::cluster::{
    ImagePresence, PodSource, PodUpdate, PullEventSource, PullEventUpdate, SourceError,
    SourceFailureKind,
};
use pulltrace_server_lib::testing::conformance::{self, Rig};
use pulltrace_testkit::kubernetes::{ADMIN, ApiError, ApiServer, Client, EventRecorder};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::kit::api_server;

type Failure = Arc<dyn std::error::Error + Send + Sync>;

/// A source retries after at most 30 s, and an API server that has just started may reject it once
/// more.
const TIMEOUT: Duration = Duration::from_secs(100);

async fn connect(kubeconfig: PathBuf) -> (KubePods, KubePullEvents) {
    let config = Config { kubeconfig: Some(kubeconfig), ..Config::default() };
    config.connect().await.expect("two sources")
}

/// Returns the next update; panics at the end of the source or after the timeout.
async fn next_update<T>(what: impl Future<Output = Result<Option<T>, SourceError>>) -> T {
    let next = tokio::time::timeout(TIMEOUT, what).await;
    next.expect("update before the timeout").expect("source works").expect("source continues")
}

async fn pods_until(pods: &mut KubePods, is: impl Fn(&PodUpdate) -> bool) -> PodUpdate {
    loop {
        let update = next_update(pods.next()).await;
        if is(&update) {
            return update;
        }
    }
}

async fn events_until(events: &mut KubePullEvents, is: impl Fn(&PullEventUpdate) -> bool) {
    while !is(&next_update(events.next()).await) {}
}

async fn next_pods_failure(pods: &mut KubePods) -> SourceFailureKind {
    match pods_until(pods, |update| matches!(update, PodUpdate::Failing(_))).await {
        PodUpdate::Failing(trouble) => trouble.kind,
        other => panic!("{other:?}"),
    }
}

fn spec() -> Value {
    json!({"nodeName": "node-1", "containers": [{"name": "app", "image": "shop/web:1"}]})
}

/// A TCP proxy in front of an API server, which can be closed while the server runs.
struct Proxy {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Proxy {
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

/// A real API server behind a proxy, with one pod that events refer to.
struct Cluster {
    server: ApiServer,
    proxy: Proxy,
    kubelet: EventRecorder,
    pod: Value,
    kubeconfig: PathBuf,
}

impl Cluster {
    async fn new() -> Option<Self> {
        let server = api_server().await?;
        let admin = server.admin().clone();
        admin.create_namespace("shop").await.expect("a namespace");
        let pod = admin.create_pod("shop", "first", spec()).await.expect("a pod");
        let way = Proxy::new(server.url().replace("https://", "")).await;
        let kubeconfig = server.kubeconfig(ADMIN).expect("a kubeconfig");
        let text = std::fs::read_to_string(&kubeconfig).expect("a kubeconfig");
        let text = text.replace(&server.url(), &format!("https://{}", way.address));
        std::fs::write(&kubeconfig, text).expect("a kubeconfig");
        Some(Self {
            kubelet: EventRecorder::new(&admin, "node-1"),
            server,
            proxy: way,
            pod,
            kubeconfig,
        })
    }

    async fn emit_pulling(&mut self, thing: u32) -> Result<String, Failure> {
        let said = emit_pulling_event(&mut self.kubelet, &self.pod, thing).await;
        said.map_err(to_failure)
    }
}

/// Emits a `Pulling` event for the image `shop/web:{thing}` and returns its name.
async fn emit_pulling_event(
    kubelet: &mut EventRecorder,
    pod: &Value,
    thing: u32,
) -> Result<String, ApiError> {
    let at = "2026-01-02T03:04:05.6Z".parse().expect("valid timestamp");
    let message = format!("Pulling image \"shop/web:{thing}\"");
    let part = Some("spec.containers{app}");
    let event = kubelet.emit(at, pod, part, "Normal", "Pulling", &message);
    let name = event.await?["metadata"]["name"].clone();
    Ok(name.as_str().unwrap_or_default().to_owned())
}

fn to_failure(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Arc::new(error)
}

/// Counts changes, because each must have a different value.
struct PodRig(Cluster, u32);

impl Rig for PodRig {
    type Source = KubePods;
    type Error = Failure;

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    async fn source(&mut self) -> Result<KubePods, Failure> {
        Ok(connect(self.0.kubeconfig.clone()).await.0)
    }

    async fn make(&mut self, thing: u32) -> Result<String, Failure> {
        let admin = self.0.server.admin();
        let pod = admin.create_pod("shop", &format!("web-{thing}"), spec()).await;
        let uid = pod.map_err(to_failure)?["metadata"]["uid"].clone();
        Ok(uid.as_str().unwrap_or_default().to_owned())
    }

    async fn change(&mut self, thing: u32) -> Result<(), Failure> {
        self.1 += 1;
        let status = json!({"message": format!("change {}", self.1)});
        let admin = self.0.server.admin();
        let changed = admin.patch_pod_status("shop", &format!("web-{thing}"), status).await;
        changed.map(drop).map_err(to_failure)
    }

    async fn remove(&mut self, thing: u32) -> Result<(), Failure> {
        let admin = self.0.server.admin();
        admin.delete_pod("shop", &format!("web-{thing}")).await.map_err(to_failure)
    }

    async fn lose(&mut self) -> Result<(), Failure> {
        self.0.proxy.open.send_replace(false);
        Ok(())
    }

    async fn restore(&mut self, gap: bool) -> Result<(), Failure> {
        if gap {
            self.0.server.restart().await.map_err(to_failure)?;
        }
        self.0.proxy.open.send_replace(true);
        Ok(())
    }
}

struct EventRig(Cluster);

impl Rig for EventRig {
    type Source = KubePullEvents;
    type Error = Failure;

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    async fn source(&mut self) -> Result<KubePullEvents, Failure> {
        Ok(connect(self.0.kubeconfig.clone()).await.1)
    }

    async fn make(&mut self, thing: u32) -> Result<String, Failure> {
        self.0.emit_pulling(thing).await
    }

    async fn change(&mut self, thing: u32) -> Result<(), Failure> {
        self.0.emit_pulling(thing).await.map(drop)
    }

    async fn remove(&mut self, thing: u32) -> Result<(), Failure> {
        let name = self.0.emit_pulling(thing).await?;
        let path = format!("/api/v1/namespaces/shop/events/{name}");
        self.0.server.admin().delete(&path).await.map_err(to_failure)
    }

    async fn lose(&mut self) -> Result<(), Failure> {
        self.0.proxy.open.send_replace(false);
        Ok(())
    }

    async fn restore(&mut self, gap: bool) -> Result<(), Failure> {
        if gap {
            self.0.server.compact().await.map_err(to_failure)?;
        }
        self.0.proxy.open.send_replace(true);
        Ok(())
    }
}

#[tokio::test]
async fn sources_conform_across_restarts_and_compactions() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let mut pods = PodRig(cluster, 0);
    conformance::pods(&mut pods).await.unwrap();
    conformance::pull_events(&mut EventRig(pods.0)).await.unwrap();
}

/// Waits for an event. A source that did not notice a short outage reports no failure, but still
/// the event.
async fn wait_for_event(events: &mut KubePullEvents, name: &str) {
    let is_it = |update: &PullEventUpdate| matches!(update, PullEventUpdate::Apply(event) if *event.name == *name);
    events_until(events, is_it).await;
}

#[tokio::test]
async fn sources_recover_from_lost_server_token_and_rights() {
    let Some(mut server) = api_server().await else {
        return;
    };
    let admin = server.admin().clone();
    admin.create_namespace("shop").await.unwrap();
    admin.create_service_account("shop", "pulltrace").await.unwrap();
    let first = admin.create_pod("shop", "web-1", spec()).await.unwrap();
    let user = "system:serviceaccount:shop:pulltrace";
    let of_pods = admin.grant(user, None, &["list", "watch"], &["pods"]).await.unwrap();
    let token = admin.create_token("shop", "pulltrace", &[], None).await.unwrap();
    let kubeconfig = server.kubeconfig(&token).unwrap();
    let (mut pods, mut events) = connect(kubeconfig.clone()).await;

    // Only pods.
    pods_until(&mut pods, |update| *update == PodUpdate::InitDone).await;
    let forbidden = |update: &PullEventUpdate| matches!(update, PullEventUpdate::Failing(trouble) if trouble.kind == SourceFailureKind::Forbidden);
    events_until(&mut events, forbidden).await;
    let of_events = admin.grant(user, None, &["list", "watch"], &["events"]).await.unwrap();
    events_until(&mut events, |update| *update == PullEventUpdate::InitDone).await;

    // The API server is killed and restarted.
    server.kill9().await.unwrap();
    assert_eq!(next_pods_failure(&mut pods).await, SourceFailureKind::Unreachable);
    server.restart().await.unwrap();
    pods_until(&mut pods, |update| *update == PodUpdate::InitDone).await;
    let mut kubelet = EventRecorder::new(&admin, "node-1");
    let said = emit_pulling_event(&mut kubelet, &first, 1).await.unwrap();
    wait_for_event(&mut events, &said).await;

    // Revoked rights take effect when a watch restarts.
    admin.revoke(of_pods).await.unwrap();
    server.restart().await.unwrap();
    loop {
        match next_pods_failure(&mut pods).await {
            SourceFailureKind::Forbidden => break,
            // It was unavailable for a while.
            kind => assert_eq!(kind, SourceFailureKind::Unreachable),
        }
    }
    let said = emit_pulling_event(&mut kubelet, &first, 2).await.unwrap();
    wait_for_event(&mut events, &said).await;
    let of_pods = admin.grant(user, None, &["list", "watch"], &["pods"]).await.unwrap();
    pods_until(&mut pods, |update| *update == PodUpdate::InitDone).await;

    // The token is revoked and replaced.
    let account = "/api/v1/namespaces/shop/serviceaccounts/pulltrace";
    admin.delete(account).await.unwrap();
    server.restart().await.unwrap();
    while next_pods_failure(&mut pods).await != SourceFailureKind::Unauthorized {}
    admin.create_service_account("shop", "pulltrace").await.unwrap();
    let token = admin.create_token("shop", "pulltrace", &[], None).await.unwrap();
    std::fs::copy(server.kubeconfig(&token).unwrap(), &kubeconfig).unwrap();
    pods_until(&mut pods, |update| *update == PodUpdate::InitDone).await;
    events_until(&mut events, |update| *update == PullEventUpdate::InitDone).await;
    admin.create_pod("shop", "web-2", spec()).await.unwrap();
    pods_until(
        &mut pods,
        |update| matches!(update, PodUpdate::Apply(pod) if pod.pod.name.as_str() == "web-2"),
    )
    .await;
    drop((of_pods, of_events));
}

#[tokio::test]
async fn unscheduled_and_finished_pods_are_left_out() {
    let Some(server) = api_server().await else {
        return;
    };
    let admin = server.admin();
    admin.create_namespace("shop").await.unwrap();
    let unscheduled = json!({"containers": [{"name": "app", "image": "shop/web:1"}]});
    admin.create_pod("shop", "unscheduled", unscheduled).await.unwrap();
    let (mut pods, _events) = connect(server.kubeconfig(ADMIN).unwrap()).await;
    assert_eq!(next_update(pods.next()).await, PodUpdate::Init);
    assert_eq!(next_update(pods.next()).await, PodUpdate::InitDone);
    let pod = admin.create_pod("shop", "web-1", spec()).await.unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    match next_update(pods.next()).await {
        PodUpdate::Apply(pod) => {
            assert!(matches!(pod.images[0].presence, ImagePresence::Waiting { .. }))
        }
        other => panic!("{other:?}"),
    }
    let finished = json!({"phase": "Succeeded"});
    admin.patch_pod_status("shop", "web-1", finished).await.unwrap();
    assert_eq!(next_update(pods.next()).await, PodUpdate::Delete(uid.parse().unwrap()));
}

/// Number of concurrent requests.
const PARALLEL_CREATES: usize = 32;

async fn make_pods(admin: &Client, from: usize, to: usize) {
    let values: Vec<Value> = (0..30)
        .map(|number| json!({"name": format!("VARIABLE_{number}"), "value": "x".repeat(60)}))
        .collect();
    let spec = &json!({"nodeName": "node-1", "containers": [
        {"name": "app", "image": "registry.example.com/shop/web:1.2.3", "env": values},
    ]});
    let make = |number| async move {
        let name = format!("web-{number:05}");
        admin.create_pod("shop", &name, spec.clone()).await.expect("a pod")
    };
    stream::iter(from..to)
        .map(make)
        .buffer_unordered(PARALLEL_CREATES)
        .for_each(async |_| {})
        .await;
}

#[tokio::test]
async fn lists_20000_pods_and_receives_every_event() {
    let Some(server) = api_server().await else {
        return;
    };
    let admin = server.admin();
    admin.create_namespace("shop").await.unwrap();
    make_pods(admin, 0, 20_000).await;
    let (mut pods, mut events) = connect(server.kubeconfig(ADMIN).unwrap()).await;
    let mut known = BTreeSet::new();
    loop {
        match next_update(pods.next()).await {
            PodUpdate::InitApply(pod) => drop(known.insert(pod.pod.uid)),
            PodUpdate::InitDone => break,
            other => assert_eq!(other, PodUpdate::Init),
        }
    }
    assert_eq!(known.len(), 20_000);

    // Not read while they arrive: unread events wait at the API server.
    events_until(&mut events, |update| *update == PullEventUpdate::InitDone).await;
    let pod = &admin.get("/api/v1/namespaces/shop/pods/web-00000").await.unwrap();
    let says = |number: usize| async move {
        let mut kubelet = EventRecorder::new(admin, &format!("node-{number}"));
        let nanos = 1_767_323_045_000_000_000 + number as i128;
        let at = jiff::Timestamp::from_nanosecond(nanos).expect("a time");
        let message = format!("Pulling image \"shop/web:{number}\"");
        let part = Some("spec.containers{app}");
        let said = kubelet.emit(at, pod, part, "Normal", "Pulling", &message).await;
        said.expect("an event");
    };
    stream::iter(0..5_000)
        .map(says)
        .buffer_unordered(PARALLEL_CREATES)
        .for_each(async |()| {})
        .await;
    let mut heard = BTreeSet::new();
    while heard.len() < 5_000 {
        match next_update(events.next()).await {
            PullEventUpdate::Apply(event) => drop(heard.insert(event.name)),
            other => panic!("{other:?}"),
        }
    }
}

//! Features that other tests rely on: pods, events, watches, rights, restarts.

use pulltrace_testkit::kubernetes::{Client, EventRecorder, UNPRIVILEGED};
use pulltrace_testkit::wait;
use serde_json::{Value, json};

use crate::kit::{TIMEOUT, admin, api_server, next, next_field};

async fn pod(admin: &Client, namespace: &str, name: &str) -> Value {
    let spec = json!({
        "nodeName": "node-1",
        "containers": [{"name": "app", "image": "shop/web:1"}],
        "volumes": [{"name": "model", "image": {"reference": "shop/model:1"}}],
    });
    admin.create_pod(namespace, name, spec).await.expect("a pod")
}

/// Returns the current resource version of a collection, to start a watch from.
async fn resource_version(client: &Client, path: &str) -> String {
    let list = client.get(path).await.expect("a list");
    let version = list["metadata"]["resourceVersion"].as_str();
    version.expect("a version").to_owned()
}

#[tokio::test]
async fn pod_watch_sees_creation_status_and_deletion() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.create_namespace("pods").await.unwrap();
    let mut watch = admin.watch("/api/v1/namespaces/pods/pods").await.unwrap();
    pod(&admin, "pods", "web-1").await;
    let (kind, spec) = next_field(&mut watch, "spec").await;
    assert_eq!((kind.as_str(), &spec["nodeName"]), ("ADDED", &json!("node-1")));
    assert_eq!(spec["volumes"][0]["image"]["reference"], "shop/model:1");

    let waiting = json!({"containerStatuses": [{
        "name": "app", "image": "shop/web:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ErrImagePull"}},
    }]});
    admin.patch_pod_status("pods", "web-1", waiting).await.unwrap();
    let (kind, status) = next_field(&mut watch, "status").await;
    let state = &status["containerStatuses"][0]["state"];
    assert_eq!(kind, "MODIFIED");
    assert_eq!(state["waiting"]["reason"], "ErrImagePull");

    admin.delete_pod("pods", "web-1").await.unwrap();
    // May be preceded by a modification that announces the deletion.
    while next_field(&mut watch, "metadata").await.0 != "DELETED" {}
}

#[tokio::test]
async fn repeated_event_is_modified_with_higher_count() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.create_namespace("events").await.unwrap();
    let pod = pod(&admin, "events", "web-1").await;
    let path =
        "/api/v1/namespaces/events/events?fieldSelector=reason=Pulling,involvedObject.kind=Pod";
    let mut watch = admin.watch(path).await.unwrap();
    let mut kubelet = EventRecorder::new(&admin, "node-1");
    let part = Some("spec.containers{app}");
    for (at, reason) in [
        ("2026-01-02T03:04:05.6Z", "Pulling"),
        ("2026-01-02T03:04:05.6Z", "Pulled"),
        ("2026-01-02T03:04:17Z", "Pulling"),
    ] {
        let at = at.parse().unwrap();
        let message = "of image \"shop/web:1\"";
        let said = kubelet.emit(at, &pod, part, "Normal", reason, message);
        said.await.unwrap();
    }
    let first = next(&mut watch).await.unwrap();
    let again = next(&mut watch).await.unwrap();
    assert_eq!((&first["type"], &again["type"]), (&json!("ADDED"), &json!("MODIFIED")));
    let (first, again) = (&first["object"], &again["object"]);
    for (name, value) in [
        ("reportingInstance", json!("node-1")),
        ("source", json!({"component": "kubelet", "host": "node-1"})),
        ("eventTime", Value::Null),
        ("firstTimestamp", json!("2026-01-02T03:04:05Z")),
    ] {
        assert_eq!((&first[name], &again[name]), (&value, &value), "{name}");
    }
    assert_eq!(first["metadata"]["name"], again["metadata"]["name"]);
    assert_eq!(first["involvedObject"]["uid"], pod["metadata"]["uid"]);
    assert_eq!(first["involvedObject"]["fieldPath"], json!(part));
    assert_eq!((&first["count"], &again["count"]), (&json!(1), &json!(2)));
    assert_eq!(again["lastTimestamp"], "2026-01-02T03:04:17Z");
}

#[tokio::test]
async fn restart_keeps_data_and_expires_old_versions() {
    let Some(mut server) = api_server().await else {
        return;
    };
    let admin = server.admin().clone();
    admin.create_namespace("shop").await.unwrap();
    let old = resource_version(&admin, "/api/v1/pods").await;
    pod(&admin, "shop", "web-1").await;
    let mut cut = admin.watch("/api/v1/pods").await.unwrap();
    assert_eq!(next_field(&mut cut, "metadata").await.0, "ADDED");

    server.kill9().await.unwrap();
    assert_eq!(next(&mut cut).await, None, "stream ends without an error");
    let error = admin.get("/api/v1/pods").await.unwrap_err();
    assert_eq!(error.code(), None, "{error}");

    server.restart().await.unwrap();
    let kept = admin.get("/api/v1/namespaces/shop/pods/web-1").await;
    assert_eq!(kept.unwrap()["spec"]["nodeName"], "node-1");
    let path = format!("/api/v1/pods?resourceVersion={old}");
    let mut watch = admin.watch(&path).await.unwrap();
    let gone = next(&mut watch).await.unwrap();
    assert_eq!(gone["type"], "ERROR");
    assert_eq!(gone["object"]["code"], 410);
}

#[tokio::test]
async fn compaction_expires_old_event_versions() {
    let Some(server) = api_server().await else {
        return;
    };
    let admin = server.admin();
    admin.create_namespace("shop").await.unwrap();
    // Limited to one namespace: the API server creates its own events elsewhere at any time.
    let events = "/api/v1/namespaces/shop/events";
    let old = resource_version(admin, events).await;
    let path = format!("{events}?resourceVersion={old}");
    let first = pod(admin, "shop", "web-1").await;
    let mut kubelet = EventRecorder::new(admin, "node-1");
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let said = kubelet.emit(at, &first, None, "Normal", "Scheduled", "Assigned");
    said.await.unwrap();
    // A watch is established once it has sent something; earlier compactions affect it too.
    let mut before = admin.watch(&path).await.unwrap();
    assert_eq!(next_field(&mut before, "reason").await, ("ADDED".to_owned(), json!("Scheduled")));
    server.compact().await.unwrap();
    let mut after = admin.watch(&path).await.unwrap();
    assert_eq!(next_field(&mut after, "code").await, ("ERROR".to_owned(), json!(410)));

    // An established watch is not affected.
    let pod = pod(admin, "shop", "web-2").await;
    let said = kubelet.emit(at, &pod, None, "Normal", "Pulling", "Pulling image \"a\"");
    said.await.unwrap();
    assert_eq!(next_field(&mut before, "reason").await, ("ADDED".to_owned(), json!("Pulling")));
}

#[tokio::test]
async fn granted_access_lasts_until_revoked() {
    let Some(admin) = admin().await else {
        return;
    };
    let nobody = admin.with_token(UNPRIVILEGED).unwrap();
    let refused = nobody.get("/api/v1/pods").await.unwrap_err();
    assert_eq!(refused.code(), Some(403), "{refused}");

    let all = admin.grant(UNPRIVILEGED, None, &["list", "watch"], &["pods"]).await.unwrap();
    nobody.get("/api/v1/pods").await.unwrap();
    nobody.watch("/api/v1/pods").await.unwrap();
    assert_eq!(nobody.get("/api/v1/events").await.unwrap_err().code(), Some(403));
    admin.revoke(all).await.unwrap();
    assert_eq!(nobody.get("/api/v1/pods").await.unwrap_err().code(), Some(403));

    admin.create_namespace("rights").await.unwrap();
    let one = admin.grant(UNPRIVILEGED, Some("rights"), &["list"], &["pods"]).await.unwrap();
    nobody.get("/api/v1/namespaces/rights/pods").await.unwrap();
    assert_eq!(nobody.get("/api/v1/pods").await.unwrap_err().code(), Some(403));
    admin.revoke(one).await.unwrap();
}

#[tokio::test]
async fn service_account_token_is_bound_until_account_deleted() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.create_namespace("tokens").await.unwrap();
    admin.create_service_account("tokens", "agent").await.unwrap();
    let spec = json!({
        "serviceAccountName": "agent",
        "nodeName": "node-1",
        "containers": [{"name": "app", "image": "shop/web:1"}],
    });
    let pod = admin.create_pod("tokens", "agent-1", spec).await.unwrap();
    let token = admin.create_token("tokens", "agent", &["pulltrace"], Some(&pod)).await.unwrap();
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = json!({"spec": {"token": token, "audiences": ["pulltrace"]}});
    let answer = admin.create(reviews, &review).await.unwrap();
    let node = &answer["status"]["user"]["extra"]["authentication.kubernetes.io/node-name"];
    assert_eq!(node, &json!(["node-1"]), "{answer}");

    // Without an audience, the token is for the API server itself.
    let own = admin.create_token("tokens", "agent", &[], None).await.unwrap();
    let agent = admin.with_token(&own).unwrap();
    let user = "system:serviceaccount:tokens:agent";
    let grant = admin.grant(user, Some("tokens"), &["get"], &["pods"]).await.unwrap();
    agent.get("/api/v1/namespaces/tokens/pods/agent-1").await.unwrap();
    drop(grant);
    admin.delete("/api/v1/namespaces/tokens/serviceaccounts/agent").await.unwrap();
    // The API server caches token lookups for some seconds.
    let revoked = wait::until("the token is rejected", TIMEOUT, async || {
        let answer = agent.get("/api/v1/namespaces/tokens/pods/agent-1").await;
        (answer.err()?.code() == Some(401)).then_some(())
    });
    revoked.await.unwrap();
}

#[tokio::test]
async fn dropped_api_server_leaves_nothing_behind() {
    let Some(mut server) = api_server().await else {
        return;
    };
    let config = server.kubeconfig(UNPRIVILEGED).unwrap();
    assert!(config.is_file() && server.ca_file().is_file());
    let (address, pid) = (server.url().replace("https://", ""), server.pid().unwrap());
    server.restart().await.unwrap();
    assert_ne!(server.pid(), Some(pid));
    drop(server);
    assert!(!config.exists() && !config.parent().unwrap().exists());
    let refused = tokio::net::TcpStream::connect(&address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

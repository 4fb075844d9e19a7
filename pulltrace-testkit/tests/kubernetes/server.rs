//! What the tests of others build on: pods, events, watches, rights, restarts.

use pulltrace_testkit::kubernetes::{Client, Kubelet, NOBODY};
use pulltrace_testkit::wait;
use serde_json::{Value, json};

use crate::kit::{SOON, admin, api_server, next, next_of};

async fn pod(admin: &Client, namespace: &str, name: &str) -> Value {
    let spec = json!({
        "nodeName": "node-1",
        "containers": [{"name": "app", "image": "shop/web:1"}],
        "volumes": [{"name": "model", "image": {"reference": "shop/model:1"}}],
    });
    admin.pod(namespace, name, spec).await.expect("a pod")
}

/// The version of a collection now, from which a watch goes on.
async fn version(client: &Client, path: &str) -> String {
    let list = client.get(path).await.expect("a list");
    let version = list["metadata"]["resourceVersion"].as_str();
    version.expect("a version").to_owned()
}

#[tokio::test]
async fn pods_are_watched_from_their_creation_over_their_status_to_their_end() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.namespace("pods").await.unwrap();
    let mut watch = admin.watch("/api/v1/namespaces/pods/pods").await.unwrap();
    pod(&admin, "pods", "web-1").await;
    let (kind, spec) = next_of(&mut watch, "spec").await;
    assert_eq!(
        (kind.as_str(), &spec["nodeName"]),
        ("ADDED", &json!("node-1"))
    );
    assert_eq!(spec["volumes"][0]["image"]["reference"], "shop/model:1");

    let waiting = json!({"containerStatuses": [{
        "name": "app", "image": "shop/web:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ErrImagePull"}},
    }]});
    admin.pod_status("pods", "web-1", waiting).await.unwrap();
    let (kind, status) = next_of(&mut watch, "status").await;
    let state = &status["containerStatuses"][0]["state"];
    assert_eq!(kind, "MODIFIED");
    assert_eq!(state["waiting"]["reason"], "ErrImagePull");

    admin.delete_pod("pods", "web-1").await.unwrap();
    // It may be told before that it is going to be.
    while next_of(&mut watch, "metadata").await.0 != "DELETED" {}
}

#[tokio::test]
async fn an_event_that_a_kubelet_repeats_is_counted_up_and_seen_as_modified() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.namespace("events").await.unwrap();
    let pod = pod(&admin, "events", "web-1").await;
    let path =
        "/api/v1/namespaces/events/events?fieldSelector=reason=Pulling,involvedObject.kind=Pod";
    let mut watch = admin.watch(path).await.unwrap();
    let mut kubelet = Kubelet::new(&admin, "node-1");
    let part = Some("spec.containers{app}");
    for (at, reason) in [
        ("2026-01-02T03:04:05.6Z", "Pulling"),
        ("2026-01-02T03:04:05.6Z", "Pulled"),
        ("2026-01-02T03:04:17Z", "Pulling"),
    ] {
        let at = at.parse().unwrap();
        let message = "of image \"shop/web:1\"";
        let said = kubelet.says(at, &pod, part, "Normal", reason, message);
        said.await.unwrap();
    }
    let first = next(&mut watch).await.unwrap();
    let again = next(&mut watch).await.unwrap();
    assert_eq!(
        (&first["type"], &again["type"]),
        (&json!("ADDED"), &json!("MODIFIED"))
    );
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
async fn after_a_kill_and_a_restart_the_data_are_there_and_an_old_version_is_gone() {
    let Some(mut server) = api_server().await else {
        return;
    };
    let admin = server.admin().clone();
    admin.namespace("shop").await.unwrap();
    let old = version(&admin, "/api/v1/pods").await;
    pod(&admin, "shop", "web-1").await;
    let mut cut = admin.watch("/api/v1/pods").await.unwrap();
    assert_eq!(next_of(&mut cut, "metadata").await.0, "ADDED");

    server.kill9().await.unwrap();
    assert_eq!(next(&mut cut).await, None, "the stream just ends");
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
async fn after_a_compaction_an_old_version_of_events_is_gone() {
    let Some(server) = api_server().await else {
        return;
    };
    let admin = server.admin();
    admin.namespace("shop").await.unwrap();
    // The API server has events of its own, in another namespace and whenever it likes.
    let events = "/api/v1/namespaces/shop/events";
    let old = version(admin, events).await;
    let path = format!("{events}?resourceVersion={old}");
    let first = pod(admin, "shop", "web-1").await;
    let mut kubelet = Kubelet::new(admin, "node-1");
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let said = kubelet.says(at, &first, None, "Normal", "Scheduled", "Assigned");
    said.await.unwrap();
    // It is a watch once it has told something: what is compacted before that is gone for it too.
    let mut before = admin.watch(&path).await.unwrap();
    assert_eq!(
        next_of(&mut before, "reason").await,
        ("ADDED".to_owned(), json!("Scheduled"))
    );
    server.compact().await.unwrap();
    let mut after = admin.watch(&path).await.unwrap();
    assert_eq!(
        next_of(&mut after, "code").await,
        ("ERROR".to_owned(), json!(410))
    );

    // A watch that goes on is not touched.
    let pod = pod(admin, "shop", "web-2").await;
    let said = kubelet.says(at, &pod, None, "Normal", "Pulling", "Pulling image \"a\"");
    said.await.unwrap();
    assert_eq!(
        next_of(&mut before, "reason").await,
        ("ADDED".to_owned(), json!("Pulling"))
    );
}

#[tokio::test]
async fn what_is_granted_is_allowed_until_it_is_revoked() {
    let Some(admin) = admin().await else {
        return;
    };
    let nobody = admin.with_token(NOBODY);
    let refused = nobody.get("/api/v1/pods").await.unwrap_err();
    assert_eq!(refused.code(), Some(403), "{refused}");

    let all = admin
        .grant(NOBODY, None, &["list", "watch"], &["pods"])
        .await
        .unwrap();
    nobody.get("/api/v1/pods").await.unwrap();
    nobody.watch("/api/v1/pods").await.unwrap();
    assert_eq!(
        nobody.get("/api/v1/events").await.unwrap_err().code(),
        Some(403)
    );
    admin.revoke(all).await.unwrap();
    assert_eq!(
        nobody.get("/api/v1/pods").await.unwrap_err().code(),
        Some(403)
    );

    admin.namespace("rights").await.unwrap();
    let one = admin
        .grant(NOBODY, Some("rights"), &["list"], &["pods"])
        .await
        .unwrap();
    nobody.get("/api/v1/namespaces/rights/pods").await.unwrap();
    assert_eq!(
        nobody.get("/api/v1/pods").await.unwrap_err().code(),
        Some(403)
    );
    admin.revoke(one).await.unwrap();
}

#[tokio::test]
async fn a_token_of_a_service_account_tells_its_pod_and_node_until_the_account_is_gone() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.namespace("tokens").await.unwrap();
    admin.service_account("tokens", "agent").await.unwrap();
    let spec = json!({
        "serviceAccountName": "agent",
        "nodeName": "node-1",
        "containers": [{"name": "app", "image": "shop/web:1"}],
    });
    let pod = admin.pod("tokens", "agent-1", spec).await.unwrap();
    let token = admin
        .token("tokens", "agent", &["pulltrace"], Some(&pod))
        .await
        .unwrap();
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = json!({"spec": {"token": token, "audiences": ["pulltrace"]}});
    let answer = admin.create(reviews, &review).await.unwrap();
    let node = &answer["status"]["user"]["extra"]["authentication.kubernetes.io/node-name"];
    assert_eq!(node, &json!(["node-1"]), "{answer}");

    // Without an audience it is one for the API server itself.
    let own = admin.token("tokens", "agent", &[], None).await.unwrap();
    let agent = admin.with_token(&own);
    let user = "system:serviceaccount:tokens:agent";
    let grant = admin
        .grant(user, Some("tokens"), &["get"], &["pods"])
        .await
        .unwrap();
    agent
        .get("/api/v1/namespaces/tokens/pods/agent-1")
        .await
        .unwrap();
    drop(grant);
    admin
        .delete("/api/v1/namespaces/tokens/serviceaccounts/agent")
        .await
        .unwrap();
    // The API server believes for some seconds what it has just looked up.
    let revoked = wait::until("the token is void", SOON, async || {
        let answer = agent.get("/api/v1/namespaces/tokens/pods/agent-1").await;
        (answer.err()?.code() == Some(401)).then_some(())
    });
    revoked.await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_nothing() {
    let Some(mut server) = api_server().await else {
        return;
    };
    let config = server.kubeconfig(NOBODY).unwrap();
    assert!(config.is_file() && server.ca_file().is_file());
    let (address, pid) = (server.url().replace("https://", ""), server.pid().unwrap());
    server.restart().await.unwrap();
    assert_ne!(server.pid(), Some(pid));
    drop(server);
    assert!(!config.exists() && !config.parent().unwrap().exists());
    let refused = tokio::net::TcpStream::connect(&address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

//! The manifests, as a cluster takes them.

use std::fs;
use std::path::Path;

use pulltrace_testkit::wait;
use serde_json::json;

use crate::kit::{SOON, admin};

fn manifest(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubectl");
    fs::read_to_string(dir.join(name)).expect("the manifest")
}

#[tokio::test]
async fn the_manifests_apply_without_a_warning_and_their_pods_are_let_in() {
    let Some(admin) = admin().await else {
        return;
    };
    for name in ["server.yaml", "agent.yaml"] {
        let yaml = manifest(name);
        assert_eq!(admin.apply(&yaml).await.unwrap(), [""; 0], "{name}");
        // Once more, as people do, and only to see.
        assert_eq!(admin.apply_dry(&yaml).await.unwrap(), [""; 0], "{name}");
    }

    // A DaemonSet or a Deployment warns at most: it is the pods of it that are refused.
    let workloads = [
        ("pulltrace", "deployments/pulltrace-server"),
        ("pulltrace-agents", "daemonsets/pulltrace-agent"),
    ];
    let mut specs = Vec::new();
    for (namespace, path) in workloads {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/{path}");
        let workload = admin.get(&path).await.unwrap();
        let spec = workload["spec"]["template"]["spec"].clone();
        admin.pod(namespace, "one", spec.clone()).await.unwrap();
        specs.push(spec);
    }
    let agent = specs.pop().unwrap();
    let token = &agent["volumes"][1]["secret"];
    assert_eq!(token["defaultMode"], 0o400, "it is read as octal");
    // That they are refused elsewhere is why the agents have a namespace of their own.
    let elsewhere =
        manifest("agent.yaml").replace("namespace: pulltrace-agents", "namespace: pulltrace");
    let warnings = admin.apply_dry(&elsewhere).await.unwrap();
    assert!(
        warnings.concat().contains("violate PodSecurity"),
        "{warnings:?}"
    );
    let refused = admin.pod("pulltrace", "two", agent).await.unwrap_err();
    assert_eq!(refused.code(), Some(403), "{refused}");
    assert!(refused.to_string().contains("PodSecurity"), "{refused}");
}

#[tokio::test]
async fn a_manifest_with_a_field_that_is_unknown_is_refused() {
    let Some(admin) = admin().await else {
        return;
    };
    let wrong = manifest("server.yaml").replace("terminationGracePeriodSeconds:", "gracePeriod:");
    let error = admin.apply(&wrong).await.unwrap_err();
    assert!(error.to_string().contains("gracePeriod"), "{error}");
}

/// What the server may do, by the manifest alone, as its service account.
#[tokio::test]
async fn the_server_may_list_and_watch_pods_and_events_and_nothing_else() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.apply(&manifest("server.yaml")).await.unwrap();
    let token = admin.token("pulltrace", "pulltrace-server", &[], None);
    let server = admin.with_token(&token.await.unwrap());
    for what in ["pods", "events"] {
        for path in ["/api/v1", "/api/v1/namespaces/default"] {
            let path = format!("{path}/{what}");
            // A right is in force some milliseconds after it is given.
            let listed = wait::until(format!("{path} may be listed"), SOON, async || {
                server.get(&path).await.ok()
            });
            listed.await.unwrap();
            server.watch(&path).await.unwrap();
        }
    }
    let refused = [
        "/api/v1/secrets",
        "/api/v1/nodes",
        "/api/v1/configmaps",
        "/api/v1/namespaces",
        "/api/v1/namespaces/pulltrace/secrets/pulltrace",
        "/api/v1/namespaces/pulltrace/pods/one",
        "/api/v1/namespaces/pulltrace/pods/one/log",
        "/api/v1/namespaces/pulltrace/events/one",
        "/apis/apps/v1/deployments",
    ];
    for path in refused {
        let error = server.get(path).await.unwrap_err();
        assert_eq!(error.code(), Some(403), "{path}: {error}");
    }
    let pods = "/api/v1/namespaces/pulltrace/pods";
    let pod = json!({"metadata": {"name": "two"}, "spec": {"containers": [{"name": "app", "image": "a"}]}});
    let error = server.create(pods, &pod).await.unwrap_err();
    assert_eq!(error.code(), Some(403), "{error}");
    let error = server.delete(&format!("{pods}/one")).await.unwrap_err();
    assert_eq!(error.code(), Some(403), "{error}");
    let secret = server
        .token("pulltrace", "pulltrace-server", &[], None)
        .await;
    assert_eq!(secret.unwrap_err().code(), Some(403));

    // Only the server's pod has that token: of each account none is given unasked.
    let spec = async |path: &str| admin.get(path).await.unwrap();
    let account = spec("/api/v1/namespaces/pulltrace/serviceaccounts/pulltrace-server").await;
    assert_eq!(account["automountServiceAccountToken"], false);
    let deployment = spec("/apis/apps/v1/namespaces/pulltrace/deployments/pulltrace-server").await;
    let spec = &deployment["spec"]["template"]["spec"];
    assert_eq!(spec["automountServiceAccountToken"], true);
    assert_eq!(spec["serviceAccountName"], "pulltrace-server");
}

/// As docs/quick-start.md has it for some namespaces.
#[tokio::test]
async fn with_a_role_in_a_namespace_the_server_hears_that_one_alone() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.namespace("billing").await.unwrap();
    admin.namespace("few").await.unwrap();
    admin
        .service_account("few", "pulltrace-server")
        .await
        .unwrap();
    let user = "system:serviceaccount:few:pulltrace-server";
    let may = ["list", "watch"];
    let role = admin.grant(user, Some("billing"), &may, &["pods", "events"]);
    role.await.unwrap();
    let token = admin.token("few", "pulltrace-server", &[], None);
    let server = admin.with_token(&token.await.unwrap());
    for what in ["pods", "events"] {
        let path = format!("/api/v1/namespaces/billing/{what}");
        let listed = wait::until(format!("{path} may be listed"), SOON, async || {
            server.get(&path).await.ok()
        });
        listed.await.unwrap();
        for path in [
            format!("/api/v1/{what}"),
            format!("/api/v1/namespaces/few/{what}"),
        ] {
            assert_eq!(
                server.get(&path).await.unwrap_err().code(),
                Some(403),
                "{path}"
            );
        }
    }
}

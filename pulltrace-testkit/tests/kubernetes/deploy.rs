//! The manifests, applied to a real API server.

use std::fs;
use std::path::Path;

use pulltrace_testkit::wait;
use serde_json::json;

use crate::kit::{TIMEOUT, admin};

fn manifest(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubectl");
    fs::read_to_string(dir.join(name)).expect("the manifest")
}

#[tokio::test]
async fn manifests_apply_without_warnings_and_admit_pods() {
    let Some(admin) = admin().await else {
        return;
    };
    for name in ["server.yaml", "agent.yaml"] {
        let yaml = manifest(name);
        assert_eq!(admin.apply(&yaml).await.unwrap(), [""; 0], "{name}");
        // Apply again as a dry run, as users do.
        assert_eq!(admin.apply_dry_run(&yaml).await.unwrap(), [""; 0], "{name}");
    }

    // For a DaemonSet or a Deployment there are only warnings; rejected are its pods.
    let workloads = [
        ("pulltrace", "deployments/pulltrace-server"),
        ("pulltrace-agents", "daemonsets/pulltrace-agent"),
    ];
    let mut specs = Vec::new();
    for (namespace, path) in workloads {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/{path}");
        let workload = admin.get(&path).await.unwrap();
        let spec = workload["spec"]["template"]["spec"].clone();
        admin.create_pod(namespace, "one", spec.clone()).await.unwrap();
        specs.push(spec);
    }
    let agent = specs.pop().unwrap();
    let token = &agent["volumes"][1]["secret"];
    assert_eq!(token["defaultMode"], 0o400, "parsed as octal");
    // The agents have their own namespace because other namespaces reject them.
    let elsewhere =
        manifest("agent.yaml").replace("namespace: pulltrace-agents", "namespace: pulltrace");
    let warnings = admin.apply_dry_run(&elsewhere).await.unwrap();
    assert!(warnings.concat().contains("violate PodSecurity"), "{warnings:?}");
    let refused = admin.create_pod("pulltrace", "two", agent).await.unwrap_err();
    assert_eq!(refused.code(), Some(403), "{refused}");
    assert!(refused.to_string().contains("PodSecurity"), "{refused}");
}

#[tokio::test]
async fn manifest_with_unknown_field_is_rejected() {
    let Some(admin) = admin().await else {
        return;
    };
    let wrong = manifest("server.yaml").replace("terminationGracePeriodSeconds:", "gracePeriod:");
    let error = admin.apply(&wrong).await.unwrap_err();
    assert!(error.to_string().contains("gracePeriod"), "{error}");
}

/// The rights that the manifest alone gives to the server's service account.
#[tokio::test]
async fn server_account_can_only_list_and_watch() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.apply(&manifest("server.yaml")).await.unwrap();
    let token = admin.create_token("pulltrace", "pulltrace-server", &[], None);
    let server = admin.with_token(&token.await.unwrap()).unwrap();
    for what in ["pods", "events"] {
        for path in ["/api/v1", "/api/v1/namespaces/default"] {
            let path = format!("{path}/{what}");
            // A right takes effect some milliseconds after it was granted.
            let listed = wait::until(format!("{path} may be listed"), TIMEOUT, async || {
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
    let secret = server.create_token("pulltrace", "pulltrace-server", &[], None).await;
    assert_eq!(secret.unwrap_err().code(), Some(403));

    // Only the server's pod gets a token: it is not mounted by default.
    let spec = async |path: &str| admin.get(path).await.unwrap();
    let account = spec("/api/v1/namespaces/pulltrace/serviceaccounts/pulltrace-server").await;
    assert_eq!(account["automountServiceAccountToken"], false);
    let deployment = spec("/apis/apps/v1/namespaces/pulltrace/deployments/pulltrace-server").await;
    let spec = &deployment["spec"]["template"]["spec"];
    assert_eq!(spec["automountServiceAccountToken"], true);
    assert_eq!(spec["serviceAccountName"], "pulltrace-server");
}

/// As described in docs/quick-start.md for selected namespaces.
#[tokio::test]
async fn namespaced_role_limits_server_to_that_namespace() {
    let Some(admin) = admin().await else {
        return;
    };
    admin.create_namespace("billing").await.unwrap();
    admin.create_namespace("few").await.unwrap();
    admin.create_service_account("few", "pulltrace-server").await.unwrap();
    let user = "system:serviceaccount:few:pulltrace-server";
    let may = ["list", "watch"];
    let role = admin.grant(user, Some("billing"), &may, &["pods", "events"]);
    role.await.unwrap();
    let token = admin.create_token("few", "pulltrace-server", &[], None);
    let server = admin.with_token(&token.await.unwrap()).unwrap();
    for what in ["pods", "events"] {
        let path = format!("/api/v1/namespaces/billing/{what}");
        let listed = wait::until(format!("{path} may be listed"), TIMEOUT, async || {
            server.get(&path).await.ok()
        });
        listed.await.unwrap();
        for path in [format!("/api/v1/{what}"), format!("/api/v1/namespaces/few/{what}")] {
            assert_eq!(server.get(&path).await.unwrap_err().code(), Some(403), "{path}");
        }
    }
}

//! The manifests, as a cluster takes them.

use std::fs;
use std::path::Path;

use crate::kit::admin;

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

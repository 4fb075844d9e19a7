//! Connecting to an API server: invalid kubeconfigs, and credentials.

use pulltrace_server_lib::cluster::kube::{Config, ConnectError, MOST_NAMESPACES};
use serde_json::json;

use crate::api::FakeApiServer;
use crate::kube::PodListener;

fn with_namespaces(namespaces: Vec<String>) -> Config {
    Config { namespaces, ..Config::default() }
}

#[tokio::test]
async fn unusable_kubeconfig_is_named_in_error() {
    let config = Config { kubeconfig: Some("/no/such/file".into()), ..Config::default() };
    let error = config.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Kubeconfig { .. }), "{error:?}");
    assert!(error.to_string().contains("/no/such/file"), "{error}");

    let api = FakeApiServer::start().await;
    let config = Config {
        kubeconfig: Some(api.kubeconfig(&json!({}))),
        context: Some("production".to_owned()),
        ..Config::default()
    };
    let error = config.connect().await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("production"), "{cause}");
}

#[tokio::test]
async fn connect_rejects_invalid_and_too_many_namespaces() {
    for name in ["", "a/b", "a.b", "a b"] {
        let error = with_namespaces(vec![name.to_owned()]).connect().await.unwrap_err();
        assert!(matches!(&error, ConnectError::Namespace(bad) if bad == name), "{error:?}");
    }
    let many = (0..=MOST_NAMESPACES).map(|number| format!("n-{number}")).collect();
    let error = with_namespaces(many).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::TooManyNamespaces(_)), "{error:?}");
}

#[tokio::test]
async fn exec_plugin_provides_credentials() {
    let api = FakeApiServer::start().await;
    api.accept_only("of-a-plug-in");
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "of-a-plug-in"},
    });
    let user = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/sh",
        "args": ["-c", format!("echo '{credential}'")],
        "interactiveMode": "Never",
    }});
    let mut pods = PodListener::pods(&api, &user).await;
    pods.wait_for_init_done().await;
}

//! Shortcuts for the objects that tests create most: namespaces, pods, nodes, service accounts.

use serde_json::{Value, json};

use super::client::{ApiError, Client};

impl Client {
    /// Creates a namespace.
    ///
    /// # Errors
    /// [`ApiError`]; also if it already exists.
    pub async fn create_namespace(&self, name: &str) -> Result<(), ApiError> {
        let namespace = json!({"metadata": {"name": name}});
        self.create("/api/v1/namespaces", &namespace).await.map(drop)
    }

    /// Creates a node object. Pods do not need one.
    ///
    /// # Errors
    /// [`ApiError`]; also if it already exists.
    pub async fn create_node(&self, name: &str) -> Result<(), ApiError> {
        let node = json!({"metadata": {"name": name}});
        self.create("/api/v1/nodes", &node).await.map(drop)
    }

    /// Creates a pod and returns it as stored, with its `uid`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn create_pod(
        &self,
        namespace: &str,
        name: &str,
        spec: Value,
    ) -> Result<Value, ApiError> {
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        self.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod).await
    }

    /// Merges `status` into the status of a pod, as its kubelet does.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn patch_pod_status(
        &self,
        namespace: &str,
        name: &str,
        status: Value,
    ) -> Result<Value, ApiError> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        self.merge_patch(&path, &json!({"status": status})).await
    }

    /// Deletes a pod immediately.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete_pod(&self, namespace: &str, name: &str) -> Result<(), ApiError> {
        self.delete(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).await
    }

    /// Creates a service account. Its user name is `system:serviceaccount:NAMESPACE:NAME`.
    ///
    /// # Errors
    /// [`ApiError`]; also if it already exists.
    pub async fn create_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<(), ApiError> {
        let account = json!({"metadata": {"name": name}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.create(&path, &account).await.map(drop)
    }

    /// Requests a token of a service account through TokenRequest, valid for an hour. Without
    /// audiences it is for the API server itself. A token bound to `pod` also names the pod's node.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn create_token(
        &self,
        namespace: &str,
        account: &str,
        audiences: &[&str],
        pod: Option<&Value>,
    ) -> Result<String, ApiError> {
        let bound = pod.map(|pod| {
            let of = &pod["metadata"];
            json!({"apiVersion": "v1", "kind": "Pod", "name": of["name"], "uid": of["uid"]})
        });
        let request = json!({"spec": {
            "audiences": audiences,
            "expirationSeconds": 3600,
            "boundObjectRef": bound,
        }});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let answer = self.create(&path, &request).await?;
        let token = answer["status"]["token"].as_str();
        let none = || ApiError::Invalid(format!("missing token in the response of {path}"));
        token.map(str::to_owned).ok_or_else(none)
    }
}

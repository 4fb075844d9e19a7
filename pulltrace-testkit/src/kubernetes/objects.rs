//! The objects that tests make most: namespaces, pods, nodes, accounts.

use serde_json::{Value, json};

use super::client::{ApiError, Client};

impl Client {
    /// Makes a namespace.
    ///
    /// # Errors
    /// [`ApiError`], also where it is there already.
    pub async fn namespace(&self, name: &str) -> Result<(), ApiError> {
        let namespace = json!({"metadata": {"name": name}});
        self.create("/api/v1/namespaces", &namespace)
            .await
            .map(drop)
    }

    /// Makes a node, ready or not: pods do not need it.
    ///
    /// # Errors
    /// [`ApiError`], also where it is there already.
    pub async fn node(&self, name: &str) -> Result<(), ApiError> {
        let node = json!({"metadata": {"name": name}});
        self.create("/api/v1/nodes", &node).await.map(drop)
    }

    /// Makes a pod, and returns it as it was stored, with its `uid`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn pod(&self, namespace: &str, name: &str, spec: Value) -> Result<Value, ApiError> {
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        self.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)
            .await
    }

    /// Changes the status of a pod, as its kubelet does; what `status` does not
    /// name stays.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn pod_status(
        &self,
        namespace: &str,
        name: &str,
        status: Value,
    ) -> Result<Value, ApiError> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        self.merge(&path, &json!({"status": status})).await
    }

    /// Deletes a pod at once.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete_pod(&self, namespace: &str, name: &str) -> Result<(), ApiError> {
        self.delete(&format!("/api/v1/namespaces/{namespace}/pods/{name}"))
            .await
    }

    /// Makes a service account; as a user it is called
    /// `system:serviceaccount:NAMESPACE:NAME`.
    ///
    /// # Errors
    /// [`ApiError`], also where it is there already.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<(), ApiError> {
        let account = json!({"metadata": {"name": name}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.create(&path, &account).await.map(drop)
    }

    /// A token of a service account for an hour, by TokenRequest: for these
    /// audiences (none: the API server itself), and bound to `pod`, whose node
    /// it then names.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn token(
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
        let none = || ApiError::Unreadable(format!("{path} gave no token"));
        token.map(str::to_owned).ok_or_else(none)
    }
}

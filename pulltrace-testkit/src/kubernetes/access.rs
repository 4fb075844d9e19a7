//! RBAC grants that can be revoked.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use super::client::{ApiError, Client};
use crate::wait;

/// RBAC changes normally take effect within milliseconds.
const RBAC_TIMEOUT: Duration = Duration::from_secs(20);

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A permission, valid until [`Client::revoke`].
#[derive(Debug)]
pub struct Grant {
    binding: String,
    user: String,
    namespace: Option<String>,
    verb: String,
    resource: String,
}

impl Client {
    /// Allows `user` the `verbs` on `resources` (of any API group) in one namespace or in all, and
    /// waits until that is in force.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn grant(
        &self,
        user: &str,
        namespace: Option<&str>,
        verbs: &[&str],
        resources: &[&str],
    ) -> Result<Grant, ApiError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("grant-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (collection, kind) = match namespace {
            Some(namespace) => (format!("{RBAC}/namespaces/{namespace}/"), ""),
            None => (format!("{RBAC}/cluster"), "Cluster"),
        };
        let role = json!({
            "metadata": {"name": name},
            "rules": [{"apiGroups": ["*"], "resources": resources, "verbs": verbs}],
        });
        self.create(&format!("{collection}roles"), &role).await?;
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": format!("{kind}Role"), "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        });
        self.create(&format!("{collection}rolebindings"), &binding).await?;
        let first = |words: &[&str]| words.first().copied().unwrap_or_default().to_owned();
        let grant = Grant {
            binding: format!("{collection}rolebindings/{name}"),
            user: user.to_owned(),
            namespace: namespace.map(str::to_owned),
            verb: first(verbs),
            resource: first(resources),
        };
        self.wait_until_allowed(&grant, true).await?;
        Ok(grant)
    }

    /// Revokes a grant and waits until that is in force.
    ///
    /// # Errors
    /// [`ApiError`]; also if something else grants the same permission.
    pub async fn revoke(&self, grant: Grant) -> Result<(), ApiError> {
        self.delete(&grant.binding).await?;
        self.wait_until_allowed(&grant, false).await
    }

    async fn wait_until_allowed(&self, grant: &Grant, wanted: bool) -> Result<(), ApiError> {
        let review = json!({"spec": {"user": grant.user, "resourceAttributes": {
            "namespace": grant.namespace, "verb": grant.verb, "resource": grant.resource,
        }}});
        let what = format!("allowed is {wanted} for {grant:?}");
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let seen =
            wait::until(what, RBAC_TIMEOUT, async || match self.create(path, &review).await {
                Ok(answer) => (answer["status"]["allowed"] == wanted).then_some(Ok(())),
                Err(error) => Some(Err(error)),
            });
        let late = |error: wait::TimedOut| ApiError::Invalid(error.to_string());
        seen.await.map_err(late)?
    }
}

//! Applies YAML manifests.
//!
//! The API server parses the objects themselves, as for `kubectl`. Only the lines that identify an
//! object are parsed here.

use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::core::params::{Patch, PatchParams, ValidationDirective};
use kube::core::request::Request;
use kube::core::{DynamicObject, GroupVersionKind, Resource as _, Status};
use kube::discovery::{self, Scope};

use super::client::{ApiError, Client, REQUEST_TIMEOUT};

impl Client {
    /// Applies the objects of a manifest in order, like `kubectl apply --server-side
    /// --validate=strict`, and returns the API server's warnings.
    ///
    /// # Errors
    /// [`ApiError`]; objects before the failed one have been applied.
    pub async fn apply(&self, yaml: &str) -> Result<Vec<String>, ApiError> {
        self.apply_with(yaml, false).await
    }

    /// Like [`Client::apply`], as a dry run.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn apply_dry_run(&self, yaml: &str) -> Result<Vec<String>, ApiError> {
        self.apply_with(yaml, true).await
    }

    async fn apply_with(&self, yaml: &str, dry_run: bool) -> Result<Vec<String>, ApiError> {
        let params = PatchParams {
            field_manager: Some("test".to_owned()),
            field_validation: Some(ValidationDirective::Strict),
            force: true,
            dry_run,
        };
        let mut warnings = Vec::new();
        for object in split_objects(yaml)? {
            let applied = self.apply_object(&object, &params);
            let applied = tokio::time::timeout(REQUEST_TIMEOUT, applied).await;
            warnings.extend(applied.map_err(|error| ApiError::Unreachable(error.into()))??);
        }
        Ok(warnings)
    }

    /// Sends the text unchanged and returns the warnings of the response. `kube::Api` would parse the
    /// text itself, and drop the warnings.
    async fn apply_object(
        &self,
        object: &ManifestObject<'_>,
        params: &PatchParams,
    ) -> Result<Vec<String>, ApiError> {
        let name = format!("apply {} {}", object.kind, object.name);
        let failed = |error| ApiError::from_kube(&name, error);
        let url = object.collection_path(self).await?;
        let patch = Patch::Apply(());
        let request = Request::new(url).patch(object.name, params, &patch);
        let request = request.map_err(|error| ApiError::Invalid(format!("{name}: {error}")))?;
        let request = request.map(|_| Body::from(object.text.as_bytes().to_vec()));
        let response = self.kube.send(request).await.map_err(failed)?;
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings.map(|text| text.to_str().unwrap_or("?").to_owned()).collect();
        if response.status().is_success() {
            return Ok(warnings);
        }
        let body = response.into_body().collect().await.map_err(failed)?.to_bytes();
        let status: Status = serde_json::from_slice(&body)
            .map_err(|error| ApiError::Invalid(format!("{name}: {error}")))?;
        Err(ApiError::Rejected { request: name, status: status.boxed() })
    }
}

/// An object of a manifest.
#[derive(Debug)]
struct ManifestObject<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
    text: &'a str,
}

/// Splits a text into objects at lines of `---`.
fn split_objects(yaml: &str) -> Result<Vec<ManifestObject<'_>>, ApiError> {
    let is_empty = |text: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.all(|line| line.is_empty() || line.starts_with('#') || line == "---")
    };
    let texts = yaml.split("\n---\n").filter(|text| !is_empty(text));
    let read = |text| {
        parse_object(text).ok_or_else(|| {
            let needs = "expected lines `apiVersion: `, `kind: ` and, indented by two spaces in `metadata:`, `name: `";
            ApiError::Invalid(format!("invalid object: {needs}:\n{text}"))
        })
    };
    texts.map(read).collect()
}

fn parse_object(text: &str) -> Option<ManifestObject<'_>> {
    let find = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let inside = |key: &str| {
        let lines = text.lines().skip_while(|line| *line != "metadata:").skip(1);
        let mut lines = lines.take_while(|line| line.starts_with(' '));
        lines.find_map(|line| line.strip_prefix("  ")?.strip_prefix(key))
    };
    Some(ManifestObject {
        api_version: find("apiVersion: ")?,
        kind: find("kind: ")?,
        name: inside("name: ")?,
        namespace: inside("namespace: "),
        text,
    })
}

impl ManifestObject<'_> {
    /// Returns the path of its collection, according to the API server's discovery.
    async fn collection_path(&self, client: &Client) -> Result<String, ApiError> {
        let (group, version) = self.api_version.rsplit_once('/').unwrap_or(("", self.api_version));
        let kind = GroupVersionKind::gvk(group, version, self.kind);
        let found = discovery::pinned_kind(&client.kube, &kind).await;
        let (resource, capabilities) = found.map_err(|error| {
            ApiError::from_kube(&format!("discover {} {}", self.api_version, self.kind), error)
        })?;
        let namespace = match capabilities.scope {
            Scope::Cluster => None,
            Scope::Namespaced => Some(self.namespace.unwrap_or("default")),
        };
        Ok(DynamicObject::url_path(&resource, namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_splits_into_objects() {
        let yaml = "# A note.\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n---\n\
                    apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  labels: &labels\n    name: x\n  \
                    name: b\n  namespace: a\nspec:\n  name: c\n---\n";
        let objects = split_objects(yaml).unwrap();
        let heads = objects.iter().map(|o| (o.api_version, o.kind, o.name, o.namespace));
        assert_eq!(
            heads.collect::<Vec<_>>(),
            [("v1", "Namespace", "a", None), ("apps/v1", "DaemonSet", "b", Some("a"))]
        );
    }

    #[test]
    fn invalid_object_error_contains_its_text() {
        let error = split_objects("kind: Pod\n").unwrap_err().to_string();
        assert!(error.contains("kind: Pod"), "{error}");
    }
}

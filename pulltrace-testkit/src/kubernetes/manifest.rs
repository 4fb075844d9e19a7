//! Splits a YAML manifest into objects and finds their paths in the API.
//!
//! The API server parses the objects themselves, as for `kubectl`. Only the lines that identify an
//! object are parsed here.

use super::client::{ApiError, Client};

/// An object of a manifest.
#[derive(Debug)]
pub(super) struct ManifestObject<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
    pub(super) text: &'a str,
}

/// Splits a text into objects at lines of `---`.
pub(super) fn split_objects(yaml: &str) -> Result<Vec<ManifestObject<'_>>, ApiError> {
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
    /// Returns the path of this object, according to the API server's discovery.
    pub(super) async fn resource_path(&self, client: &Client) -> Result<String, ApiError> {
        let Self { api_version, kind, name, .. } = self;
        let api = if api_version.contains('/') { "apis" } else { "api" };
        let api = format!("/{api}/{api_version}");
        let known = client.get(&api).await?;
        let resources = known["resources"].as_array();
        let resource = resources.into_iter().flatten().find(|resource| {
            // Subresources have the same kind as their parent.
            resource["kind"] == *kind
                && resource["name"].as_str().is_some_and(|name| !name.contains('/'))
        });
        let unknown = || ApiError::Invalid(format!("unknown kind {kind} in {api}"));
        let resource = resource.ok_or_else(unknown)?;
        let plural = resource["name"].as_str().unwrap_or_default();
        if resource["namespaced"] == false {
            return Ok(format!("{api}/{plural}/{name}"));
        }
        let namespace = self.namespace.unwrap_or("default");
        Ok(format!("{api}/namespaces/{namespace}/{plural}/{name}"))
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

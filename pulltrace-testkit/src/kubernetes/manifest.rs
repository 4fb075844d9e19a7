//! Manifests: which objects a YAML text holds, and where the API server has
//! their collections.
//!
//! The text itself is left to the API server, so that it is read as `kubectl`
//! would read it. Of it, only the lines that say what it is are read here.

use super::client::{ApiError, Client};

/// One object of a manifest.
#[derive(Debug)]
pub(super) struct Object<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
    pub(super) text: &'a str,
}

/// The objects of a text, which lines of `---` divide.
pub(super) fn objects(yaml: &str) -> Result<Vec<Object<'_>>, ApiError> {
    let is_empty = |text: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.all(|line| line.is_empty() || line.starts_with('#') || line == "---")
    };
    let texts = yaml.split("\n---\n").filter(|text| !is_empty(text));
    let read = |text| {
        object(text).ok_or_else(|| {
            let needs = "needs lines `apiVersion: `, `kind: ` and, indented by two in `metadata:`, `name: `";
            ApiError::Unreadable(format!("an object {needs}:\n{text}"))
        })
    };
    texts.map(read).collect()
}

fn object(text: &str) -> Option<Object<'_>> {
    let find = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let inside = |key: &str| {
        let lines = text.lines().skip_while(|line| *line != "metadata:").skip(1);
        let mut lines = lines.take_while(|line| line.starts_with(' '));
        lines.find_map(|line| line.strip_prefix("  ")?.strip_prefix(key))
    };
    Some(Object {
        api_version: find("apiVersion: ")?,
        kind: find("kind: ")?,
        name: inside("name: ")?,
        namespace: inside("namespace: "),
        text,
    })
}

impl Object<'_> {
    /// Where this object is, as the API server's own list of kinds says.
    pub(super) async fn path(&self, client: &Client) -> Result<String, ApiError> {
        let Self {
            api_version,
            kind,
            name,
            ..
        } = self;
        let api = if api_version.contains('/') {
            "apis"
        } else {
            "api"
        };
        let api = format!("/{api}/{api_version}");
        let known = client.get(&api).await?;
        let resources = known["resources"].as_array();
        let resource = resources.into_iter().flatten().find(|resource| {
            // Subresources carry the kind of what they are part of.
            resource["kind"] == *kind
                && resource["name"]
                    .as_str()
                    .is_some_and(|name| !name.contains('/'))
        });
        let unknown = || ApiError::Unreadable(format!("{api} has no kind {kind}"));
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
    fn a_manifest_is_divided_into_its_objects() {
        let yaml = "# A note.\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n---\n\
                    apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  labels: &labels\n    name: x\n  \
                    name: b\n  namespace: a\nspec:\n  name: c\n---\n";
        let objects = objects(yaml).unwrap();
        let heads = objects
            .iter()
            .map(|o| (o.api_version, o.kind, o.name, o.namespace));
        assert_eq!(
            heads.collect::<Vec<_>>(),
            [
                ("v1", "Namespace", "a", None),
                ("apps/v1", "DaemonSet", "b", Some("a"))
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_refused_and_shown() {
        let error = objects("kind: Pod\n").unwrap_err().to_string();
        assert!(error.contains("kind: Pod"), "{error}");
    }
}

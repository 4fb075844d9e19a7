//! Selects pulls, and the level of detail.

use pulltrace_core::wire::v1::Phase;

/// Selects pulls. The default is all pulls, with their layers.
///
/// ```
/// use pulltrace_client::{Filter, Layers};
/// use pulltrace_core::wire::v1::Phase;
/// let filter = Filter::default().node("worker-1").image("nginx").phase(Phase::Failed).layers(Layers::None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub(crate) node: Option<String>,
    namespace: Option<String>,
    pod: Option<String>,
    image: Option<String>,
    phases: Vec<Phase>,
    layers: Layers,
}

/// The representation of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layers {
    /// Within their pull.
    #[default]
    Embed,
    /// Omitted, which saves many bytes.
    None,
    /// As separate events. Omitted from lists.
    Events,
}

impl Filter {
    /// Selects pulls of this node.
    #[must_use]
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// Selects pulls that pods of this namespace wait or waited for. A server without a pod source
    /// rejects it.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// Selects pulls that pods of this name wait or waited for. A server without a pod source
    /// rejects it.
    #[must_use]
    pub fn pod(mut self, name: impl Into<String>) -> Self {
        self.pod = Some(name.into());
        self
    }

    /// Selects pulls of images whose name contains this text, or whose digest equals it.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// Adds a phase to select. Without any, all phases are selected.
    #[must_use]
    pub fn phase(mut self, phase: Phase) -> Self {
        self.phases.push(phase);
        self
    }

    /// Sets the representation of layers.
    #[must_use]
    pub const fn layers(mut self, layers: Layers) -> Self {
        self.layers = layers;
        self
    }

    /// Removes the phases.
    pub(crate) fn in_any_phase(mut self) -> Self {
        self.phases.clear();
        self
    }

    pub(crate) fn list_query(&self) -> Vec<(&'static str, String)> {
        let layers = match self.layers {
            Layers::Embed => "embed",
            Layers::None | Layers::Events => "none",
        };
        self.query(layers)
    }

    pub(crate) fn stream_query(&self) -> Vec<(&'static str, String)> {
        let layers = match self.layers {
            Layers::Embed => "embed",
            Layers::None => "none",
            Layers::Events => "events",
        };
        self.query(layers)
    }

    /// Returns the query parameters that apply to pods, which exclude the phases.
    pub(crate) fn pods_query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.node.clone().map(|node| ("node", node)));
        query.extend(self.namespace.clone().map(|name| ("namespace", name)));
        query.extend(self.pod.clone().map(|pod| ("pod", pod)));
        query.extend(self.image.clone().map(|image| ("image", image)));
        query
    }

    fn query(&self, layers: &str) -> Vec<(&'static str, String)> {
        let mut query = vec![("layers", layers.to_owned())];
        query.extend(self.pods_query());
        if !self.phases.is_empty() {
            let names: Vec<_> = self.phases.iter().map(|phase| phase.as_str()).collect();
            query.push(("phase", names.join(",")));
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_becomes_query_parameters() {
        let filter = Filter::default()
            .node("w1")
            .namespace("shop")
            .pod("web-0")
            .image("nginx")
            .phase(Phase::Failed)
            .phase(Phase::Resolving)
            .layers(Layers::Events);
        let text = |query: Vec<(&str, String)>| {
            let pairs = query.iter().map(|(name, value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>().join("&")
        };
        assert_eq!(
            text(filter.stream_query()),
            "layers=events&node=w1&namespace=shop&pod=web-0&image=nginx&phase=failed,resolving"
        );
        assert_eq!(
            text(filter.clone().in_any_phase().list_query()),
            "layers=none&node=w1&namespace=shop&pod=web-0&image=nginx"
        );
        let pods = "node=w1&namespace=shop&pod=web-0&image=nginx";
        assert_eq!(text(filter.pods_query()), pods);
        assert_eq!(text(Filter::default().stream_query()), "layers=embed");
    }
}

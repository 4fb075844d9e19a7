//! Which pulls are asked for, and how much of each.

use pulltrace_core::wire::v1::Phase;

/// Which pulls; all of them by default, with their layers.
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

/// How layers are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// Inside their pull.
    #[default]
    Embed,
    /// Not at all: far fewer bytes.
    None,
    /// By events of their own. In a list, which has no events: not at all.
    Events,
}

impl Filter {
    /// Only pulls of this node.
    #[must_use]
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// Only pulls that pods of this namespace wait for, or waited. A server that knows no pods
    /// refuses it.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// Only pulls that pods of this name wait for, or waited. A server that knows no pods
    /// refuses it.
    #[must_use]
    pub fn pod(mut self, name: impl Into<String>) -> Self {
        self.pod = Some(name.into());
        self
    }

    /// Only pulls of images whose name has this in it, or whose digest is exactly this.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// Also pulls in this phase. Without any: pulls in each.
    #[must_use]
    pub fn phase(mut self, phase: Phase) -> Self {
        self.phases.push(phase);
        self
    }

    /// How layers are told.
    #[must_use]
    pub const fn layers(mut self, layers: Layers) -> Self {
        self.layers = layers;
        self
    }

    /// The same in every phase.
    pub(crate) fn in_any_phase(mut self) -> Self {
        self.phases.clear();
        self
    }

    pub(crate) fn of_list(&self) -> Vec<(&'static str, String)> {
        let layers = match self.layers {
            Layers::Embed => "embed",
            Layers::None | Layers::Events => "none",
        };
        self.query(layers)
    }

    pub(crate) fn of_stream(&self) -> Vec<(&'static str, String)> {
        let layers = match self.layers {
            Layers::Embed => "embed",
            Layers::None => "none",
            Layers::Events => "events",
        };
        self.query(layers)
    }

    /// What it says of pods: whatever phase their pulls are in.
    pub(crate) fn of_pods(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.node.clone().map(|node| ("node", node)));
        query.extend(self.namespace.clone().map(|name| ("namespace", name)));
        query.extend(self.pod.clone().map(|pod| ("pod", pod)));
        query.extend(self.image.clone().map(|image| ("image", image)));
        query
    }

    fn query(&self, layers: &str) -> Vec<(&'static str, String)> {
        let mut query = vec![("layers", layers.to_owned())];
        query.extend(self.of_pods());
        let words = self
            .phases
            .iter()
            .filter_map(|phase| serde_json::to_value(phase).ok());
        let words: Vec<String> = words
            .filter_map(|word| word.as_str().map(ToOwned::to_owned))
            .collect();
        if !words.is_empty() {
            query.push(("phase", words.join(",")));
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_the_servers_query() {
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
            text(filter.of_stream()),
            "layers=events&node=w1&namespace=shop&pod=web-0&image=nginx&phase=failed,resolving"
        );
        assert_eq!(
            text(filter.clone().in_any_phase().of_list()),
            "layers=none&node=w1&namespace=shop&pod=web-0&image=nginx"
        );
        let pods = "node=w1&namespace=shop&pod=web-0&image=nginx";
        assert_eq!(text(filter.of_pods()), pods);
        assert_eq!(text(Filter::default().of_stream()), "layers=embed");
    }
}

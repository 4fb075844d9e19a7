//! What a reader asks for: filters, and how much of each pull.

use pulltrace_core::wire::v1::Phase as Word;
use pulltrace_core::{NodeName, Outcome, Phase, Pull};

use super::problem::Refusal;

/// The most values of one filter.
const MAX_VALUES: usize = 64;

/// The parameters of a query, in their order.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// # Errors
    /// Where a parameter is not one of `known`, or is there twice.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let known = known.join(", ");
                let shown: String = name.chars().take(64).collect();
                return Err(Refusal::query()
                    .detail(format!("there is no `{shown}` here; there are {known}")));
            }
            if found.iter().any(|(other, _)| *other == name) {
                return Err(Refusal::query().detail(format!("`{name}` is there twice")));
            }
            found.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(found))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// The one of `words` that is asked for, or the first.
    pub(super) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&'static str, T)],
        default: T,
    ) -> Result<T, Refusal> {
        let Some(asked) = self.get(name) else {
            return Ok(default);
        };
        let found = words.iter().find(|(word, _)| *word == asked);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Refusal::query().detail(format!("`{name}` is one of {}", words.join(", ")))
        })
    }
}

/// The names of the filters.
pub(super) const FILTERS: [&str; 5] = ["node", "namespace", "pod", "image", "phase"];

/// Which pulls a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    node: Option<String>,
    image: Option<String>,
    /// Empty: all.
    phases: Vec<Phase>,
}

impl Filter {
    pub(super) fn of(query: &Query) -> Result<Self, Refusal> {
        for name in ["namespace", "pod"] {
            if query.get(name).is_some() {
                return Err(Refusal::new(
                    axum::http::StatusCode::BAD_REQUEST,
                    "not_available",
                    "This server does not know pods",
                )
                .detail(format!("`{name}` is not available without Kubernetes")));
            }
        }
        let phases = query.get("phase").unwrap_or_default();
        let phases = phases.split(',').filter(|word| !word.is_empty());
        let phases: Vec<Phase> = phases.map(phase).collect::<Result<_, _>>()?;
        if phases.len() > MAX_VALUES {
            return Err(Refusal::query().detail("`phase` has too many words"));
        }
        Ok(Self {
            node: query.get("node").map(ToOwned::to_owned),
            image: query.get("image").map(ToOwned::to_owned),
            phases,
        })
    }

    /// Whether it wants a pull, whatever that is doing.
    pub(super) fn wants(&self, pull: &Pull) -> bool {
        self.wants_node(pull.id.node()) && self.image.as_ref().is_none_or(|image| of(pull, image))
    }

    /// Whether it wants what is on a node.
    pub(super) fn wants_node(&self, name: &NodeName) -> bool {
        self.node.as_ref().is_none_or(|node| name.as_str() == node)
    }

    /// Whether it wants pulls that are doing this.
    pub(super) fn wants_phase(&self, phase: Phase) -> bool {
        self.phases.is_empty() || self.phases.contains(&phase)
    }

    /// Whether it must be told that a pull ended so: because it asked for such ends, or for pulls that
    /// live, of which it would otherwise not hear that this one does no more.
    pub(super) fn wants_end(&self, phase: Phase) -> bool {
        let live = |phase: &Phase| phase.outcome().is_none();
        phase.outcome().is_some() && (self.wants_phase(phase) || self.phases.iter().any(live))
    }
}

/// Whether a pull is of this image: a part of its name, or exactly one of its digests.
fn of(pull: &Pull, asked: &str) -> bool {
    if asked.starts_with("sha256:") {
        let manifests = pull.image.iter().flat_map(|image| &image.manifests);
        return pull
            .root
            .iter()
            .chain(manifests)
            .any(|digest| digest.as_str() == asked);
    }
    let repository = pull.repository.iter().map(ToString::to_string);
    let mut names = pull.names.iter().map(ToString::to_string).chain(repository);
    names.any(|name| name.contains(asked))
}

fn phase(word: &str) -> Result<Phase, Refusal> {
    let read = serde_json::from_value(serde_json::Value::from(word));
    Ok(match read.unwrap_or(Word::Other) {
        Word::Queued => Phase::Queued,
        Word::Resolving => Phase::Resolving,
        Word::Downloading => Phase::Downloading,
        Word::Extracting => Phase::Extracting,
        Word::Completed => Phase::Ended(Outcome::Completed),
        Word::Failed => Phase::Ended(Outcome::Failed),
        Word::Cancelled => Phase::Ended(Outcome::Cancelled),
        Word::Unknown => Phase::Ended(Outcome::Unknown),
        _ => {
            return Err(Refusal::query().detail(
                "`phase` is a list of queued, resolving, downloading, extracting, completed, failed, cancelled, unknown",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Result<Filter, Refusal> {
        Filter::of(&Query::parse(Some(query), &FILTERS)?)
    }

    #[test]
    fn phases_are_read_by_the_words_of_the_wire() {
        let filter = filter("phase=downloading,failed&node=w1").unwrap();
        assert!(filter.wants_phase(Phase::Downloading));
        assert!(filter.wants_phase(Phase::Ended(Outcome::Failed)));
        assert!(!filter.wants_phase(Phase::Extracting));
        assert!(Filter::default().wants_phase(Phase::Extracting));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_not_left_out() {
        for query in [
            "phase=done",
            "phase=other",
            "nod=w1",
            "node=a&node=b",
            "namespace=x",
            "pod=y",
        ] {
            assert!(filter(query).is_err(), "{query}");
        }
    }
}

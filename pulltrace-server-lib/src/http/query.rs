//! What a reader asks for: filters, and how much of each pull.

use std::collections::BTreeSet;

use pulltrace_core::wire::v1::Phase as Word;
use pulltrace_core::{
    NodeName, Outcome, Phase, PodRef, Pull, PullId, Version, Waiter, WantedImage,
};

use super::problem::Refusal;
use crate::table::Row;

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

    /// The pulls that are asked for by their ids, none of which has a comma; `None` where all are.
    pub(super) fn ids(&self) -> Result<Option<BTreeSet<PullId>>, Refusal> {
        let Some(asked) = self.get("id") else {
            return Ok(None);
        };
        let refuse = || {
            Refusal::query().detail(format!("`id` is 1 to {MAX_VALUES} ids of pulls, by commas"))
        };
        if asked.split(',').count() > MAX_VALUES {
            return Err(refuse());
        }
        let ids: Result<_, _> = asked.split(',').map(str::parse).collect();
        ids.map(Some).map_err(|_| refuse())
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
    pods: PodFilter,
    image: Option<String>,
    /// Empty: all.
    phases: Vec<Phase>,
}

/// Which pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodFilter {
    namespace: Option<String>,
    pod: Option<String>,
}

impl PodFilter {
    pub(super) fn wants(&self, pod: &PodRef) -> bool {
        let is = |asked: &Option<String>, name: &str| asked.as_ref().is_none_or(|a| a == name);
        is(&self.namespace, pod.namespace.as_str()) && is(&self.pod, pod.name.as_str())
    }

    const fn is_any(&self) -> bool {
        self.namespace.is_none() && self.pod.is_none()
    }
}

impl Filter {
    /// `pods`: whether this server knows pods.
    pub(super) fn of(query: &Query, pods: bool) -> Result<Self, Refusal> {
        let asked = ["namespace", "pod"];
        if let Some(name) = asked.iter().find(|name| query.get(name).is_some())
            && !pods
        {
            return Err(Refusal::no_pods(&format!("`{name}` is")));
        }
        let phases = query.get("phase").unwrap_or_default();
        let phases = phases.split(',').filter(|word| !word.is_empty());
        let phases: Vec<Phase> = phases.map(phase).collect::<Result<_, _>>()?;
        if phases.len() > MAX_VALUES {
            return Err(Refusal::query().detail("`phase` has too many words"));
        }
        Ok(Self {
            node: query.get("node").map(ToOwned::to_owned),
            pods: PodFilter {
                namespace: query.get("namespace").map(ToOwned::to_owned),
                pod: query.get("pod").map(ToOwned::to_owned),
            },
            image: query.get("image").map(ToOwned::to_owned),
            phases,
        })
    }

    /// Whether it wants a pull, whatever that is doing.
    pub(super) fn wants(&self, row: &Row) -> bool {
        self.wants_node(row.pull.id.node()) && self.wants_links(row, &row.waiters())
    }

    /// Whether it wants a pull now, and did not by who was known to wait for it at that change.
    pub(super) fn is_new(&self, row: &Row, since: u64) -> bool {
        row.linked.iter().any(|linked| *linked > since)
            && self.wants(row)
            && !self.wants_links(row, &row.waiters_at(since))
    }

    /// Whether it wanted a pull by who was known to wait for it at that change, and does no more.
    pub(super) fn has_left(&self, row: &Row, since: u64) -> bool {
        row.unlinked.iter().any(|(_, unlinked)| *unlinked > since)
            && self.wants_node(row.pull.id.node())
            && self.wants_links(row, &row.waiters_at(since))
            && !self.wants(row)
    }

    /// Whether it wants a pull for which these wait.
    fn wants_links<'a>(
        &self,
        row: &Row,
        waiters: &(impl Iterator<Item = &'a Waiter> + Clone),
    ) -> bool {
        let pods = || waiters.clone().any(|waiter| self.pods.wants(&waiter.pod));
        let image = |asked: &String| {
            let mut images = waiters.clone().map(|waiter| &waiter.image);
            of(&row.pull, asked) || images.any(|image| names(image, asked))
        };
        (self.pods.is_any() || pods()) && self.image.as_ref().is_none_or(image)
    }

    /// Whether it wants a pod on this node with these images.
    pub(super) fn wants_pod<'a>(
        &self,
        pod: &PodRef,
        node: &NodeName,
        mut images: impl Iterator<Item = &'a WantedImage>,
    ) -> bool {
        let image = self.image.as_ref();
        self.wants_node(node)
            && self.pods.wants(pod)
            && image.is_none_or(|asked| images.any(|image| names(image, asked)))
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

/// Whether an image that somebody wants is this one, in the same way.
fn names(image: &WantedImage, asked: &str) -> bool {
    match image.named().map(|name| name.version()) {
        Some(Version::Digest(digest)) if asked.starts_with("sha256:") => digest.as_str() == asked,
        _ if asked.starts_with("sha256:") => false,
        _ => image.to_string().contains(asked),
    }
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
    use std::sync::Arc;

    use pulltrace_core::{ChangeKind, LinkEvidence, Links, PullId};

    use super::*;
    use crate::fleet::{Changes, PullChange};
    use crate::table::Table;

    fn filter(query: &str) -> Result<Filter, Refusal> {
        Filter::of(&Query::parse(Some(query), &FILTERS)?, false)
    }

    #[test]
    fn phases_are_read_by_the_words_of_the_wire() {
        let filter = filter("phase=downloading,failed&node=w1").unwrap();
        assert!(filter.wants_phase(Phase::Downloading));
        assert!(filter.wants_phase(Phase::Ended(Outcome::Failed)));
        assert!(!filter.wants_phase(Phase::Extracting));
        assert!(Filter::default().wants_phase(Phase::Extracting));
    }

    /// The next version of a row that these pods wait for.
    fn next(table: &mut Table, pods: &[&str]) -> Arc<Row> {
        let id: PullId = "lease~w1~k8s.io~1-a~0".parse().unwrap();
        let start = "2026-11-24T20:00:00Z".parse().unwrap();
        let pull = Arc::new(Pull::new(id.clone(), Phase::Resolving, start));
        let waiter = |name: &&str| {
            let pod = PodRef {
                namespace: "shop".parse().unwrap(),
                name: name.parse().unwrap(),
                uid: name.parse().unwrap(),
            };
            let waiter = Waiter {
                pod,
                slot: "app".parse().unwrap(),
                image: WantedImage::of("registry.example/app:1"),
            };
            (waiter, LinkEvidence::OnlyCandidate)
        };
        let links = Links {
            pods: pods.iter().map(waiter).collect(),
            ..Links::default()
        };
        let mut changes = Changes::default();
        changes.pulls.push(PullChange {
            links: Some(Arc::new(links)),
            ..PullChange::new(ChangeKind::Progressed, pull)
        });
        table.take(&changes);
        Arc::clone(table.get(&id).unwrap())
    }

    #[test]
    fn a_row_comes_and_goes_with_its_pods() {
        let mut table = Table::new("e", 10);
        let pods = |query: &str| Filter::of(&Query::parse(Some(query), &FILTERS).unwrap(), true);
        let (web, db) = (pods("pod=web").unwrap(), pods("pod=db").unwrap());
        let image = pods("image=app:1").unwrap();
        // Which filter wants it, to which it is new and which it has left, to one that saw it then.
        let told = |row: &Row, since: u64| {
            [&web, &db, &image].map(|filter| {
                let (new, left) = (filter.is_new(row, since), filter.has_left(row, since));
                (filter.wants(row), new, left)
            })
        };
        let [no, yes] = [false, true];
        let row = next(&mut table, &[]);
        assert_eq!(told(&row, 0), [(no, no, no); 3]);
        let row = next(&mut table, &["web"]);
        assert_eq!(
            told(&row, 1),
            [(yes, yes, no), (no, no, no), (yes, yes, no)]
        );
        let row = next(&mut table, &["db", "web"]);
        assert_eq!(
            told(&row, 2),
            [(yes, no, no), (yes, yes, no), (yes, no, no)]
        );
        assert!(told(&row, 1)[0].1, "since it came, not since it changed");
        let row = next(&mut table, &["db"]);
        assert_eq!(told(&row, 3), [(no, no, yes), (yes, no, no), (yes, no, no)]);
        assert_eq!(told(&row, 4), [(no, no, no), (yes, no, no), (yes, no, no)]);
        let row = next(&mut table, &["web"]);
        assert_eq!(
            told(&row, 4),
            [(yes, yes, no), (no, no, yes), (yes, no, no)]
        );
    }

    #[test]
    fn ids_are_read_and_at_most_64_of_them() {
        let ids = |text: &str| Query::parse(Some(text), &["id"]).and_then(|query| query.ids());
        let id = |number: usize| format!("record~w1~k8s.io~sha256:{number:064x}~1");
        assert_eq!(ids("").unwrap(), None);
        let asked = format!("id={},{},{}", id(2), id(1), id(2));
        let two = [id(1), id(2)].map(|id| id.parse().unwrap());
        assert_eq!(ids(&asked).unwrap(), Some(two.into()));
        let many = |count| (0..count).map(id).collect::<Vec<_>>().join(",");
        assert_eq!(ids(&format!("id={}", many(64))).unwrap().unwrap().len(), 64);
        let same = vec![id(1); 65].join(",");
        for text in ["", ",", "x", &format!("{},", id(1)), &many(65), &same] {
            assert!(ids(&format!("id={text}")).is_err(), "{text}");
        }
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

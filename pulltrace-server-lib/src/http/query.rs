//! Query parameters: filters, and the level of detail.

use std::collections::BTreeSet;

use pulltrace_core::wire::v1::Phase as WirePhase;
use pulltrace_core::{NodeName, Phase, PodRef, Pull, PullId, RequestedImage, TagOrDigest, Waiter};

use super::openapi::{Param, text};
use super::problem::ProblemResponse;
use crate::table::Row;

/// Maximum number of values of one filter.
const MAX_VALUES: usize = 64;

/// Query parameters, in their original order.
#[derive(Debug, Default)]
pub(super) struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    /// Parses a query string.
    ///
    /// # Errors
    /// Fails if a parameter is not in `known` or occurs twice.
    pub(super) fn parse(query: Option<&str>, known: &[&Param]) -> Result<Self, ProblemResponse> {
        let known = known.iter().filter(|param| param.is_in_query());
        let known: Vec<&str> = known.map(|param| param.name).collect();
        let mut found: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let known = known.join(", ");
                let shown: String = name.chars().take(64).collect();
                return Err(ProblemResponse::invalid_query()
                    .with_detail(format!("unknown parameter `{shown}` (supported: {known})")));
            }
            if found.iter().any(|(other, _)| *other == name) {
                return Err(ProblemResponse::invalid_query()
                    .with_detail(format!("duplicate parameter `{name}`")));
            }
            found.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(found))
    }

    pub(super) fn get(&self, param: &Param) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == param.name).map(|(_, value)| value.as_str())
    }

    /// The requested pull ids, or `None` if the parameter is absent. Ids contain no commas.
    pub(super) fn pull_ids(&self) -> Result<Option<BTreeSet<PullId>>, ProblemResponse> {
        let Some(asked) = self.get(&IDS) else {
            return Ok(None);
        };
        let refuse = || {
            ProblemResponse::invalid_query().with_detail(format!(
                "invalid `id`: expected 1 to {MAX_VALUES} pull ids, separated by commas"
            ))
        };
        if asked.split(',').count() > MAX_VALUES {
            return Err(refuse());
        }
        let ids: Result<_, _> = asked.split(',').map(str::parse).collect();
        ids.map(Some).map_err(|_| refuse())
    }

    /// The value of an enumerated parameter, or the first one if it is absent.
    pub(super) fn choice<T: Copy, const N: usize>(
        &self,
        param: &Param,
        words: &[(&'static str, T); N],
    ) -> Result<T, ProblemResponse> {
        let Some(asked) = self.get(param) else {
            return Ok(words[0].1);
        };
        let found = words.iter().find(|(word, _)| *word == asked);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            ProblemResponse::invalid_query().with_detail(format!(
                "invalid `{}`: expected one of {}",
                param.name,
                words.join(", ")
            ))
        })
    }
}

pub(super) static NODE: Param = Param::query("node", "node", || text("Select pulls of this node."));
pub(super) static NAMESPACE: Param = Param::query("namespace", "namespace", || {
    text("Select pulls that a pod of this namespace waits or waited for; select pods of it.")
});
pub(super) static POD: Param = Param::query("pod", "pod", || {
    text("Select pulls that a pod of this name waits or waited for; select pods of this name.")
});
pub(super) static IMAGE: Param = Param::query("image", "image", || {
    text("Select pulls of images whose name contains this text, or whose digest equals it.")
});
pub(super) static PHASE: Param = Param::query("phase", "phase", || {
    text("Select pulls in one of these phases, separated by commas.")
});
pub(super) static IDS: Param = Param::query("ids", "id", || {
    text(format!("Select these pulls: 1 to {MAX_VALUES} ids, separated by commas."))
});

/// A filter on pulls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    node: Option<String>,
    pods: PodFilter,
    image: Option<String>,
    /// Empty: all phases.
    phases: Vec<Phase>,
}

/// A filter on pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodFilter {
    namespace: Option<String>,
    pod: Option<String>,
}

impl PodFilter {
    pub(super) fn matches(&self, pod: &PodRef) -> bool {
        let is = |asked: &Option<String>, name: &str| asked.as_ref().is_none_or(|a| a == name);
        is(&self.namespace, pod.namespace.as_str()) && is(&self.pod, pod.name.as_str())
    }

    const fn matches_all(&self) -> bool {
        self.namespace.is_none() && self.pod.is_none()
    }
}

impl Filter {
    /// Reads the filter parameters. `pods`: whether this server has a source of pods or events.
    pub(super) fn from_query(query: &QueryParams, pods: bool) -> Result<Self, ProblemResponse> {
        let asked = [&NAMESPACE, &POD];
        if let Some(param) = asked.iter().find(|param| query.get(param).is_some())
            && !pods
        {
            return Err(ProblemResponse::pods_unavailable(&format!("`{}` is", param.name)));
        }
        let phases = query.get(&PHASE).unwrap_or_default();
        let phases = phases.split(',').filter(|word| !word.is_empty());
        let phases: Vec<Phase> = phases.map(parse_phase).collect::<Result<_, _>>()?;
        if phases.len() > MAX_VALUES {
            return Err(ProblemResponse::invalid_query().with_detail("too many values for `phase`"));
        }
        Ok(Self {
            node: query.get(&NODE).map(ToOwned::to_owned),
            pods: PodFilter {
                namespace: query.get(&NAMESPACE).map(ToOwned::to_owned),
                pod: query.get(&POD).map(ToOwned::to_owned),
            },
            image: query.get(&IMAGE).map(ToOwned::to_owned),
            phases,
        })
    }

    /// Returns whether a pull matches, regardless of its phase.
    pub(super) fn matches(&self, row: &Row) -> bool {
        self.matches_node(row.pull.id.node()) && self.matches_waiters(row, &row.waiters())
    }

    /// Returns whether a pull matches now, but did not with the waiters known at sequence number
    /// `since`.
    pub(super) fn newly_matches(&self, row: &Row, since: u64) -> bool {
        row.linked_seqs.iter().any(|linked| *linked > since)
            && self.matches(row)
            && !self.matches_waiters(row, &row.waiters_at(since))
    }

    /// Returns whether a pull matched with the waiters known at sequence number `since`, but no
    /// longer does.
    pub(super) fn no_longer_matches(&self, row: &Row, since: u64) -> bool {
        row.unlinked.iter().any(|(_, unlinked)| *unlinked > since)
            && self.matches_node(row.pull.id.node())
            && self.matches_waiters(row, &row.waiters_at(since))
            && !self.matches(row)
    }

    /// Returns whether a pull with these waiters matches.
    fn matches_waiters<'a>(
        &self,
        row: &Row,
        waiters: &(impl Iterator<Item = &'a Waiter> + Clone),
    ) -> bool {
        let pods = || waiters.clone().any(|waiter| self.pods.matches(&waiter.pod));
        let image = |asked: &String| {
            let mut images = waiters.clone().map(|waiter| &waiter.image);
            pull_has_image(&row.pull, asked) || images.any(|image| image_matches(image, asked))
        };
        (self.pods.matches_all() || pods()) && self.image.as_ref().is_none_or(image)
    }

    /// Returns whether a pod on this node with these images matches.
    pub(super) fn matches_pod<'a>(
        &self,
        pod: &PodRef,
        node: &NodeName,
        mut images: impl Iterator<Item = &'a RequestedImage>,
    ) -> bool {
        let image = self.image.as_ref();
        self.matches_node(node)
            && self.pods.matches(pod)
            && image.is_none_or(|asked| images.any(|image| image_matches(image, asked)))
    }

    /// Returns whether anything on this node may match.
    pub(super) fn matches_node(&self, name: &NodeName) -> bool {
        self.node.as_ref().is_none_or(|node| name.as_str() == node)
    }

    /// Returns whether pulls in this phase match.
    pub(super) fn matches_phase(&self, phase: Phase) -> bool {
        self.phases.is_empty() || self.phases.contains(&phase)
    }

    /// Returns whether the end of a pull must be sent: either the reader asked for this outcome, or
    /// it asked for pulls in progress and must learn that this one has ended.
    pub(super) fn matches_end(&self, phase: Phase) -> bool {
        let live = |phase: &Phase| phase.outcome().is_none();
        phase.outcome().is_some() && (self.matches_phase(phase) || self.phases.iter().any(live))
    }
}

/// Returns whether the pull's image matches: `asked` is part of its name or equal to one of its
/// digests.
fn pull_has_image(pull: &Pull, asked: &str) -> bool {
    if asked.starts_with("sha256:") {
        let manifests = pull.image.iter().flat_map(|image| &image.manifests);
        return pull.root.iter().chain(manifests).any(|digest| digest.as_str() == asked);
    }
    let repository = pull.repository.iter().map(ToString::to_string);
    let mut names = pull.names.iter().map(ToString::to_string).chain(repository);
    names.any(|name| name.contains(asked))
}

/// Returns whether an image requested by a pod matches, by the same rules.
fn image_matches(image: &RequestedImage, asked: &str) -> bool {
    match image.image_ref().map(|name| name.tag_or_digest()) {
        Some(TagOrDigest::Digest(digest)) if asked.starts_with("sha256:") => {
            digest.as_str() == asked
        }
        _ if asked.starts_with("sha256:") => false,
        _ => image.to_string().contains(asked),
    }
}

fn parse_phase(name: &str) -> Result<Phase, ProblemResponse> {
    let phase = WirePhase::from_name(name).and_then(|phase| phase.try_into().ok());
    phase.ok_or_else(|| {
        let known = WirePhase::ALL.map(WirePhase::as_str).join(", ");
        ProblemResponse::invalid_query()
            .with_detail(format!("invalid `phase`: expected a list of {known}"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pulltrace_core::{ChangeKind, LinkEvidence, Links, Outcome, PullId};

    use super::*;
    use crate::change::{Changes, PullChange};
    use crate::table::Table;

    static FILTERS: [&Param; 5] = [&NODE, &NAMESPACE, &POD, &IMAGE, &PHASE];

    fn parse_filter(query: &str) -> Result<Filter, ProblemResponse> {
        Filter::from_query(&QueryParams::parse(Some(query), &FILTERS)?, false)
    }

    #[test]
    fn phase_filter_parses_wire_names() {
        let filter = parse_filter("phase=downloading,failed&node=w1").unwrap();
        assert!(filter.matches_phase(Phase::Downloading));
        assert!(filter.matches_phase(Phase::Ended(Outcome::Failed)));
        assert!(!filter.matches_phase(Phase::Extracting));
        assert!(Filter::default().matches_phase(Phase::Extracting));
    }

    /// Applies the next version of a row, with these pods waiting for it.
    fn next_row(table: &mut Table, pods: &[&str]) -> Arc<Row> {
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
                consumer: "app".parse().unwrap(),
                image: RequestedImage::from_text("registry.example/app:1"),
            };
            (waiter, LinkEvidence::OnlyCandidate)
        };
        let links = Links { pods: pods.iter().map(waiter).collect(), ..Links::default() };
        let mut changes = Changes::default();
        changes.pulls.push(PullChange {
            links: Some(Arc::new(links)),
            ..PullChange::new(ChangeKind::Progressed, pull)
        });
        table.apply(&changes);
        Arc::clone(table.get(&id).unwrap())
    }

    #[test]
    fn filter_tracks_pod_links_over_time() {
        let mut table = Table::new("e", 10);
        let pods = |query: &str| {
            Filter::from_query(&QueryParams::parse(Some(query), &FILTERS).unwrap(), true)
        };
        let (web, db) = (pods("pod=web").unwrap(), pods("pod=db").unwrap());
        let image = pods("image=app:1").unwrap();
        // For each filter: does it match, is it a new match, did it stop matching, for a reader
        // that saw `since`.
        let outcomes = |row: &Row, since: u64| {
            [&web, &db, &image].map(|filter| {
                let (new, left) =
                    (filter.newly_matches(row, since), filter.no_longer_matches(row, since));
                (filter.matches(row), new, left)
            })
        };
        let [no, yes] = [false, true];
        let row = next_row(&mut table, &[]);
        assert_eq!(outcomes(&row, 0), [(no, no, no); 3]);
        let row = next_row(&mut table, &["web"]);
        assert_eq!(outcomes(&row, 1), [(yes, yes, no), (no, no, no), (yes, yes, no)]);
        let row = next_row(&mut table, &["db", "web"]);
        assert_eq!(outcomes(&row, 2), [(yes, no, no), (yes, yes, no), (yes, no, no)]);
        assert!(outcomes(&row, 1)[0].1, "since it was linked, not since it changed");
        let row = next_row(&mut table, &["db"]);
        assert_eq!(outcomes(&row, 3), [(no, no, yes), (yes, no, no), (yes, no, no)]);
        assert_eq!(outcomes(&row, 4), [(no, no, no), (yes, no, no), (yes, no, no)]);
        let row = next_row(&mut table, &["web"]);
        assert_eq!(outcomes(&row, 4), [(yes, yes, no), (no, no, yes), (yes, no, no)]);
    }

    #[test]
    fn pull_ids_parses_up_to_64_ids() {
        let ids =
            |text: &str| QueryParams::parse(Some(text), &[&IDS]).and_then(|query| query.pull_ids());
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
    fn unknown_parameters_and_values_are_rejected() {
        for query in
            ["phase=done", "phase=other", "nod=w1", "node=a&node=b", "namespace=x", "pod=y"]
        {
            assert!(parse_filter(query).is_err(), "{query}");
        }
    }
}

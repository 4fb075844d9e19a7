//! Compares the clients' outcomes to the collector's pulls: each must have its counterpart.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use pulltrace_core::{NodeTime, Outcome, Pull};

use crate::collector::{Observed, ObservedPull};
use crate::runner::ClientOutcome;

/// containerd's timestamp of a lease is slightly later than the call.
const SKEW: Duration = Duration::from_millis(100);

/// The differences between outcomes and observed pulls.
#[derive(Default)]
pub(crate) struct Mismatches {
    pub(crate) lost: Vec<String>,
    pub(crate) invented: Vec<String>,
    pub(crate) wrong: Vec<String>,
    pub(crate) unnamed: Vec<String>,
    pub(crate) sizes: Vec<String>,
}

impl Mismatches {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { lost, invented, wrong, unnamed, sizes } = self;
        [lost, invented, wrong, unnamed, sizes].iter().all(|list| list.is_empty())
    }
}

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, list) in [
            ("lost", &self.lost),
            ("invented", &self.invented),
            ("wrong", &self.wrong),
            ("wrong name", &self.unnamed),
            ("size differs from the manifest", &self.sizes),
        ] {
            for text in list {
                writeln!(f, "{word}: {text}")?;
            }
        }
        Ok(())
    }
}

/// Compares outcomes to observed pulls. `totals` contains the size of each image by root digest.
pub(crate) fn compare(
    outcomes: &[ClientOutcome],
    observed: &Observed,
    totals: &HashMap<String, u64>,
) -> Mismatches {
    let rows: Vec<&ObservedPull> = observed.pulls.values().collect();
    let mut mismatches = Mismatches::default();
    let exact = max_matching(outcomes, rows.len(), |i, j| {
        can_match(&outcomes[i], rows[j]) && outcome_matches(&rows[j].pull, outcomes[i].completed)
    });
    let mut free: BTreeSet<usize> = (0..rows.len()).collect();
    exact.iter().flatten().for_each(|j| _ = free.remove(j));
    for (i, _) in exact.iter().enumerate().filter(|(_, row)| row.is_none()) {
        let told = &outcomes[i];
        match free.iter().copied().find(|j| can_match(told, rows[*j])) {
            Some(j) => {
                free.remove(&j);
                mismatches.wrong.push(format!(
                    "{}, but {}",
                    describe_outcome(told),
                    describe_pull(rows[j])
                ));
            }
            None if told.must_be_seen => mismatches.lost.push(describe_outcome(told)),
            None => {}
        }
    }
    for j in &free {
        let root = rows[*j].root();
        let same = outcomes.iter().filter(|told| Some(&told.root) == root.as_ref());
        let same: Vec<String> = same.map(describe_outcome).collect();
        mismatches
            .invented
            .push(format!("{}; outcomes with this root: {same:?}", describe_pull(rows[*j])));
    }
    for row in &rows {
        if row.end_count != 1 {
            let text = format!("{} reported ends: {}", row.end_count, describe_pull(row));
            mismatches.wrong.push(text);
        }
        check_name(outcomes, row, &mut mismatches);
        check_size(row, totals, &mut mismatches);
    }
    mismatches
}

/// Reports whether an observed pull can belong to a client's outcome, regardless of the result of
/// either.
fn can_match(outcome: &ClientOutcome, row: &ObservedPull) -> bool {
    let root = match row.root() {
        Some(root) => root == outcome.root,
        None => outcome.may_lack_root,
    };
    // A pull shorter than the poll interval is known only from the record that it wrote, and its
    // start time is an estimate. Therefore this uses the time in the id.
    let known_at = row.pull.id.at();
    root && known_at >= outcome.from.saturating_sub(SKEW)
        && known_at <= outcome.to.saturating_add(SKEW)
}

fn outcome_matches(pull: &Pull, completed: bool) -> bool {
    pull.outcome() == Some(if completed { Outcome::Completed } else { Outcome::Failed })
}

/// Maximum bipartite matching (Kuhn's algorithm) of outcomes to observed pulls. Outcomes that must
/// be observed are matched first.
fn max_matching(
    outcomes: &[ClientOutcome],
    rows: usize,
    fits: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut row_of = vec![None; outcomes.len()];
    let mut outcome_of: Vec<Option<usize>> = vec![None; rows];
    let must = (0..outcomes.len()).filter(|i| outcomes[*i].must_be_seen);
    let may = (0..outcomes.len()).filter(|i| !outcomes[*i].must_be_seen);
    for i in must.chain(may) {
        let mut tried = vec![false; rows];
        augment(i, &fits, &mut tried, &mut row_of, &mut outcome_of);
    }
    row_of
}

fn augment(
    i: usize,
    fits: &impl Fn(usize, usize) -> bool,
    tried: &mut [bool],
    row_of: &mut [Option<usize>],
    outcome_of: &mut [Option<usize>],
) -> bool {
    for j in 0..outcome_of.len() {
        if tried[j] || !fits(i, j) {
            continue;
        }
        tried[j] = true;
        let is_free = match outcome_of[j] {
            None => true,
            Some(other) => augment(other, fits, tried, row_of, outcome_of),
        };
        if is_free {
            outcome_of[j] = Some(i);
            row_of[i] = Some(j);
            return true;
        }
    }
    false
}

/// Checks that a completed pull has the pulled reference as its name, or one of them if several
/// refer to the image.
fn check_name(outcomes: &[ClientOutcome], row: &ObservedPull, mismatches: &mut Mismatches) {
    if row.pull.outcome() != Some(Outcome::Completed) {
        return;
    }
    let title = row.pull.display_name();
    let known = outcomes
        .iter()
        .filter(|told| told.completed && can_match(told, row))
        .any(|told| Some(&told.reference) == title.as_ref());
    if !known {
        mismatches.unnamed.push(describe_pull(row));
    }
}

fn check_size(row: &ObservedPull, totals: &HashMap<String, u64>, mismatches: &mut Mismatches) {
    let wanted = row.root().and_then(|root| totals.get(&root).copied());
    let total = row.pull.total.map(|total| total.0);
    let here = row.pull.cached.0 + row.pull.motion.downloaded.0;
    let completed = row.pull.outcome() == Some(Outcome::Completed);
    if total.is_some_and(|total| Some(total) != wanted) || (completed && Some(here) != wanted) {
        let text = format!(
            "expected {wanted:?} bytes, got a total of {total:?} with {here} present: {}",
            describe_pull(row)
        );
        mismatches.sizes.push(text);
    }
}

fn describe_outcome(outcome: &ClientOutcome) -> String {
    format!(
        "{} from {} to {} (root {}): client outcome `{}`",
        outcome.plan,
        time_of_day(outcome.from),
        time_of_day(outcome.to),
        short_digest(&outcome.root),
        outcome.detail
    )
}

fn describe_pull(row: &ObservedPull) -> String {
    format!(
        "collector on {} (root {}, started {}, ended {}): {}",
        row.pull.display_name().unwrap_or_else(|| "unnamed pull".to_owned()),
        row.root().as_deref().map_or("unknown", short_digest),
        time_of_day(row.started_at()),
        row.pull.ended_at.map_or("never".to_owned(), time_of_day),
        row.history.join(", ")
    )
}

fn time_of_day(at: NodeTime) -> String {
    let text = at.to_string();
    text.chars().skip(11).take(12).collect()
}

fn short_digest(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

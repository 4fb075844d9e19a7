//! What clients were told beside what the collector says: each must have its
//! counterpart. Pure.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use pulltrace_core::{NodeTime, Outcome, Pull};

use crate::play::Told;
use crate::seen::{Row, Seen};

/// containerd stamps a lease a moment after the call came in.
const SKEW: Duration = Duration::from_millis(100);

/// How what was told and what was seen differ.
#[derive(Default)]
pub(crate) struct Difference {
    pub(crate) lost: Vec<String>,
    pub(crate) invented: Vec<String>,
    pub(crate) wrong: Vec<String>,
    pub(crate) unnamed: Vec<String>,
    pub(crate) sizes: Vec<String>,
}

impl Difference {
    pub(crate) fn is_none(&self) -> bool {
        let Self {
            lost,
            invented,
            wrong,
            unnamed,
            sizes,
        } = self;
        [lost, invented, wrong, unnamed, sizes]
            .iter()
            .all(|list| list.is_empty())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, list) in [
            ("lost", &self.lost),
            ("invented", &self.invented),
            ("wrong", &self.wrong),
            ("not named as it was pulled", &self.unnamed),
            ("of another size than its manifest", &self.sizes),
        ] {
            for text in list {
                writeln!(f, "{word}: {text}")?;
            }
        }
        Ok(())
    }
}

/// `totals` are the bytes of each image, by its root.
pub(crate) fn compare(told: &[Told], seen: &Seen, totals: &HashMap<String, u64>) -> Difference {
    let rows: Vec<&Row> = seen.rows.values().collect();
    let mut difference = Difference::default();
    let exact = matching(told, rows.len(), |i, j| {
        fits(&told[i], rows[j]) && ended_as(&rows[j].pull, told[i].completed)
    });
    let mut free: BTreeSet<usize> = (0..rows.len()).collect();
    exact.iter().flatten().for_each(|j| _ = free.remove(j));
    for (i, _) in exact.iter().enumerate().filter(|(_, row)| row.is_none()) {
        let told = &told[i];
        match free.iter().copied().find(|j| fits(told, rows[*j])) {
            Some(j) => {
                free.remove(&j);
                difference
                    .wrong
                    .push(format!("{}, but {}", was_told(told), was_seen(rows[j])));
            }
            None if told.must_be_seen => difference.lost.push(was_told(told)),
            None => {}
        }
    }
    for j in &free {
        let root = rows[*j].root();
        let same = told.iter().filter(|told| Some(&told.root) == root.as_ref());
        let same: Vec<String> = same.map(was_told).collect();
        difference
            .invented
            .push(format!("{}; of this root: {same:?}", was_seen(rows[*j])));
    }
    for row in &rows {
        if row.ends != 1 {
            let text = format!("it ended {} times: {}", row.ends, was_seen(row));
            difference.wrong.push(text);
        }
        check_name(told, row, &mut difference);
        check_size(row, totals, &mut difference);
    }
    difference
}

/// Whether this row can be of this pull, whatever became of both.
fn fits(told: &Told, row: &Row) -> bool {
    let root = match row.root() {
        Some(root) => root == told.root,
        None => told.may_lack_root,
    };
    // What was shorter than a poll is known by the record that it wrote, and
    // when it began is then only guessed.
    let known_at = row.pull.id.at();
    root && known_at >= told.from.saturating_sub(SKEW) && known_at <= told.to.saturating_add(SKEW)
}

fn ended_as(pull: &Pull, completed: bool) -> bool {
    pull.outcome()
        == Some(if completed {
            Outcome::Completed
        } else {
            Outcome::Failed
        })
}

/// For each pull its row, so that as many as possible have one, and those that
/// must be seen come first (Kuhn's algorithm).
fn matching(told: &[Told], rows: usize, fits: impl Fn(usize, usize) -> bool) -> Vec<Option<usize>> {
    let mut row_of = vec![None; told.len()];
    let mut told_of: Vec<Option<usize>> = vec![None; rows];
    let must = (0..told.len()).filter(|i| told[*i].must_be_seen);
    let may = (0..told.len()).filter(|i| !told[*i].must_be_seen);
    for i in must.chain(may) {
        let mut tried = vec![false; rows];
        augment(i, &fits, &mut tried, &mut row_of, &mut told_of);
    }
    row_of
}

fn augment(
    i: usize,
    fits: &impl Fn(usize, usize) -> bool,
    tried: &mut [bool],
    row_of: &mut [Option<usize>],
    told_of: &mut [Option<usize>],
) -> bool {
    for j in 0..told_of.len() {
        if tried[j] || !fits(i, j) {
            continue;
        }
        tried[j] = true;
        let is_free = match told_of[j] {
            None => true,
            Some(other) => augment(other, fits, tried, row_of, told_of),
        };
        if is_free {
            told_of[j] = Some(i);
            row_of[i] = Some(j);
            return true;
        }
    }
    false
}

/// A completed pull has the name by which it was pulled; of several references
/// to one image, one of them.
fn check_name(told: &[Told], row: &Row, difference: &mut Difference) {
    if row.pull.outcome() != Some(Outcome::Completed) {
        return;
    }
    let title = row.pull.title();
    let known = told
        .iter()
        .filter(|told| told.completed && fits(told, row))
        .any(|told| Some(&told.reference) == title.as_ref());
    if !known {
        difference.unnamed.push(was_seen(row));
    }
}

fn check_size(row: &Row, totals: &HashMap<String, u64>, difference: &mut Difference) {
    let wanted = row.root().and_then(|root| totals.get(&root).copied());
    let total = row.pull.total.map(|total| total.0);
    let here = row.pull.cached.0 + row.pull.downloaded.0;
    let completed = row.pull.outcome() == Some(Outcome::Completed);
    if total.is_some_and(|total| Some(total) != wanted) || (completed && Some(here) != wanted) {
        let text = format!(
            "{wanted:?} bytes, not {total:?} of which {here} are here: {}",
            was_seen(row)
        );
        difference.sizes.push(text);
    }
}

fn was_told(told: &Told) -> String {
    format!(
        "{} from {} to {} (root {}): clients were told `{}`",
        told.plan,
        clock(told.from),
        clock(told.to),
        short(&told.root),
        told.words
    )
}

fn was_seen(row: &Row) -> String {
    format!(
        "the collector said of {} (root {}, began {}, ended {}): {}",
        row.pull
            .title()
            .unwrap_or_else(|| "a pull without a name".to_owned()),
        row.root().as_deref().map_or("unknown", short),
        clock(row.began()),
        row.pull.ended_at.map_or("never".to_owned(), clock),
        row.history.join(", ")
    )
}

fn clock(at: NodeTime) -> String {
    let text = at.to_string();
    text.chars().skip(11).take(12).collect()
}

fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

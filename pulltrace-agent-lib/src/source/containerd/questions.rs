//! What the tracker wants to know and was not told yet: in order, each once, and not without end.

use std::collections::{BTreeSet, VecDeque};

use super::input::Query;

/// The most questions that wait. At the limit a further one is answered as failed, at once.
pub(super) const MAX_WAITING: usize = 1_024;

/// The most questions that are put to containerd after one poll or one burst of events; what is left waits
/// for the next. Each costs it about a fifth of a millisecond.
pub(super) const AT_ONCE: usize = 256;

/// The questions that wait for an answer.
#[derive(Debug, Default)]
pub(super) struct Questions {
    order: VecDeque<Query>,
    waiting: BTreeSet<Query>,
}

impl Questions {
    /// Takes the queries in, and returns those for which there is no room. What waits already is not asked
    /// twice.
    #[must_use]
    pub(super) fn add(&mut self, queries: Vec<Query>) -> Vec<Query> {
        let mut refused = Vec::new();
        for query in queries {
            if self.waiting.contains(&query) {
                continue;
            }
            if self.order.len() >= MAX_WAITING {
                refused.push(query);
                continue;
            }
            self.waiting.insert(query.clone());
            self.order.push_back(query);
        }
        refused
    }

    /// The one that waits the longest.
    pub(super) fn next(&mut self) -> Option<Query> {
        let query = self.order.pop_front()?;
        self.waiting.remove(&query);
        Some(query)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Forgets them all: whoever would answer is gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(n: usize) -> Query {
        Query::Record {
            name: n.to_string(),
        }
    }

    #[test]
    fn each_is_asked_once_and_in_order() {
        let mut questions = Questions::default();
        assert!(questions.add(vec![query(2), query(1), query(2)]).is_empty());
        assert!(questions.add(vec![query(1), query(3)]).is_empty());
        let all: Vec<_> = std::iter::from_fn(|| questions.next()).collect();
        assert_eq!(all, [query(2), query(1), query(3)]);
        assert!(questions.is_empty());
        assert!(questions.add(vec![query(2)]).is_empty());
        assert_eq!(
            questions.next(),
            Some(query(2)),
            "what was answered may be asked again"
        );
    }

    #[test]
    fn there_is_a_limit() {
        let mut questions = Questions::default();
        let refused = questions.add((0..MAX_WAITING + 2).map(query).collect());
        assert_eq!(refused, [query(MAX_WAITING), query(MAX_WAITING + 1)]);
        assert!(questions.add(vec![query(0)]).is_empty(), "it waits already");
        questions.clear();
        assert!(questions.add(vec![query(0)]).is_empty());
        assert_eq!(questions.next(), Some(query(0)));
    }
}

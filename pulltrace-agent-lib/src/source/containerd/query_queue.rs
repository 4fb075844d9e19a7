//! A bounded, deduplicated queue of the tracker's queries.

use std::collections::{BTreeSet, VecDeque};

use super::input::Query;

/// The maximum number of queued queries. Further ones are answered as failed immediately.
pub(super) const MAX_QUEUED: usize = 1_024;

/// The maximum number of queries sent after a poll or a burst of events; the others wait for the
/// next one. A query costs containerd about 0.2 ms.
pub(super) const MAX_PER_ROUND: usize = 256;

/// The queries waiting for an answer.
#[derive(Debug, Default)]
pub(super) struct QueryQueue {
    queue: VecDeque<Query>,
    queued: BTreeSet<Query>,
}

impl QueryQueue {
    /// Queues the queries, skipping those already queued, and returns those that exceed the limit.
    #[must_use]
    pub(super) fn enqueue(&mut self, queries: Vec<Query>) -> Vec<Query> {
        let mut refused = Vec::new();
        for query in queries {
            if self.queued.contains(&query) {
                continue;
            }
            if self.queue.len() >= MAX_QUEUED {
                refused.push(query);
                continue;
            }
            self.queued.insert(query.clone());
            self.queue.push_back(query);
        }
        refused
    }

    /// Removes and returns the oldest query.
    pub(super) fn pop(&mut self) -> Option<Query> {
        let query = self.queue.pop_front()?;
        self.queued.remove(&query);
        Some(query)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Discards all queries, because the connection was lost.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(n: usize) -> Query {
        Query::Record { name: n.to_string() }
    }

    #[test]
    fn queries_are_deduplicated_and_ordered() {
        let mut questions = QueryQueue::default();
        assert!(questions.enqueue(vec![query(2), query(1), query(2)]).is_empty());
        assert!(questions.enqueue(vec![query(1), query(3)]).is_empty());
        let all: Vec<_> = std::iter::from_fn(|| questions.pop()).collect();
        assert_eq!(all, [query(2), query(1), query(3)]);
        assert!(questions.is_empty());
        assert!(questions.enqueue(vec![query(2)]).is_empty());
        assert_eq!(questions.pop(), Some(query(2)), "an answered query may be queued again");
    }

    #[test]
    fn queue_rejects_queries_beyond_limit() {
        let mut questions = QueryQueue::default();
        let refused = questions.enqueue((0..MAX_QUEUED + 2).map(query).collect());
        assert_eq!(refused, [query(MAX_QUEUED), query(MAX_QUEUED + 1)]);
        assert!(questions.enqueue(vec![query(0)]).is_empty(), "already queued");
        questions.clear();
        assert!(questions.enqueue(vec![query(0)]).is_empty());
        assert_eq!(questions.pop(), Some(query(0)));
    }
}

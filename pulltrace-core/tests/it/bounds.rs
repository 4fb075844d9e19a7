//! The limits of the table, their effect, and their counters.

use std::time::Duration;

use pulltrace_core::{
    ChangeKind, EndEvidence, Limits, Mono, NodeTime, Now, Observation, PullFact, PullId, PullTable,
};

fn id(lease: usize) -> PullId {
    PullId::Lease {
        node: "node-1".parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        lease: format!("{lease}-aaaa").parse().unwrap(),
        created: NodeTime::from_unix(0, 0),
    }
}

fn at(second: u32) -> Now {
    Now {
        mono: Mono(Duration::from_secs(second.into())),
        node: NodeTime::from_unix(second.into(), 0),
    }
}

fn started(lease: usize, now: Now) -> Observation {
    PullFact::Started { at: now.node }.of(id(lease))
}

fn ended(lease: usize, now: Now) -> Observation {
    PullFact::Ended { evidence: EndEvidence::ImageAbsent, at: now.node }.of(id(lease))
}

fn limits(live: usize, ended: usize) -> Limits {
    let mut limits = Limits::default();
    (limits.max_live, limits.max_ended) = (live, ended);
    limits
}

#[test]
fn excess_live_pull_is_refused_and_counted() {
    let mut table = PullTable::new(limits(2, 10));
    table.apply(&[started(1, at(0)), started(2, at(0)), started(3, at(0))], at(0));
    assert_eq!((table.pulls().count(), table.counters().refused), (2, 1));
    // An ended pull makes room.
    table.apply(&[ended(1, at(1))], at(1));
    table.apply(&[started(3, at(2))], at(2));
    assert_eq!((table.pulls().count(), table.counters().refused), (3, 1));
}

#[test]
fn oldest_ended_pulls_are_evicted_and_counted() {
    let mut table = PullTable::new(limits(10, 2));
    for lease in 1..=4 {
        let now = at(u32::try_from(lease).unwrap());
        table.apply(&[started(lease, now), ended(lease, now)], now);
    }
    let left: Vec<_> = table.pulls().map(|pull| pull.id.clone()).collect();
    assert_eq!((left, table.counters().evicted), (vec![id(3), id(4)], 2));
}

#[test]
fn ended_pulls_expire_uncounted_after_half_hour() {
    let mut table = PullTable::new(Limits::default());
    table.apply(&[started(1, at(0)), ended(1, at(0))], at(0));
    table.apply(&[], at(30 * 60));
    assert_eq!(table.pulls().count(), 1);
    table.apply(&[], at(30 * 60 + 1));
    assert_eq!((table.pulls().count(), table.counters().evicted), (0, 0));
}

#[test]
fn pull_ends_once() {
    let mut table = PullTable::new(Limits::default());
    let first = table.apply(&[started(1, at(0)), ended(1, at(0))], at(0));
    assert_eq!(first.iter().map(|change| change.kind).collect::<Vec<_>>(), [ChangeKind::Ended]);
    assert_eq!(table.apply(&[ended(1, at(1))], at(1)), []);
    assert_eq!(table.counters().anomalies.len(), 1);
}

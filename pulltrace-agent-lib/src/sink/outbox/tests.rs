//! When a report is due and what is in it, whatever is lost on the way.

use super::*;
use pulltrace_core::{Digest, Evidence, Image, Limits, NodeTime, Observation};

const INTERVAL: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(5);

fn node() -> NodeName {
    "worker-1".parse().unwrap()
}

fn at(ms: u64) -> Now {
    let start = NodeTime::from_unix(1_764_016_180, 0);
    let start = Now {
        mono: Mono::default(),
        node: start,
    };
    start.plus(Duration::from_millis(ms))
}

fn id(pull: u32) -> PullId {
    PullId::Lease {
        node: node(),
        namespace: "k8s.io".parse().unwrap(),
        lease: format!("lease-{pull}").parse().unwrap(),
        created: at(0).node,
    }
}

/// A table, the outbox of it, and the ids and sequences of what was reported.
struct Bench {
    table: PullTable,
    outbox: Outbox,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let pace = Pace {
            interval: INTERVAL,
            heartbeat: HEARTBEAT,
        };
        Self {
            table: PullTable::new(limits),
            outbox: Outbox::new(node(), pace, 7),
        }
    }

    /// One whose receiver has an empty first report, made and acknowledged at 0.
    fn settled() -> Self {
        let mut bench = Self::new(Limits::default());
        let report = bench.take(0);
        bench.ack(&report, "a", 0);
        bench
    }

    fn apply(&mut self, observations: &[Observation], ms: u64) {
        let changes = self.table.apply(observations, at(ms));
        self.outbox.note(&changes, &self.table);
    }

    fn begin(&mut self, pull: u32, ms: u64) {
        let began = Observation::Began {
            pull: id(pull),
            at: at(ms).node,
        };
        self.apply(&[began], ms);
    }

    fn end(&mut self, pull: u32, evidence: Evidence, ms: u64) {
        let ended = Observation::Ended {
            pull: id(pull),
            evidence,
            at: at(ms).node,
        };
        self.apply(&[ended], ms);
    }

    /// The manifest of a pull is read.
    fn size(&mut self, pull: u32, ms: u64) {
        let root: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let image = Image {
            manifests: vec![root.clone()],
            root,
            platform: None,
            layers: Vec::new(),
        };
        let (pull, image) = (id(pull), image.into());
        self.apply(&[Observation::Image { pull, image }], ms);
    }

    /// Something of a pull changes that is neither a start nor an end.
    fn progress(&mut self, pull: u32, ms: u64) {
        let name = format!("registry.example/app:{ms}").parse().unwrap();
        let pull = id(pull);
        self.apply(&[Observation::Named { pull, name }], ms);
    }

    fn due(&self) -> Option<u64> {
        let due = self.outbox.due(self.table.revision())?;
        Some(u64::try_from(due.0.as_millis()).unwrap())
    }

    fn take(&mut self, ms: u64) -> Report {
        self.outbox.take(&self.table, at(ms), at(ms).mono, None)
    }

    fn ack(&mut self, report: &Report, epoch: &str, ms: u64) {
        let ack = Ack {
            epoch: epoch.into(),
            ..Ack::of(report)
        };
        self.outbox.acknowledged(&ack, at(ms).mono);
    }

    fn ids(report: &Report) -> Vec<PullId> {
        report.pulls.iter().map(|pull| pull.id.clone()).collect()
    }
}

#[test]
fn the_first_report_is_full_and_due_at_once() {
    let mut bench = Bench::new(Limits::default());
    bench.begin(1, 100);
    assert_eq!(bench.due(), Some(0));
    let report = bench.take(100);
    assert!(report.full);
    assert_eq!((report.sequence, Bench::ids(&report)), (1, vec![id(1)]));
}

#[test]
fn starts_sizes_and_ends_are_due_at_once_and_other_changes_by_interval() {
    // What happens 100 ms after the last report, and when the next is due.
    type Step = fn(&mut Bench);
    let cases: [(&str, Step, u64); 5] = [
        ("a start", |b| b.begin(2, 200), 0),
        ("a size", |b| b.size(1, 200), 0),
        ("an end", |b| b.end(1, Evidence::ImageAbsent, 200), 0),
        ("a change", |b| b.progress(1, 200), 1_100),
        ("nothing", |b| b.apply(&[], 200), 5_100),
    ];
    for (what, step, due) in cases {
        let mut bench = Bench::settled();
        bench.begin(1, 50);
        let report = bench.take(100);
        bench.ack(&report, "a", 120);
        step(&mut bench);
        assert_eq!(bench.due(), Some(due), "{what}");
    }
}

#[test]
fn a_size_is_news_once() {
    let mut bench = Bench::settled();
    bench.begin(1, 50);
    bench.size(1, 60);
    let report = bench.take(100);
    bench.ack(&report, "a", 120);
    bench.size(1, 200);
    bench.progress(1, 200);
    assert_eq!(bench.due(), Some(1_100));
}

#[test]
fn one_report_is_under_way_at_a_time_and_what_changes_meanwhile_is_in_the_next() {
    let mut bench = Bench::settled();
    bench.begin(1, 100);
    let first = bench.take(100);
    bench.begin(2, 150);
    assert_eq!(bench.due(), None);
    bench.ack(&first, "a", 9_000);
    assert_eq!(bench.due(), Some(0), "a start waits");
    let second = bench.take(9_000);
    assert!(!second.full);
    assert_eq!(Bench::ids(&second), [id(2)]);
}

#[test]
fn a_lost_acknowledgement_makes_it_tell_all_that_again() {
    let mut bench = Bench::settled();
    bench.begin(1, 100);
    bench.end(1, Evidence::ImagePresent, 110);
    let first = bench.take(110);
    bench.outbox.failed(None, at(200).mono);
    bench.begin(2, 250);
    let second = bench.take(450);
    assert!(!second.full, "the receiver has the state before");
    assert_eq!(Bench::ids(&second), [id(1), id(2)]);
    assert!(second.sequence > first.sequence);
    bench.ack(&second, "a", 460);
    assert_eq!(bench.outbox.ends_untold(), 0);
}

#[test]
fn a_receiver_started_anew_gets_everything_again_ends_included() {
    let mut bench = Bench::settled();
    bench.begin(1, 100);
    bench.end(1, Evidence::ImagePresent, 110);
    let report = bench.take(110);
    bench.ack(&report, "a", 120);
    bench.begin(2, 2_000);
    let report = bench.take(2_000);
    assert_eq!(Bench::ids(&report), [id(2)]);
    bench.ack(&report, "b", 2_010);
    let due = bench.due().unwrap();
    assert!((2_010..3_010).contains(&due), "{due} is jittered");
    let full = bench.take(due);
    assert!(full.full);
    assert_eq!(Bench::ids(&full), [id(1), id(2)]);
    bench.ack(&full, "b", due);
    bench.progress(2, due + 10);
    assert!(!bench.take(due + 1_000).full, "one full report is enough");
}

#[test]
fn a_full_report_to_a_new_receiver_need_not_be_told_again() {
    let mut bench = Bench::settled();
    let ack = Ack {
        need_full: true,
        ..Ack::of(&bench.take(5_000))
    };
    bench.outbox.acknowledged(&ack, at(5_000).mono);
    let full = bench.take(6_000);
    assert!(full.full);
    bench.ack(&full, "b", 6_010);
    assert_eq!(bench.due(), Some(11_000));
}

#[test]
fn a_receiver_that_lacks_something_gets_a_full_report() {
    let mut bench = Bench::settled();
    bench.begin(1, 100);
    bench.begin(2, 110);
    let report = bench.take(110);
    bench.ack(&report, "a", 120);
    let report = bench.take(5_200);
    assert_eq!(Bench::ids(&report), []);
    let ack = Ack {
        need_full: true,
        ..Ack::of(&report)
    };
    bench.outbox.acknowledged(&ack, at(5_210).mono);
    let due = bench.due().unwrap();
    assert!((5_210..6_210).contains(&due), "{due} is jittered");
    let full = bench.take(due);
    assert!(full.full);
    assert_eq!(Bench::ids(&full), [id(1), id(2)]);
}

#[test]
fn an_acknowledgement_of_another_report_is_believed_of_none() {
    for sequence in [0, 1, 3, u64::MAX] {
        let mut bench = Bench::settled();
        bench.begin(1, 100);
        bench.end(1, Evidence::ImagePresent, 110);
        let report = bench.take(110);
        assert_eq!(report.sequence, 2);
        let ack = Ack {
            sequence,
            ..Ack::of(&report)
        };
        bench.outbox.acknowledged(&ack, at(120).mono);
        assert_eq!(bench.outbox.ends_untold(), 1);
        assert!(bench.due().unwrap() > 120, "no hot loop");
        let again = bench.take(1_000);
        assert!(again.full);
        assert_eq!(Bench::ids(&again), [id(1)]);
    }
}

#[test]
fn failures_make_it_wait_longer_and_longer_but_never_for_ever() {
    let mut bench = Bench::settled();
    bench.begin(1, 0);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..12 {
        bench.take(now);
        bench.outbox.failed(None, at(now).mono);
        let due = bench.due().unwrap();
        waits.push(due - now);
        now = due;
    }
    let mut bound = 250;
    for wait in &waits {
        assert!(
            (bound / 2..=bound).contains(wait),
            "{wait} of {bound}: {waits:?}"
        );
        bound = (bound * 2).min(30_000);
    }
    bench.take(now);
    let report = bench.take(now);
    bench.ack(&report, "a", now);
    bench.begin(2, now);
    assert_eq!(bench.due(), Some(0), "and then it is as before");
}

#[test]
fn two_seeds_do_not_wait_alike() {
    let wait = |seed| {
        let pace = Pace {
            interval: INTERVAL,
            heartbeat: HEARTBEAT,
        };
        let mut outbox = Outbox::new(node(), pace, seed);
        outbox.failed(None, Mono::default());
        outbox.due(0)
    };
    assert_ne!(wait(1), wait(2));
}

#[test]
fn what_the_receiver_asks_for_is_kept_within_bounds() {
    // Asked for by a failure, or by an acknowledgement; the wait for the start after it.
    let hour = Duration::from_hours(1);
    for (failure, wait, expected) in [
        (true, Duration::from_secs(7), 7_000),
        (true, hour, 300_000),
        (false, Duration::from_secs(7), 7_000),
        (false, hour, 300_000),
    ] {
        let mut bench = Bench::settled();
        bench.begin(1, 0);
        let report = bench.take(0);
        if failure {
            bench.outbox.failed(Some(wait), at(0).mono);
        } else {
            let ack = Ack {
                next_report: Some(wait),
                epoch: "a".into(),
                ..Ack::of(&report)
            };
            bench.outbox.acknowledged(&ack, at(0).mono);
        }
        bench.begin(2, 10);
        assert_eq!(bench.due(), Some(expected), "failure: {failure}, {wait:?}");
    }
}

#[test]
fn before_a_stop_it_waits_for_failures_only() {
    let mut bench = Bench::settled();
    let due = |bench: &Bench| {
        let due = bench.outbox.due_before_stop(bench.table.revision());
        due.map(|due| due.0.as_millis())
    };
    assert_eq!(due(&bench), None, "all is told");
    bench.begin(1, 10);
    let report = bench.take(10);
    assert_eq!(due(&bench), None, "it is under way");
    let ack = Ack {
        next_report: Some(Duration::from_secs(60)),
        epoch: "a".into(),
        ..Ack::of(&report)
    };
    bench.outbox.acknowledged(&ack, at(20).mono);
    bench.progress(1, 30);
    assert_eq!(due(&bench), Some(0), "neither the interval nor politeness");
    bench.take(40);
    bench.outbox.failed(None, at(40).mono);
    assert!(due(&bench).is_some_and(|due| due > 40), "but a back-off");
}

#[test]
fn ends_that_were_dropped_before_they_were_told_are_counted() {
    let mut limits = Limits::default();
    limits.ended = 2;
    let mut bench = Bench::new(limits);
    let report = bench.take(0);
    bench.ack(&report, "a", 0);
    for pull in 1..=5 {
        bench.begin(pull, u64::from(pull) * 10);
        bench.end(pull, Evidence::ImagePresent, u64::from(pull) * 10 + 5);
    }
    assert_eq!(bench.outbox.ends_untold(), 5);
    let report = bench.take(100);
    assert_eq!((report.ends_lost, report.counters.evicted), (3, 3));
    assert_eq!(Bench::ids(&report), [id(4), id(5)]);
    bench.ack(&report, "a", 110);
    assert_eq!(bench.outbox.ends_untold(), 3);
}

#[test]
fn an_end_that_expired_while_its_report_was_under_way_was_told() {
    let mut limits = Limits::default();
    limits.ended = 1;
    let mut bench = Bench::new(limits);
    bench.begin(1, 10);
    bench.end(1, Evidence::ImagePresent, 20);
    let report = bench.take(30);
    bench.begin(2, 40);
    bench.end(2, Evidence::ImagePresent, 50);
    assert!(bench.table.get(&id(1)).is_none(), "evicted");
    bench.ack(&report, "a", 60);
    let report = bench.take(70);
    assert_eq!((report.ends_lost, Bench::ids(&report)), (0, vec![id(2)]));
}

#[test]
fn an_unknown_end_that_got_evidence_meanwhile_is_still_to_be_told() {
    let mut bench = Bench::settled();
    bench.begin(1, 10);
    bench.end(1, Evidence::Silent, 20);
    let report = bench.take(30);
    bench.end(1, Evidence::ImagePresent, 40);
    bench.ack(&report, "a", 50);
    assert_eq!(bench.outbox.ends_untold(), 1);
    let report = bench.take(60);
    assert_eq!(report.pulls[0].phase.as_str(), "completed");
}

proptest::proptest! {
    /// Whatever is lost or restarted on the way, a receiver that reads reports as it should has the
    /// table's state in the end; nothing is told that is not in the table, and sequences grow.
    #[test]
    fn whatever_is_lost_the_receiver_ends_up_with_the_state(
        steps in proptest::collection::vec((0_u8..8, 1_u32..6), 1..80)
    ) {
        let mut bench = Bench::new(Limits::default());
        let mut view = BTreeMap::new();
        let (mut epoch, mut sequence, mut ms) = (0, 0, 0);
        let mut deliver = |bench: &mut Bench, epoch: u32, arrives: bool, answers: bool, ms: u64,
                           view: &mut BTreeMap<PullId, std::sync::Arc<pulltrace_core::Pull>>| {
            let report = bench.take(ms);
            assert!(report.sequence > sequence);
            sequence = report.sequence;
            if arrives {
                if report.full {
                    view.clear();
                }
                for pull in &report.pulls {
                    assert_eq!(bench.table.get(&pull.id), Some(pull), "invented");
                    view.insert(pull.id.clone(), pull.clone());
                }
            }
            if arrives && answers {
                bench.ack(&report, &epoch.to_string(), ms);
            } else {
                bench.outbox.failed(None, at(ms).mono);
            }
        };
        for (step, pull) in steps {
            ms += 100;
            match step {
                0 | 1 => bench.begin(pull, ms),
                2 => bench.end(pull, Evidence::ImagePresent, ms),
                3 => bench.progress(pull, ms),
                4 => { epoch += 1; view.clear(); }
                5 => deliver(&mut bench, epoch, true, true, ms, &mut view),
                6 => deliver(&mut bench, epoch, true, false, ms, &mut view),
                _ => deliver(&mut bench, epoch, false, false, ms, &mut view),
            }
        }
        for _ in 0..2 {
            ms += 60_000;
            deliver(&mut bench, epoch, true, true, ms, &mut view);
        }
        assert!(bench.outbox.is_settled(bench.table.revision()));
        let state: BTreeMap<_, _> = bench.table.pulls().map(|p| (p.id.clone(), p.clone())).collect();
        assert_eq!(view, state);
        assert_eq!(bench.outbox.ends_untold(), 0);
    }
}

#[test]
fn a_report_says_how_long_it_is_to_the_next_at_most() {
    let mut bench = Bench::settled();
    let report = bench.take(5_000);
    assert_eq!(report.next_within, HEARTBEAT);
    let ask = |seconds| Some(Duration::from_secs(seconds));
    for (asked, said) in [
        (ask(60), ask(60)),
        (ask(1), Some(HEARTBEAT)),
        (ask(100_000), Some(LONGEST_REQUEST)),
        (None, Some(HEARTBEAT)),
    ] {
        let report = bench.take(5_000);
        let ack = Ack {
            next_report: asked,
            ..Ack::of(&report)
        };
        bench.outbox.acknowledged(&ack, at(5_000).mono);
        assert_eq!(Some(bench.take(5_000).next_within), said);
        bench.outbox.failed(None, at(5_000).mono);
    }
}

//! Timing and content of reports, also when reports or acknowledgements are lost.

use super::*;
use pulltrace_core::{Digest, EndEvidence, Image, Limits, NodeTime, Observation, PullFact};

const INTERVAL: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(5);

fn node() -> NodeName {
    "worker-1".parse().unwrap()
}

fn at(ms: u64) -> Now {
    let start = NodeTime::from_unix(1_764_016_180, 0);
    let start = Now { mono: Mono::default(), node: start };
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

/// A table and its outbox.
struct TestBench {
    table: PullTable,
    outbox: Outbox,
}

impl TestBench {
    fn new(limits: Limits) -> Self {
        let pace = ReportSchedule { interval: INTERVAL, heartbeat: HEARTBEAT };
        Self { table: PullTable::new(limits), outbox: Outbox::new(node(), pace, 7) }
    }

    /// A bench whose receiver acknowledged an empty first report at 0.
    fn synced() -> Self {
        let mut bench = Self::new(Limits::default());
        let report = bench.build_report(0);
        bench.ack(&report, "a", 0);
        bench
    }

    fn apply(&mut self, observations: &[Observation], ms: u64) {
        let changes = self.table.apply(observations, at(ms));
        self.outbox.record(&changes, &self.table);
    }

    fn begin(&mut self, pull: u32, ms: u64) {
        let began = PullFact::Started { at: at(ms).node }.of(id(pull));
        self.apply(&[began], ms);
    }

    fn end(&mut self, pull: u32, evidence: EndEvidence, ms: u64) {
        let ended = PullFact::Ended { evidence, at: at(ms).node }.of(id(pull));
        self.apply(&[ended], ms);
    }

    /// The manifest of a pull was read.
    fn set_image(&mut self, pull: u32, ms: u64) {
        let root: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let image =
            Image { manifests: vec![root.clone()], root, platform: None, layers: Vec::new() };
        let (pull, image) = (id(pull), image.into());
        self.apply(&[PullFact::Image(image).of(pull)], ms);
    }

    /// A change that is neither a start nor an end.
    fn progress(&mut self, pull: u32, ms: u64) {
        let name = format!("registry.example/app:{ms}").parse().unwrap();
        let pull = id(pull);
        self.apply(&[PullFact::Named(name).of(pull)], ms);
    }

    fn due(&self) -> Option<u64> {
        let due = self.outbox.due(self.table.revision())?;
        Some(u64::try_from(due.0.as_millis()).unwrap())
    }

    fn build_report(&mut self, ms: u64) -> Report {
        self.outbox.build_report(&self.table, at(ms), at(ms).mono, None)
    }

    fn ack(&mut self, report: &Report, epoch: &str, ms: u64) {
        let ack = Ack { epoch: epoch.into(), ..Ack::for_report(report) };
        self.outbox.on_ack(&ack, at(ms).mono);
    }

    fn ids(report: &Report) -> Vec<PullId> {
        report.pulls.iter().map(|pull| pull.id.clone()).collect()
    }
}

#[test]
fn first_report_is_full_and_due_immediately() {
    let mut bench = TestBench::new(Limits::default());
    bench.begin(1, 100);
    assert_eq!(bench.due(), Some(0));
    let report = bench.build_report(100);
    assert!(report.full);
    assert_eq!((report.sequence, TestBench::ids(&report)), (1, vec![id(1)]));
}

#[test]
fn starts_sizes_and_ends_are_due_immediately() {
    // Label, change 100 ms after the last report, and when the next report is due.
    type Step = fn(&mut TestBench);
    let cases: [(&str, Step, u64); 5] = [
        ("a start", |b| b.begin(2, 200), 0),
        ("a size", |b| b.set_image(1, 200), 0),
        ("an end", |b| b.end(1, EndEvidence::ImageAbsent, 200), 0),
        ("a change", |b| b.progress(1, 200), 1_100),
        ("nothing", |b| b.apply(&[], 200), 5_100),
    ];
    for (what, step, due) in cases {
        let mut bench = TestBench::synced();
        bench.begin(1, 50);
        let report = bench.build_report(100);
        bench.ack(&report, "a", 120);
        step(&mut bench);
        assert_eq!(bench.due(), Some(due), "{what}");
    }
}

#[test]
fn known_size_is_urgent_only_once() {
    let mut bench = TestBench::synced();
    bench.begin(1, 50);
    bench.set_image(1, 60);
    let report = bench.build_report(100);
    bench.ack(&report, "a", 120);
    bench.set_image(1, 200);
    bench.progress(1, 200);
    assert_eq!(bench.due(), Some(1_100));
}

#[test]
fn changes_during_delivery_go_into_next_report() {
    let mut bench = TestBench::synced();
    bench.begin(1, 100);
    let first = bench.build_report(100);
    bench.begin(2, 150);
    assert_eq!(bench.due(), None);
    bench.ack(&first, "a", 9_000);
    assert_eq!(bench.due(), Some(0), "a start is pending");
    let second = bench.build_report(9_000);
    assert!(!second.full);
    assert_eq!(TestBench::ids(&second), [id(2)]);
}

#[test]
fn lost_acknowledgement_repeats_the_changes() {
    let mut bench = TestBench::synced();
    bench.begin(1, 100);
    bench.end(1, EndEvidence::ImagePresent, 110);
    let first = bench.build_report(110);
    bench.outbox.on_failure(None, at(200).mono);
    bench.begin(2, 250);
    let second = bench.build_report(450);
    assert!(!second.full, "the receiver has the previous state");
    assert_eq!(TestBench::ids(&second), [id(1), id(2)]);
    assert!(second.sequence > first.sequence);
    bench.ack(&second, "a", 460);
    assert_eq!(bench.outbox.undelivered_ends(), 0);
}

#[test]
fn restarted_receiver_gets_full_report_including_ends() {
    let mut bench = TestBench::synced();
    bench.begin(1, 100);
    bench.end(1, EndEvidence::ImagePresent, 110);
    let report = bench.build_report(110);
    bench.ack(&report, "a", 120);
    bench.begin(2, 2_000);
    let report = bench.build_report(2_000);
    assert_eq!(TestBench::ids(&report), [id(2)]);
    bench.ack(&report, "b", 2_010);
    let due = bench.due().unwrap();
    assert!((2_010..3_010).contains(&due), "{due} is jittered");
    let full = bench.build_report(due);
    assert!(full.full);
    assert_eq!(TestBench::ids(&full), [id(1), id(2)]);
    bench.ack(&full, "b", due);
    bench.progress(2, due + 10);
    assert!(!bench.build_report(due + 1_000).full, "only one full report is needed");
}

#[test]
fn acknowledged_full_report_is_not_repeated() {
    let mut bench = TestBench::synced();
    let ack = Ack { need_full: true, ..Ack::for_report(&bench.build_report(5_000)) };
    bench.outbox.on_ack(&ack, at(5_000).mono);
    let full = bench.build_report(6_000);
    assert!(full.full);
    bench.ack(&full, "b", 6_010);
    assert_eq!(bench.due(), Some(11_000));
}

#[test]
fn receiver_can_request_full_report() {
    let mut bench = TestBench::synced();
    bench.begin(1, 100);
    bench.begin(2, 110);
    let report = bench.build_report(110);
    bench.ack(&report, "a", 120);
    let report = bench.build_report(5_200);
    assert_eq!(TestBench::ids(&report), []);
    let ack = Ack { need_full: true, ..Ack::for_report(&report) };
    bench.outbox.on_ack(&ack, at(5_210).mono);
    let due = bench.due().unwrap();
    assert!((5_210..6_210).contains(&due), "{due} is jittered");
    let full = bench.build_report(due);
    assert!(full.full);
    assert_eq!(TestBench::ids(&full), [id(1), id(2)]);
}

#[test]
fn mismatched_acknowledgement_triggers_full_report() {
    for sequence in [0, 1, 3, u64::MAX] {
        let mut bench = TestBench::synced();
        bench.begin(1, 100);
        bench.end(1, EndEvidence::ImagePresent, 110);
        let report = bench.build_report(110);
        assert_eq!(report.sequence, 2);
        let ack = Ack { sequence, ..Ack::for_report(&report) };
        bench.outbox.on_ack(&ack, at(120).mono);
        assert_eq!(bench.outbox.undelivered_ends(), 1);
        assert!(bench.due().unwrap() > 120, "no hot loop");
        let again = bench.build_report(1_000);
        assert!(again.full);
        assert_eq!(TestBench::ids(&again), [id(1)]);
    }
}

#[test]
fn failures_back_off_up_to_limit() {
    let mut bench = TestBench::synced();
    bench.begin(1, 0);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..12 {
        bench.build_report(now);
        bench.outbox.on_failure(None, at(now).mono);
        let due = bench.due().unwrap();
        waits.push(due - now);
        now = due;
    }
    let mut bound = 250;
    for wait in &waits {
        assert!((bound / 2..=bound).contains(wait), "{wait} of {bound}: {waits:?}");
        bound = (bound * 2).min(30_000);
    }
    bench.build_report(now);
    let report = bench.build_report(now);
    bench.ack(&report, "a", now);
    bench.begin(2, now);
    assert_eq!(bench.due(), Some(0), "success resets the back-off");
}

#[test]
fn back_off_differs_between_seeds() {
    let wait = |seed| {
        let pace = ReportSchedule { interval: INTERVAL, heartbeat: HEARTBEAT };
        let mut outbox = Outbox::new(node(), pace, seed);
        outbox.on_failure(None, Mono::default());
        outbox.due(0)
    };
    assert_ne!(wait(1), wait(2));
}

#[test]
fn wait_requested_by_receiver_is_bounded() {
    // Requested by a failure (or else an acknowledgement), requested wait, expected due time.
    let hour = Duration::from_hours(1);
    for (failure, wait, expected) in [
        (true, Duration::from_secs(7), 7_000),
        (true, hour, 300_000),
        (false, Duration::from_secs(7), 7_000),
        (false, hour, 300_000),
    ] {
        let mut bench = TestBench::synced();
        bench.begin(1, 0);
        let report = bench.build_report(0);
        if failure {
            bench.outbox.on_failure(Some(wait), at(0).mono);
        } else {
            let ack =
                Ack { next_report: Some(wait), epoch: "a".into(), ..Ack::for_report(&report) };
            bench.outbox.on_ack(&ack, at(0).mono);
        }
        bench.begin(2, 10);
        assert_eq!(bench.due(), Some(expected), "failure: {failure}, {wait:?}");
    }
}

#[test]
fn final_report_waits_only_for_back_off() {
    let mut bench = TestBench::synced();
    let due = |bench: &TestBench| {
        let due = bench.outbox.final_report_due(bench.table.revision());
        due.map(|due| due.0.as_millis())
    };
    assert_eq!(due(&bench), None, "everything is delivered");
    bench.begin(1, 10);
    let report = bench.build_report(10);
    assert_eq!(due(&bench), None, "a delivery is in progress");
    let ack = Ack {
        next_report: Some(Duration::from_secs(60)),
        epoch: "a".into(),
        ..Ack::for_report(&report)
    };
    bench.outbox.on_ack(&ack, at(20).mono);
    bench.progress(1, 30);
    assert_eq!(due(&bench), Some(0), "neither the interval nor the requested wait applies");
    bench.build_report(40);
    bench.outbox.on_failure(None, at(40).mono);
    assert!(due(&bench).is_some_and(|due| due > 40), "but the back-off applies");
}

#[test]
fn ends_evicted_before_report_are_counted() {
    let mut limits = Limits::default();
    limits.max_ended = 2;
    let mut bench = TestBench::new(limits);
    let report = bench.build_report(0);
    bench.ack(&report, "a", 0);
    for pull in 1..=5 {
        bench.begin(pull, u64::from(pull) * 10);
        bench.end(pull, EndEvidence::ImagePresent, u64::from(pull) * 10 + 5);
    }
    assert_eq!(bench.outbox.undelivered_ends(), 5);
    let report = bench.build_report(100);
    assert_eq!((report.ends_lost, report.counters.evicted), (3, 3));
    assert_eq!(TestBench::ids(&report), [id(4), id(5)]);
    bench.ack(&report, "a", 110);
    assert_eq!(bench.outbox.undelivered_ends(), 3);
}

#[test]
fn end_evicted_while_in_flight_counts_as_delivered() {
    let mut limits = Limits::default();
    limits.max_ended = 1;
    let mut bench = TestBench::new(limits);
    bench.begin(1, 10);
    bench.end(1, EndEvidence::ImagePresent, 20);
    let report = bench.build_report(30);
    bench.begin(2, 40);
    bench.end(2, EndEvidence::ImagePresent, 50);
    assert!(bench.table.get(&id(1)).is_none(), "evicted");
    bench.ack(&report, "a", 60);
    let report = bench.build_report(70);
    assert_eq!((report.ends_lost, TestBench::ids(&report)), (0, vec![id(2)]));
}

#[test]
fn late_evidence_keeps_end_undelivered() {
    let mut bench = TestBench::synced();
    bench.begin(1, 10);
    bench.end(1, EndEvidence::Inactive, 20);
    let report = bench.build_report(30);
    bench.end(1, EndEvidence::ImagePresent, 40);
    bench.ack(&report, "a", 50);
    assert_eq!(bench.outbox.undelivered_ends(), 1);
    let report = bench.build_report(60);
    assert_eq!(report.pulls[0].phase.as_str(), "completed");
}

proptest::proptest! {
    /// Whatever is lost or restarted on the way, the receiver ends up with the state of the table.
    /// Reports contain only pulls of the table, and sequence numbers increase.
    #[test]
    fn receiver_converges_despite_losses(
        steps in proptest::collection::vec((0_u8..8, 1_u32..6), 1..80)
    ) {
        let mut bench = TestBench::new(Limits::default());
        let mut view = BTreeMap::new();
        let (mut epoch, mut sequence, mut ms) = (0, 0, 0);
        let mut deliver = |bench: &mut TestBench, epoch: u32, arrives: bool, answers: bool, ms: u64,
                           view: &mut BTreeMap<PullId, std::sync::Arc<pulltrace_core::Pull>>| {
            let report = bench.build_report(ms);
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
                bench.outbox.on_failure(None, at(ms).mono);
            }
        };
        for (step, pull) in steps {
            ms += 100;
            match step {
                0 | 1 => bench.begin(pull, ms),
                2 => bench.end(pull, EndEvidence::ImagePresent, ms),
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
        assert!(bench.outbox.is_delivered(bench.table.revision()));
        let state: BTreeMap<_, _> = bench.table.pulls().map(|p| (p.id.clone(), p.clone())).collect();
        assert_eq!(view, state);
        assert_eq!(bench.outbox.undelivered_ends(), 0);
    }
}

#[test]
fn report_announces_maximum_delay_to_next() {
    let mut bench = TestBench::synced();
    let report = bench.build_report(5_000);
    assert_eq!(report.next_within, HEARTBEAT);
    let ask = |seconds| Some(Duration::from_secs(seconds));
    for (asked, expected) in [
        (ask(60), ask(60)),
        (ask(1), Some(HEARTBEAT)),
        (ask(100_000), Some(MAX_REQUESTED_WAIT)),
        (None, Some(HEARTBEAT)),
    ] {
        let report = bench.build_report(5_000);
        let ack = Ack { next_report: asked, ..Ack::for_report(&report) };
        bench.outbox.on_ack(&ack, at(5_000).mono);
        assert_eq!(Some(bench.build_report(5_000).next_within), expected);
        bench.outbox.on_failure(None, at(5_000).mono);
    }
}

//! Which pulls are logged, and the fields of each line.

use super::*;
use pulltrace_core::{EndEvidence, Limits, NodeTime, Observation, PullFact};

fn at(seconds: u64) -> Now {
    let start = Now { mono: Mono::default(), node: NodeTime::from_unix(1_764_016_180, 0) };
    start.plus(Duration::from_secs(seconds))
}

fn id(pull: u32) -> PullId {
    PullId::Lease {
        node: "worker-1".parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        lease: format!("lease-{pull}").parse().unwrap(),
        created: at(0).node,
    }
}

fn began(pull: u32) -> Observation {
    PullFact::Started { at: at(0).node }.of(id(pull))
}

fn ended(pull: u32, evidence: EndEvidence, seconds: u64) -> Observation {
    PullFact::Ended { evidence, at: at(seconds).node }.of(id(pull))
}

struct TestBench {
    table: PullTable,
    log: PullLog,
}

impl TestBench {
    fn new() -> Self {
        Self { table: PullTable::new(Limits::default()), log: PullLog::default() }
    }

    /// Applies the observations and returns the phases of the pulls to log.
    fn apply(&mut self, observations: &[Observation], seconds: u64) -> Vec<&'static str> {
        let changes = self.table.apply(observations, at(seconds));
        let due = self.log.due(&changes, &self.table, at(seconds));
        due.iter().map(|pull| pull.phase.as_str()).collect()
    }
}

#[test]
fn long_pull_logs_every_fifteen_seconds() {
    let mut bench = TestBench::new();
    let mut lines = Vec::new();
    for second in 0..=40 {
        let observations = match second {
            0 => vec![began(1)],
            40 => vec![ended(1, EndEvidence::ImagePresent, 40)],
            _ => vec![],
        };
        for line in bench.apply(&observations, second) {
            lines.push((second, line));
        }
    }
    assert_eq!(lines, [(15, "resolving"), (30, "resolving"), (40, "completed")]);
}

#[test]
fn pull_shorter_than_poll_logs_one_line() {
    let mut bench = TestBench::new();
    let lines = bench.apply(&[began(1), ended(1, EndEvidence::ImageAbsent, 0)], 0);
    assert_eq!(lines, ["failed"]);
    assert_eq!(bench.apply(&[], 60), Vec::<&str>::new());
}

#[test]
fn slow_source_logs_one_line_per_interval() {
    let mut bench = TestBench::new();
    bench.apply(&[began(1)], 0);
    assert_eq!(bench.apply(&[], 100), ["resolving"]);
    assert_eq!(bench.apply(&[], 101), Vec::<&str>::new());
}

#[test]
fn unknown_end_with_later_evidence_logs_twice() {
    let mut bench = TestBench::new();
    bench.apply(&[began(1)], 0);
    assert_eq!(bench.apply(&[ended(1, EndEvidence::Inactive, 1)], 1), ["unknown"]);
    assert_eq!(bench.apply(&[ended(1, EndEvidence::ImagePresent, 2)], 2), ["completed"]);
}

mod output {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span;

    use super::*;

    /// Records the fields of each event.
    #[derive(Clone, Default)]
    struct FieldRecorder(Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>);

    struct FieldVisitor<'a>(&'a mut BTreeMap<&'static str, String>);

    impl Visit for FieldVisitor<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.insert(field.name(), format!("{value:?}"));
        }
    }

    impl tracing::Subscriber for FieldRecorder {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            let mut fields = BTreeMap::from([
                ("target", event.metadata().target().to_owned()),
                ("level", event.metadata().level().to_string()),
            ]);
            event.record(&mut FieldVisitor(&mut fields));
            self.0.lock().unwrap().push(fields);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    fn line(observations: &[Observation], seconds: u64) -> BTreeMap<&'static str, String> {
        let mut table = PullTable::new(Limits::default());
        table.apply(observations, at(seconds));
        let pull = Arc::clone(table.get(&id(1)).unwrap());
        let keeping = FieldRecorder::default();
        tracing::subscriber::with_default(keeping.clone(), || write(&pull, at(seconds).node));
        let mut lines = keeping.0.lock().unwrap();
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    }

    #[test]
    fn unknown_fields_are_omitted() {
        let line = line(&[began(1)], 3);
        let names: Vec<_> = line.keys().copied().collect();
        assert_eq!(
            names,
            ["duration_ms", "id", "level", "message", "node", "phase", "target", "waiting_on"]
        );
        assert_eq!(line["target"], "pulltrace::pull");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["duration_ms"], "3000");
        assert_eq!(line["waiting_on"], "\"registry\"");
    }

    #[test]
    fn failed_pull_logs_warning_with_reason() {
        let named = PullFact::Named("nginx".parse().unwrap()).of(id(1));
        let line = line(&[began(1), named, ended(1, EndEvidence::ImageAbsent, 4)], 9);
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["outcome"], "\"failed\"");
        assert_eq!(line["reason"], "\"unexplained\"");
        assert_eq!(line["duration_ms"], "4000");
        assert_eq!(
            line["message"],
            "the pull of docker.io/library/nginx:latest failed after 4.0 s"
        );
        assert!(!line.contains_key("phase"));
        assert!(!line.contains_key("total_bytes"));
    }

    #[test]
    fn download_line_reports_progress() {
        let layer = "sha256:".to_owned() + &"a".repeat(64);
        let image = pulltrace_core::Image {
            root: layer.parse().unwrap(),
            manifests: vec![],
            platform: None,
            layers: vec![pulltrace_core::ImageLayer {
                digest: layer.parse().unwrap(),
                size: pulltrace_core::Bytes(4 << 20),
                chains: vec![],
                compression: pulltrace_core::Compression::Gzip,
                media_type: String::new(),
                created_by: None,
            }],
        };
        let image = PullFact::Image(Arc::new(image)).of(id(1));
        let blob = Observation::Blob {
            namespace: "k8s.io".parse().unwrap(),
            digest: layer.parse().unwrap(),
            observed: pulltrace_core::BlobObservation::Ingest {
                offset: pulltrace_core::Bytes(1 << 20),
                started_at: at(1).node,
                updated_at: at(2).node,
                by: Some(id(1)),
            },
        };
        let line = line(&[began(1), image, blob], 2);
        assert_eq!(line["phase"], "\"downloading\"");
        assert_eq!(line["downloaded_bytes"], (1 << 20).to_string());
        assert_eq!(line["to_download_bytes"], (4 << 20).to_string());
        assert_eq!(line["percent"], "20.0");
        let message = "pulling an unknown image: downloading, 20 %, 1.00 MiB of 4.00 MiB";
        assert_eq!(line["message"], message);
    }
}

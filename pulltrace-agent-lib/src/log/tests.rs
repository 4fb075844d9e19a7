//! Which pulls a line is due for, and what the line says.

use super::*;
use pulltrace_core::{Evidence, Limits, NodeTime, Observation};

fn at(seconds: u64) -> Now {
    let start = Now {
        mono: Mono::default(),
        node: NodeTime::from_unix(1_764_016_180, 0),
    };
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
    Observation::Began {
        pull: id(pull),
        at: at(0).node,
    }
}

fn ended(pull: u32, evidence: Evidence, seconds: u64) -> Observation {
    Observation::Ended {
        pull: id(pull),
        evidence,
        at: at(seconds).node,
    }
}

struct Bench {
    table: PullTable,
    log: PullLog,
}

impl Bench {
    fn new() -> Self {
        Self {
            table: PullTable::new(Limits::default()),
            log: PullLog::default(),
        }
    }

    /// The phases of the pulls that a line is due for.
    fn step(&mut self, observations: &[Observation], seconds: u64) -> Vec<&'static str> {
        let changes = self.table.apply(observations, at(seconds));
        let due = self.log.due(&changes, &self.table, at(seconds));
        due.iter().map(|pull| pull.phase.as_str()).collect()
    }
}

#[test]
fn a_long_pull_has_a_line_each_fifteen_seconds_and_one_for_its_end() {
    let mut bench = Bench::new();
    let mut lines = Vec::new();
    for second in 0..=40 {
        let observations = match second {
            0 => vec![began(1)],
            40 => vec![ended(1, Evidence::ImagePresent, 40)],
            _ => vec![],
        };
        for line in bench.step(&observations, second) {
            lines.push((second, line));
        }
    }
    assert_eq!(
        lines,
        [(15, "resolving"), (30, "resolving"), (40, "completed")]
    );
}

#[test]
fn a_pull_shorter_than_a_poll_has_one_line() {
    let mut bench = Bench::new();
    let lines = bench.step(&[began(1), ended(1, Evidence::ImageAbsent, 0)], 0);
    assert_eq!(lines, ["failed"]);
    assert_eq!(bench.step(&[], 60), Vec::<&str>::new());
}

#[test]
fn a_source_that_comes_rarely_leads_to_one_line_and_not_to_many() {
    let mut bench = Bench::new();
    bench.step(&[began(1)], 0);
    assert_eq!(bench.step(&[], 100), ["resolving"]);
    assert_eq!(bench.step(&[], 101), Vec::<&str>::new());
}

#[test]
fn an_unknown_end_that_gets_evidence_has_a_second_line() {
    let mut bench = Bench::new();
    bench.step(&[began(1)], 0);
    assert_eq!(bench.step(&[ended(1, Evidence::Silent, 1)], 1), ["unknown"]);
    assert_eq!(
        bench.step(&[ended(1, Evidence::ImagePresent, 2)], 2),
        ["completed"]
    );
}

mod written {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span;

    use super::*;

    /// Keeps the fields of each event.
    #[derive(Clone, Default)]
    struct Keeping(Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>);

    struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.insert(field.name(), format!("{value:?}"));
        }
    }

    impl tracing::Subscriber for Keeping {
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
            event.record(&mut Fields(&mut fields));
            self.0.lock().unwrap().push(fields);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    fn line(observations: &[Observation], seconds: u64) -> BTreeMap<&'static str, String> {
        let mut table = PullTable::new(Limits::default());
        table.apply(observations, at(seconds));
        let pull = Arc::clone(table.get(&id(1)).unwrap());
        let keeping = Keeping::default();
        tracing::subscriber::with_default(keeping.clone(), || write(&pull, at(seconds).node));
        let mut lines = keeping.0.lock().unwrap();
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let line = line(&[began(1)], 3);
        let names: Vec<_> = line.keys().copied().collect();
        assert_eq!(
            names,
            [
                "duration_ms",
                "id",
                "level",
                "message",
                "node",
                "phase",
                "target",
                "waiting_on"
            ]
        );
        assert_eq!(line["target"], "pulltrace::pull");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["duration_ms"], "3000");
        assert_eq!(line["waiting_on"], "\"registry\"");
    }

    #[test]
    fn a_failure_is_a_warning_with_its_reason() {
        let named = Observation::Named {
            pull: id(1),
            name: "nginx".parse().unwrap(),
        };
        let line = line(&[began(1), named, ended(1, Evidence::ImageAbsent, 4)], 9);
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
    fn a_download_tells_how_far_it_is() {
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
        let image = Observation::Image {
            pull: id(1),
            image: Arc::new(image),
        };
        let blob = Observation::Blob {
            namespace: "k8s.io".parse().unwrap(),
            digest: layer.parse().unwrap(),
            sight: pulltrace_core::BlobSight::Ingest {
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
        let told = "pulling an unknown image: downloading, 20 %, 1.00 MiB of 4.00 MiB";
        assert_eq!(line["message"], told);
    }
}

//! Tests of accepted and rejected reports.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::failure::FailureReason;
use crate::image::Image;
use crate::layer::LayerState;
use crate::pull::{Outcome, Pull};
use crate::unit::Bytes;
use crate::wire::fixtures::{completed, failed, id, live, resolving};

fn agent_report(pulls: &[Pull], full: bool) -> v1::AgentReport {
    let images = pulls.iter().filter_map(|pull| pull.image.as_deref());
    let images: BTreeMap<_, _> = images.map(|image| (&image.root, image)).collect();
    v1::AgentReport {
        schema_version: v1::SCHEMA_VERSION.to_owned(),
        node_name: "worker-1".to_owned(),
        timestamp: live().started_at,
        sequence: 7,
        full,
        agent: v1::AgentInfo {
            version: "0.1.0".to_owned(),
            instance: "5f2c".to_owned(),
            started_at: live().started_at,
            interval_ms: 5_000,
        },
        node: v1::NodeInfo {
            runtime_version: Some("containerd 2.4.2".to_owned()),
            runtime_namespace: Some("k8s.io".to_owned()),
            snapshotter: Some("overlayfs".to_owned()),
        },
        images: images.into_values().map(Into::into).collect(),
        pulls: pulls.iter().map(Into::into).collect(),
        dropped: v1::Dropped {
            refused: 1,
            evicted: 0,
            ends_lost: 2,
            anomalies: BTreeMap::from([("offset_went_back".to_owned(), 3)]),
        },
    }
}

/// Serialises the report to JSON and parses it.
fn parse_report(report: &v1::AgentReport) -> Result<CheckedReport, ReportError> {
    match parse(&serde_json::to_vec(report).unwrap())? {
        AnyReport::V1(report) => Ok(report),
        AnyReport::V0(_) => panic!("a report of version 1 was parsed as version 0.1"),
    }
}

fn into_pulls(report: CheckedReport) -> Result<Vec<Pull>, ReportError> {
    let images = report.images;
    let pulls = report.pulls.into_iter();
    pulls
        .map(|pull| {
            let named = |image: &&Arc<Image>| Some(&image.root) == pull.image();
            let image = images.iter().find(named).cloned();
            pull.into_pull(image)
        })
        .collect()
}

/// Returns the pull as received: without chain ids, and with rounded numbers.
fn as_received(mut pull: Pull) -> Pull {
    use crate::unit::{BytesPerSecond, Percent};
    use crate::wire::convert::{percent, rate, seconds};
    let tenths = |left| Duration::from_secs_f64(seconds(left));
    let whole = |told| BytesPerSecond::new(rate(told)).unwrap();
    if let Some(image) = &mut pull.image {
        for layer in &mut Arc::make_mut(image).layers {
            layer.chains.clear();
        }
    }
    pull.motion.percent = (pull.motion.percent).map(|told| Percent::new(percent(told)));
    pull.motion.rate = pull.motion.rate.map(whole);
    if let Some(eta) = &mut pull.motion.eta {
        (eta.left, eta.low, eta.high) = (tenths(eta.left), tenths(eta.low), tenths(eta.high));
    }
    for layer in &mut pull.layers {
        layer.motion.rate = layer.motion.rate.map(whole);
    }
    pull
}

#[track_caller]
fn assert_golden(file: &str, report: &v1::AgentReport) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = path.join(file);
    let text = serde_json::to_string_pretty(report).unwrap() + "\n";
    if std::env::var_os("PULLTRACE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "the wire format changed");
    let read: v1::AgentReport = serde_json::from_str(&golden).unwrap();
    assert_eq!(&read, report, "deserialising must restore the report");
}

#[test]
fn full_report_matches_golden_file() {
    let mut failed = failed();
    failed.id = id("4-dddd");
    let report = agent_report(&[live(), failed, completed()], true);
    assert_golden("agent_report_v1_full.json", &report);
    assert_eq!(into_pulls(parse_report(&report).unwrap()).unwrap().len(), 3);
}

#[test]
fn partial_report_matches_golden_file() {
    let mut report = agent_report(&[live(), resolving()], false);
    report.pulls.truncate(1);
    report.images.clear();
    report.dropped = v1::Dropped::default();
    assert_golden("agent_report_v1_partial.json", &report);
}

#[test]
fn reported_pull_round_trips() {
    for pull in [live(), failed(), resolving(), completed()] {
        let report = parse_report(&agent_report(std::slice::from_ref(&pull), true)).unwrap();
        assert_eq!(into_pulls(report).unwrap(), [as_received(pull)]);
    }
}

#[test]
fn reported_percentage_round_trips() {
    for tenths in 0..=999 {
        let mut report = agent_report(&[live()], true);
        report.pulls[0].percent = Some(f64::from(tenths) / 10.0);
        let pulls = into_pulls(parse_report(&report).unwrap()).unwrap();
        let shown = v1::PullStatus::from(&pulls[0]).percent;
        assert_eq!(shown, report.pulls[0].percent);
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let mut report = serde_json::to_value(agent_report(&[live()], true)).unwrap();
    report["later"] = json!({"x": [1]});
    report["agent"]["later"] = json!(1);
    report["images"][0]["later"] = json!(1);
    report["pulls"][0]["later"] = json!(1);
    let layer = report["pulls"][0]["layers"][3].as_array_mut().unwrap();
    layer[3]["later"] = json!(1);
    layer.push(json!({"later": true}));
    let AnyReport::V1(report) = parse(report.to_string().as_bytes()).unwrap() else {
        panic!("unexpected version");
    };
    assert_eq!(into_pulls(report).unwrap(), [as_received(live())]);
}

#[test]
fn unknown_failure_reason_becomes_other() {
    let report = serde_json::to_string(&agent_report(&[failed()], true)).unwrap();
    let report = report.replace("unexplained", "full_moon");
    let AnyReport::V1(report) = parse(report.as_bytes()).unwrap() else {
        panic!("unexpected version");
    };
    let pull = into_pulls(report).unwrap().remove(0);
    assert_eq!(pull.facts.failure.unwrap().reason, FailureReason::Other);
}

#[test]
fn completed_pull_may_omit_layers() {
    let mut report = agent_report(&[completed()], true);
    report.pulls[0].layers.clear();
    let pull = into_pulls(parse_report(&report).unwrap()).unwrap().remove(0);
    let status = v1::PullStatus::from(&pull);
    assert_eq!((status.layer_count, status.layers_done), (Some(4), None));
}

#[test]
fn live_pull_may_omit_image() {
    let mut report = agent_report(&[live()], true);
    report.images.clear();
    report.pulls[0].image = None;
    report.pulls[0].layers.clear();
    let pull = into_pulls(parse_report(&report).unwrap()).unwrap().remove(0);
    let status = v1::PullStatus::from(&pull);
    assert_eq!((status.total_known, status.layer_count), (false, None));
    assert_eq!(status.phase, v1::Phase::Downloading);
}

#[test]
fn inconsistent_times_are_accepted() {
    let mut pull = completed();
    pull.ended_at = Some("1999-12-31T23:59:59Z".parse().unwrap());
    pull.layers[2].started_at = pull.ended_at;
    let report = parse_report(&agent_report(&[pull.clone()], true)).unwrap();
    assert_eq!(into_pulls(report).unwrap(), [as_received(pull)]);
}

#[test]
fn unusual_image_does_not_invalidate_report() {
    let mut pull = live();
    let image = Arc::make_mut(pull.image.as_mut().unwrap());
    image.manifests = vec![image.root.clone(); 1_000];
    image.layers[3].size = Bytes(i64::MAX as u64 - 6_000);
    pull.layers[3].size = image.layers[3].size;
    pull.names = vec![pull.names[0].clone(); 1_000];
    pull.motion.eta.as_mut().unwrap().high = Duration::MAX;
    let pulls = into_pulls(parse_report(&agent_report(&[pull], true)).unwrap()).unwrap();
    assert_eq!(pulls[0].total, Some(Bytes(i64::MAX as u64)));
    assert_eq!(pulls[0].motion.eta.unwrap().high, Duration::MAX);
}

/// Applies a change to a valid report and returns the resulting error.
#[track_caller]
fn rejection(change: impl FnOnce(&mut v1::AgentReport)) -> ReportError {
    let mut report = agent_report(&[live(), failed(), completed()], true);
    report.pulls[1].id = report.pulls[1].id.replace("1-aaaa", "9-zzzz");
    parse_report(&report).and_then(into_pulls).expect("the report is valid before the change");
    change(&mut report);
    parse_report(&report).and_then(into_pulls).expect_err("the changed report was accepted")
}

#[test]
fn rejects_oversized_lists_and_texts() {
    fn long() -> String {
        "x".repeat(10 << 20)
    }
    type Change = fn(&mut v1::AgentReport);
    let cases: [(&str, Change); 12] = [
        ("pulls", |r| r.pulls = vec![r.pulls[0].clone(); 2_001]),
        ("images", |r| r.images = vec![r.images[0].clone(); 2_001]),
        ("images.layers", |r| {
            let layer = r.images[0].layers[0].clone();
            r.images[0].layers = vec![layer; 2_000];
        }),
        ("images.manifestDigests", |r| {
            let digest = r.images[0].root_digest.clone();
            r.images[0].manifest_digests = vec![digest; 65];
        }),
        ("pulls.layers", |r| {
            let layer = r.pulls[0].layers[0].clone();
            r.pulls[0].layers = vec![layer; 2_000];
        }),
        ("pulls.names", |r| r.pulls[0].names = vec!["a/b:1".to_owned(); 65]),
        ("dropped.anomalies", |r| {
            r.dropped.anomalies = (0..65).map(|n| (n.to_string(), 1)).collect();
        }),
        ("agent.version", |r| r.agent.version = long()),
        ("node.snapshotter", |r| r.node.snapshotter = Some(long())),
        ("images.layers.mediaType", |r| {
            r.images[0].layers[0].media_type = long();
        }),
        ("images.layers.createdBy", |r| {
            r.images[0].layers[0].created_by = Some(long());
        }),
        ("pulls.failure.message", |r| {
            r.pulls[1].failure.as_mut().unwrap().message = Some(long());
        }),
    ];
    for (name, change) in cases {
        let error = rejection(change);
        let ReportError::TooMany { what, .. } = error else {
            panic!("{name}: {error}");
        };
        assert_eq!(what, name);
    }
}

#[test]
fn rejects_invalid_names() {
    type Change = fn(&mut v1::AgentReport);
    let cases: [(&str, Change); 10] = [
        ("nodeName", |r| r.node_name = String::new()),
        ("nodeName", |r| r.node_name = "x".repeat(10 << 20)),
        ("images.rootDigest", |r| r.images[0].root_digest = "x".to_owned()),
        ("images.layers.digest", |r| {
            r.images[0].layers[0].digest = "layer-sha256:0".to_owned();
        }),
        ("pulls.id", |r| r.pulls[0].id = "1".to_owned()),
        ("pulls.image", |r| r.pulls[0].image = Some("x".to_owned())),
        ("pulls.rootDigest", |r| r.pulls[0].root_digest = Some("x".to_owned())),
        ("pulls.repository", |r| r.pulls[0].repository = Some("/x".to_owned())),
        ("pulls.names", |r| r.pulls[0].names = vec!["A B".to_owned()]),
        ("waitingOn.pull", |r| {
            let detail = &mut r.pulls[0].layers[3].detail;
            detail.waiting_on.as_mut().unwrap().pull = Some("x".to_owned());
        }),
    ];
    for (name, change) in cases {
        let error = rejection(change);
        assert!(error.to_string().len() < 400, "{name}: the error is too long");
        let ReportError::InvalidName { what, .. } = error else {
            panic!("{name}: {error}");
        };
        assert_eq!(what, name);
    }
}

#[test]
fn rejects_invalid_numbers() {
    type Change = fn(&mut v1::AgentReport);
    let cases: [(&str, Change); 9] = [
        ("sequence", |r| r.sequence = u64::MAX),
        ("agent.intervalMs", |r| r.agent.interval_ms = u64::MAX),
        ("images.layers.size", |r| r.images[0].layers[0].size = u64::MAX),
        ("images.layers.size", |r| {
            r.images[0].layers[0].size = MAX_NUMBER;
        }),
        ("pulls.percent", |r| r.pulls[0].percent = Some(-0.1)),
        ("pulls.downloadedBytes", |r| r.pulls[0].downloaded_bytes = u64::MAX),
        ("pulls.bytesPerSec", |r| r.pulls[0].bytes_per_sec = Some(-1.0)),
        ("pulls.etaSeconds", |r| r.pulls[0].eta_seconds = Some(-1.0)),
        ("pulls.layers", |r| {
            r.pulls[0].layers[2].detail.started_ms = Some(i64::MIN);
        }),
    ];
    for (name, change) in cases {
        assert_eq!(rejection(change), ReportError::InvalidNumber { what: name });
    }
    // JSON cannot express these numbers, but callers of the types can.
    for number in [f64::NAN, f64::INFINITY] {
        let mut report = agent_report(&[live()], true);
        report.pulls[0].bytes_per_sec = Some(number);
        let error = CheckedReport::try_from(report).unwrap_err();
        assert!(matches!(error, ReportError::InvalidNumber { .. }), "{error}");
    }
}

#[test]
fn rejects_wrong_json_types() {
    let good = serde_json::to_value(agent_report(&[live()], true)).unwrap();
    for (pointer, bad) in [
        ("/pulls/0/downloadedBytes", json!(-1)),
        ("/pulls/0/downloadedBytes", json!(1.5)),
        ("/pulls/0/startedAt", json!("yesterday")),
        ("/pulls/0/layers/0", json!([0, 1])),
        ("/pulls/0/layers/0", json!([-1, 0, "waiting"])),
        ("/pulls", json!(null)),
        ("/sequence", json!("7")),
        ("/agent", json!({})),
    ] {
        let mut report = good.clone();
        *report.pointer_mut(pointer).unwrap() = bad;
        let error = parse(report.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, ReportError::Malformed(_)), "{pointer}: {error}");
    }
    let whole = good.to_string();
    let half = whole.get(..whole.len() / 2).unwrap();
    for text in ["", "null", "[]", "7", "{", "{}", half] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, ReportError::Malformed(_)), "{text}: {error}");
    }
    let deep = "[".repeat(100_000);
    assert!(parse(deep.as_bytes()).is_err());
    let huge = whole.replace("\"sequence\":7", "\"sequence\":1e999");
    assert!(parse(huge.as_bytes()).is_err());
    let long = format!(r#"{{"schemaVersion":"v1","sequence":"{}"}}"#, "x".repeat(10 << 20));
    assert!(parse(long.as_bytes()).unwrap_err().to_string().len() < 400);
}

#[test]
fn rejects_unsupported_version() {
    let error = rejection(|report| report.schema_version = "v2".to_owned());
    assert_eq!(error, ReportError::UnsupportedVersion("v2".to_owned()));
    let error = parse(br#"{"schemaVersion":"v2","anything":1}"#).unwrap_err();
    assert_eq!(error, ReportError::UnsupportedVersion("v2".to_owned()));
}

#[test]
fn rejects_unknown_variants() {
    type Change = fn(&mut v1::AgentReport);
    let cases: [(&str, Change); 3] = [
        ("pulls.phase", |r| r.pulls[0].phase = v1::Phase::Other),
        ("pulls.layers", |r| {
            r.pulls[0].layers[1].state = v1::LayerState::Other;
        }),
        ("waitingOn.kind", |r| {
            let detail = &mut r.pulls[0].layers[3].detail;
            detail.waiting_on.as_mut().unwrap().kind = v1::WaitingKind::Other;
        }),
    ];
    for (name, change) in cases {
        let mut report = agent_report(&[live()], true);
        change(&mut report);
        let report = CheckedReport::try_from(report);
        let error = report.and_then(into_pulls).unwrap_err();
        assert_eq!(error, ReportError::UnknownVariant { what: name });
    }
}

#[test]
fn rejects_pulls_of_another_node() {
    let other = |id: &str| id.replace("worker-1", "worker-2");
    let error = rejection(|report| report.pulls[0].id = other(&report.pulls[0].id));
    assert!(matches!(error, ReportError::WrongNode { .. }), "{error}");
    let error = rejection(|report| {
        let detail = &mut report.pulls[0].layers[3].detail;
        let pull = &mut detail.waiting_on.as_mut().unwrap().pull;
        *pull = pull.as_deref().map(other);
    });
    assert!(matches!(error, ReportError::WrongNode { .. }), "{error}");
}

#[test]
fn rejects_duplicates() {
    for error in [
        rejection(|report| report.pulls[1].id = report.pulls[0].id.clone()),
        rejection(|report| report.images.push(report.images[0].clone())),
        rejection(|report| {
            let layer = report.images[0].layers[0].clone();
            report.images[0].layers.push(layer);
        }),
    ] {
        assert!(matches!(error, ReportError::Duplicate(_)), "{error}");
    }
}

#[test]
fn rejects_inconsistent_pulls() {
    type Change = fn(&mut v1::AgentReport);
    // The report contains a live pull, a failed one without an image, and a completed one.
    let cases: [(&str, Change); 20] = [
        ("exceeds", |r| r.pulls[2].percent = Some(100.1)),
        ("100 %", |r| r.pulls[0].percent = Some(100.0)),
        ("100 %", |r| r.pulls[2].percent = Some(99.9)),
        ("without an end time", |r| r.pulls[2].completed_at = None),
        ("without an outcome", |r| r.pulls[0].completed_at = Some(r.timestamp)),
        ("outcome is not failed", |r| r.pulls[2].failure = r.pulls[1].failure.clone()),
        ("ended, but", |r| r.pulls[2].bytes_per_sec = Some(1.0)),
        ("ended, but", |r| r.pulls[1].stalled_since = Some(r.timestamp)),
        ("the root digest", |r| r.pulls[0].root_digest = None),
        ("resolving", |r| r.pulls[0].phase = v1::Phase::Resolving),
        ("without an image", |r| r.pulls[1].layers = r.pulls[0].layers.clone()),
        ("more bytes unpacked", |r| r.pulls[0].extracted_bytes = 9_001),
        ("the referenced one", |r| r.images.clear()),
        ("more bytes are present", |r| r.pulls[0].downloaded_bytes = 7_001),
        ("more bytes to unpack", |r| {
            r.pulls[0].to_extract_bytes = Some(10_001);
        }),
        ("bytes are missing", |r| r.pulls[0].phase = v1::Phase::Extracting),
        ("bytes are missing", |r| r.pulls[2].downloaded_bytes = 6_999),
        ("not unpacked", |r| r.pulls[2].extracted_bytes = 8_999),
        ("a layer is not", |r| {
            r.pulls[2].layers[1].state = v1::LayerState::Extracting;
        }),
        ("impossible in its state", |r| r.pulls[0].layers[2].bytes = 3_001),
    ];
    for (words, change) in cases {
        let error = rejection(change);
        let ReportError::Inconsistent { what, .. } = error else {
            panic!("{words}: {error}");
        };
        assert!(what.contains(words), "{words}: {what}");
    }
}

#[test]
fn rejects_layers_that_differ_from_image() {
    type Change = fn(&mut Vec<v1::ReportLayer>);
    let cases: [Change; 3] =
        [|layers| layers[3].index = 4, |layers| layers[3].index = 2, |layers| drop(layers.pop())];
    for change in cases {
        let error = rejection(|report| change(&mut report.pulls[0].layers));
        let what = "the layers differ from those of the image";
        assert!(matches!(error, ReportError::Inconsistent { what: w, .. } if w == what), "{error}");
    }
}

#[test]
fn rejects_layer_bytes_inconsistent_with_state() {
    let states = [
        (LayerState::Waiting, 1),
        (LayerState::Remote, 1),
        (LayerState::Downloading, 2_001),
        (LayerState::Downloaded, 1_999),
        (LayerState::Extracting, 1_999),
        (LayerState::Complete, 0),
        (LayerState::Cached, 0),
    ];
    for (state, bytes) in states {
        let error = rejection(|report| {
            let layer = &mut report.pulls[0].layers[1];
            (layer.state, layer.bytes) = (state.into(), bytes);
        });
        let expected = "the bytes of a layer are impossible in its state";
        let is = matches!(error, ReportError::Inconsistent { what, .. } if what == expected);
        assert!(is, "{state}: {error}");
    }
}

const V0: &str = include_str!("../../../tests/golden/agent_report_v0.json");

fn v0(text: &str) -> Result<V0Report, ReportError> {
    match parse(text.as_bytes())? {
        AnyReport::V0(report) => Ok(report),
        AnyReport::V1(_) => panic!("a report of version 0.1 was parsed as version 1"),
    }
}

#[test]
fn v0_report_yields_one_ingest_per_layer() {
    let report = v0(V0).unwrap();
    assert_eq!(report.node.as_str(), "worker-1");
    let rows = report.ingests.iter().map(|ingest| {
        let total = ingest.total.map(|bytes| bytes.0);
        (ingest.digest.short(), ingest.bytes.0, total)
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(
        rows,
        [
            ("aaaaaaaaaaaa", 10_485_760, Some(31_457_280)),
            ("bbbbbbbbbbbb", 1_048_576, None),
            ("cccccccccccc", 0, None),
        ]
    );
    assert_eq!(report.skipped, 2, "a manifest and a config");
    let names = report.ingests.iter().map(|ingest| &ingest.name);
    assert!(names.clone().all(Option::is_none), "{names:?}");
    assert!(report.ingests[0].started_at.is_some());
    assert_eq!(report.ingests[2].started_at, None, "Go's zero time");
}

#[test]
fn idle_v0_report_has_no_ingests() {
    let head = r#"{"nodeName":"w","timestamp":"2026-11-24T21:00:00.5+01:00""#;
    for tail in ["}", r#","pulls":null}"#, r#","pulls":[]}"#] {
        assert_eq!(v0(&format!("{head}{tail}")).unwrap().ingests, []);
    }
}

#[test]
fn rejects_invalid_v0_report() {
    let change = |from: &str, to: &str| v0(&V0.replacen(from, to, 1)).unwrap_err();
    let error = change("worker-1", "worker/1");
    assert!(matches!(error, ReportError::InvalidName { .. }), "{error}");
    let error = change("\"downloadedBytes\": 10485760", "\"downloadedBytes\": -1");
    assert!(matches!(error, ReportError::InvalidNumber { .. }), "{error}");
    let error = change("\"pulls\": [", "\"pulls\": [7,");
    assert!(matches!(error, ReportError::Malformed(_)), "{error}");
    let layers = vec![json!({"digest": "layer-sha256:0"}); 2_001];
    let many = json!({"nodeName": "w", "timestamp": "2026-11-24T20:00:00Z", "pulls": [{"layers": layers}]});
    let error = v0(&many.to_string()).unwrap_err();
    assert!(matches!(error, ReportError::TooMany { .. }), "{error}");
}

#[test]
fn v0_report_may_name_image() {
    let named = V0.replacen("\"imageRef\": \"layer-sha256:", "\"imageRef\": \"nginx@sha256:", 1);
    let name = v0(&named).unwrap().ingests.remove(0).name.unwrap();
    assert!(name.to_string().starts_with("docker.io/library/nginx@"), "{name}");
}

/// Collects the JSON pointers of all values.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                pointers(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{at}/{index}"), found);
            }
        }
        _ => (),
    }
}

/// Replaces the value at one of the pointers, or removes it.
fn replace_or_remove(value: &mut Value, place: &proptest::sample::Index, with: Option<&Value>) {
    let mut places = Vec::new();
    pointers(value, "", &mut places);
    let place = place.get(&places);
    let (parent, key) = place.rsplit_once('/').unwrap_or_default();
    if let Some(with) = with {
        value.pointer_mut(place).unwrap().clone_from(with);
    } else if let Some(Value::Object(map)) = value.pointer_mut(parent) {
        map.remove(key);
    }
}

fn replacements() -> impl Strategy<Value = Option<Value>> {
    let texts = "[ -~]{0,80}".prop_map(Value::from);
    let numbers = any::<i64>().prop_map(Value::from);
    let reals = any::<f64>().prop_map(Value::from);
    let fixed = proptest::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(u64::MAX),
        json!(100.0),
        json!([]),
        json!({}),
        json!("completed"),
        json!("failed"),
        json!("cached"),
        json!([0, 0, "waiting"]),
        json!("9999-12-31T23:59:59Z"),
        json!("-009999-01-02T01:59:59Z"),
    ]);
    proptest::option::of(prop_oneof![texts, numbers, reals, fixed])
}

proptest! {
    #[test]
    fn parse_accepts_any_mutated_report(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), replacements()), 1..6),
    ) {
        let mut report = serde_json::to_value(agent_report(&[live(), completed()], true)).unwrap();
        for (place, with) in &changes {
            replace_or_remove(&mut report, place, with.as_ref());
        }
        if let Ok(AnyReport::V1(report)) = parse(report.to_string().as_bytes())
            && let Ok(pulls) = into_pulls(report)
        {
            for pull in pulls {
                let status = v1::PullStatus::from(&pull);
                let done = pull.outcome() == Some(Outcome::Completed);
                prop_assert!(status.percent.is_none_or(|p| (p >= 100.0) == done), "{:?}", status);
                prop_assert!(pull.motion.downloaded <= pull.to_download.unwrap_or(pull.motion.downloaded));
                prop_assert!(serde_json::to_string(&status).is_ok());
            }
        }
    }

    #[test]
    fn parse_accepts_any_bytes(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(parse(&body));
    }
}

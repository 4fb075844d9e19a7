//! Tests that committed JSON of the wire is still read, and serialised unchanged.

use std::fs;
use std::path::Path;

use pulltrace_core::wire::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[track_caller]
fn assert_round_trip<T: DeserializeOwned + Serialize>(files: &[&str]) {
    for file in files {
        let path = Path::new("tests/golden").join(file);
        let golden = fs::read_to_string(path).unwrap();
        let read: T = serde_json::from_str(&golden).unwrap();
        let text = serde_json::to_string_pretty(&read).unwrap() + "\n";
        assert_eq!(text, golden, "{file}: the wire format changed");
    }
}

#[test]
fn events_match_golden_files() {
    assert_round_trip::<v1::PullEvent>(&[
        "pull_event_v1_started.json",
        "pull_event_v1_progress.json",
        "pull_event_v1_completed.json",
        "pull_event_v1_failed.json",
        "pull_event_v1_layer.json",
    ]);
    assert_round_trip::<v1::Frame>(&["frame_v1.json"]);
}

#[test]
fn responses_match_golden_files() {
    assert_round_trip::<v1::ReportAck>(&["report_ack_v1.json"]);
    assert_round_trip::<v1::PullList>(&["pull_list_v1.json"]);
    assert_round_trip::<v1::NodeList>(&["node_list_v1.json"]);
    assert_round_trip::<v1::ImageList>(&["image_list_v1.json"]);
    assert_round_trip::<v1::PodList>(&["pod_list_v1.json"]);
    assert_round_trip::<v1::PodPulls>(&["pod_pulls_v1.json"]);
    assert_round_trip::<v1::PodEnd>(&["pod_end_v1.json"]);
    assert_round_trip::<v1::ServerStatus>(&["server_status_v1.json", "server_status_v1_new.json"]);
    assert_round_trip::<v1::Problem>(&["problem_v1.json"]);
}

#[test]
fn reports_match_golden_files() {
    assert_round_trip::<v1::AgentReport>(&[
        "agent_report_v1_full.json",
        "agent_report_v1_partial.json",
    ]);
}

#[test]
fn unknown_fields_and_event_types_are_accepted() {
    let golden = fs::read_to_string("tests/golden/pull_event_v1_layer.json").unwrap();
    let later = golden
        .replacen('{', r#"{"later":{"x":[1]},"#, 1)
        .replace("layer.progress", "layer.dreaming");
    let read: v1::PullEvent = serde_json::from_str(&later).unwrap();
    assert_eq!(read.kind, v1::EventType::Other);
}

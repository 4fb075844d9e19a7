//! Golden files of version 1. Changing them changes the wire format.

use super::*;
use crate::eta::EtaBasis;
use crate::failure::FailureReason;
use crate::layer::LayerState;
use crate::pull::{Outcome, Phase};
use crate::wait::WaitingKind;
use crate::wire::fixtures::{failed, live, resolving};

const LIVE: &str = include_str!("../../../tests/golden/pull_status_v1_live.json");
const FAILED: &str = include_str!("../../../tests/golden/pull_status_v1_failed.json");
const RESOLVING: &str = include_str!("../../../tests/golden/pull_status_v1_resolving.json");

#[track_caller]
fn assert_golden(pull: &Pull, golden: &str) {
    let status = v1::PullStatus::from(pull);
    let text = serde_json::to_string_pretty(&status).unwrap() + "\n";
    assert_eq!(text, golden, "the wire format changed");
    let read: v1::PullStatus = serde_json::from_str(golden).unwrap();
    assert_eq!(read, status, "deserialising must restore the value");
}

#[test]
fn live_pull_matches_golden_file() {
    assert_golden(&live(), LIVE);
}

#[test]
fn failed_pull_matches_golden_file() {
    assert_golden(&failed(), FAILED);
}

#[test]
fn unknown_values_are_absent() {
    assert_golden(&resolving(), RESOLVING);
    for word in ["Bytes", "null", "percent", "layer", "eta"] {
        assert!(!RESOLVING.contains(word), "{word}");
    }
}

#[test]
fn unknown_fields_and_variants_are_accepted() {
    let newer = RESOLVING
        .replacen('{', r#"{"later":{"x":[1]},"#, 1)
        .replace(r#""resolving""#, r#""dreaming""#)
        .replace(r#""registry""#, r#""full_moon""#);
    let read: v1::PullStatus = serde_json::from_str(&newer).unwrap();
    assert_eq!(read.phase, v1::Phase::Other);
    assert_eq!(read.waiting_on.unwrap().kind, v1::WaitingKind::Other);
}

#[test]
fn model_names_equal_wire_names() {
    let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    for phase in [
        Phase::Resolving,
        Phase::Downloading,
        Phase::Extracting,
        Phase::Ended(Outcome::Completed),
        Phase::Ended(Outcome::Failed),
        Phase::Ended(Outcome::Cancelled),
        Phase::Ended(Outcome::Unknown),
    ] {
        let wire = serde_json::to_value(v1::Phase::from(phase)).unwrap();
        assert_eq!(word(wire), phase.as_str());
        if let Some(outcome) = phase.outcome() {
            let wire = serde_json::to_value(v1::Outcome::from(outcome)).unwrap();
            assert_eq!(word(wire), outcome.as_str());
        }
    }
    for state in [
        LayerState::Waiting,
        LayerState::Downloading,
        LayerState::Downloaded,
        LayerState::Extracting,
        LayerState::Complete,
        LayerState::Cached,
        LayerState::Remote,
    ] {
        let wire = serde_json::to_value(v1::LayerState::from(state)).unwrap();
        assert_eq!(word(wire), state.as_str());
    }
    for kind in [
        WaitingKind::DownloadSlot,
        WaitingKind::SharedLayer,
        WaitingKind::ParentLayer,
        WaitingKind::Registry,
    ] {
        let wire = serde_json::to_value(v1::WaitingKind::from(kind)).unwrap();
        assert_eq!(word(wire), kind.as_str());
    }
    for reason in FailureReason::ALL {
        let wire = v1::FailureReason::from(reason);
        assert_eq!(FailureReason::from(wire), reason);
        assert_eq!(word(serde_json::to_value(wire).unwrap()), reason.as_str());
    }
    for basis in [EtaBasis::Learned, EtaBasis::Assumed] {
        let wire = serde_json::to_value(v1::EtaBasis::from(basis)).unwrap();
        assert_eq!(word(wire), basis.as_str());
    }
}

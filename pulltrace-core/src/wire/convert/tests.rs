//! Golden files of version 1. Changing them changes the wire format.

use super::*;
use crate::eta::EtaBasis;
use crate::failure::FailureReason;
use crate::layer::LayerState;
use crate::link::LinkEvidence;
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
fn motion_has_progress_of_status() {
    let pull = live();
    let status = v1::PullStatus::from(&pull);
    let mut motion = v1::PullMotion::from(&pull);
    assert!(motion.layers.is_empty());
    assert!(motion.percent.is_some() && motion.percent == status.percent);
    assert!(motion.layers_done.is_some() && motion.layers_done == status.layers_done);
    for (index, (layer, shown)) in pull.layers.iter().zip(&status.layers).enumerate() {
        motion.push_layer(index, layer);
        let pushed = *motion.layers.last().unwrap();
        let shown = (shown.downloaded_bytes, shown.unpacked_bytes, shown.bytes_per_sec);
        assert_eq!((pushed.0 as usize, (pushed.1, pushed.2, pushed.3)), (index, shown));
    }
    assert_eq!(v1::PullMotion::from(&resolving()), v1::PullMotion::default());
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

#[track_caller]
fn assert_same_name(wire: &impl serde::Serialize, model: &str) {
    assert_eq!(serde_json::to_value(wire).unwrap(), model);
}

#[test]
fn model_names_equal_wire_names() {
    let live = [Phase::Queued, Phase::Resolving, Phase::Downloading, Phase::Extracting];
    for phase in live.into_iter().chain(Outcome::ALL.map(Phase::Ended)) {
        assert_same_name(&v1::Phase::from(phase), phase.as_str());
        assert_eq!(Phase::try_from(v1::Phase::from(phase)), Ok(phase));
    }
    for outcome in Outcome::ALL {
        assert_same_name(&v1::Outcome::from(outcome), outcome.as_str());
    }
    for state in LayerState::ALL {
        assert_same_name(&v1::LayerState::from(state), state.as_str());
    }
    for kind in WaitingKind::ALL {
        assert_same_name(&v1::WaitingKind::from(kind), kind.as_str());
    }
    for evidence in LinkEvidence::ALL {
        assert_same_name(&v1::LinkEvidence::from(evidence), evidence.as_str());
    }
    for basis in EtaBasis::ALL {
        assert_same_name(&v1::EtaBasis::from(basis), basis.as_str());
    }
    for reason in FailureReason::ALL {
        assert_same_name(&reason, reason.as_str());
    }
}

#[test]
fn wire_names_are_parsed() {
    for phase in v1::Phase::ALL {
        assert_same_name(&phase, phase.as_str());
        assert_eq!(v1::Phase::from_name(phase.as_str()), Some(phase));
    }
    for kind in v1::EventType::ALL {
        assert_same_name(&kind, kind.as_str());
        assert_eq!(v1::EventType::from_name(kind.as_str()), Some(kind));
    }
    assert_eq!(v1::Phase::from_name("other"), None);
    assert_same_name(&v1::Phase::Other, v1::Phase::Other.as_str());
}

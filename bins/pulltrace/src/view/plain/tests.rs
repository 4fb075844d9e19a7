//! The lines of the plain view and their timing.

use super::*;
use crate::view::fixture::{self, MIB, at};
use pulltrace_core::{Bytes, Outcome, Percent};

/// Returns the lines for these pulls at `second`.
fn lines_at(plain: &mut PlainView, pulls: &[&Pull], second: i64) -> Vec<String> {
    let scene = fixture::scene_of(pulls.iter().map(|pull| (*pull).clone()), second);
    let changed: Vec<_> = scene.pulls.values().cloned().collect();
    plain.lines(&changed, &scene)
}

#[test]
fn prints_pull_from_start_to_end() {
    let mut plain = PlainView::default();
    let mut pull = fixture::unresolved_pull("1-a");
    assert_eq!(
        lines_at(&mut plain, &[&pull], 0),
        ["2026-11-24T20:00:00Z unknown image (lease 1-a): resolving, waiting for the registry"]
    );
    pull = fixture::pull("1-a", "team/web", &[10, 30]);
    pull.phase = Phase::Downloading;
    pull.motion.percent = Some(Percent::ZERO);
    assert_eq!(
        lines_at(&mut plain, &[&pull], 1),
        ["2026-11-24T20:00:01Z registry.example/team/web:1.2: downloading 0 %, 0 B of 40.0 MiB"]
    );
    pull.motion.percent = Some(Percent::from_fraction(0.2));
    pull.motion.downloaded = Bytes(10 * MIB);
    pull.motion.rate = Some(fixture::rate(5));
    pull.motion.eta = Some(fixture::eta(5, 6, 9));
    assert_eq!(lines_at(&mut plain, &[&pull], 5), [""; 0], "not yet");
    assert_eq!(
        lines_at(&mut plain, &[&pull], 6),
        [
            "2026-11-24T20:00:06Z registry.example/team/web:1.2: downloading 20 %, 10.0 MiB of 40.0 MiB, 5.00 MiB/s, ~6 s left"
        ]
    );
    assert_eq!(lines_at(&mut plain, &[&pull], 60), [""; 0], "nothing changed");
    pull.stalled_since = Some(at(60));
    let lines = lines_at(&mut plain, &[&pull], 61);
    assert!(lines[0].ends_with("stalled: no data"), "{lines:?}");
    pull.phase = Phase::Ended(Outcome::Completed);
    pull.ended_at = Some(at(70));
    assert_eq!(
        lines_at(&mut plain, &[&pull], 70),
        [
            "2026-11-24T20:01:10Z registry.example/team/web:1.2: completed in 1 m 10 s, 40.0 MiB in 2 layers"
        ]
    );
    assert_eq!(lines_at(&mut plain, &[&pull], 90), [""; 0], "once");
}

#[test]
fn server_lines_name_node_and_use_end_time() {
    let ended = |pull: &Pull| {
        let mut pull = pull.clone();
        pull.phase = Phase::Ended(Outcome::Completed);
        pull.ended_at = Some(at(7));
        pull
    };
    let (old, new) =
        (fixture::pull("1-a", "team/web", &[10]), fixture::pull("2-b", "team/db", &[10]));
    let mut plain = PlainView::default();
    let mut tell = |pulls: Vec<Pull>, second| {
        let mut scene = fixture::scene_of(pulls, second);
        scene.origin = Origin::Server("http://localhost:8080".to_owned());
        let changed: Vec<_> = scene.pulls.values().cloned().collect();
        plain.lines(&changed, &scene)
    };
    let lines = tell(vec![ended(&old), new.clone()], 20);
    assert_eq!(
        lines[0],
        "2026-11-24T20:00:07Z worker-1 registry.example/team/web:1.2: completed in 7.0 s, 10.0 MiB in 1 layer"
    );
    assert!(lines[1].starts_with("2026-11-24T20:00:20Z worker-1 registry.example/team/db"));
    let lines = tell(vec![ended(&old), ended(&new)], 21);
    assert!(lines[0].starts_with("2026-11-24T20:00:21Z"), "{lines:?}");
    assert_eq!(lines.len(), 1);
}

#[test]
fn drops_state_of_removed_pulls() {
    let mut plain = PlainView::default();
    let pull = fixture::pull("1-a", "team/web", &[10]);
    lines_at(&mut plain, &[&pull], 0);
    lines_at(&mut plain, &[], 1);
    assert!(plain.last_lines.is_empty());
}

#[test]
fn every_state_matches_golden_lines() {
    let scene = fixture::scene();
    let changed: Vec<_> = scene.pulls.values().cloned().collect();
    let lines = PlainView::default().lines(&changed, &scene);
    let golden = include_str!("golden/states.txt");
    assert_eq!(lines.join("\n"), golden.trim_end_matches('\n'));
}

/// Returns the Kubernetes details of a server's answer.
fn pod_context(more: &str) -> Option<PodContext> {
    let line = format!(
        r#"{{"id":"lease~w1~k8s.io~a~0","nodeName":"w1","phase":"failed","totalKnown":false,
            "startedAt":"2026-11-24T20:00:00Z"{more}}}"#
    );
    PodContext::from_status(&serde_json::from_str(&line).unwrap())
}

const POD: &str = r#","attempt":3,"pods":[{"namespace":"shop","podName":"web-0","uid":"u","container":"app","image":"a"}]"#;

#[test]
fn queued_and_failed_pulls_name_pods_and_hint() {
    let mut first = fixture::pull("1-a", "team/web", &[10]);
    first.phase = Phase::Downloading;
    first.motion.percent = Some(Percent::from_fraction(0.61));
    let mut queued = fixture::unresolved_pull("2-b");
    queued.phase = Phase::Queued;
    queued.names = vec!["registry.example/team/db:1".parse().unwrap()];
    let mut on = fixture::waiting(pulltrace_core::WaitingKind::KubeletQueue, 0);
    (on.pull, on.ahead) = (Some(first.id.clone()), Some(2));
    on.left = Some(Duration::from_secs(40));
    queued.waiting_on = Some(on);
    let mut plain = PlainView::default();
    let mut tell = |queued: &Pull, more: &str, second| {
        let mut scene = fixture::scene_of([first.clone(), queued.clone()], second);
        scene.origin = Origin::Server("http://localhost:8080".to_owned());
        scene.set_pod_context(&queued.id, pod_context(more));
        plain.lines(&[Arc::new(queued.clone())], &scene)
    };
    assert_eq!(
        tell(&queued, POD, 1),
        [
            "2026-11-24T20:00:01Z worker-1 registry.example/team/db:1: queued, for shop/web-0 (app), 3rd attempt, behind registry.example/team/web:1.2, 2 ahead"
        ]
    );
    queued.phase = Phase::Ended(Outcome::Failed);
    queued.ended_at = Some(at(4));
    queued.waiting_on = None;
    let failure = |reason, message: Option<&str>| {
        Some(pulltrace_core::Failure { reason, message: message.map(str::to_owned) })
    };
    queued.failure = failure(pulltrace_core::FailureReason::Unexplained, None);
    let lines = tell(&queued, POD, 4);
    assert!(lines[0].contains("no reason given"), "{lines:?}");
    // The kubelet reports more a moment later.
    let text = Some("no \u{1b}[2Jsuch\ntag");
    queued.failure = failure(pulltrace_core::FailureReason::NotFound, text);
    let retry = r#","failure":{"reason":"not_found","nextRetryAt":"2026-11-24T20:00:25Z"}"#;
    assert_eq!(
        tell(&queued, &format!("{POD}{retry}"), 5),
        [
            "2026-11-24T20:00:05Z worker-1 registry.example/team/db:1: failed after 4.0 s: image not found: no ?[2Jsuch?tag | The registry has no such tag or digest. Check the image name; many registries also answer 404 when credentials are missing. | for shop/web-0 (app), 3rd attempt, retry in 20 s"
        ]
    );
    assert_eq!(tell(&queued, &format!("{POD}{retry}"), 9), [""; 0], "once");
}

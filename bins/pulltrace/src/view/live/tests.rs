//! Exact output of the live view at common terminal sizes.

use super::*;
use crate::view::fixture::{self, scene};
use pulltrace_core::{LayerState, Outcome, Phase};

const PLAIN: Style = Style { colour: false, unicode: true };

fn show(scene: &Scene, layers: Layers, width: usize, height: usize) -> String {
    let lines = render(scene, layers, Size { width, height }, PLAIN);
    assert!(lines.len() <= height);
    for line in &lines {
        assert!(line.width() <= width, "{line:?} is wider than {width}");
    }
    let lines: Vec<_> = lines.iter().map(|line| line.render(PLAIN)).collect();
    lines.join("\n")
}

#[track_caller]
fn golden(shown: &str, golden: &str) {
    assert_eq!(shown, golden.trim_end_matches('\n'));
}

#[test]
fn standard_terminal_shows_every_pull() {
    golden(&show(&scene(), Layers::Active, 80, 24), include_str!("golden/active-80x24.txt"));
}

#[test]
fn large_terminal_shows_layers_and_build_steps() {
    golden(&show(&scene(), Layers::Active, 160, 50), include_str!("golden/active-160x50.txt"));
}

#[test]
fn shows_all_layers_when_requested() {
    golden(&show(&scene(), Layers::All, 160, 50), include_str!("golden/all-160x50.txt"));
}

#[test]
fn short_terminal_counts_hidden_pulls() {
    golden(&show(&scene(), Layers::Active, 80, 6), include_str!("golden/active-80x6.txt"));
}

#[test]
fn shows_message_when_idle() {
    golden(
        &show(&fixture::scene_of([], 0), Layers::Active, 80, 24),
        include_str!("golden/nothing-80x24.txt"),
    );
}

#[test]
fn lost_containerd_is_shown_in_header_and_pulls() {
    let mut pull = fixture::pull("1-a", "team/web", &[10]);
    pull.stale_since = Some(fixture::at(5));
    let mut scene = fixture::scene_of([pull], 20);
    scene.status = SourceStatus::Lost(fixture::at(5));
    golden(&show(&scene, Layers::None, 80, 24), include_str!("golden/lost-80x24.txt"));
}

#[test]
fn rendered_view_fits_every_size() {
    let many = (0..40).map(|i| {
        let mut pull = fixture::pull(&format!("{i}-x"), "team/web", &[10, 20, 30]);
        pull.layers[1].state = LayerState::Downloading;
        pull
    });
    for scene in [scene(), fixture::scene_of([], 0), fixture::scene_of(many, 9)] {
        for layers in [Layers::All, Layers::Active, Layers::None] {
            for width in (0..30).chain((30..200).step_by(9)) {
                for height in [0, 1, 2, 3, 5, 10, 24, 50, 500] {
                    let text = show(&scene, layers, width, height);
                    let all = scene.pulls.len();
                    if height > 3 && width > 60 && text.lines().count() < all {
                        assert!(text.contains(" more ("), "{width}x{height}: {text}");
                    }
                }
            }
        }
    }
}

#[test]
fn hidden_pull_count_is_exact() {
    let pulls = (0..40).map(|i| fixture::pull(&format!("{i}-x"), "team/web", &[10]));
    let text = show(&fixture::scene_of(pulls, 9), Layers::Active, 80, 10);
    let rows = text.lines().filter(|line| line.starts_with("registry")).count();
    assert_eq!(text.lines().last(), Some("… and 32 more (32 downloading)"));
    assert_eq!(rows + 32, 40);
}

#[test]
fn view_never_exceeds_terminal_size() {
    let scene = scene();
    for layers in [Layers::All, Layers::Active, Layers::None] {
        for width in 0..=200 {
            for height in [0, 1, 2, 3, 5, 10, 24, 50, 200] {
                // `show` checks the lines against the size.
                show(&scene, layers, width, height);
            }
        }
    }
}

/// Returns a pull on another node than those of the fixture.
fn pull_on_node(node: &str, lease: &str, path: &str) -> Pull {
    let mut pull = fixture::pull(lease, path, &[10]);
    pull.id = format!("lease~{node}~k8s.io~{lease}~0").parse().unwrap();
    pull
}

#[test]
fn pulls_are_grouped_by_node() {
    let mut done = pull_on_node("b", "4-z", "team/api");
    done.phase = Phase::Ended(Outcome::Completed);
    done.ended_at = Some(fixture::at(9));
    let pulls = [
        pull_on_node("b", "1-x", "team/web"),
        pull_on_node("a", "2-y", "team/web"),
        pull_on_node("b", "3-z", "team/db"),
        done,
    ];
    let mut scene = fixture::scene_of(pulls, 20);
    scene.origin = Origin::Server("http://localhost:8080".to_owned());
    (scene.runtime, scene.sums) = (None, NodeTotals::default());
    let text = show(&scene, Layers::None, 80, 24);
    let starts: Vec<_> = text.lines().map(|line| line.split("  ").next()).collect();
    let starts = starts.into_iter().flatten();
    let lines: Vec<_> = starts.filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines,
        [
            "http://localhost:8080 · 3 pulls",
            "node a · 1 pull",
            "registry.example/team/web:1.2",
            "node b · 2 pulls",
            "registry.example/team/web:1.2",
            "registry.example/team/db:1.2",
            "✓ b registry.example/team/api:1.2",
        ]
    );
    let low = show(&scene, Layers::None, 80, 4);
    assert_eq!(low.lines().last(), Some("… and 3 more (2 downloading, 1 completed)"));
}

#[test]
fn lost_server_is_shown_and_rows_stay() {
    let mut pull = pull_on_node("a", "1-x", "team/web");
    pull.stale_since = Some(fixture::at(5));
    let mut scene = fixture::scene_of([pull], 20);
    scene.origin = Origin::Server("http://localhost:8080".to_owned());
    scene.status = SourceStatus::Lost(fixture::at(8));
    let text = show(&scene, Layers::None, 80, 24);
    for part in [
        "the server has been unavailable for 12 s; showing the last known state",
        "registry.example/team/web:1.2",
        "stale for 15 s: containerd or agent is unavailable",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    scene.status = SourceStatus::Connecting;
    scene.pulls.clear();
    let text = show(&scene, Layers::None, 80, 24);
    assert!(text.contains("connecting to the server"), "{text}");
}

#[test]
fn pods_queue_and_hint_get_separate_lines() {
    let pod_context = |more: &str| {
        let line = format!(
            r#"{{"id":"lease~w1~k8s.io~a~0","nodeName":"w1","phase":"failed","totalKnown":false,
                "startedAt":"2026-11-24T20:00:00Z","pods":[{{"namespace":"shop","podName":"web-0",
                "uid":"u","container":"app","image":"a"}}]{more}}}"#
        );
        crate::view::pod_context::PodContext::from_status(&serde_json::from_str(&line).unwrap())
    };
    let mut first = fixture::pull("1-a", "team/web", &[10]);
    first.phase = Phase::Downloading;
    first.motion.percent = Some(pulltrace_core::Percent::from_fraction(0.61));
    first.motion.eta = Some(fixture::eta(39, 40, 41));
    let mut queued = fixture::unresolved_pull("2-b");
    queued.phase = Phase::Queued;
    queued.names = vec!["registry.example/team/db:1".parse().unwrap()];
    let mut on = fixture::waiting(pulltrace_core::WaitingKind::KubeletQueue, 0);
    (on.pull, on.ahead) = (Some(first.id.clone()), Some(3));
    queued.waiting_on = Some(on);
    let mut failed = fixture::unresolved_pull("3-c");
    failed.phase = Phase::Ended(Outcome::Failed);
    failed.names = vec!["registry.example/team/mial:1".parse().unwrap()];
    failed.ended_at = Some(fixture::at(2));
    failed.failure = Some(pulltrace_core::Failure {
        reason: pulltrace_core::FailureReason::NoSpace,
        message: None,
    });
    let ids = [first.id.clone(), queued.id.clone(), failed.id.clone()];
    let mut scene = fixture::scene_of([first, queued, failed], 20);
    scene.origin = Origin::Server("http://localhost:8080".to_owned());
    scene.set_pod_context(&ids[0], pod_context(""));
    let hostile = r#","candidates":[{"namespace":"\u001b[2J","podName":"x\ny","uid":"v","container":"","image":""}]"#;
    scene.set_pod_context(&ids[1], pod_context(hostile));
    let retry =
        r#","attempt":2,"failure":{"reason":"no_space","nextRetryAt":"2026-11-24T20:00:32Z"}"#;
    scene.set_pod_context(&ids[2], pod_context(retry));
    golden(&show(&scene, Layers::None, 80, 24), include_str!("golden/pods-80x24.txt"));
    // Extra lines are omitted before a pull is.
    let low = show(&scene, Layers::None, 80, 5);
    assert!(low.contains("team/mial") && !low.contains("retry in"), "{low}");
}

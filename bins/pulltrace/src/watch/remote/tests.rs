//! Handling of server messages.

use super::*;

fn at(second: u64) -> Mono {
    Mono(Duration::from_secs(second))
}

fn time(second: u32) -> String {
    format!("2026-11-24T20:00:{second:02}Z")
}

fn pull(lease: &str, phase: &str) -> String {
    let ended = !matches!(phase, "resolving" | "downloading" | "extracting");
    let outcome = match ended {
        true => format!(r#","outcome":"{phase}","completedAt":"{}""#, time(9)),
        false => String::new(),
    };
    format!(
        r#"{{"id":"lease~w1~k8s.io~{lease}~0","nodeName":"w1","phase":"{phase}","totalKnown":false,
            "startedAt":"{}"{outcome}}}"#,
        time(0)
    )
}

fn snapshot(pulls: &[(&str, &str)]) -> ServerMessage {
    let pulls: Vec<_> = pulls.iter().map(|(id, phase)| pull(id, phase)).collect();
    let list =
        format!(r#"{{"epoch":"e","seq":1,"now":"{}","pulls":[{}]}}"#, time(10), pulls.join(","));
    ServerMessage::Snapshot(serde_json::from_str(&list).unwrap())
}

fn event(lease: &str, phase: &str) -> ServerMessage {
    let event = format!(
        r#"{{"schemaVersion":"v1","timestamp":"{}","type":"pull.progress","nodeName":"w1","pull":{}}}"#,
        time(20),
        pull(lease, phase)
    );
    ServerMessage::Update(FollowEvent::Event(serde_json::from_str(&event).unwrap()))
}

/// Takes the changed pulls: lease and phase, ordered by id.
fn take_changed(remote: &mut RemotePulls) -> Vec<(String, Phase)> {
    let lease = |id: &str| id.split('~').nth(3).unwrap().to_owned();
    let changed = remote.take_changed().into_iter();
    changed.map(|pull| (lease(&pull.id), pull.phase)).collect()
}

#[test]
fn pull_is_shown_from_list_until_end() {
    let mut pulls = RemotePulls::new(Vec::new());
    let list = snapshot(&[("a", "downloading"), ("b", "failed")]);
    assert_eq!(pulls.apply(list, at(0)), Some(Urgency::Immediate));
    let first = [("a".to_owned(), Phase::Downloading), ("b".to_owned(), Phase::Failed)];
    assert_eq!(take_changed(&mut pulls), first);
    assert_eq!(take_changed(&mut pulls), [], "once");
    let news = pulls.apply(event("a", "extracting"), at(1));
    assert_eq!(news, Some(Urgency::Deferred));
    let news = pulls.apply(event("a", "completed"), at(1));
    assert_eq!(news, Some(Urgency::Immediate));
    assert_eq!(take_changed(&mut pulls), [("a".to_owned(), Phase::Completed)]);
    let news = pulls.apply(event("c", "resolving"), at(1));
    assert_eq!(news, Some(Urgency::Immediate), "new pull");
}

#[test]
fn pull_leaving_selected_phases_is_removed() {
    let mut pulls = RemotePulls::new(vec![Phase::Downloading]);
    pulls.apply(event("a", "downloading"), at(0));
    pulls.apply(event("b", "downloading"), at(0));
    take_changed(&mut pulls);
    assert_eq!(pulls.apply(event("a", "extracting"), at(1)), Some(Urgency::Deferred));
    let gone = pulls.take_changed();
    assert!(pulls.has_left_phases(&gone[0]));
    assert_eq!(pulls.apply(event("a", "completed"), at(2)), None);
    assert_eq!(pulls.apply(event("b", "failed"), at(2)), Some(Urgency::Immediate));
    let ended = pulls.take_changed();
    assert!(!pulls.has_left_phases(&ended[0]));
    assert_eq!(pulls.apply(event("c", "failed"), at(2)), None, "never shown");
}

#[test]
fn pulls_missing_after_reconnect_end_as_unknown() {
    let mut pulls = RemotePulls::new(Vec::new());
    pulls.apply(snapshot(&[("a", "downloading"), ("b", "downloading")]), at(0));
    assert_eq!(pulls.take_newly_missing(), []);
    pulls.apply(snapshot(&[]), at(10));
    assert_eq!(pulls.take_newly_missing().len(), 2, "missing after the reconnect");
    assert_eq!(pulls.take_newly_missing(), [], "once");
    assert!(pulls.take_expired(at(69)).is_empty(), "the agent may still report");
    pulls.apply(event("b", "downloading"), at(69));
    let unheard = pulls.take_expired(at(70));
    let ids: Vec<_> = unheard.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["lease~w1~k8s.io~a~0"]);
    assert!(pulls.take_expired(at(1_000)).is_empty(), "once");
}

#[test]
fn stale_pull_has_no_rate_and_ends_unknown() {
    let line = pull("a", "downloading");
    let status: PullStatus = serde_json::from_str(&line).unwrap();
    let mut pull = Pull::try_from(&status).unwrap();
    pull.motion.rate = pulltrace_core::BytesPerSecond::new(5.0);
    let now: NodeTime = time(30).parse().unwrap();
    let unseen = mark_stale(&pull, now);
    assert_eq!((unseen.stale_since, unseen.motion.rate), (Some(now), None));
    assert_eq!(unseen.phase, pull.phase);
    let lost = end_as_unknown(&unseen, now);
    assert_eq!(lost.outcome(), Some(Outcome::Unknown));
    assert_eq!(lost.ended_at, Some(now));
}

#[test]
fn now_follows_server_clock() {
    let here = |second| Now { mono: at(second), node: "2030-01-01T00:00:00Z".parse().unwrap() };
    let mut pulls = RemotePulls::new(Vec::new());
    assert_eq!(pulls.now(here(0)), here(0).node, "no server time yet");
    pulls.apply(snapshot(&[]), at(5));
    assert_eq!(pulls.now(here(8)).to_string(), time(13));
    pulls.apply(event("a", "resolving"), at(9));
    assert_eq!(pulls.now(here(9)).to_string(), time(20));
}

#[test]
fn live_phases_are_filtered_locally() {
    let args = |phase: &[Phase]| ServerArgs {
        server: None,
        token_file: None,
        node: Some("w1".to_owned()),
        pod_namespace: Some("shop".to_owned()),
        pod: Some("web-0".to_owned()),
        image: Some("nginx".to_owned()),
        phase: phase.to_vec(),
    };
    let all = Filter::default().node("w1").namespace("shop").pod("web-0");
    let all = all.image("nginx");
    assert_eq!(stream_filter(&args(&[])), all);
    assert_eq!(stream_filter(&args(&[Phase::Failed, Phase::Resolving])), all);
    let failed = all.phase(Phase::Failed);
    assert_eq!(stream_filter(&args(&[Phase::Failed])), failed);
    assert_eq!(list_filter(&args(&[Phase::Failed])), failed);
}

#[test]
fn superseding_pull_replaces_the_old_one() {
    let mut pulls = RemotePulls::new(Vec::new());
    pulls.apply(snapshot(&[("a", "downloading")]), at(0));
    assert_eq!(pulls.take_changed().len(), 1);
    pulls.apply(event("a", "extracting"), at(1));
    let next = pull("b", "downloading").replacen('{', r#"{"supersedes":"lease~w1~k8s.io~a~0","#, 1);
    let event = format!(
        r#"{{"schemaVersion":"v1","timestamp":"{}","type":"pull.started","nodeName":"w1","pull":{next}}}"#,
        time(20)
    );
    let message = ServerMessage::Update(FollowEvent::Event(serde_json::from_str(&event).unwrap()));
    assert_eq!(pulls.apply(message, at(2)), Some(Urgency::Immediate));
    assert_eq!(take_changed(&mut pulls), [("b".to_owned(), Phase::Downloading)]);
    assert_eq!(pulls.live.len(), 1);
}

//! What is shown of what a server says.

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

fn all(pulls: &[(&str, &str)]) -> Said {
    let pulls: Vec<_> = pulls.iter().map(|(id, phase)| pull(id, phase)).collect();
    let list = format!(
        r#"{{"epoch":"e","seq":1,"now":"{}","pulls":[{}]}}"#,
        time(10),
        pulls.join(",")
    );
    Said::All(serde_json::from_str(&list).unwrap())
}

fn event(lease: &str, phase: &str) -> Said {
    let event = format!(
        r#"{{"schemaVersion":"v1","timestamp":"{}","type":"pull.progress","nodeName":"w1","pull":{}}}"#,
        time(20),
        pull(lease, phase)
    );
    Said::Followed(Followed::Event(serde_json::from_str(&event).unwrap()))
}

/// What is to be shown now: lease and phase, in the order of the ids.
fn changed(told: &mut Told) -> Vec<(String, Phase)> {
    let lease = |id: &str| id.split('~').nth(3).unwrap().to_owned();
    let changed = told.changed().into_iter();
    changed.map(|pull| (lease(&pull.id), pull.phase)).collect()
}

#[test]
fn a_pull_is_shown_from_the_list_to_its_end() {
    let mut told = Told::new(Vec::new());
    let list = all(&[("a", "downloading"), ("b", "failed")]);
    assert_eq!(told.take(list, at(0)), Some(News::AtOnce));
    let first = [
        ("a".to_owned(), Phase::Downloading),
        ("b".to_owned(), Phase::Failed),
    ];
    assert_eq!(changed(&mut told), first);
    assert_eq!(changed(&mut told), [], "once");
    let news = told.take(event("a", "extracting"), at(1));
    assert_eq!(news, Some(News::Later));
    let news = told.take(event("a", "completed"), at(1));
    assert_eq!(news, Some(News::AtOnce));
    assert_eq!(changed(&mut told), [("a".to_owned(), Phase::Completed)]);
    let news = told.take(event("c", "resolving"), at(1));
    assert_eq!(news, Some(News::AtOnce), "it is new");
}

#[test]
fn a_pull_that_leaves_the_phases_asked_for_goes_and_its_end_is_told() {
    let mut told = Told::new(vec![Phase::Downloading]);
    told.take(event("a", "downloading"), at(0));
    told.take(event("b", "downloading"), at(0));
    changed(&mut told);
    assert_eq!(
        told.take(event("a", "extracting"), at(1)),
        Some(News::Later)
    );
    let gone = told.changed();
    assert!(told.is_gone(&gone[0]));
    assert_eq!(told.take(event("a", "completed"), at(2)), None);
    assert_eq!(told.take(event("b", "failed"), at(2)), Some(News::AtOnce));
    let ended = told.changed();
    assert!(!told.is_gone(&ended[0]));
    assert_eq!(told.take(event("c", "failed"), at(2)), None, "never shown");
}

#[test]
fn what_a_server_that_came_back_does_not_tell_ended_unseen() {
    let mut told = Told::new(Vec::new());
    told.take(all(&[("a", "downloading"), ("b", "downloading")]), at(0));
    assert_eq!(told.doubted(), []);
    told.take(all(&[]), at(10));
    assert_eq!(told.doubted().len(), 2, "nobody sees them now");
    assert_eq!(told.doubted(), [], "once");
    assert!(
        told.unheard(at(69)).is_empty(),
        "its agent may be on its way"
    );
    told.take(event("b", "downloading"), at(69));
    let unheard = told.unheard(at(70));
    let ids: Vec<_> = unheard.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["lease~w1~k8s.io~a~0"]);
    assert!(told.unheard(at(1_000)).is_empty(), "once");
}

#[test]
fn a_pull_that_nobody_sees_does_not_move_and_is_not_completed() {
    let line = pull("a", "downloading");
    let status: PullStatus = serde_json::from_str(&line).unwrap();
    let mut pull = Pull::try_from(&status).unwrap();
    pull.rate = pulltrace_core::BytesPerSecond::new(5.0);
    let now: NodeTime = time(30).parse().unwrap();
    let unseen = unseen(&pull, now);
    assert_eq!((unseen.stale_since, unseen.rate), (Some(now), None));
    assert_eq!(unseen.phase, pull.phase);
    let lost = lost(&unseen, now);
    assert_eq!(lost.outcome(), Some(Outcome::Unknown));
    assert_eq!(lost.ended_at, Some(now));
}

#[test]
fn the_time_is_the_servers() {
    let here = |second| Now {
        mono: at(second),
        node: "2030-01-01T00:00:00Z".parse().unwrap(),
    };
    let mut told = Told::new(Vec::new());
    assert_eq!(told.now(here(0)), here(0).node, "it has not told its own");
    told.take(all(&[]), at(5));
    assert_eq!(told.now(here(8)).to_string(), time(13));
    told.take(event("a", "resolving"), at(9));
    assert_eq!(told.now(here(9)).to_string(), time(20));
}

#[test]
fn a_live_phase_is_filtered_here_and_an_end_by_the_server() {
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
    assert_eq!(of_stream(&args(&[])), all);
    assert_eq!(of_stream(&args(&[Phase::Failed, Phase::Resolving])), all);
    let failed = all.phase(Phase::Failed);
    assert_eq!(of_stream(&args(&[Phase::Failed])), failed);
    assert_eq!(of_list(&args(&[Phase::Failed])), failed);
}

#[test]
fn a_pull_that_goes_on_under_another_id_is_one() {
    let mut told = Told::new(Vec::new());
    told.take(all(&[("a", "downloading")]), at(0));
    assert_eq!(told.changed().len(), 1);
    told.take(event("a", "extracting"), at(1));
    let next = pull("b", "downloading").replacen('{', r#"{"supersedes":"lease~w1~k8s.io~a~0","#, 1);
    let event = format!(
        r#"{{"schemaVersion":"v1","timestamp":"{}","type":"pull.started","nodeName":"w1","pull":{next}}}"#,
        time(20)
    );
    let said = Said::Followed(Followed::Event(serde_json::from_str(&event).unwrap()));
    assert_eq!(told.take(said, at(2)), Some(News::AtOnce));
    assert_eq!(changed(&mut told), [("b".to_owned(), Phase::Downloading)]);
    assert_eq!(told.shown.len(), 1);
}

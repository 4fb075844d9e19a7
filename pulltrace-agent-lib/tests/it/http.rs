//! The HTTP sink behind a collector, as the server sees it: in real time, with short intervals.

use std::time::Duration;

use pulltrace_agent_lib::sink::http::{HttpError, HttpSetupError, MAX_BODY};
use pulltrace_agent_lib::sink::{Ack, HttpSink, Report, ReportSink, SinkError};
use pulltrace_agent_lib::source::{Script, ScriptedSource};
use pulltrace_agent_lib::{Clock, Collector, RunError, Summary};
use pulltrace_core::{Evidence, Observation};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::common::{began, bytes, digest, ended, id, image, node, start};
use crate::server::{Answer, Server, State, promptly, tls};

const SECRET: &str = "open-sesame";

/// The sink, and beside it each error that it gave.
struct Spied {
    sink: HttpSink,
    errors: watch::Sender<Vec<(String, Option<Duration>)>>,
}

impl ReportSink for Spied {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        let result = self.sink.deliver(report).await;
        if let Err(SinkError::Unavailable {
            retry_after,
            source,
        }) = &result
        {
            let mut text = source.to_string();
            let mut cause = source.source();
            while let Some(error) = cause {
                text += &format!(": {error}");
                cause = error.source();
            }
            self.errors
                .send_modify(|all| all.push((text, *retry_after)));
        }
        result
    }
}

struct Bench {
    server: Server,
    clock: Clock,
    script: Script,
    errors: watch::Receiver<Vec<(String, Option<Duration>)>>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<Summary, RunError>>,
}

impl Bench {
    fn new() -> Self {
        let server = Server::start();
        let sink = HttpSink::builder(server.url()).build().unwrap();
        Self::with(server, sink)
    }

    fn with_token() -> Self {
        let server = Server::start();
        server.state().token = Some(SECRET.to_owned());
        let sink = HttpSink::builder(server.url()).token(SECRET).build();
        Self::with(server, sink.unwrap())
    }

    fn with(server: Server, sink: HttpSink) -> Self {
        let millis = Duration::from_millis;
        Self::at_pace(server, sink, millis(10), millis(20))
    }

    fn at_pace(server: Server, sink: HttpSink, interval: Duration, heartbeat: Duration) -> Self {
        let clock = Clock::anchored(start());
        let (source, script) = ScriptedSource::new(clock);
        let (sender, errors) = watch::channel(Vec::new());
        let collector = Collector::builder(node())
            .source(source)
            .sink(Spied {
                sink,
                errors: sender,
            })
            .report_interval(interval)
            .heartbeat(heartbeat)
            .clock(clock)
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(collector.run(async {
            stopped.await.unwrap();
        }));
        // Nothing goes on: the source has looked.
        script.say(Vec::new()).unwrap();
        Self {
            server,
            clock,
            script,
            errors,
            stop,
            running,
        }
    }

    fn say(&self, observations: Vec<Observation>) {
        self.script.say(observations).unwrap();
    }

    fn end(&self, pull: u32) {
        self.say(vec![ended(pull, Evidence::ImagePresent, &self.clock)]);
    }

    /// The next error of a delivery, and when the server wants the next one.
    async fn error(&mut self) -> (String, Option<Duration>) {
        let seen = self.errors.borrow().len();
        let more = self.errors.wait_for(|all| all.len() > seen);
        promptly("an error", more).await.unwrap()[seen].clone()
    }

    /// What the sink makes of this answer; then a report arrives all the same.
    async fn error_of(&mut self, answer: Answer) -> String {
        self.server.answer(answer);
        self.error().await.0
    }

    async fn stop(self) -> Summary {
        self.stop.send(()).unwrap();
        promptly("the run ends", self.running)
            .await
            .unwrap()
            .unwrap()
    }
}

fn answer(status: u16, headers: &str, body: &str) -> Answer {
    Answer::Say(status, headers.into(), body.into())
}

#[tokio::test]
async fn an_image_is_told_once() {
    let bench = Bench::new();
    bench.say(vec![began(1), image(1)]);
    bench
        .server
        .until("the pull is told", |state| {
            state.told.contains_key(&digest(1))
        })
        .await;
    for offset in [100, 200, 300] {
        bench.say(vec![bytes(1, offset, &bench.clock)]);
        let there = |state: &State| state.pulls[&id(1)].layers[0].downloaded.0 == offset;
        bench.server.until("the bytes are told", there).await;
    }
    bench.end(1);
    bench.server.completed(1).await;
    assert_eq!(bench.server.state().told[&digest(1)], 1);
    assert!(bench.stop().await.delivered);
}

#[tokio::test]
async fn a_server_that_was_started_anew_is_told_everything_again() {
    let bench = Bench::new();
    bench.say(vec![began(1), image(1)]);
    bench.end(1);
    bench.server.completed(1).await;
    bench.server.restart();
    bench.server.completed(1).await;
    let state = bench.server.state();
    assert_eq!((state.full, state.told[&digest(1)]), (1, 1));
}

#[tokio::test]
async fn what_a_lost_acknowledgement_was_for_is_told_again() {
    let mut bench = Bench::new();
    bench
        .server
        .until("a first report", |state| state.full == 1)
        .await;
    bench.server.state().down = true;
    bench.error().await;
    bench.say(vec![began(1), image(1)]);
    let told_again = |state: &State| state.told.get(&digest(1)) == Some(&2);
    {
        let mut state = bench.server.state();
        state.answers.push_back(Answer::LoseAck);
        state.down = false;
    }
    bench.say(vec![bytes(1, 100, &bench.clock)]);
    bench
        .server
        .until("the image comes again", told_again)
        .await;
    bench.end(1);
    bench.server.completed(1).await;
    assert_eq!(bench.server.state().told[&digest(1)], 2);
}

#[tokio::test]
async fn a_server_that_asks_for_everything_is_told_everything() {
    let bench = Bench::new();
    bench.say(vec![began(1), image(1)]);
    bench.end(1);
    bench.server.completed(1).await;
    let full = bench.server.state().full;
    bench.server.state().need_full = true;
    bench
        .server
        .until("a full report", |state| state.full > full)
        .await;
    bench.server.completed(1).await;
}

#[tokio::test]
async fn a_token_may_change_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "one\n").unwrap();
    let server = Server::start();
    server.state().token = Some("one".to_owned());
    let sink = HttpSink::builder(server.url()).token_file(&file).build();
    let mut bench = Bench::with(server, sink.unwrap());
    bench
        .server
        .until("a first report", |state| state.full == 1)
        .await;

    // A file that is gone for a moment costs nothing.
    std::fs::remove_file(&file).unwrap();
    bench.say(vec![began(1)]);
    bench.end(1);
    bench.server.completed(1).await;

    bench.server.state().token = Some("two".to_owned());
    let (error, _) = bench.error().await;
    assert!(
        error.contains("does not accept the agent's token"),
        "{error}"
    );
    assert!(error.contains("(it says: no such token)"), "{error}");
    std::fs::write(&file, "two").unwrap();
    bench.say(vec![began(2)]);
    bench.end(2);
    bench.server.completed(2).await;
}

#[tokio::test]
async fn a_server_that_wants_a_token_says_so() {
    let server = Server::start();
    server.state().token = Some(SECRET.to_owned());
    let sink = HttpSink::builder(server.url()).build().unwrap();
    let mut bench = Bench::with(server, sink);
    let (error, _) = bench.error().await;
    assert!(
        error.contains("wants a token: give the agent one"),
        "{error}"
    );
    assert!(!bench.stop().await.delivered);
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let mut bench = Bench::new();
    bench.server.say(429, "retry-after: 1\r\n", "");
    assert_eq!(bench.error().await.1, Some(Duration::from_secs(1)));
    bench
        .server
        .until("it comes again", |state| state.full == 1)
        .await;
    bench.server.say(503, "retry-after: 1\r\n", "");
    assert_eq!(bench.error().await.1, Some(Duration::from_secs(1)));
    bench.server.say(503, "retry-after: soon\r\n", "");
    assert_eq!(bench.error().await.1, None);
}

#[tokio::test]
async fn every_end_arrives_after_the_server_was_away() {
    let mut bench = Bench::new();
    bench
        .server
        .until("a first report", |state| state.full == 1)
        .await;
    bench.server.state().down = true;
    for pull in 1..=40 {
        bench.say(vec![began(pull), image(pull)]);
        bench.end(pull);
    }
    let (error, _) = bench.error().await;
    assert!(error.contains("broke off"), "{error}");
    bench.error().await;
    bench.server.state().down = false;
    for pull in 1..=40 {
        bench.server.completed(pull).await;
    }
    let summary = bench.stop().await;
    assert_eq!((summary.ended, summary.ends_untold), (40, 0));
}

#[tokio::test]
async fn a_large_report_is_compressed_and_a_small_one_is_not() {
    let bench = Bench::new();
    let pulls = 1..=40;
    bench.say(
        pulls
            .clone()
            .flat_map(|pull| [began(pull), image(pull)])
            .collect(),
    );
    bench.say(
        pulls
            .map(|pull| ended(pull, Evidence::ImagePresent, &bench.clock))
            .collect(),
    );
    bench.server.completed(40).await;
    let seen = bench.server.state().requests.len();
    bench
        .server
        .until("a heartbeat", |state| state.requests.len() > seen + 2)
        .await;
    for request in &bench.server.state().requests {
        let json = request.json();
        let gzip = request.headers.get("content-encoding").map(String::as_str);
        assert_eq!(
            gzip,
            (json.len() >= 1_024).then_some("gzip"),
            "{}",
            json.len()
        );
        assert_eq!(request.report().agent.interval_ms, 20);
    }
    let state = bench.server.state();
    let compressed = state
        .requests
        .iter()
        .filter(|r| r.body.len() * 4 < r.json().len());
    assert!(compressed.count() > 0);
    let empty = state.requests.last().unwrap().report();
    assert!(empty.pulls.is_empty() && empty.images.is_empty() && !empty.full);
}

#[tokio::test]
async fn answers_that_no_server_gives_are_errors_and_the_next_report_arrives() {
    let mut bench = Bench::with_token();
    bench
        .server
        .until("a first report", |state| state.full == 1)
        .await;
    let huge = "x".repeat(MAX_BODY);
    let no_ack = "no acknowledgement";
    for (given, said) in [
        (answer(200, "", "hello"), no_ack),
        (answer(200, "", ""), no_ack),
        (answer(202, "", r#"{"serverEpoch":1}"#), no_ack),
        (answer(204, "", ""), no_ack),
        (answer(200, "", &huge), "longer than any"),
        (answer(400, "", &huge), "refuses with 400"),
        (
            answer(403, "", ""),
            "does not let this agent report for this node",
        ),
        (
            answer(404, "", "<html>"),
            "a pulltrace server of a version near",
        ),
        (answer(409, "", ""), "another agent reports"),
        (answer(413, "", ""), "larger than"),
        (answer(500, "", r#"{"status":500}"#), "failed with 500"),
        (Answer::Cut, "broke off"),
    ] {
        let error = bench.error_of(given).await;
        assert!(error.contains(said), "{error}");
        assert!(error.contains(&bench.server.url()), "{error}");
        let full = bench.server.state().pulls.len() as u32;
        bench.say(vec![began(full + 1)]);
        bench.end(full + 1);
        bench.server.completed(full + 1).await;
    }
}

#[tokio::test]
async fn an_acknowledgement_of_another_report_leads_to_a_full_one() {
    let bench = Bench::new();
    bench
        .server
        .until("a first report", |state| state.full == 1)
        .await;
    let ack = r#"{"serverEpoch":"0","acceptedSeq":1000000}"#;
    bench.server.say(202, "", ack);
    bench
        .server
        .until("a full report", |state| state.full == 2)
        .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::start();
    let mut bench = Bench::with_token();
    for status in [301, 302, 307, 308] {
        let location = format!("location: {}/api/v1/report\r\n", other.url());
        let error = bench.error_of(answer(status, &location, "")).await;
        assert!(error.contains("sends elsewhere"), "{error}");
    }
    assert_eq!(other.state().requests.len(), 0);
}

#[tokio::test]
async fn no_error_has_the_token_in_it() {
    let mut bench = Bench::with_token();
    let echo = format!(r#"{{"status":401,"title":"t","detail":"bad {SECRET}","reason":"r"}}"#);
    for status in [400, 401, 403, 500] {
        let error = bench.error_of(answer(status, "", &echo)).await;
        assert!(!error.contains(SECRET), "{error}");
    }
    let said = r#"{"status":401,"title":"t","detail":"two\u0007\n\n lines","reason":"r"}"#;
    let error = bench.error_of(answer(401, "", said)).await;
    assert!(error.ends_with("(it says: two lines)"), "{error}");
    let sink = HttpSink::builder(bench.server.url()).token(SECRET);
    assert!(!format!("{sink:?} {:?}", sink.clone().build()).contains(SECRET));
}

#[tokio::test]
async fn the_last_state_is_delivered_before_the_end() {
    let server = Server::start();
    let sink = HttpSink::builder(server.url()).build().unwrap();
    let minute = Duration::from_secs(60);
    let bench = Bench::at_pace(server.clone(), sink, minute, minute);
    bench.say(vec![began(1), image(1)]);
    server
        .until("the start", |state| state.told.contains_key(&digest(1)))
        .await;
    bench.say(vec![bytes(1, 100, &bench.clock)]);
    bench.script.end().unwrap();
    let ran = promptly("the run ends", bench.running).await.unwrap();
    assert!(ran.unwrap().delivered);
    assert_eq!(server.state().pulls[&id(1)].downloaded.0, 100);
}

#[tokio::test]
async fn a_server_says_whether_it_is_there_and_accepts_the_token() {
    let server = Server::start();
    server.state().token = Some(SECRET.to_owned());
    let with = |token: &str| {
        HttpSink::builder(server.url())
            .token(token)
            .build()
            .unwrap()
    };
    let mut sink = with(SECRET);
    sink.reach().await.unwrap();
    sink.admitted().await.unwrap();
    let error = with("wrong").admitted().await.unwrap_err();
    assert!(matches!(error, HttpError::Token { .. }), "{error}");
    assert!(!error.is_transient());
    server.say(200, "", "{}");
    let error = with(SECRET).admitted().await.unwrap_err();
    assert!(matches!(error, HttpError::NotOurs { .. }), "{error}");
    server.say(404, "", "");
    assert!(with(SECRET).reach().await.is_err());
    assert!(server.state().pulls.is_empty());
    for request in &server.state().requests {
        let health = request.line.starts_with("GET");
        assert_eq!(health, !request.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be() {
    // Bound, and given back: nobody listens there.
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let sink = HttpSink::builder(format!("http://{address}")).build();
    let error = sink.unwrap().reach().await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_server_is_known_by_the_certificates_that_were_given() {
    let server = Server::with_tls();
    let url = format!("https://localhost:{}", server.address.port());
    let with = |file| HttpSink::builder(&url).ca_file(tls(file)).build().unwrap();
    with("localhost.pem").reach().await.unwrap();
    let error = with("other.pem").reach().await.unwrap_err();
    assert!(matches!(error, HttpError::Tls { .. }), "{error:?}");
    assert!(!error.is_transient());
    // The name counts, too, and so does TLS itself.
    let elsewhere = format!("https://[::ffff:127.0.0.1]:{}", server.address.port());
    let sink = HttpSink::builder(elsewhere).ca_file(tls("localhost.pem"));
    let error = sink.build().unwrap().reach().await.unwrap_err();
    assert!(matches!(error, HttpError::Tls { .. }), "{error:?}");
    let plain = Server::start();
    let url = format!("https://localhost:{}", plain.address.port());
    let sink = HttpSink::builder(url).ca_file(tls("localhost.pem"));
    assert!(sink.build().unwrap().reach().await.is_err());
    assert!(plain.state().requests.is_empty());
}

#[test]
fn settings_that_cannot_work_are_refused_without_being_shown() {
    let reason = |sink: pulltrace_agent_lib::sink::http::HttpSinkBuilder| {
        let error = sink.build().unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    };
    for (url, why) in [
        ("", "it is no URL"),
        ("localhost:8080", "neither http nor https"),
        ("ftp://host", "neither http nor https"),
        ("http://me:secret@host", "a user name or a password"),
        ("http://host?token=secret", "a query or a fragment"),
        ("http://host/#secret", "a query or a fragment"),
    ] {
        let said = reason(HttpSink::builder(url));
        assert!(said.contains(why) && !said.contains("secret"), "{said}");
        assert!(matches!(
            HttpSink::check_url(url),
            Err(HttpSetupError::Url(_))
        ));
    }
    let builder = || HttpSink::builder("https://host/below/");
    let said = reason(builder().token("a b"));
    assert!(said.contains("visible ASCII"), "{said}");
    let said = reason(builder().token_file("/nowhere/token"));
    assert!(
        said.contains("cannot read the token file `/nowhere/token`"),
        "{said}"
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "\n").unwrap();
    let said = reason(builder().token_file(&file));
    assert!(said.contains("is empty"), "{said}");
    let said = reason(builder().ca_file(&file));
    assert!(said.contains("there is no certificate in it"), "{said}");
    let said = reason(builder().ca_file("/nowhere/ca.pem"));
    assert!(said.contains("`/nowhere/ca.pem`"), "{said}");
}

//! The HTTP sink behind a collector, as seen by the server. Real time, short intervals.

use std::time::Duration;

use pulltrace_agent_lib::sink::http::{HttpErrorKind, HttpSetupError, MAX_BODY};
use pulltrace_agent_lib::sink::{Ack, HttpSink, Report, ReportSink, SinkError};
use pulltrace_agent_lib::source::{Script, ScriptedSource};
use pulltrace_agent_lib::{Clock, Collector, RunError, Settings, Summary};
use pulltrace_core::error::error_chain;
use pulltrace_core::{EndEvidence, Observation};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::common::{began, bytes, digest, ended, id, image, node, start};
use crate::server::{ScriptedResponse, ServerState, TestServer, tls_file, within_30_seconds};

const SECRET: &str = "open-sesame";

/// Wraps the sink and records its errors.
struct ErrorRecordingSink {
    sink: HttpSink,
    errors: watch::Sender<Vec<(String, Option<Duration>)>>,
}

impl ReportSink for ErrorRecordingSink {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        let result = self.sink.deliver(report).await;
        if let Err(SinkError::Unavailable { retry_after, source, .. }) = &result {
            let text = error_chain(&**source);
            self.errors.send_modify(|all| all.push((text, *retry_after)));
        }
        result
    }
}

struct TestBench {
    server: TestServer,
    clock: Clock,
    script: Script,
    errors: watch::Receiver<Vec<(String, Option<Duration>)>>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<Summary, RunError>>,
}

impl TestBench {
    fn new() -> Self {
        let server = TestServer::start();
        let sink = HttpSink::builder(server.url()).build().unwrap();
        Self::with(server, sink)
    }

    fn with_token() -> Self {
        let server = TestServer::start();
        server.state().token = Some(SECRET.to_owned());
        let sink = HttpSink::builder(server.url()).token(SECRET).build();
        Self::with(server, sink.unwrap())
    }

    fn with(server: TestServer, sink: HttpSink) -> Self {
        let millis = Duration::from_millis;
        Self::with_intervals(server, sink, millis(10), millis(20))
    }

    fn with_intervals(
        server: TestServer,
        sink: HttpSink,
        interval: Duration,
        heartbeat: Duration,
    ) -> Self {
        let clock = Clock::anchored(start());
        let (source, script) = ScriptedSource::new(clock);
        let (sender, errors) = watch::channel(Vec::new());
        let sink = ErrorRecordingSink { sink, errors: sender };
        let settings =
            Settings::new(node()).report_interval(interval).heartbeat(heartbeat).clock(clock);
        let collector = Collector::new(source, sink, settings).unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(collector.run(async {
            stopped.await.unwrap();
        }));
        // An empty batch completes the initial sync.
        script.emit(Vec::new()).unwrap();
        Self { server, clock, script, errors, stop, running }
    }

    fn emit(&self, observations: Vec<Observation>) {
        self.script.emit(observations).unwrap();
    }

    fn end(&self, pull: u32) {
        self.emit(vec![ended(pull, EndEvidence::ImagePresent, &self.clock)]);
    }

    /// Waits for the next delivery error. Returns it with the requested retry delay.
    async fn next_error(&mut self) -> (String, Option<Duration>) {
        let seen = self.errors.borrow().len();
        let more = self.errors.wait_for(|all| all.len() > seen);
        within_30_seconds("an error", more).await.unwrap()[seen].clone()
    }

    /// Returns the error that this response causes.
    async fn error_for_response(&mut self, answer: ScriptedResponse) -> String {
        self.server.enqueue(answer);
        self.next_error().await.0
    }

    async fn stop(self) -> Summary {
        self.stop.send(()).unwrap();
        within_30_seconds("the run ends", self.running).await.unwrap().unwrap()
    }
}

fn response(status: u16, headers: &str, body: &str) -> ScriptedResponse {
    ScriptedResponse::Respond(status, headers.into(), body.into())
}

#[tokio::test]
async fn image_is_sent_once() {
    let bench = TestBench::new();
    bench.emit(vec![began(1), image(1)]);
    bench
        .server
        .wait_until("the pull is received", |state| state.image_counts.contains_key(&digest(1)))
        .await;
    for offset in [100, 200, 300] {
        bench.emit(vec![bytes(1, offset, &bench.clock)]);
        let there =
            |state: &ServerState| state.pulls[&id(1)].layers[0].motion.downloaded.0 == offset;
        bench.server.wait_until("the bytes are received", there).await;
    }
    bench.end(1);
    bench.server.wait_for_completed(1).await;
    assert_eq!(bench.server.state().image_counts[&digest(1)], 1);
    assert!(bench.stop().await.delivered);
}

#[tokio::test]
async fn restarted_server_receives_everything_again() {
    let bench = TestBench::new();
    bench.emit(vec![began(1), image(1)]);
    bench.end(1);
    bench.server.wait_for_completed(1).await;
    bench.server.restart();
    bench.server.wait_for_completed(1).await;
    let state = bench.server.state();
    assert_eq!((state.full_reports, state.image_counts[&digest(1)]), (1, 1));
}

#[tokio::test]
async fn unacknowledged_image_is_sent_again() {
    let mut bench = TestBench::new();
    bench.server.wait_until("a first report", |state| state.full_reports == 1).await;
    bench.server.state().down = true;
    bench.next_error().await;
    bench.emit(vec![began(1), image(1)]);
    let told_again = |state: &ServerState| state.image_counts.get(&digest(1)) == Some(&2);
    {
        let mut state = bench.server.state();
        state.answers.push_back(ScriptedResponse::LoseAck);
        state.down = false;
    }
    bench.emit(vec![bytes(1, 100, &bench.clock)]);
    bench.server.wait_until("the image is sent again", told_again).await;
    bench.end(1);
    bench.server.wait_for_completed(1).await;
    assert_eq!(bench.server.state().image_counts[&digest(1)], 2);
}

#[tokio::test]
async fn server_can_request_full_report() {
    let bench = TestBench::new();
    bench.emit(vec![began(1), image(1)]);
    bench.end(1);
    bench.server.wait_for_completed(1).await;
    let full = bench.server.state().full_reports;
    bench.server.state().need_full = true;
    bench.server.wait_until("a full report", |state| state.full_reports > full).await;
    bench.server.wait_for_completed(1).await;
}

#[tokio::test]
async fn token_file_may_change() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "one\n").unwrap();
    let server = TestServer::start();
    server.state().token = Some("one".to_owned());
    let sink = HttpSink::builder(server.url()).token_file(&file).build();
    let mut bench = TestBench::with(server, sink.unwrap());
    bench.server.wait_until("a first report", |state| state.full_reports == 1).await;

    // A missing file has no effect on deliveries.
    std::fs::remove_file(&file).unwrap();
    bench.emit(vec![began(1)]);
    bench.end(1);
    bench.server.wait_for_completed(1).await;

    bench.server.state().token = Some("two".to_owned());
    let (error, _) = bench.next_error().await;
    assert!(error.contains("rejected the agent's token"), "{error}");
    assert!(error.contains("(server message: no such token)"), "{error}");
    std::fs::write(&file, "two").unwrap();
    bench.emit(vec![began(2)]);
    bench.end(2);
    bench.server.wait_for_completed(2).await;
}

#[tokio::test]
async fn missing_token_is_reported() {
    let server = TestServer::start();
    server.state().token = Some(SECRET.to_owned());
    let sink = HttpSink::builder(server.url()).build().unwrap();
    let mut bench = TestBench::with(server, sink);
    let (error, _) = bench.next_error().await;
    assert!(error.contains("requires a token"), "{error}");
    assert!(!bench.stop().await.delivered);
}

#[tokio::test]
async fn busy_server_is_retried_after_requested_delay() {
    let mut bench = TestBench::new();
    bench.server.respond(429, "retry-after: 1\r\n", "");
    assert_eq!(bench.next_error().await.1, Some(Duration::from_secs(1)));
    bench.server.wait_until("the report is retried", |state| state.full_reports == 1).await;
    bench.server.respond(503, "retry-after: 1\r\n", "");
    assert_eq!(bench.next_error().await.1, Some(Duration::from_secs(1)));
    bench.server.respond(503, "retry-after: soon\r\n", "");
    assert_eq!(bench.next_error().await.1, None);
}

#[tokio::test]
async fn all_ends_arrive_after_server_outage() {
    let mut bench = TestBench::new();
    bench.server.wait_until("a first report", |state| state.full_reports == 1).await;
    bench.server.state().down = true;
    for pull in 1..=40 {
        bench.emit(vec![began(pull), image(pull)]);
        bench.end(pull);
    }
    let (error, _) = bench.next_error().await;
    assert!(error.contains(" lost"), "{error}");
    bench.next_error().await;
    bench.server.state().down = false;
    for pull in 1..=40 {
        bench.server.wait_for_completed(pull).await;
    }
    let summary = bench.stop().await;
    assert_eq!((summary.ended, summary.undelivered_ends), (40, 0));
}

#[tokio::test]
async fn only_large_reports_are_compressed() {
    let bench = TestBench::new();
    let pulls = 1..=40;
    bench.emit(pulls.clone().flat_map(|pull| [began(pull), image(pull)]).collect());
    bench.emit(pulls.map(|pull| ended(pull, EndEvidence::ImagePresent, &bench.clock)).collect());
    bench.server.wait_for_completed(40).await;
    let seen = bench.server.state().requests.len();
    bench.server.wait_until("a heartbeat", |state| state.requests.len() > seen + 2).await;
    for request in &bench.server.state().requests {
        let json = request.json();
        let gzip = request.headers.get("content-encoding").map(String::as_str);
        assert_eq!(gzip, (json.len() >= 1_024).then_some("gzip"), "{}", json.len());
        assert_eq!(request.report().agent.interval_ms, 20);
    }
    let state = bench.server.state();
    let compressed = state.requests.iter().filter(|r| r.body.len() * 4 < r.json().len());
    assert!(compressed.count() > 0);
    let empty = state.requests.last().unwrap().report();
    assert!(empty.pulls.is_empty() && empty.images.is_empty() && !empty.full);
}

#[tokio::test]
async fn invalid_responses_are_errors_and_retried() {
    let mut bench = TestBench::with_token();
    bench.server.wait_until("a first report", |state| state.full_reports == 1).await;
    let huge = "x".repeat(MAX_BODY);
    let no_ack = "not an acknowledgement";
    for (given, said) in [
        (response(200, "", "hello"), no_ack),
        (response(200, "", ""), no_ack),
        (response(202, "", r#"{"serverEpoch":1}"#), no_ack),
        (response(204, "", ""), no_ack),
        (response(200, "", &huge), "response is too long"),
        (response(400, "", &huge), "rejected the request with 400"),
        (response(403, "", ""), "does not permit this agent to report for this node"),
        (response(404, "", "<html>"), "rejected the request with 404"),
        (response(409, "", ""), "another agent reports"),
        (response(413, "", ""), "report too large"),
        (response(500, "", r#"{"status":500}"#), "failed with 500"),
        (ScriptedResponse::Disconnect, " lost"),
    ] {
        let error = bench.error_for_response(given).await;
        assert!(error.contains(said), "{error}");
        assert!(error.contains(&bench.server.url()), "{error}");
        let full = bench.server.state().pulls.len() as u32;
        bench.emit(vec![began(full + 1)]);
        bench.end(full + 1);
        bench.server.wait_for_completed(full + 1).await;
    }
}

#[tokio::test]
async fn mismatched_acknowledgement_leads_to_full_report() {
    let bench = TestBench::new();
    bench.server.wait_until("a first report", |state| state.full_reports == 1).await;
    let ack = r#"{"serverEpoch":"0","acceptedSeq":1000000}"#;
    bench.server.respond(202, "", ack);
    bench.server.wait_until("a full report", |state| state.full_reports == 2).await;
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let other = TestServer::start();
    let mut bench = TestBench::with_token();
    for status in [301, 302, 307, 308] {
        let location = format!("location: {}/api/v1/report\r\n", other.url());
        let error = bench.error_for_response(response(status, &location, "")).await;
        assert!(error.contains("returned a redirect"), "{error}");
    }
    assert_eq!(other.state().requests.len(), 0);
}

#[tokio::test]
async fn errors_never_contain_the_token() {
    let mut bench = TestBench::with_token();
    let echo = format!(r#"{{"status":401,"title":"t","detail":"bad {SECRET}","reason":"r"}}"#);
    for status in [400, 401, 403, 500] {
        let error = bench.error_for_response(response(status, "", &echo)).await;
        assert!(!error.contains(SECRET), "{error}");
    }
    let said = r#"{"status":401,"title":"t","detail":"two\u0007\n\n lines","reason":"r"}"#;
    let error = bench.error_for_response(response(401, "", said)).await;
    assert!(error.ends_with("(server message: two lines)"), "{error}");
    let sink = HttpSink::builder(bench.server.url()).token(SECRET);
    assert!(!format!("{sink:?} {:?}", sink.clone().build()).contains(SECRET));
}

#[tokio::test]
async fn final_state_is_delivered_before_exit() {
    let server = TestServer::start();
    let sink = HttpSink::builder(server.url()).build().unwrap();
    let minute = Duration::from_secs(60);
    let bench = TestBench::with_intervals(server.clone(), sink, minute, minute);
    bench.emit(vec![began(1), image(1)]);
    server.wait_until("the start", |state| state.image_counts.contains_key(&digest(1))).await;
    bench.emit(vec![bytes(1, 100, &bench.clock)]);
    bench.script.end().unwrap();
    let ran = within_30_seconds("the run ends", bench.running).await.unwrap();
    assert!(ran.unwrap().delivered);
    assert_eq!(server.state().pulls[&id(1)].motion.downloaded.0, 100);
}

#[tokio::test]
async fn health_and_token_checks_report_server_state() {
    let server = TestServer::start();
    server.state().token = Some(SECRET.to_owned());
    let with = |token: &str| HttpSink::builder(server.url()).token(token).build().unwrap();
    let mut sink = with(SECRET);
    sink.check_health().await.unwrap();
    sink.check_token().await.unwrap();
    let error = with("wrong").check_token().await.unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::TokenRejected, "{error}");
    assert!(!error.is_transient());
    let help = error.help().unwrap();
    assert!(!error.to_string().contains(help), "{error}");
    assert_eq!(SinkError::from(error).help(), Some(help));
    server.respond(200, "", "{}");
    let error = with(SECRET).check_token().await.unwrap_err();
    assert!(matches!(error.kind(), HttpErrorKind::UnexpectedResponse(_)), "{error}");
    server.respond(404, "", "");
    assert!(with(SECRET).check_health().await.is_err());
    assert!(server.state().pulls.is_empty());
    for request in &server.state().requests {
        let health = request.line.starts_with("GET");
        assert_eq!(health, !request.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn unreachable_server_is_connect_error() {
    // Bound and closed again, so nothing listens here.
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let sink = HttpSink::builder(format!("http://{address}")).build();
    let error = sink.unwrap().check_health().await.unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Connect, "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn server_is_verified_by_configured_ca() {
    let server = TestServer::start_with_tls();
    let url = format!("https://localhost:{}", server.address.port());
    let with = |file| HttpSink::builder(&url).ca_file(tls_file(file)).build().unwrap();
    with("localhost.pem").check_health().await.unwrap();
    let error = with("other.pem").check_health().await.unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Tls, "{error:?}");
    assert!(!error.is_transient());
    // The certificate must match the host name, and the server must use TLS.
    let elsewhere = format!("https://[::ffff:127.0.0.1]:{}", server.address.port());
    let sink = HttpSink::builder(elsewhere).ca_file(tls_file("localhost.pem"));
    let error = sink.build().unwrap().check_health().await.unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Tls, "{error:?}");
    let plain = TestServer::start();
    let url = format!("https://localhost:{}", plain.address.port());
    let sink = HttpSink::builder(url).ca_file(tls_file("localhost.pem"));
    assert!(sink.build().unwrap().check_health().await.is_err());
    assert!(plain.state().requests.is_empty());
}

#[test]
fn invalid_settings_are_rejected_without_secrets() {
    let reason = |sink: pulltrace_agent_lib::sink::http::HttpSinkBuilder| {
        let error = sink.build().unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    };
    for (url, why) in [
        ("", "not a URL"),
        ("localhost:8080", "must be http or https"),
        ("ftp://host", "must be http or https"),
        ("http://me:secret@host", "user name and password"),
        ("http://host?token=secret", "query and fragment"),
        ("http://host/#secret", "query and fragment"),
    ] {
        let said = reason(HttpSink::builder(url));
        assert!(said.contains(why) && !said.contains("secret"), "{said}");
        assert!(matches!(HttpSink::check_url(url), Err(HttpSetupError::Url(_))));
    }
    let builder = || HttpSink::builder("https://host/below/");
    let said = reason(builder().token("a b"));
    assert!(said.contains("visible ASCII"), "{said}");
    let said = reason(builder().token_file("/nowhere/token"));
    assert!(said.contains("failed to read token file `/nowhere/token`"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "\n").unwrap();
    let said = reason(builder().token_file(&file));
    assert!(said.contains("is empty"), "{said}");
    let said = reason(builder().ca_file(&file));
    assert!(said.contains("contains no certificate"), "{said}");
    let said = reason(builder().ca_file("/nowhere/ca.pem"));
    assert!(said.contains("`/nowhere/ca.pem`"), "{said}");
}

//! A server on a free port, and its clients.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use pulltrace_server_lib::table::SharedTable;
use pulltrace_server_lib::{Access, Clock, Listener, Server, ServerBuilder};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Maximum time of any operation.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Start time by the server's clock.
pub(crate) const START: &str = "2026-11-24T20:00:00Z";

/// A running server.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) table: SharedTable,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl TestServer {
    /// Starts with default settings, which allow access from loopback addresses.
    pub(crate) async fn start() -> Self {
        Self::with_settings(|server| server).await
    }

    pub(crate) async fn with_settings(
        setting: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let builder = Server::builder().clock(Clock::anchored(START.parse().unwrap()));
        let mut server = setting(builder.access(Access::new())).build().unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address();
        server.listen(listener).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let metrics = listener.address();
        server.listen_metrics(listener);
        let table = server.table().clone();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            stopped.await.unwrap();
        }));
        Self { address, metrics, table, stop, task }
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        with_deadline("the server stops", self.task).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> TestResponse {
        self.send(Request::get(path), Bytes::new()).await
    }

    pub(crate) async fn send(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> TestResponse {
        send(self.address, request, body).await
    }

    /// Posts a report.
    pub(crate) async fn post_report(&self, report: &Value) -> TestResponse {
        let request = Request::post("/api/v1/report").header(CONTENT_TYPE, "application/json");
        self.send(request, report.to_string().into()).await
    }

    /// Posts a report that must be accepted.
    pub(crate) async fn report(&self, report: &Value) {
        let answer = self.post_report(report).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// The value of a metric series, or `None` if it does not exist.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = send(self.metrics, Request::get("/metrics"), Bytes::new()).await;
        let text = text.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Waits until a series has this value.
    pub(crate) async fn wait_for_metric(&self, series: &str, value: f64) {
        with_deadline(series, async {
            while self.metric(series).await != Some(value) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl TestResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// Asserts that the response is a problem with this status and reason.
    pub(crate) fn assert_problem(&self, status: u16, reason: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers[CONTENT_TYPE], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["reason"], reason, "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
    }
}

pub(crate) async fn send(
    address: SocketAddr,
    request: hyper::http::request::Builder,
    body: Bytes,
) -> TestResponse {
    let request = if request.headers_ref().is_some_and(|h| h.contains_key(HOST)) {
        request
    } else {
        request.header(HOST, address.to_string())
    };
    let response = open(address, request.body(Full::new(body)).unwrap()).await;
    let (head, body) = response.into_parts();
    let body = with_deadline("a response body", body.collect()).await.unwrap();
    TestResponse { status: head.status, headers: head.headers, body: body.to_bytes() }
}

/// Sends a request on a separate connection and returns the response head.
pub(crate) async fn open(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> hyper::Response<Incoming> {
    with_deadline("a response", async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    })
    .await
}

pub(crate) async fn with_deadline<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("timed out: {what}"))
}

/// An event of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Event {
    /// The type of a pull or layer event, otherwise the event's name.
    pub(crate) fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or(&self.name)
    }

    /// The lease part of the pull's id, which is unique in these tests.
    pub(crate) fn pull(&self) -> &str {
        let id = self.data["pull"]["id"].as_str().unwrap_or_default();
        id.rsplit('~').nth(1).unwrap_or_default()
    }

    /// Both [`kind`](Self::kind) and [`pull`](Self::pull).
    pub(crate) fn kind_and_pull(&self) -> (&str, &str) {
        (self.kind(), self.pull())
    }
}

/// A reader of the stream.
pub(crate) struct Reader {
    pub(crate) headers: HeaderMap,
    body: Incoming,
    text: String,
    pub(crate) bytes: usize,
}

impl Reader {
    pub(crate) async fn open(world: &TestServer, query: &str) -> Self {
        Self::resume(world, query, None).await
    }

    pub(crate) async fn resume(world: &TestServer, query: &str, last: Option<&str>) -> Self {
        Self::connect(world, &format!("/api/v1/events{query}"), last).await
    }

    /// Opens a stream other than the event stream.
    pub(crate) async fn open_path(world: &TestServer, path: &str) -> Self {
        Self::connect(world, path, None).await
    }

    async fn connect(world: &TestServer, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(path).header(HOST, world.address.to_string());
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = open(world.address, request.body(Full::default()).unwrap()).await;
        assert_eq!(response.status(), 200);
        let (head, body) = response.into_parts();
        Self { headers: head.headers, body, text: String::new(), bytes: 0 }
    }

    /// The next event other than pings, or `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        with_deadline("an event", async {
            loop {
                let Some((block, rest)) = self.text.split_once("\n\n") else {
                    let frame = self.body.frame().await?.ok()?;
                    let data = frame.into_data().unwrap();
                    self.bytes += data.len();
                    self.text.push_str(std::str::from_utf8(&data).unwrap());
                    continue;
                };
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("event", name)) => name.clone_into(&mut event.name),
                        Some(("id", id)) => event.id = Some(id.to_owned()),
                        Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                        _ => {}
                    }
                }
                if event.data != Value::Null && event.name != "ping" {
                    return Some(event);
                }
            }
        })
        .await
    }

    /// Reads up to and including the first event of this kind.
    pub(crate) async fn read_until(&mut self, kind: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("no {kind} event"));
            events.push(event);
            if events.last().unwrap().kind() == kind {
                return events;
            }
        }
    }

    /// Reads to the end of the stream.
    pub(crate) async fn read_to_end(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// A digest made of these hexadecimal digits, repeated.
pub(crate) fn digest(digits: &str) -> String {
    format!("sha256:{}", digits.repeat(64 / digits.len()))
}

/// A full report with all pulls of a node.
pub(crate) fn full_report(node: &str, sequence: u64, pulls: &[Value]) -> Value {
    report_json(node, sequence, true, pulls)
}

/// A report with the changed pulls only.
pub(crate) fn partial_report(node: &str, sequence: u64, pulls: &[Value]) -> Value {
    report_json(node, sequence, false, pulls)
}

fn report_json(node: &str, sequence: u64, full: bool, pulls: &[Value]) -> Value {
    json!({
        "schemaVersion": "v1",
        "nodeName": node,
        "timestamp": START,
        "sequence": sequence,
        "full": full,
        "agent": {"version": "0.1.0", "instance": "a", "startedAt": START, "intervalMs": 5000},
        "images": [{
            "rootDigest": digest("ab"),
            "manifestDigests": [digest("cd")],
            "platform": "linux/amd64",
            "layers": [
                {"digest": digest("01"), "size": 1000, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"},
                {"digest": digest("02"), "size": 3000, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"},
            ],
        }],
        "pulls": pulls,
    })
}

/// A pull that is resolving.
pub(crate) fn resolving(node: &str, name: &str) -> Value {
    json!({
        "id": format!("lease~{node}~k8s.io~{name}~0"),
        "phase": "resolving",
        "startedAt": START,
    })
}

/// A pull of 4,000 bytes: the first layer is complete, the second has this many bytes.
pub(crate) fn downloading(node: &str, name: &str, bytes: u64) -> Value {
    json!({
        "id": format!("lease~{node}~k8s.io~{name}~0"),
        "image": digest("ab"),
        "rootDigest": digest("ab"),
        "repository": "registry.example/team/app",
        "phase": "downloading",
        "percent": 20.0,
        "downloadedBytes": 1000 + bytes,
        "startedAt": START,
        "downloadingAt": START,
        "layers": [
            [0, 1000, "downloaded", {"startedMs": 0, "downloadedMs": 10}],
            [1, bytes, "downloading", {"startedMs": 5}],
        ],
    })
}

/// The same pull, completed.
pub(crate) fn completed(node: &str, name: &str) -> Value {
    json!({
        "id": format!("lease~{node}~k8s.io~{name}~0"),
        "image": digest("ab"),
        "rootDigest": digest("ab"),
        "repository": "registry.example/team/app",
        "names": ["registry.example/team/app:1"],
        "phase": "completed",
        "percent": 100.0,
        "downloadedBytes": 4000,
        "toExtractBytes": 4000,
        "extractedBytes": 4000,
        "startedAt": START,
        "downloadingAt": START,
        "extractingAt": "2026-11-24T20:00:04Z",
        "completedAt": "2026-11-24T20:00:05Z",
        "layers": [
            [0, 1000, "complete", {"startedMs": 0, "downloadedMs": 10, "completedMs": 20}],
            [1, 3000, "complete", {"startedMs": 5, "downloadedMs": 4000, "completedMs": 5000}],
        ],
    })
}

/// A failed pull.
pub(crate) fn failed(node: &str, name: &str) -> Value {
    json!({
        "id": format!("lease~{node}~k8s.io~{name}~0"),
        "phase": "failed",
        "failure": {"reason": "unexplained"},
        "startedAt": START,
        "completedAt": "2026-11-24T20:00:05Z",
    })
}

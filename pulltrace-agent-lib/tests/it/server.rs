//! A test server that accepts reports over HTTP, applies them, and can return scripted responses.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flate2::read::GzDecoder;
use pulltrace_core::wire::check::CheckedReport;
use pulltrace_core::wire::v1;
use pulltrace_core::{Digest, Image, Outcome, Pull, PullId};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::sync::watch;

/// Returns the path of a file in `tests/data/tls`.
pub(crate) fn tls_file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/tls", name].iter().collect()
}

/// Awaits a future with a timeout. These tests run in real time.
pub(crate) async fn within_30_seconds<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out after 30 s: {what}"),
    }
}

/// A response that replaces the server's own.
#[derive(Clone, Debug)]
pub(crate) enum ScriptedResponse {
    /// Status, headers, body.
    Respond(u16, String, Vec<u8>),
    /// Applies the report, then closes the connection without a response.
    LoseAck,
    /// Closes the connection without applying the report.
    Disconnect,
}

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// The state of the server.
#[derive(Debug, Default)]
pub(crate) struct ServerState {
    epoch: u32,
    pub(crate) token: Option<String>,
    pub(crate) answers: VecDeque<ScriptedResponse>,
    /// True if all connections are closed.
    pub(crate) down: bool,
    pub(crate) need_full: bool,
    pub(crate) requests: Vec<Request>,
    /// The instance that sent the last full report, and its last sequence number.
    instance: Option<String>,
    last: u64,
    images: BTreeMap<Digest, Arc<Image>>,
    pub(crate) pulls: BTreeMap<PullId, Pull>,
    /// Receptions of each image since the last restart or full report.
    pub(crate) image_counts: BTreeMap<Digest, usize>,
    pub(crate) full_reports: usize,
}

#[derive(Clone)]
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<ServerState>>,
    changed: watch::Sender<u64>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::start_serving(None)
    }

    /// Starts a server with TLS, using the key and certificate in `tests/data/tls`.
    pub(crate) fn start_with_tls() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_file(tls_file("localhost.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(tls_file("localhost.key")).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        Self::start_serving(Some(Arc::new(config.unwrap())))
    }

    fn start_serving(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            changed: watch::Sender::new(0),
        };
        let accepting = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, stream) = (accepting.clone(), stream.unwrap());
                let tls = tls.clone().map(|tls| ServerConnection::new(tls).unwrap());
                std::thread::spawn(move || match tls {
                    Some(tls) => server.serve(StreamOwned::new(tls, stream)),
                    None => server.serve(stream),
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap()
    }

    /// Queues a response for the next request.
    pub(crate) fn enqueue(&self, answer: ScriptedResponse) {
        self.state().answers.push_back(answer);
    }

    pub(crate) fn respond(&self, status: u16, headers: &str, body: &str) {
        self.enqueue(ScriptedResponse::Respond(status, headers.into(), body.into()));
    }

    /// Forgets everything, like a restarted process.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        let epoch = state.epoch + 1;
        let token = state.token.take();
        *state = ServerState { epoch, token, ..ServerState::default() };
    }

    pub(crate) async fn wait_until(&self, what: &str, condition: impl Fn(&ServerState) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = changed.wait_for(|_| condition(&self.state()));
        within_30_seconds(what, wait).await.unwrap();
    }

    /// Waits until the server knows that this pull completed.
    pub(crate) async fn wait_for_completed(&self, pull: u32) {
        let id = crate::common::id(pull);
        let completed = |state: &ServerState| {
            let pull = state.pulls.get(&id);
            pull.is_some_and(|pull| pull.outcome() == Some(Outcome::Completed))
        };
        self.wait_until("the end is received", completed).await;
    }

    fn serve(&self, stream: impl Read + Write) {
        let mut reader = BufReader::new(stream);
        while let Ok(Some(request)) = read(&mut reader) {
            let answer = self.state().handle(&request);
            // Waiting tests may look before the response is sent.
            self.changed.send_modify(|version| *version += 1);
            let Some((status, headers, body)) = answer else {
                return;
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n");
            let stream = reader.get_mut();
            if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<impl Read>) -> io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: BTreeMap<String, String> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { line: lines[0].clone(), headers, body }))
}

impl Request {
    pub(crate) fn json(&self) -> Vec<u8> {
        if !self.headers.contains_key("content-encoding") {
            return self.body.clone();
        }
        let mut json = Vec::new();
        GzDecoder::new(&self.body[..]).read_to_end(&mut json).unwrap();
        json
    }

    pub(crate) fn report(&self) -> v1::AgentReport {
        serde_json::from_slice(&self.json()).unwrap()
    }
}

type Reply = (u16, String, Vec<u8>);

impl ServerState {
    fn handle(&mut self, request: &Request) -> Option<Reply> {
        self.requests.push(request.clone());
        if self.down {
            return None;
        }
        match self.answers.pop_front() {
            Some(ScriptedResponse::Respond(status, headers, body)) => {
                return Some((status, headers, body));
            }
            Some(ScriptedResponse::Disconnect) => return None,
            Some(ScriptedResponse::LoseAck) => {
                self.handle_report(request);
                return None;
            }
            None => {}
        }
        match request.line.as_str() {
            "GET /healthz HTTP/1.1" => Some((200, String::new(), b"ok".to_vec())),
            "POST /api/v1/report HTTP/1.1" => Some(self.handle_report(request)),
            line => panic!("unexpected request: {line}"),
        }
    }

    fn handle_report(&mut self, request: &Request) -> Reply {
        let problem = |status, detail: &str| {
            let body =
                format!(r#"{{"status":{status},"title":"T","detail":"{detail}","reason":"r"}}"#);
            (status, String::new(), body.into_bytes())
        };
        let bearer = request.headers.get("authorization");
        let wanted = self.token.as_ref().map(|token| format!("Bearer {token}"));
        if wanted.is_some() && wanted.as_ref() != bearer {
            return problem(401, "no such token");
        }
        assert_eq!(request.headers["content-type"], "application/json");
        let Ok(report) = serde_json::from_slice::<v1::AgentReport>(&request.json()) else {
            return problem(400, "nodeName is missing");
        };
        let report = CheckedReport::try_from(report).expect("valid report");
        let known = self.instance.as_ref() == Some(&report.agent.instance);
        assert!(!known || report.sequence > self.last, "sequence numbers increase");
        let need_full = std::mem::take(&mut self.need_full) || !(known || report.full);
        let sequence = report.sequence;
        if !need_full {
            self.last = sequence;
            self.instance = Some(report.agent.instance.clone());
            self.apply(report);
        }
        let ack = v1::ReportAck {
            server_epoch: self.epoch.to_string(),
            accepted_seq: sequence,
            need_full,
            next_report_ms: None,
        };
        (202, String::new(), serde_json::to_vec(&ack).unwrap())
    }

    fn apply(&mut self, report: CheckedReport) {
        if report.full {
            self.full_reports += 1;
            self.pulls.clear();
            self.image_counts.clear();
        }
        for image in report.images {
            *self.image_counts.entry(image.root.clone()).or_default() += 1;
            self.images.insert(image.root.clone(), image);
        }
        for pull in report.pulls {
            let image = pull.image().map(|root| Arc::clone(&self.images[root]));
            let pull = pull.into_pull(image).expect("layers match the image");
            self.pulls.insert(pull.id.clone(), pull);
        }
    }
}

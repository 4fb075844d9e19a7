//! A server that takes reports over HTTP, keeps what they say, and answers as a test tells it to.

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

/// A file of `tests/data/tls`.
pub(crate) fn tls(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/tls", name]
        .iter()
        .collect()
}

/// Waits, but not for ever: these tests run in real time.
pub(crate) async fn promptly<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within 30 s"),
    }
}

/// What a request is answered with instead of what a server would say.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status, headers, body.
    Say(u16, String, Vec<u8>),
    /// The report is taken, and the connection cut before the answer.
    LoseAck,
    /// The connection is cut and nothing taken.
    Cut,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What a server knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    epoch: u32,
    pub(crate) token: Option<String>,
    pub(crate) answers: VecDeque<Answer>,
    /// Every connection is cut.
    pub(crate) down: bool,
    pub(crate) need_full: bool,
    pub(crate) requests: Vec<Request>,
    /// The instance that reports, once a full report of it came; and its last sequence.
    instance: Option<String>,
    last: u64,
    images: BTreeMap<Digest, Arc<Image>>,
    pub(crate) pulls: BTreeMap<PullId, Pull>,
    /// How often each image was told to this epoch.
    pub(crate) told: BTreeMap<Digest, usize>,
    pub(crate) full: usize,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::serving(None)
    }

    /// One that speaks TLS, by the key and the certificate in `tests/data/tls`.
    pub(crate) fn with_tls() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_file(tls("localhost.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(tls("localhost.key")).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        Self::serving(Some(Arc::new(config.unwrap())))
    }

    fn serving(tls: Option<Arc<ServerConfig>>) -> Self {
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

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers the next request like this.
    pub(crate) fn answer(&self, answer: Answer) {
        self.state().answers.push_back(answer);
    }

    pub(crate) fn say(&self, status: u16, headers: &str, body: &str) {
        self.answer(Answer::Say(status, headers.into(), body.into()));
    }

    /// Forgets everything, as a process that was started anew.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        let epoch = state.epoch + 1;
        let token = state.token.take();
        *state = State {
            epoch,
            token,
            ..State::default()
        };
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = changed.wait_for(|_| condition(&self.state()));
        promptly(what, wait).await.unwrap();
    }

    /// Until the server knows that this pull completed.
    pub(crate) async fn completed(&self, pull: u32) {
        let id = crate::common::id(pull);
        let completed = |state: &State| {
            let pull = state.pulls.get(&id);
            pull.is_some_and(|pull| pull.outcome() == Some(Outcome::Completed))
        };
        self.until("the end is told", completed).await;
    }

    fn serve(&self, stream: impl Read + Write) {
        let mut reader = BufReader::new(stream);
        while let Ok(Some(request)) = read(&mut reader) {
            let answer = self.state().take(&request);
            // Whoever waits may look before the answer is gone.
            self.changed.send_modify(|version| *version += 1);
            let Some((status, headers, body)) = answer else {
                return;
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n");
            let stream = reader.get_mut();
            if stream
                .write_all(&[head.as_bytes(), &body].concat())
                .is_err()
            {
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
    Ok(Some(Request {
        line: lines[0].clone(),
        headers,
        body,
    }))
}

impl Request {
    pub(crate) fn json(&self) -> Vec<u8> {
        if !self.headers.contains_key("content-encoding") {
            return self.body.clone();
        }
        let mut json = Vec::new();
        GzDecoder::new(&self.body[..])
            .read_to_end(&mut json)
            .unwrap();
        json
    }

    pub(crate) fn report(&self) -> v1::AgentReport {
        serde_json::from_slice(&self.json()).unwrap()
    }
}

type Reply = (u16, String, Vec<u8>);

impl State {
    fn take(&mut self, request: &Request) -> Option<Reply> {
        self.requests.push(request.clone());
        if self.down {
            return None;
        }
        match self.answers.pop_front() {
            Some(Answer::Say(status, headers, body)) => return Some((status, headers, body)),
            Some(Answer::Cut) => return None,
            Some(Answer::LoseAck) => {
                self.report(request);
                return None;
            }
            None => {}
        }
        match request.line.as_str() {
            "GET /healthz HTTP/1.1" => Some((200, String::new(), b"ok".to_vec())),
            "POST /api/v1/report HTTP/1.1" => Some(self.report(request)),
            line => panic!("no server is asked this: {line}"),
        }
    }

    fn report(&mut self, request: &Request) -> Reply {
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
        let report = CheckedReport::try_from(report).expect("a report that a server takes");
        let known = self.instance.as_ref() == Some(&report.agent.instance);
        assert!(!known || report.sequence > self.last, "sequences grow");
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
            self.full += 1;
            self.pulls.clear();
            self.told.clear();
        }
        for image in report.images {
            *self.told.entry(image.root.clone()).or_default() += 1;
            self.images.insert(image.root.clone(), image);
        }
        for pull in report.pulls {
            let image = pull.image().map(|root| Arc::clone(&self.images[root]));
            let pull = pull.into_pull(image).expect("layers of the image");
            self.pulls.insert(pull.id.clone(), pull);
        }
    }
}

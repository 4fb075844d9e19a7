//! A TCP proxy between an agent and its server that decodes the reports.

use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::GzDecoder;
use pulltrace_core::wire::v1::AgentReport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use pulltrace_benches::Error;

pub(crate) struct ReportProxy {
    url: String,
    reports: Arc<Mutex<Vec<AgentReport>>>,
    task: JoinHandle<()>,
}

impl ReportProxy {
    /// Starts a proxy to the server at this address.
    pub(crate) async fn start(server: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let reports = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&reports);
        let task = tokio::spawn(async move {
            while let Ok((agent, _)) = listener.accept().await {
                let (server, read) = (server.clone(), Arc::clone(&read));
                tokio::spawn(async move {
                    if let Err(error) = forward(agent, &server, &read).await {
                        crate::log(&format!("connection to the agent failed: {error}"));
                    }
                });
            }
        });
        Ok(Self { url, reports, task })
    }

    /// The URL for the agent to report to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// All reports so far.
    pub(crate) fn reports(&self) -> Vec<AgentReport> {
        let reports = self.reports.lock();
        reports.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ReportProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    agent: TcpStream,
    server: &str,
    reports: &Mutex<Vec<AgentReport>>,
) -> Result<(), Error> {
    let server = TcpStream::connect(server).await?;
    // The proxy must not add latency.
    agent.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_agent, mut to_agent) = agent.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let (mut piece, mut unread) = (vec![0; 64 * 1024], Vec::new());
        loop {
            let read = from_agent.read(&mut piece).await?;
            if read == 0 {
                return Ok(to_server.shutdown().await?);
            }
            to_server.write_all(&piece[..read]).await?;
            unread.extend_from_slice(&piece[..read]);
            while let Some((report, rest)) = parse_request(&unread)? {
                let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                reports.extend(report);
                unread.drain(..rest);
            }
        }
    };
    let down = async { Ok(tokio::io::copy(&mut from_server, &mut to_agent).await.map(drop)?) };
    tokio::try_join!(up, down).map(|((), ())| ())
}

/// Parses the first request. Returns its report, if it has one, and the length of the request;
/// `None` if the request is incomplete.
fn parse_request(text: &[u8]) -> Result<Option<(Option<AgentReport>, usize)>, Error> {
    let Some(head) = text.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let lines = std::str::from_utf8(&text[..head])?.to_ascii_lowercase();
    let header = |name: &str| {
        let mut headers = lines.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(is, _)| *is == name).map(|(_, value)| value)
    };
    let length: usize = header("content-length").unwrap_or("0").parse()?;
    let Some(body) = text.get(head + 4..head + 4 + length) else {
        return Ok(None);
    };
    let mut plain = Vec::new();
    match header("content-encoding") {
        Some("gzip") => drop(GzDecoder::new(body).read_to_end(&mut plain)?),
        _ => plain.extend_from_slice(body),
    }
    let report = if plain.is_empty() { None } else { Some(serde_json::from_slice(&plain)?) };
    Ok(Some((report, head + 4 + length)))
}

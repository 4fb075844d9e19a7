//! Raw event streams of the server, as `curl` shows them.

use std::sync::{Arc, Mutex, PoisonError};

use pulltrace_testkit::wait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::kit::TIMEOUT;

/// A stream and the events received so far.
pub(crate) struct Stream {
    events: Arc<Mutex<Vec<StreamEvent>>>,
    task: JoinHandle<()>,
}

/// An event of the stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamEvent {
    /// Event name; `message` if there is none.
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// Opens the body of a response; `None` if the server does not respond.
async fn body(address: &str, path: &str) -> Option<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // With HTTP/1.0, the body ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
    }
    Some(stream)
}

/// Returns the whole body of a response.
pub(crate) async fn get(address: &str, path: &str) -> Option<String> {
    let mut text = String::new();
    let mut body = body(address, path).await?;
    body.read_to_string(&mut text).await.ok()?;
    Some(text)
}

impl Stream {
    /// Opens a stream and waits for its headers.
    pub(crate) async fn open(address: &str, path: &str) -> Self {
        let body = body(address, path).await.expect("server responds");
        let events = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&events);
        let task = tokio::spawn(async move {
            let mut lines = body.lines();
            let mut one = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if !line.is_empty() {
                    one.push(line);
                    continue;
                }
                let mut all = writer.lock().unwrap_or_else(PoisonError::into_inner);
                all.extend(StreamEvent::parse(&std::mem::take(&mut one)));
            }
        });
        Self { events, task }
    }

    /// Returns the events so far, without pings.
    pub(crate) fn events(&self) -> Vec<StreamEvent> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|said| said.event != "ping").cloned().collect()
    }

    /// Waits until an event matches.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&StreamEvent) -> bool) {
        let matched = async || self.events().iter().any(&is).then_some(());
        let matched = wait::until(what, TIMEOUT, matched).await;
        matched.unwrap_or_else(|error| panic!("{error}: {:#?}", self.events()));
    }

    /// Waits for the end of the stream and returns its last event.
    pub(crate) async fn wait_end(&mut self) -> StreamEvent {
        let ended = tokio::time::timeout(TIMEOUT, &mut self.task).await;
        ended.expect("stopped").expect("stream task does not panic");
        self.events().pop().expect("at least one event")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl StreamEvent {
    fn parse(lines: &[String]) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = lines.iter();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let data = serde_json::from_str(field("data")?).expect("JSON");
        let event = field("event").unwrap_or("message").to_owned();
        Some(Self { event, data })
    }
}

//! A stream of the server, as its bytes come: what `curl` would show.

use std::sync::{Arc, Mutex, PoisonError};

use pulltrace_testkit::wait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::kit::SOON;

/// What a stream said so far.
pub(crate) struct Stream {
    said: Arc<Mutex<Vec<Said>>>,
    task: JoinHandle<()>,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// Its name; `message` where it has none.
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// The body of what is answered, as it comes; `None` where nobody answers.
async fn body(address: &str, path: &str) -> Option<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // Of this version of HTTP a body is just what comes until the end.
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

/// What is answered, whole.
pub(crate) async fn get(address: &str, path: &str) -> Option<String> {
    let mut text = String::new();
    let mut body = body(address, path).await?;
    body.read_to_string(&mut text).await.ok()?;
    Some(text)
}

impl Stream {
    /// Opens it, and waits until it has begun.
    pub(crate) async fn open(address: &str, path: &str) -> Self {
        let body = body(address, path).await.expect("the server answers");
        let said = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&said);
        let task = tokio::spawn(async move {
            let mut lines = body.lines();
            let mut one = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if !line.is_empty() {
                    one.push(line);
                    continue;
                }
                let mut all = writer.lock().unwrap_or_else(PoisonError::into_inner);
                all.extend(Said::of(&std::mem::take(&mut one)));
            }
        });
        Self { said, task }
    }

    /// What it said so far, but for signs of life.
    pub(crate) fn said(&self) -> Vec<Said> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter()
            .filter(|said| said.event != "ping")
            .cloned()
            .collect()
    }

    /// Waits until it has said this.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Said) -> bool) {
        let said = async || self.said().iter().any(&is).then_some(());
        let said = wait::until(what, SOON, said).await;
        said.unwrap_or_else(|error| panic!("{error}: {:#?}", self.said()));
    }

    /// Waits until it has ended, and returns what it said last.
    pub(crate) async fn end(&mut self) -> Said {
        let ended = tokio::time::timeout(SOON, &mut self.task).await;
        ended.expect("it ends").expect("it does not panic");
        self.said().pop().expect("it said something")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Said {
    fn of(lines: &[String]) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = lines.iter();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let data = serde_json::from_str(field("data")?).expect("JSON");
        let event = field("event").unwrap_or("message").to_owned();
        Some(Self { event, data })
    }
}

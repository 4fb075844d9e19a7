//! A scripted server: the test receives each request and answers it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

type Body = BoxBody<Bytes, std::io::Error>;

/// The deadline of each wait in a test.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: mpsc::Receiver<PendingRequest>,
    task: JoinHandle<()>,
}

/// A request to be answered. Dropping it closes the connection.
pub(crate) struct PendingRequest {
    request: Request<Incoming>,
    answer: oneshot::Sender<Response<Body>>,
}

/// The rest of a stream. Dropping it ends the stream.
pub(crate) struct Feed(mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>);

impl Server {
    pub(crate) async fn start() -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap()).await
    }

    async fn listen(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let sender = sender.clone();
                connections.spawn(async move {
                    let serve = service_fn(|request| answer(request, sender.clone()));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), serve);
                    // Tests cut connections on purpose.
                    drop(connection.await);
                });
            }
        });
        Self { address, requests: calls, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn next_request(&mut self) -> PendingRequest {
        within_deadline(self.requests.recv()).await.expect("a request")
    }

    /// Stops with all connections, and listens again.
    pub(crate) async fn restart(self) -> Self {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        Self::listen(self.address).await
    }
}

pub(crate) async fn within_deadline<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("the deadline passed")
}

async fn answer(
    request: Request<Incoming>,
    sender: mpsc::Sender<PendingRequest>,
) -> Result<Response<Body>, std::io::Error> {
    let (answer, answered) = oneshot::channel();
    let call = PendingRequest { request, answer };
    let gone = |_| std::io::Error::other("the test dropped the request");
    sender.send(call).await.map_err(|_| std::io::Error::other("the test has ended"))?;
    answered.await.map_err(gone)
}

impl PendingRequest {
    /// Returns path and query.
    pub(crate) fn target(&self) -> String {
        self.request.uri().to_string()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    pub(crate) fn reply(self, status: u16, media: &str, body: &str) {
        let body = Full::new(Bytes::from(body.to_owned()));
        let body = body.map_err(|never: Infallible| match never {}).boxed();
        self.respond(status, media, body);
    }

    pub(crate) fn reply_json(self, body: &str) {
        self.reply(200, "application/json", body);
    }

    pub(crate) fn reply_problem(self, status: u16, reason: &str) {
        let body = format!(r#"{{"status":{status},"title":"No","reason":"{reason}"}}"#);
        self.reply(status, "application/problem+json", &body);
    }

    pub(crate) fn reply_stream(self) -> Feed {
        let (feed, mut chunks) = mpsc::channel(16);
        let chunks: Pin<Box<dyn futures_util::Stream<Item = _> + Send + Sync>> =
            Box::pin(futures_util::stream::poll_fn(move |cx| chunks.poll_recv(cx)));
        self.respond(
            200,
            "text/event-stream; charset=utf-8",
            BoxBody::new(StreamBody::new(chunks)),
        );
        Feed(feed)
    }

    fn respond(self, status: u16, media: &str, body: Body) {
        let response = Response::builder()
            .status(status)
            .header("content-type", media)
            .header("retry-after", "0")
            .body(body);
        // The client may have timed out.
        drop(self.answer.send(response.unwrap()));
    }
}

impl Feed {
    pub(crate) async fn send(&self, text: &str) {
        let frame = Frame::data(Bytes::from(text.to_owned()));
        within_deadline(self.0.send(Ok(frame))).await.expect("a reader");
    }

    /// Closes the connection without ending the stream.
    pub(crate) async fn disconnect(self) {
        let cut = Err(std::io::Error::other("cut"));
        within_deadline(self.0.send(cut)).await.expect("a reader");
    }
}

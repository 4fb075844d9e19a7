//! A minimal HTTP client that returns responses unmodified.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;

#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The received bytes, even if the connection broke.
    pub(crate) body: Vec<u8>,
    /// Set if the body ended as announced.
    pub(crate) complete: bool,
}

impl HttpResponse {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}

pub(crate) async fn send(
    method: &str,
    address: SocketAddr,
    path: &str,
    range: Option<&str>,
) -> HttpResponse {
    let stream = tokio::net::TcpStream::connect(address).await.expect("connect");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("handshake");
    let connection = tokio::spawn(connection);
    let mut request =
        Request::builder().method(method).uri(path).header("host", address.to_string());
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let request = request.body(Empty::<Bytes>::new()).expect("request");
    let response = sender.send_request(request).await.expect("response");
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let mut stream = response.into_body();
    let mut body = Vec::new();
    let mut whole = true;
    while let Some(frame) = stream.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(&frame.into_data().expect("data")),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    drop(sender);
    connection.abort();
    HttpResponse { status, headers, body, complete: whole }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> HttpResponse {
    send("GET", address, path, None).await
}

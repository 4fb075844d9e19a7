//! Timeouts and limits of connections, TLS, and shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioExecutor;
use pulltrace_server_lib::{Access, HttpLimits, Listener, ServeLimits, Server, Tls, TlsError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::test_server::{
    Reader, TestServer, downloading, full_report, partial_report, with_deadline,
};

async fn with_short_timeouts() -> TestServer {
    TestServer::with_settings(|server| {
        let mut limits = ServeLimits::default();
        limits.handshake_timeout = Duration::from_millis(100);
        limits.header_timeout = Duration::from_millis(100);
        limits.write_timeout = Duration::from_millis(300);
        server.serve_limits(limits)
    })
    .await
}

#[tokio::test]
async fn silent_and_partial_requests_time_out() {
    let world = with_short_timeouts().await;
    for sent in [
        &b""[..],
        b"PRI * HT",
        b"GET /api/v1/pulls HTTP/1.1\r\nHost: local",
        b"GET /api/v1/pulls HTT",
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut rest = Vec::new();
        let ended = with_deadline("the connection ends", stream.read_to_end(&mut rest)).await;
        assert!(ended.is_err() || !rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    }
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn stalled_reader_is_disconnected_without_delaying_others() {
    let world = with_short_timeouts().await;
    let pulls: Vec<_> = (0..800).map(|n| downloading("w1", &format!("{n}-a"), 0)).collect();
    for node in 0..20 {
        let name = format!("w{node}");
        let pulls: Vec<_> = (0..800).map(|n| downloading(&name, &format!("{n}-a"), 0)).collect();
        world.report(&full_report(&name, 1, &pulls)).await;
    }
    drop(pulls);
    let mut good = Reader::open(&world, "?node=w1&layers=none").await;
    good.read_until("snapshot-end").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut bad = socket.connect(world.address).await.unwrap();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", world.address);
    bad.write_all(request.as_bytes()).await.unwrap();
    let mut sequence = 1;
    with_deadline("the reader is disconnected", async {
        while world.metric("pulltrace_sse_readers_stalled_total").await != Some(1.0) {
            sequence += 1;
            let moved = downloading("w1", "1-a", sequence);
            world.report(&partial_report("w1", sequence, &[moved])).await;
            let event = good.read_until("pull.progress").await.pop().unwrap();
            assert_eq!(event.pull(), "1-a");
        }
    })
    .await;
    assert_eq!(world.metric("pulltrace_sse_readers").await, Some(1.0));
    drop(bad);
}

#[tokio::test]
async fn stalled_http2_reader_is_disconnected() {
    let world = TestServer::with_settings(|server| {
        let mut limits = HttpLimits::default();
        limits.reader_idle_timeout = Duration::from_millis(300);
        server.http_limits(limits)
    })
    .await;
    let pulls: Vec<_> = (0..200).map(|n| downloading("w1", &format!("{n}-a"), 0)).collect();
    world.report(&full_report("w1", 1, &pulls)).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    // The connection's window is large, the stream's very small.
    client.initial_stream_window_size(1_024);
    let (mut sender, connection) = client.handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("http://{}/api/v1/events", world.address))
        .body(http_body_util::Full::<Bytes>::default())
        .unwrap();
    let unread = sender.send_request(request).await.unwrap();
    world.wait_for_metric("pulltrace_sse_readers_stalled_total", 1.0).await;
    assert!(with_deadline("the connection ends", connection).await.is_ok());
    drop(unread);
}

#[tokio::test]
async fn shutdown_closes_readers_and_idle_connections() {
    let world = TestServer::with_settings(|server| {
        let mut limits = ServeLimits::default();
        // The server must not end because of one of these timeouts.
        limits.drain_timeout = Duration::from_secs(3_600);
        limits.handshake_timeout = Duration::from_secs(3_600);
        limits.header_timeout = Duration::from_secs(3_600);
        server.serve_limits(limits)
    })
    .await;
    world.report(&full_report("w1", 1, &[downloading("w1", "1-a", 0)])).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = Reader::open(&world, "").await;
        reader.read_until("snapshot-end").await;
        readers.push(reader);
    }
    // A connection without a request, and one that is idle after a request.
    let early = TcpStream::connect(world.address).await.unwrap();
    let mut idle = TcpStream::connect(world.address).await.unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", world.address);
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    with_deadline("a response", idle.read_exact(&mut answer)).await.unwrap();
    world.stop().await;
    drop((early, idle));
    for mut reader in readers {
        assert_eq!(reader.read_to_end().await, []);
    }
}

#[tokio::test]
async fn excess_connection_is_closed_and_counted() {
    let world = TestServer::with_settings(|server| {
        let mut limits = ServeLimits::default();
        limits.max_connections = 1;
        server.serve_limits(limits)
    })
    .await;
    let mut reader = Reader::open(&world, "").await;
    reader.read_until("snapshot-end").await;
    let mut second = TcpStream::connect(world.address).await.unwrap();
    let mut rest = Vec::new();
    let read = with_deadline("it is closed", second.read_to_end(&mut rest)).await;
    assert!(matches!(read, Ok(0) | Err(_)));
    drop(reader);
    world.wait_for_metric("pulltrace_connections_rejected_total", 1.0).await;
}

#[tokio::test]
async fn plaintext_http2_is_supported() {
    let world = TestServer::start().await;
    world.report(&full_report("w1", 1, &[downloading("w1", "1-a", 0)])).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(list_over_http_2(stream, world.address).await, 200);
}

async fn list_over_http_2(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
) -> u16 {
    let executor = TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{address}/api/v1/pulls"))
        .body(http_body_util::Full::<Bytes>::default())
        .unwrap();
    sender.send_request(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn tls_listener_serves_http2_with_given_certificate() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/tls");
    let file = |name: &str| format!("{dir}/{name}");
    let tls = Tls::from_files(file("localhost.pem"), file("localhost.key")).unwrap();
    let mut server = Server::builder().access(Access::new()).build().unwrap();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().tls(tls);
    let address = listener.address();
    assert_eq!(listener.url(), format!("https://{address}/"));
    server.listen(listener).unwrap();
    let running = tokio::spawn(server.run(std::future::pending()));

    // A client that does not speak TLS is disconnected.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = with_deadline("the connection ends", plain.read_to_end(&mut answer)).await;
    assert!(read.is_err() || !answer.starts_with(b"HTTP"), "{answer:?}");

    let stream = TcpStream::connect(address).await.unwrap();
    let stream =
        tls_client(&file("localhost.pem")).connect("localhost".try_into().unwrap(), stream);
    let stream = with_deadline("the handshake", stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(list_over_http_2(stream, address).await, 200);
    running.abort();
}

fn tls_client(trusted: &str) -> tokio_rustls::TlsConnector {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
}

#[test]
fn unusable_tls_files_are_named_in_error() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/tls");
    let file = |name: &str| format!("{dir}/{name}");
    let error = |chain: &str, key: &str| Tls::from_files(file(chain), file(key)).unwrap_err();
    let missing = error("missing.pem", "localhost.key");
    assert!(matches!(&missing, TlsError::Read { path, .. } if path.ends_with("missing.pem")));
    let no_certificate = error("localhost.key", "localhost.key");
    assert!(matches!(no_certificate, TlsError::Pem { what: "certificate", .. }));
    let no_key = error("localhost.pem", "localhost.pem");
    assert!(matches!(no_key, TlsError::Pem { what: "private key", .. }));
    assert!(matches!(error("localhost.pem", "other.key"), TlsError::Pair { .. }));
}

#[tokio::test]
async fn bind_error_names_address() {
    let first = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = Listener::bind(first.address()).await.unwrap_err();
    assert!(error.to_string().contains(&first.address().to_string()), "{error}");
}

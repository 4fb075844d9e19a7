//! Connections that do not behave, and the end of a server.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioExecutor;
use pulltrace_server_lib::{Access, HttpLimits, Listener, ServeLimits, Server, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::world::{Reader, World, downloading, full, some, within};

async fn impatient() -> World {
    World::with(|server| {
        let mut limits = ServeLimits::default();
        limits.greeting = Duration::from_millis(100);
        limits.head = Duration::from_millis(100);
        limits.write = Duration::from_millis(300);
        server.serve_limits(limits)
    })
    .await
}

#[tokio::test]
async fn one_that_says_nothing_or_half_a_request_is_let_go() {
    let world = impatient().await;
    for said in [
        &b""[..],
        b"PRI * HT",
        b"GET /api/v1/pulls HTTP/1.1\r\nHost: local",
        b"GET /api/v1/pulls HTT",
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let ended = within("the connection ends", stream.read_to_end(&mut rest)).await;
        assert!(
            ended.is_err() || !rest.starts_with(b"HTTP/1.1 200"),
            "{rest:?}"
        );
    }
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_reader_that_never_reads_is_cut_off_and_slows_nobody() {
    let world = impatient().await;
    let pulls: Vec<_> = (0..800)
        .map(|n| downloading("w1", &format!("{n}-a"), 0))
        .collect();
    for node in 0..20 {
        let name = format!("w{node}");
        let pulls: Vec<_> = (0..800)
            .map(|n| downloading(&name, &format!("{n}-a"), 0))
            .collect();
        world.tell(&full(&name, 1, &pulls)).await;
    }
    drop(pulls);
    let mut good = Reader::open(&world, "?node=w1&layers=none").await;
    good.until("snapshot-end").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut bad = socket.connect(world.address).await.unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n",
        world.address
    );
    bad.write_all(request.as_bytes()).await.unwrap();
    let mut sequence = 1;
    within("it is cut off", async {
        while world.metric("pulltrace_sse_readers_cut_off_total").await != Some(1.0) {
            sequence += 1;
            let moved = downloading("w1", "1-a", sequence);
            world.tell(&some("w1", sequence, &[moved])).await;
            let told = good.until("pull.progress").await.pop().unwrap();
            assert_eq!(told.pull(), "1-a");
        }
    })
    .await;
    assert_eq!(world.metric("pulltrace_sse_clients").await, Some(1.0));
    drop(bad);
}

#[tokio::test]
async fn a_reader_over_http_2_that_takes_nothing_is_cut_off_too() {
    let world = World::with(|server| {
        let mut limits = HttpLimits::default();
        limits.reader_idle = Duration::from_millis(300);
        server.http_limits(limits)
    })
    .await;
    let pulls: Vec<_> = (0..200)
        .map(|n| downloading("w1", &format!("{n}-a"), 0))
        .collect();
    world.tell(&full("w1", 1, &pulls)).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    // The connection takes everything; this stream next to nothing.
    client.initial_stream_window_size(1_024);
    let (mut sender, connection) = client.handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("http://{}/api/v1/events", world.address))
        .body(http_body_util::Full::<Bytes>::default())
        .unwrap();
    let unread = sender.send_request(request).await.unwrap();
    world
        .until_metric("pulltrace_sse_readers_cut_off_total", 1.0)
        .await;
    assert!(within("the connection ends", connection).await.is_ok());
    drop(unread);
}

#[tokio::test]
async fn a_server_that_stops_tells_its_readers_to_come_back() {
    let world = World::with(|server| {
        let mut limits = ServeLimits::default();
        // It must not be one of these that ends it.
        limits.drain = Duration::from_secs(3_600);
        limits.greeting = Duration::from_secs(3_600);
        limits.head = Duration::from_secs(3_600);
        server.serve_limits(limits)
    })
    .await;
    world
        .tell(&full("w1", 1, &[downloading("w1", "1-a", 0)]))
        .await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = Reader::open(&world, "").await;
        reader.until("snapshot-end").await;
        readers.push(reader);
    }
    // One that was opened for later, and one that waits for its next request.
    let early = TcpStream::connect(world.address).await.unwrap();
    let mut idle = TcpStream::connect(world.address).await.unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", world.address);
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    within("an answer", idle.read_exact(&mut answer))
        .await
        .unwrap();
    world.stop().await;
    drop((early, idle));
    for mut reader in readers {
        assert_eq!(reader.rest().await, []);
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_counted() {
    let world = World::with(|server| {
        let mut limits = ServeLimits::default();
        limits.connections = 1;
        server.serve_limits(limits)
    })
    .await;
    let mut reader = Reader::open(&world, "").await;
    reader.until("snapshot-end").await;
    let mut second = TcpStream::connect(world.address).await.unwrap();
    let mut rest = Vec::new();
    let read = within("it is closed", second.read_to_end(&mut rest)).await;
    assert!(matches!(read, Ok(0) | Err(_)));
    drop(reader);
    world
        .until_metric("pulltrace_connections_refused_total", 1.0)
        .await;
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let world = World::start().await;
    world
        .tell(&full("w1", 1, &[downloading("w1", "1-a", 0)]))
        .await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(list_over_http_2(stream, world.address).await, 200);
}

async fn list_over_http_2(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
) -> u16 {
    let executor = TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{address}/api/v1/pulls"))
        .body(http_body_util::Full::<Bytes>::default())
        .unwrap();
    sender
        .send_request(request)
        .await
        .unwrap()
        .status()
        .as_u16()
}

#[tokio::test]
async fn tls_is_spoken_with_the_files_that_it_was_given() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/tls");
    let file = |name: &str| format!("{dir}/{name}");
    let tls = Tls::from_files(file("localhost.pem"), file("localhost.key")).unwrap();
    let mut server = Server::builder().access(Access::new()).build().unwrap();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .tls(tls);
    let address = listener.address();
    assert_eq!(listener.url(), format!("https://{address}/"));
    server.listen(listener).unwrap();
    let running = tokio::spawn(server.run(std::future::pending()));

    // One that speaks no TLS is let go; so is one that only begins to.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let read = within("it is let go", plain.read_to_end(&mut answer)).await;
    assert!(read.is_err() || !answer.starts_with(b"HTTP"), "{answer:?}");

    let stream = TcpStream::connect(address).await.unwrap();
    let stream =
        tls_client(&file("localhost.pem")).connect("localhost".try_into().unwrap(), stream);
    let stream = within("the handshake", stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(list_over_http_2(stream, address).await, 200);
    running.abort();
}

fn tls_client(trusted: &str) -> tokio_rustls::TlsConnector {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(trusted).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
}

#[test]
fn tls_files_that_cannot_be_used_are_refused_with_their_names() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/tls");
    let file = |name: &str| format!("{dir}/{name}");
    for (chain, key, wrong) in [
        ("missing.pem", "localhost.key", "missing.pem"),
        ("localhost.key", "localhost.key", "no certificate"),
        ("localhost.pem", "localhost.pem", "no private key"),
        ("localhost.pem", "other.key", "cannot be used with"),
    ] {
        let error = Tls::from_files(file(chain), file(key)).unwrap_err();
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = Listener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let error = Listener::bind(first.address()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {}", first.address())
    );
}

//! The program as a manifest starts it: what it accepts, what it says, how it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

/// The program, with nothing of this process's environment.
fn agent(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulltrace-agent"));
    command.args(args).env_clear().stdin(Stdio::null());
    command.envs(env.iter().copied());
    command
}

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    agent(args, env).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[track_caller]
fn refused(args: &[&str], env: &[(&str, &str)], code: i32, line: &str) {
    let output = run(args, env);
    assert_eq!(text(&output.stderr), format!("pulltrace-agent: {line}\n"));
    assert_eq!(output.status.code(), Some(code));
    assert!(output.stdout.is_empty());
}

/// A server that answers each request by what `answer` makes of its first line and its token.
fn server(answer: fn(&str, Option<&str>) -> (u16, &'static str)) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = sync_channel(100);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut reader = BufReader::new(&stream);
            let lines: Vec<String> = reader
                .by_ref()
                .lines()
                .map_while(Result::ok)
                .take_while(|l| !l.is_empty())
                .collect();
            let header = |name: &str| {
                let mut lines = lines.iter().filter_map(|line| line.split_once(": "));
                lines
                    .find(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value)
            };
            let length = header("content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let (status, said) = answer(&lines[0], header("authorization"));
            reply(&stream, status, said);
            // Nobody may look any more.
            let _unseen = sender.send(lines[0].clone());
        }
    });
    (address, requests)
}

fn reply(mut stream: &TcpStream, status: u16, body: &str) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream
        .write_all(&[head.as_bytes(), body.as_bytes()].concat())
        .unwrap();
}

/// Healthy, and of agents with the token `right`.
fn healthy(line: &str, token: Option<&str>) -> (u16, &'static str) {
    match (line.split(' ').nth(1), token) {
        (Some("/healthz"), _) => (200, "ok"),
        (Some("/api/v1/report"), Some("Bearer right")) => (400, "{}"),
        (Some("/api/v1/report"), _) => (401, "{}"),
        _ => (404, ""),
    }
}

const SERVER: (&str, &str) = ("PULLTRACE_SERVER_URL", "http://127.0.0.1:9");
const NODE: (&str, &str) = ("PULLTRACE_NODE_NAME", "worker-1");

#[test]
fn a_bad_value_is_named_with_its_variable_and_what_is_accepted() {
    for (name, value, accepted) in [
        (
            "PULLTRACE_NODE_NAME",
            "a b",
            "no node name: `a b` (1 to 253 letters, digits, `-`, `_`, `.`)",
        ),
        (
            "PULLTRACE_SERVER_URL",
            "server:8080",
            "no URL of a server: it is neither http nor https; accepted is one like https://pulltrace.example:8080",
        ),
        (
            "PULLTRACE_REPORT_INTERVAL",
            "5",
            "no duration; accepted are numbers with the units ms, s, m and h, like 500ms, 1.5s or 1h30m",
        ),
        (
            "PULLTRACE_HISTORY_TTL",
            "0s",
            "no time at all; accepted is more than 0s",
        ),
        (
            "PULLTRACE_STALL_AFTER",
            "soon",
            "no duration; accepted are numbers with the units ms, s, m and h, like 500ms, 1.5s or 1h30m",
        ),
        (
            "PULLTRACE_CONTAINERD_NAMESPACE",
            "../x",
            "no containerd namespace: `../x` (1 to 253 letters, digits, `-`, `_`, `.`)",
        ),
        (
            "PULLTRACE_LOG_LEVEL",
            "loud",
            "accepted are off, error, warn, info, debug, trace",
        ),
        ("PULLTRACE_LOG_FORMAT", "xml", "accepted are text, json"),
        (
            "PULLTRACE_METRICS_ADDR",
            "9090",
            "no address; accepted are an IP address and a port, like 127.0.0.1:8080 or [::1]:8080, and a port alone, like :8080, and `off`",
        ),
    ] {
        let line = format!("{name} is {value:?}: {accepted}");
        refused(&[], &[SERVER, (name, value)], 2, &line);
        refused(&["check"], &[SERVER, (name, value)], 2, &line);
    }
    refused(
        &["--server-url", "http://me:secret@host"],
        &[],
        2,
        "--server-url is \"http://…@host\": no URL of a server: it has a user name or a password, for which there are tokens; accepted is one like https://pulltrace.example:8080",
    );
    refused(
        &["--report-interval", "1ms"],
        &[SERVER, NODE],
        2,
        "--report-interval: the report interval is 1ms: at least 10 ms are needed",
    );
    refused(
        &[],
        &[NODE, ("PULLTRACE_SERVER_URL", "")],
        2,
        "PULLTRACE_SERVER_URL is not set, nor is --server-url given: accepted is a URL like http://pulltrace-server:8080",
    );
    refused(
        &[],
        &[SERVER, NODE, ("PULLTRACE_AGENT_TOKEN", "two words")],
        2,
        "cannot report: the token cannot be used: a token is 1 to 16384 visible ASCII characters",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_said_in_one_line() {
    refused(
        &[],
        &[
            SERVER,
            NODE,
            ("PULLTRACE_AGENT_TOKEN_FILE", "/nowhere/token"),
        ],
        1,
        "cannot report: the token cannot be used: cannot read the token file `/nowhere/token`: No such file or directory (os error 2)",
    );
    let output = run(&["--server-ca-file", "/nowhere/ca"], &[SERVER, NODE]);
    let said = text(&output.stderr);
    assert!(
        said.contains("cannot read the certificates in `/nowhere/ca`"),
        "{said}"
    );
    assert_eq!((said.lines().count(), output.status.code()), (1, Some(1)));
}

#[test]
fn help_tells_of_each_variable_and_no_token() {
    let env = [("PULLTRACE_AGENT_TOKEN", "open-sesame")];
    for args in [&["--help"][..], &["check", "--help"]] {
        let output = run(args, &env);
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        for name in [
            "NODE_NAME",
            "SERVER_URL",
            "CONTAINERD_SOCKET",
            "CONTAINERD_NAMESPACE",
            "REPORT_INTERVAL",
            "AGENT_TOKEN",
            "AGENT_TOKEN_FILE",
            "SERVER_CA_FILE",
            "LOG_LEVEL",
            "LOG_FORMAT",
            "HISTORY_TTL",
            "STALL_AFTER",
        ] {
            assert!(
                help.contains(&format!("PULLTRACE_{name}")),
                "{name}: {help}"
            );
        }
        assert!(!help.contains("open-sesame"), "{help}");
    }
    assert!(text(&run(&["--help"], &[]).stdout).contains("Exit codes"));
}

#[test]
fn the_version_has_the_revision() {
    let version = text(&run(&["--version"], &[]).stdout);
    let start = concat!("pulltrace-agent ", env!("CARGO_PKG_VERSION"), " (");
    assert!(
        version.starts_with(start) && version.ends_with(")\n"),
        "{version}"
    );
}

/// A running agent, and what it logs.
struct Running {
    child: Child,
    log: Receiver<String>,
}

impl Running {
    fn start(dir: &Path, server: &str, args: &[&str]) -> Self {
        let socket = dir.join("containerd.sock");
        let env = [
            NODE,
            ("PULLTRACE_SERVER_URL", server),
            ("PULLTRACE_CONTAINERD_SOCKET", socket.to_str().unwrap()),
        ];
        let mut child = agent(args, &env).stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = sync_channel(1_000);
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let _unseen = sender.send(line);
            }
        });
        Self { child, log }
    }

    /// The next line of the log that has this in it.
    fn says(&self, what: &str) -> String {
        loop {
            let line = self.log.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("it never says `{what}`"));
            if line.contains(what) {
                return line;
            }
        }
    }

    fn stop(mut self, signal: &str) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(told.unwrap().success());
        self.says("stopped");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn without_containerd_and_server_it_goes_on_until_it_is_told_to_stop() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::start(dir.path(), "http://127.0.0.1:9", &[]);
        let line = running.says("reporting");
        assert!(
            line.contains("worker-1") && line.contains("http://127.0.0.1:9"),
            "{line}"
        );
        assert!(!line.contains("metrics"), "nobody asked for them: {line}");
        running.says("containerd.sock");
        running.stop(signal);
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn on_a_port_of_its_own_it_says_what_it_does_and_that_it_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--metrics-addr", "127.0.0.1:0"];
    let running = Running::start(dir.path(), "http://127.0.0.1:9", &args);
    let line = running.says("reporting");
    let address = line.split("metrics=\"").nth(1).unwrap();
    let address = address.split('"').next().unwrap();
    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200"));
    let metrics = get(address, "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(
        metrics.contains("\npulltrace_agent_runtime_connected 0\n"),
        "{metrics}"
    );
    let taken = [
        "--metrics-addr",
        address,
        "--server-url",
        "http://127.0.0.1:9",
    ];
    let output = run(&taken, &[NODE]);
    let said = text(&output.stderr);
    let what = format!("pulltrace-agent: --metrics-addr: cannot listen on {address}: ");
    assert!(
        said.starts_with(&what) && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
    running.stop("TERM");
}

#[test]
fn check_says_what_is_there_and_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (address, requests) = server(healthy);
    let url = format!("http://{address}");
    let check = |more: &[(&str, &str)]| {
        let socket = dir.path().join("containerd.sock");
        let mut env = vec![
            NODE,
            ("PULLTRACE_SERVER_URL", url.as_str()),
            ("PULLTRACE_CONTAINERD_SOCKET", socket.to_str().unwrap()),
        ];
        env.extend(more);
        let output = run(&["check"], &env);
        assert_eq!(text(&output.stderr), "");
        assert_eq!(output.status.code(), Some(1), "there is no containerd");
        text(&output.stdout)
    };
    let said = check(&[("PULLTRACE_AGENT_TOKEN", "right")]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "ok   node        worker-1");
    assert!(
        lines[1].starts_with("FAIL socket      there is no `"),
        "{said}"
    );
    assert!(
        lines[1].ends_with("start containerd, or give the path of its socket"),
        "{said}"
    );
    assert_eq!(lines[2], format!("ok   server      {url} answers"));
    assert_eq!(lines[3], "ok   token       accepted");
    assert_eq!(lines.len(), 4);
    let asked: Vec<String> = requests.try_iter().collect();
    assert_eq!(
        asked,
        ["GET /healthz HTTP/1.1", "POST /api/v1/report HTTP/1.1"]
    );

    let said = check(&[("PULLTRACE_AGENT_TOKEN", "wrong")]);
    assert!(said.contains("FAIL token       "), "{said}");
    assert!(
        said.contains("does not accept the agent's token") && !said.contains("wrong"),
        "{said}"
    );
    let said = check(&[]);
    assert!(said.contains("wants a token: give the agent one"), "{said}");

    let left = dir.path().join("containerd.sock");
    drop(UnixListener::bind(left).unwrap());
    let said = check(&[("PULLTRACE_SERVER_URL", "http://127.0.0.1:9")]);
    assert!(
        said.contains("FAIL socket      nobody answers at `"),
        "{said}"
    );
    assert!(
        said.contains("FAIL server      cannot connect to http://127.0.0.1:9"),
        "{said}"
    );
    assert!(!said.contains("token"), "nobody was asked: {said}");
}

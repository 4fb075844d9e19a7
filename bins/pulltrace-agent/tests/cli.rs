//! The program as started by a manifest: settings, output, exit codes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use pulltrace_shell::transcript::Transcript;

const DEADLINE: Duration = Duration::from_secs(30);

/// The program, with an empty environment.
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

/// Starts a server that passes request line and token to `answer` and replies with the result.
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
                lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            };
            let length = header("content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let (status, body) = answer(&lines[0], header("authorization"));
            reply(&stream, status, body);
            // The test may have stopped reading.
            let _unseen = sender.send(lines[0].clone());
        }
    });
    (address, requests)
}

fn reply(mut stream: &TcpStream, status: u16, body: &str) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
}

/// Answers like a healthy server whose agent token is `right`.
fn healthy(line: &str, token: Option<&str>) -> (u16, &'static str) {
    match (line.split(' ').nth(1), token) {
        (Some("/healthz"), _) => (200, "ok"),
        (Some("/api/v1/report"), Some("Bearer right")) => (400, "{}"),
        (Some("/api/v1/report"), _) => (401, "{}"),
        _ => (404, ""),
    }
}

const NODE: (&str, &str) = ("PULLTRACE_NODE_NAME", "worker-1");

/// The wording of all errors that need no running program.
#[test]
fn error_messages_match_golden_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut transcript = Transcript::new(env!("CARGO_BIN_EXE_pulltrace-agent"), dir.path());
    for line in include_str!("golden/errors.commands").lines() {
        transcript.run(line).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/errors.txt");
    transcript.check(&golden).unwrap_or_else(|difference| panic!("{difference}"));
}

#[test]
fn help_lists_variables_and_hides_token() {
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
            assert!(help.contains(&format!("PULLTRACE_{name}")), "{name}: {help}");
        }
        assert!(!help.contains("open-sesame"), "{help}");
    }
    assert!(text(&run(&["--help"], &[]).stdout).contains("Exit codes"));
}

#[test]
fn version_includes_revision() {
    let version = text(&run(&["--version"], &[]).stdout);
    let start = concat!("pulltrace-agent ", env!("CARGO_PKG_VERSION"), " (");
    assert!(version.starts_with(start) && version.ends_with(")\n"), "{version}");
}

/// A running agent and its log.
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

    /// Waits for the next log line that contains `what`.
    fn wait_for_log(&self, what: &str) -> String {
        loop {
            let line = self.log.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("the log never contains `{what}`"));
            if line.contains(what) {
                return line;
            }
        }
    }

    fn stop(mut self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(status.unwrap().success());
        self.wait_for_log("stopped");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn runs_without_containerd_and_server_until_signal() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::start(dir.path(), "http://127.0.0.1:9", &[]);
        let line = running.wait_for_log("reporting");
        assert!(line.contains("worker-1") && line.contains("http://127.0.0.1:9"), "{line}");
        assert!(!line.contains("metrics"), "metrics are off: {line}");
        running.wait_for_log("containerd.sock");
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
fn metrics_address_serves_metrics_and_health() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--metrics-addr", "127.0.0.1:0"];
    let running = Running::start(dir.path(), "http://127.0.0.1:9", &args);
    let line = running.wait_for_log("reporting");
    let address = line.split("metrics=\"").nth(1).unwrap();
    let address = address.split('"').next().unwrap();
    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200"));
    let metrics = get(address, "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(metrics.contains("\npulltrace_agent_runtime_connected 0\n"), "{metrics}");
    let taken = ["--metrics-addr", address, "--server-url", "http://127.0.0.1:9"];
    let output = run(&taken, &[NODE]);
    let stderr = text(&output.stderr);
    assert!(stderr.contains(address) && stderr.lines().count() == 1, "{stderr}");
    assert_eq!(output.status.code(), Some(1));
    running.stop("TERM");
}

#[test]
fn check_reports_each_component() {
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
        assert_eq!(output.status.code(), Some(1), "containerd is missing");
        text(&output.stdout)
    };
    // The word before each check, and its name.
    let results = |output: &str| -> Vec<(String, String)> {
        let words = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            words.next().zip(words.next())
        };
        output.lines().filter(|line| !line.starts_with(' ')).filter_map(words).collect()
    };
    let expected = |results: &[(&str, &str)]| -> Vec<(String, String)> {
        results.iter().map(|(result, check)| ((*result).to_owned(), (*check).to_owned())).collect()
    };
    let output = check(&[("PULLTRACE_AGENT_TOKEN", "right")]);
    let all = [("ok", "node"), ("FAIL", "socket"), ("ok", "server"), ("ok", "token")];
    assert_eq!(results(&output), expected(&all));
    assert!(output.contains(&url), "{output}");
    let asked: Vec<String> = requests.try_iter().collect();
    assert_eq!(asked, ["GET /healthz HTTP/1.1", "POST /api/v1/report HTTP/1.1"]);

    let rejected = [("ok", "node"), ("FAIL", "socket"), ("ok", "server"), ("FAIL", "token")];
    let output = check(&[("PULLTRACE_AGENT_TOKEN", "wrong")]);
    assert_eq!(results(&output), expected(&rejected));
    assert!(!output.contains("wrong"), "{output}");
    let output = check(&[]);
    assert_eq!(results(&output), expected(&rejected));

    let left = dir.path().join("containerd.sock");
    drop(UnixListener::bind(left).unwrap());
    let output = check(&[("PULLTRACE_SERVER_URL", "http://127.0.0.1:9")]);
    let unreachable = [("ok", "node"), ("FAIL", "socket"), ("FAIL", "server")];
    assert_eq!(results(&output), expected(&unreachable), "unreachable: the token is not checked");
}

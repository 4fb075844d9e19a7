//! Output and exit codes of the program.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use pulltrace_shell::transcript::Transcript;

fn server(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulltrace-server"));
    command.args(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PULLTRACE_")) {
        command.env_remove(name);
    }
    command
}

#[test]
fn prints_url_serves_and_stops_on_signal() {
    let mut child = server(&["--http-addr", "127.0.0.1:0", "--metrics-addr", "off"])
        .env("PULLTRACE_CLUSTER_NAME", "prod-eu-1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut url).unwrap();
    let address = url.trim().strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/readyz").starts_with("HTTP/1.1 200"));
    assert!(get("/").starts_with("HTTP/1.1 200"), "the page");
    let info = get("/api/v1/server");
    assert!(info.contains("\"clusterName\":\"prod-eu-1\""), "{info}");
    let version = server(&["--version"]).output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let (_, version) = version.trim().split_once(' ').unwrap();
    assert!(info.contains(&format!("\"version\":\"{version}\"")), "{info}");
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn keeps_running_when_api_server_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, UNREACHABLE_KUBECONFIG).unwrap();
    let mut child = server(&["--http-addr", "127.0.0.1:0", "--metrics-addr", "off"])
        .env("PULLTRACE_KUBECONFIG", &file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut url).unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = log.map(Result::unwrap);
    let line = log.find(|line| line.contains("unreachable") && line.contains("pods"));
    assert!(line.is_some(), "the log ended");
    let address = url.trim().trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"reason\":\"unreachable: "), "{answer}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The wording of all errors that need no running program.
#[test]
fn error_messages_match_golden_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    file("empty", "\n");
    file("junk.pem", "junk");
    file("kubeconfig", UNREACHABLE_KUBECONFIG);
    let mut transcript = Transcript::new(env!("CARGO_BIN_EXE_pulltrace-server"), dir.path());
    for line in include_str!("golden/errors.commands").lines() {
        transcript.run(line).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/errors.txt");
    transcript.check(&golden).unwrap_or_else(|difference| panic!("{difference}"));
}

#[test]
fn occupied_address_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for args in [
        ["--http-addr", &*taken, "--metrics-addr", "off"],
        ["--http-addr", "127.0.0.1:0", "--metrics-addr", &taken],
    ] {
        let output = server(&args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&taken) && text.lines().count() == 1, "{text}");
    }
}

/// Kubernetes sets such variables for a Service named `pulltrace-server`.
#[test]
fn service_variables_of_kubernetes_are_ignored() {
    let mut child = server(&["--http-addr", "127.0.0.1:0", "--metrics-addr", "off"])
        .env("PULLTRACE_SERVER_PORT", "tcp://10.0.0.1:8080")
        .env("PULLTRACE_SERVER_SERVICE_HOST", "10.0.0.1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("http://127.0.0.1:"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A kubeconfig whose API server is not running.
const UNREACHABLE_KUBECONFIG: &str = r#"{"current-context": "c",
  "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:9"}}],
  "users": [{"name": "u", "user": {}}],
  "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}]}"#;

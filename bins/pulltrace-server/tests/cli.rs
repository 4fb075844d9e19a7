//! Output and exit codes of the program.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

fn server(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulltrace-server"));
    command.args(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PULLTRACE_")) {
        command.env_remove(name);
    }
    command
}

/// Asserts this exit code and a one-line error with this text.
fn assert_fails(output: &Output, code: i32, says: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    // The error, and advice if there is any.
    let other = text.lines().skip(1).filter(|l| !l.starts_with("help: "));
    assert_eq!(other.count(), 0, "{text}");
    assert!(text.starts_with("pulltrace-server: ") && text.contains(says), "{text}");
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

#[test]
fn refuses_to_start_with_unauthenticated_access() {
    let output = server(&["--http-addr", "0.0.0.0:0"]).output().unwrap();
    assert_fails(&output, 2, "readers need no token on 0.0.0.0:0");
    assert!(String::from_utf8_lossy(&output.stderr).ends_with(
        "help: Pass --reader-token-file, listen on 127.0.0.1, or pass --insecure-open.\n"
    ));
}

#[test]
fn unusable_flag_value_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let here = ["--http-addr", "127.0.0.1:0"];
    let run = |args: &[&str]| server(&[&here[..], args].concat()).output().unwrap();
    let taken_output = server(&["--http-addr", &taken, "--metrics-addr", "off"]).output().unwrap();
    assert_fails(&taken_output, 1, &format!("failed to listen on {taken}"));
    assert_fails(&run(&["--metrics-addr", &taken]), 1, &taken);
    let long = "x".repeat(64);
    assert_fails(&run(&["--cluster-name", &long]), 2, "1 to 63 visible characters");
    assert_fails(&run(&["--reader-token-file", "/missing/token"]), 1, "/missing/token");
    let empty = file("empty", "\n");
    assert_fails(&run(&["--agent-token-file", &empty]), 1, "empty");
    let junk = file("junk.pem", "junk");
    assert_fails(&run(&["--tls-cert-file", &junk, "--tls-key-file", &junk]), 1, "junk.pem");
    assert_fails(&run(&["--tls-cert-file", &junk]), 2, "--tls-key-file");
    assert_fails(&run(&["--agent-token", "a b"]), 2, "token");
    assert_fails(&run(&["--history-ttl", "5"]), 2, "--history-ttl is \"5\": invalid duration");
}

#[test]
fn invalid_variable_is_named() {
    let output = server(&[]).env("PULLTRACE_HTTP_ADDR", "8080").output().unwrap();
    assert_fails(&output, 2, "PULLTRACE_HTTP_ADDR is \"8080\": invalid address: expected");
    let output =
        server(&[]).env("PULLTRACE_FRAME_ANCESTORS", "self https://a.example/d").output().unwrap();
    assert_fails(
        &output,
        2,
        "PULLTRACE_FRAME_ANCESTORS is \"self https://a.example/d\": invalid origin `https://a.example/d`: expected `none`, or `self` and origins",
    );
}

#[test]
fn ignores_service_variables_of_kubernetes() {
    let output = server(&["--http-addr", "0.0.0.0:0"])
        .env("PULLTRACE_SERVER_PORT", "tcp://10.0.0.1:8080")
        .env("PULLTRACE_SERVER_SERVICE_HOST", "10.0.0.1")
        .output()
        .unwrap();
    assert_fails(&output, 2, "readers need no token");
}

/// A kubeconfig whose API server is not running.
const UNREACHABLE_KUBECONFIG: &str = r#"{"current-context": "c",
  "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:9"}}],
  "users": [{"name": "u", "user": {}}],
  "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}]}"#;

#[test]
fn unusable_kubernetes_config_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, UNREACHABLE_KUBECONFIG).unwrap();
    let file = file.to_str().unwrap();
    let here = ["--http-addr", "127.0.0.1:0", "--metrics-addr", "off"];
    let run = |args: &[&str]| {
        let mut command = server(&[&here[..], args].concat());
        // Hide this machine's own kubeconfig.
        command.env("HOME", dir.path()).env_remove("KUBECONFIG");
        command.env_remove("KUBERNETES_SERVICE_HOST");
        command.output().unwrap()
    };
    assert_fails(&run(&["--kubeconfig", "/missing/config"]), 2, "/missing/config");
    let other = ["--kubeconfig", file, "--context", "other"];
    assert_fails(&run(&other), 2, "failed to load kubeconfig");
    assert_fails(&run(&other), 2, "\nhelp: Check the file and the name of the context.");
    assert_fails(&run(&["--kubernetes", "on"]), 2, "no API server configured");
    assert_fails(
        &run(&["--kubernetes", "perhaps"]),
        2,
        "--kubernetes is \"perhaps\": expected auto, on, off",
    );
    assert_fails(
        &run(&["--watch-namespaces", "shop,Sh op"]),
        2,
        "--watch-namespaces is \"Sh op\": invalid namespace: expected",
    );
    let output = server(&here).env("PULLTRACE_WATCH_NAMESPACES", "a.b").output().unwrap();
    assert_fails(&output, 2, "PULLTRACE_WATCH_NAMESPACES is \"a.b\"");
}

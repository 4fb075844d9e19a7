//! The program as it is started: what it prints, and with which code it ends.

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

/// One line, which says this, and this code.
fn fails(output: &Output, code: i32, says: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("pulltrace-server: ") && text.contains(says),
        "{text}"
    );
}

#[test]
fn it_prints_its_url_serves_and_stops_at_a_signal() {
    let mut child = server(&["--http-addr", "127.0.0.1:0", "--metrics-addr", "off"])
        .env("PULLTRACE_CLUSTER_NAME", "prod-eu-1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut url).unwrap();
    let address = url
        .trim()
        .strip_prefix("http://")
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
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
    let told = get("/api/v1/server");
    assert!(told.contains("\"clusterName\":\"prod-eu-1\""), "{told}");
    let version = server(&["--version"]).output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let (_, version) = version.trim().split_once(' ').unwrap();
    assert!(
        told.contains(&format!("\"version\":\"{version}\"")),
        "{told}"
    );
    let killed = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_runs_on_where_the_api_server_is_away_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, NOBODY).unwrap();
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
    let told = log.find(|line| line.contains("unreachable") && line.contains("pods"));
    assert!(told.is_some(), "the log ended");
    let address = url
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/');
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
fn it_does_not_start_where_anybody_could_read() {
    let output = server(&["--http-addr", "0.0.0.0:0"]).output().unwrap();
    fails(&output, 2, "readers would need no token on 0.0.0.0:0");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--insecure-open"));
}

#[test]
fn what_cannot_be_used_is_named() {
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
    let taken_output = server(&["--http-addr", &taken, "--metrics-addr", "off"])
        .output()
        .unwrap();
    fails(&taken_output, 1, &format!("cannot listen on {taken}"));
    fails(&run(&["--metrics-addr", &taken]), 1, &taken);
    let long = "x".repeat(64);
    fails(&run(&["--cluster-name", &long]), 2, "1 to 63 characters");
    fails(
        &run(&["--reader-token-file", "/missing/token"]),
        1,
        "/missing/token",
    );
    let empty = file("empty", "\n");
    fails(&run(&["--agent-token-file", &empty]), 1, "empty");
    let junk = file("junk.pem", "junk");
    fails(
        &run(&["--tls-cert-file", &junk, "--tls-key-file", &junk]),
        1,
        "junk.pem",
    );
    fails(&run(&["--tls-cert-file", &junk]), 2, "--tls-key-file");
    fails(&run(&["--agent-token", "a b"]), 2, "token");
    fails(
        &run(&["--history-ttl", "5"]),
        2,
        "--history-ttl is \"5\": no duration",
    );
}

#[test]
fn a_bad_variable_is_named() {
    let output = server(&[])
        .env("PULLTRACE_HTTP_ADDR", "8080")
        .output()
        .unwrap();
    fails(
        &output,
        2,
        "PULLTRACE_HTTP_ADDR is \"8080\": no address; accepted are",
    );
    let output = server(&[])
        .env("PULLTRACE_FRAME_ANCESTORS", "self https://a.example/d")
        .output()
        .unwrap();
    fails(
        &output,
        2,
        "PULLTRACE_FRAME_ANCESTORS is \"self https://a.example/d\": `https://a.example/d` is no origin; accepted are `none`, or `self` and origins",
    );
}

#[test]
fn what_kubernetes_sets_for_the_service_is_no_setting() {
    let output = server(&["--http-addr", "0.0.0.0:0"])
        .env("PULLTRACE_SERVER_PORT", "tcp://10.0.0.1:8080")
        .env("PULLTRACE_SERVER_SERVICE_HOST", "10.0.0.1")
        .output()
        .unwrap();
    fails(&output, 2, "readers would need no token");
}

/// A kubeconfig of an API server that nobody runs.
const NOBODY: &str = r#"{"current-context": "c",
  "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:9"}}],
  "users": [{"name": "u", "user": {}}],
  "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}]}"#;

#[test]
fn a_cluster_that_cannot_be_asked_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, NOBODY).unwrap();
    let file = file.to_str().unwrap();
    let here = ["--http-addr", "127.0.0.1:0", "--metrics-addr", "off"];
    let run = |args: &[&str]| {
        let mut command = server(&[&here[..], args].concat());
        // Nothing of this machine is found.
        command.env("HOME", dir.path()).env_remove("KUBECONFIG");
        command.env_remove("KUBERNETES_SERVICE_HOST");
        command.output().unwrap()
    };
    fails(
        &run(&["--kubeconfig", "/missing/config"]),
        2,
        "/missing/config",
    );
    let other = ["--kubeconfig", file, "--context", "other"];
    fails(&run(&other), 2, "the name of the context");
    fails(&run(&["--kubernetes", "on"]), 2, "no API server was found");
    fails(
        &run(&["--kubernetes", "perhaps"]),
        2,
        "--kubernetes is \"perhaps\": accepted are auto, on, off",
    );
    fails(
        &run(&["--watch-namespaces", "shop,Sh op"]),
        2,
        "--watch-namespaces is \"Sh op\": no namespace; accepted are",
    );
    let output = server(&here)
        .env("PULLTRACE_WATCH_NAMESPACES", "a.b")
        .output()
        .unwrap();
    fails(&output, 2, "PULLTRACE_WATCH_NAMESPACES is \"a.b\"");
}

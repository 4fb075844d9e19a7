//! Runs every `curl` command of the wire format documentation.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const DOCS: &str = include_str!("../../../docs/wire-v1.md");

/// The address used in the documentation.
const DOCS_URL: &str = "http://127.0.0.1:8080/";

/// A server on a free port, and its URL.
struct Server(Child, String);

/// The pod of the documentation, waiting for its image.
const POD: &str = r#"{"metadata": {"namespace": "shop", "name": "web-0", "uid": "8d1f", "resourceVersion": "1"},
  "spec": {"nodeName": "worker-1", "containers": [{"name": "app", "image": "registry.example/team/app:1.2"}]},
  "status": {"phase": "Pending", "containerStatuses": [{"name": "app", "image": "registry.example/team/app:1.2",
    "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]}}"#;

/// Starts an API server with that pod, which never changes. Returns the kubeconfig.
fn api_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap_or(0) == 0 {
                        return;
                    }
                }
                let json = "Content-Type: application/json\r\nConnection: close";
                if head.contains("watch=") {
                    // Keep the watch open without events.
                    let answer = format!("HTTP/1.1 200 OK\r\n{json}\r\n\r\n");
                    drop(stream.write_all(answer.as_bytes()));
                    drop(reader.read_line(&mut head));
                    return;
                }
                let items = if head.starts_with("GET /api/v1/pods") { POD } else { "" };
                let list =
                    format!(r#"{{"metadata": {{"resourceVersion": "1"}}, "items": [{items}]}}"#);
                let length = list.len();
                let answer =
                    format!("HTTP/1.1 200 OK\r\n{json}\r\nContent-Length: {length}\r\n\r\n{list}");
                drop(stream.write_all(answer.as_bytes()));
            });
        }
    });
    format!(
        r#"{{"current-context": "c", "clusters": [{{"name": "k", "cluster": {{"server": "http://{address}"}}}}],
          "users": [{{"name": "u", "user": {{}}}}], "contexts": [{{"name": "c", "context": {{"cluster": "k", "user": "u"}}}}]}}"#
    )
}

impl Server {
    /// Starts a server that has received the pod; writes its kubeconfig to this path.
    fn start(kubeconfig: &Path) -> Self {
        std::fs::write(kubeconfig, api_server()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_pulltrace-server"))
            .args(["--http-addr", "127.0.0.1:0", "--metrics-addr", "off"])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut url).unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let is_live = |line: String| line.contains("source is live") && line.contains("pods");
        assert!(log.any(|line| is_live(line.unwrap())), "the log ended");
        std::thread::spawn(move || log.for_each(drop));
        Self(child, url.trim().to_owned())
    }

    fn shell(&self, line: &str) -> Child {
        let line = line.replace(DOCS_URL, &self.1);
        let mut shell = Command::new("sh");
        // With `exec`, killing the child kills curl itself.
        shell.arg("-c").arg(format!("exec {line}"));
        shell.stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a command and returns its output and the HTTP status.
    fn run(&self, line: &str) -> (String, String) {
        let line = line.replacen("curl ", "curl -w '\\n%{http_code}' ", 1);
        let mut printed = String::new();
        let mut child = self.shell(&line);
        let mut output = child.stdout.take().unwrap();
        output.read_to_string(&mut printed).unwrap();
        assert!(child.wait().unwrap().success(), "{line}");
        let (body, status) = printed.rsplit_once('\n').unwrap();
        (body.to_owned(), status.to_owned())
    }

    /// Returns the lines of a stream up to the end of its snapshot, or up to the first data about
    /// the pod.
    fn follow(&self, line: &str) -> Vec<String> {
        let mut child = self.shell(line);
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            let pod = is_pod_line(lines.last());
            if pod || lines.last().is_some_and(|line| line == "event: snapshot-end") {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines
    }
}

fn is_pod_line(line: Option<&String>) -> bool {
    line.is_some_and(|line| line.starts_with("data: {") && line.contains("\"podName\":\"web-0\""))
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only if the server has already exited.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Extracts the commands of the documentation; a command may span several lines.
fn commands() -> Vec<String> {
    let blocks = DOCS.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    let lines = blocks.flat_map(|block| {
        let mut commands: Vec<String> = Vec::new();
        for line in block.lines() {
            match commands.last_mut() {
                Some(command) if !line.starts_with("curl ") => {
                    command.push('\n');
                    command.push_str(line);
                }
                _ => commands.push(line.to_owned()),
            }
        }
        commands
    });
    lines.collect()
}

#[test]
fn every_documented_curl_command_works() {
    let found = Command::new("curl").arg("--version").output();
    assert!(found.is_ok(), "curl is needed: apt-get install curl");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("kubeconfig"));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../pulltrace-core/tests/golden/agent_report_v1_full.json");
    let report = format!(
        "curl -s -H 'Content-Type: application/json' -d '@{}' '{DOCS_URL}api/v1/report'",
        golden.display()
    );
    let (answer, status) = server.run(&report);
    assert_eq!(status, "202", "{answer}");

    let commands = commands();
    assert!(commands.len() >= 16, "{commands:#?}");
    let (mut asked, mut followed) = (0, 0);
    for command in commands {
        if command.starts_with("curl -sN ") {
            let lines = server.follow(&command);
            let has_data = lines.iter().any(|line| line.starts_with("data: {"));
            assert!(has_data, "{command}: {lines:#?}");
            followed += 1;
            continue;
        }
        let (answer, status) = server.run(&command);
        let expected = match &command {
            report if report.contains("schemaVersion") => "202",
            _ => "200",
        };
        assert_eq!(status, expected, "{command}: {answer}");
        asked += 1;
    }
    assert!(asked >= 13 && followed >= 3, "{asked} asked, {followed} followed");
}

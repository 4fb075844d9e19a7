//! The page of the wire format: each of its `curl` lines does what the page says.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PAGE: &str = include_str!("../../../docs/wire-v1.md");

/// The address that the page uses.
const STOCK: &str = "http://127.0.0.1:8080/";

/// A server on a port that is free, and where it is.
struct Server(Child, String);

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pulltrace-server"))
            .args(["--http-addr", "127.0.0.1:0", "--metrics-addr", "off"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut url).unwrap();
        Self(child, url.trim().to_owned())
    }

    fn shell(&self, line: &str) -> Child {
        let line = line.replace(STOCK, &self.1);
        let mut shell = Command::new("sh");
        // So that what is killed is curl itself.
        shell.arg("-c").arg(format!("exec {line}"));
        shell.stdout(Stdio::piped()).spawn().unwrap()
    }

    /// What a line of the page prints, and the status of the answer.
    fn ask(&self, line: &str) -> (String, String) {
        let line = line.replacen("curl ", "curl -w '\\n%{http_code}' ", 1);
        let mut printed = String::new();
        let mut child = self.shell(&line);
        let mut output = child.stdout.take().unwrap();
        output.read_to_string(&mut printed).unwrap();
        assert!(child.wait().unwrap().success(), "{line}");
        let (body, status) = printed.rsplit_once('\n').unwrap();
        (body.to_owned(), status.to_owned())
    }

    /// The lines of a stream until its snapshot is over.
    fn follow(&self, line: &str) -> Vec<String> {
        let mut child = self.shell(line);
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines
                .last()
                .is_some_and(|line| line == "event: snapshot-end")
            {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already only where a test has failed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The commands of the page, each on one line.
fn commands() -> Vec<String> {
    let blocks = PAGE.split("```sh\n").skip(1);
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
fn every_curl_line_of_the_page_does_what_the_page_says() {
    let found = Command::new("curl").arg("--version").output();
    assert!(found.is_ok(), "curl is needed: apt-get install curl");
    let server = Server::start();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../pulltrace-core/tests/golden/agent_report_v1_full.json");
    let report = format!(
        "curl -s -H 'Content-Type: application/json' -d '@{}' '{STOCK}api/v1/report'",
        golden.display()
    );
    let (answer, status) = server.ask(&report);
    assert_eq!(status, "202", "{answer}");

    let commands = commands();
    assert!(commands.len() >= 11, "{commands:#?}");
    let (mut asked, mut followed) = (0, 0);
    for command in commands {
        if command.starts_with("curl -sN ") {
            let lines = server.follow(&command);
            let told = lines.iter().any(|line| line.starts_with("data: {"));
            assert!(told, "{command}: {lines:#?}");
            followed += 1;
            continue;
        }
        let (answer, status) = server.ask(&command);
        let wanted = match &command {
            report if report.contains("schemaVersion") => "202",
            _ => "200",
        };
        assert_eq!(status, wanted, "{command}: {answer}");
        asked += 1;
    }
    assert!(
        asked >= 9 && followed >= 2,
        "{asked} asked, {followed} followed"
    );
}

//! `up` and `watch --server` as users call them: served data, output, exit codes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use pulltrace_client::{Client, Filter};
use pulltrace_core::wire::v1::{Outcome, PullStatus};

/// Generous timeout, not a measured limit.
const DEADLINE: Duration = Duration::from_secs(30);

const THREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/three_pulls.jsonl");
const SEVEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recordings/brief-2.4.jsonl");

/// The program, with an empty environment.
fn pulltrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulltrace"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// A running program and its output lines.
struct Running {
    child: Child,
    output: Receiver<String>,
    log: Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child =
            pulltrace(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        Self { child, output, log }
    }

    /// Starts `up` and returns its URL.
    fn up(args: &[&str]) -> (Self, String) {
        let up = Self::start(&[&["up"], args].concat());
        let line = next(&up.output, "its URL");
        let url = line.split(' ').find(|word| word.starts_with("http://")).unwrap().to_owned();
        (up, url)
    }

    /// Waits for an output line that contains `what`.
    fn wait_for_output(&self, what: &str) -> String {
        until(&self.output, what)
    }

    /// Waits for the next log line of this level that contains this value.
    fn wait_for_log(&self, level: &str, value: &str) {
        while !until(&self.log, level).contains(value) {}
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(status.unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the program has already ended.
        let _ended = self.child.kill();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (to, lines) = sync_channel(10_000);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _unread = to.send(line);
        }
    });
    lines
}

#[track_caller]
fn next(lines: &Receiver<String>, what: &str) -> String {
    let line = lines.recv_timeout(DEADLINE);
    line.unwrap_or_else(|_| panic!("the output never contains {what}"))
}

#[track_caller]
fn until(lines: &Receiver<String>, what: &str) -> String {
    loop {
        let line = next(lines, what);
        if line.contains(what) {
            return line;
        }
    }
}

type Outcomes = BTreeMap<String, (Option<String>, Option<Outcome>)>;

fn outcome_of(pull: PullStatus) -> (String, (Option<String>, Option<Outcome>)) {
    (pull.id, (pull.image_ref.or(pull.repository), pull.outcome))
}

/// Returns the outcome of each pull in a recording, according to `replay`.
fn replay_outcomes(recording: &str) -> Outcomes {
    let args = ["replay", recording, "--speed", "max", "--output", "json"];
    let output = pulltrace(&args).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let pulls = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    pulls.map(outcome_of).collect()
}

/// Reads the output of `watch --output json` until it has shown these outcomes.
fn wait_for_outcomes(watch: &Running, ends: &Outcomes) {
    let mut seen = Outcomes::new();
    while seen != *ends {
        let line = next(&watch.output, "the next pull");
        let (id, end) = outcome_of(serde_json::from_str(&line).expect(&line));
        seen.insert(id, end);
    }
}

fn served_outcomes(url: &str) -> Outcomes {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::builder(url).build().unwrap();
    let list = runtime.block_on(client.pulls(&Filter::default())).unwrap();
    list.pulls.into_iter().map(outcome_of).collect()
}

/// Asserts this exit code, and a one-line error that names this value.
#[track_caller]
fn assert_fails(output: &Output, code: i32, value: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    // The error, and advice if there is any.
    let other = text.lines().skip(1).filter(|l| !l.starts_with("help: "));
    assert_eq!(other.count(), 0, "{text}");
    assert!(text.starts_with("pulltrace: ") && text.contains(value), "{text}");
}

const ANY_PORT: [&str; 2] = ["--http-addr", "127.0.0.1:0"];

#[test]
fn served_recording_is_watchable_and_stays_listed() {
    let ends = replay_outcomes(SEVEN);
    assert_eq!(ends.len(), 7);
    let (up, url) = Running::up(&[&ANY_PORT[..], &["--replay", SEVEN, "--speed", "20"]].concat());
    let json = Running::start(&["watch", "--server", &url, "--output", "json"]);
    let plain = Running::start(&["watch", "--server", &url, "--output", "plain"]);
    wait_for_outcomes(&json, &ends);
    up.wait_for_log("INFO", "");
    assert_eq!(served_outcomes(&url), ends);
    let mut titles: BTreeSet<_> = ends.values().filter_map(|(title, _)| title.clone()).collect();
    while !titles.is_empty() {
        let line = next(&plain.output, &format!("the end of {titles:?}"));
        if line.contains(": completed") || line.contains(": failed") {
            titles.retain(|title| !line.contains(title.as_str()));
        }
    }
    // A reader that connects late also gets ended pulls, filtered as requested.
    let failed = Running::start(&["watch", "--server", &url, "--phase", "failed"]);
    let line = next(&failed.output, "the failed pull");
    assert!(line.contains(": failed"), "{line}");
    for running in [failed, plain, json, up] {
        running.stop();
    }
}

#[test]
fn lost_server_is_logged_and_followed_again() {
    let (up, url) = Running::up(&[&ANY_PORT[..], &["--replay", THREE, "--speed", "max"]].concat());
    let watch = Running::start(&["watch", "--server", &url]);
    watch.wait_for_output("team/broken");
    up.stop();
    watch.wait_for_log("WARN", &url);
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let args = ["--http-addr", address, "--replay", SEVEN, "--speed", "max"];
    let (up, _) = Running::up(&args);
    watch.wait_for_log("INFO", "");
    watch.wait_for_output(": completed");
    watch.stop();
    up.stop();
}

#[test]
fn watch_waits_for_server_to_start() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let watch = Running::start(&["watch", "--server", &format!("http://{address}")]);
    watch.wait_for_log("WARN", &address);
    let args = ["--http-addr", &address, "--replay", THREE, "--speed", "max"];
    let (up, _) = Running::up(&args);
    watch.wait_for_output("team/broken");
    watch.stop();
    up.stop();
}

#[test]
fn readers_need_token_when_one_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right", "sesame\n"), file("wrong", "mustard\n"));
    let args = ["--replay", THREE, "--speed", "max", "--reader-token-file"];
    let (up, url) = Running::up(&[&ANY_PORT[..], &args, &[&right]].concat());
    let watch = |more: &[&str]| {
        let args = [&["watch", "--server", &url], more].concat();
        pulltrace(&args).output().unwrap()
    };
    assert_fails(&watch(&[]), 1, "401");
    let refused = watch(&["--token-file", &wrong]);
    assert_fails(&refused, 1, "401");
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("mustard"));
    assert_fails(&watch(&["--token-file", "/nowhere"]), 1, "/nowhere");
    let let_in = Running::start(&["watch", "--server", &url, "--token-file", &right]);
    let_in.wait_for_output("team/broken");
    let_in.stop();
    up.stop();
}

#[test]
fn startup_failures_are_reported_without_noise() {
    let run = |args: &[&str]| pulltrace(args).output().unwrap();
    let (up, url) = Running::up(&[&ANY_PORT[..], &["--replay", THREE]].concat());
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let taken = ["up", "--http-addr", address, "--node-name", "a"];
    assert_fails(&run(&taken), 1, address);
    let elsewhere = format!("{url}elsewhere");
    assert_fails(&run(&["watch", "--server", &elsewhere]), 1, "404");
    let podless = ["watch", "--server", &url, "-n", "shop", "--pod", "web-0"];
    assert_fails(&run(&podless), 1, &url);
    up.stop();
}

#[test]
fn page_is_served_without_containerd_and_browser() {
    let args = ["--open", "--node-name", "a", "--socket", "/nowhere.sock"];
    let (up, url) = Running::up(&[&ANY_PORT[..], &args].concat());
    up.wait_for_log("WARN", "/nowhere.sock");
    assert_eq!(served_outcomes(&url), Outcomes::new());
    up.stop();
    let (up, _) = Running::up(&[&ANY_PORT[..], &args].concat());
    // PATH is not set, so no browser is found.
    up.wait_for_log("WARN", "xdg-open");
    up.stop();
}

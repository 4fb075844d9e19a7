//! `up` and `watch --server` as people call them: what is served, what is said, how they end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use pulltrace_client::{Client, Filter};
use pulltrace_core::wire::v1::{Outcome, PullStatus};

/// A bound of patience, not a measure.
const DEADLINE: Duration = Duration::from_secs(30);

const THREE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/recordings/three_pulls.jsonl"
);
const SEVEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../recordings/brief-2.4.jsonl"
);

/// The program, with nothing of this process's environment.
fn pulltrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulltrace"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// A program that runs, and the lines that it says.
struct Running {
    child: Child,
    output: Receiver<String>,
    log: Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = pulltrace(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        Self { child, output, log }
    }

    /// A server, and its URL.
    fn up(args: &[&str]) -> (Self, String) {
        let up = Self::start(&[&["up"], args].concat());
        let line = next(&up.output, "its URL");
        let url = line.strip_prefix("pulltrace is at ").unwrap().to_owned();
        (up, url)
    }

    /// The next line of output with this in it.
    fn writes(&self, what: &str) -> String {
        until(&self.output, what)
    }

    /// The next line of the log with this in it.
    fn says(&self, what: &str) -> String {
        until(&self.log, what)
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(told.unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be ended.
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
    line.unwrap_or_else(|_| panic!("it never says {what}"))
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

type Ends = BTreeMap<String, (Option<String>, Option<Outcome>)>;

fn end(pull: PullStatus) -> (String, (Option<String>, Option<Outcome>)) {
    (pull.id, (pull.image_ref.or(pull.repository), pull.outcome))
}

/// How each pull of a recording ends, by `replay`.
fn ends(recording: &str) -> Ends {
    let args = ["replay", recording, "--speed", "max", "--output", "json"];
    let output = pulltrace(&args).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let pulls = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    pulls.map(end).collect()
}

/// Reads what `watch --output json` writes until it has shown these ends.
fn watches_until(watch: &Running, ends: &Ends) {
    let mut seen = Ends::new();
    while seen != *ends {
        let line = next(&watch.output, "the next pull");
        let (id, end) = end(serde_json::from_str(&line).expect(&line));
        seen.insert(id, end);
    }
}

fn served(url: &str) -> Ends {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = Client::builder(url).build().unwrap();
    let list = runtime.block_on(client.pulls(&Filter::default())).unwrap();
    list.pulls.into_iter().map(end).collect()
}

#[track_caller]
fn fails(output: &Output, code: i32, says: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("pulltrace: ") && text.contains(says),
        "{text}"
    );
}

const ANY_PORT: [&str; 2] = ["--http-addr", "127.0.0.1:0"];

#[test]
fn a_recording_is_served_watched_and_stays_as_it_ended() {
    let ends = ends(SEVEN);
    assert_eq!(ends.len(), 7);
    let (up, url) = Running::up(&[&ANY_PORT[..], &["--replay", SEVEN, "--speed", "20"]].concat());
    let json = Running::start(&["watch", "--server", &url, "--output", "json"]);
    let plain = Running::start(&["watch", "--server", &url, "--output", "plain"]);
    watches_until(&json, &ends);
    up.says("the recording is over");
    assert_eq!(served(&url), ends);
    let mut titles: BTreeSet<_> = ends
        .values()
        .filter_map(|(title, _)| title.clone())
        .collect();
    while !titles.is_empty() {
        let line = next(&plain.output, &format!("the end of {titles:?}"));
        if line.contains(": completed") || line.contains(": failed") {
            titles.retain(|title| !line.contains(title.as_str()));
        }
    }
    // One who comes later is told as well, and only of what is asked for.
    let failed = Running::start(&["watch", "--server", &url, "--phase", "failed"]);
    let line = next(&failed.output, "what failed");
    assert!(line.contains("failed after"), "{line}");
    for running in [failed, plain, json, up] {
        running.stop();
    }
}

#[test]
fn a_server_that_is_lost_is_said_and_followed_again_when_it_is_back() {
    let (up, url) = Running::up(&[&ANY_PORT[..], &["--replay", THREE, "--speed", "max"]].concat());
    let watch = Running::start(&["watch", "--server", &url]);
    watch.writes("team/broken");
    up.stop();
    let line = watch.says("does not answer");
    assert!(line.contains("WARN") && line.contains(&url), "{line}");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let args = ["--http-addr", address, "--replay", SEVEN, "--speed", "max"];
    let (up, _) = Running::up(&args);
    watch.says("the server answers");
    watch.writes(": completed");
    watch.stop();
    up.stop();
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let watch = Running::start(&["watch", "--server", &format!("http://{address}")]);
    watch.says("does not answer");
    let args = ["--http-addr", &address, "--replay", THREE, "--speed", "max"];
    let (up, _) = Running::up(&args);
    watch.writes("team/broken");
    watch.stop();
    up.stop();
}

#[test]
fn readers_need_the_token_where_there_is_one() {
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
    fails(&watch(&[]), 1, "answers 401");
    let refused = watch(&["--token-file", &wrong]);
    fails(&refused, 1, "answers 401");
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("mustard"));
    fails(&watch(&["--token-file", "/nowhere"]), 1, "/nowhere");
    let let_in = Running::start(&["watch", "--server", &url, "--token-file", &right]);
    let_in.writes("team/broken");
    let_in.stop();
    up.stop();
}

#[test]
fn what_cannot_be_is_said_in_one_line() {
    let run = |args: &[&str]| pulltrace(args).output().unwrap();
    let (up, url) = Running::up(&[&ANY_PORT[..], &["--replay", THREE]].concat());
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let taken = ["up", "--http-addr", address, "--node-name", "a"];
    fails(&run(&taken), 1, &format!("cannot listen on {address}"));
    let elsewhere = format!("{url}elsewhere");
    fails(&run(&["watch", "--server", &elsewhere]), 1, "answers 404");
    let podless = ["watch", "--server", &url, "-n", "shop", "--pod", "web-0"];
    fails(&run(&podless), 1, "does not know pods");
    up.stop();
    fails(
        &run(&["watch", "--server", "localhost:8080"]),
        2,
        "--server is \"localhost:8080\"",
    );
    fails(
        &run(&["watch", "--server", "http://x", "--phase", "done"]),
        2,
        "--phase is \"done\": no phase; accepted are queued, resolving",
    );
    fails(
        &run(&["up", "--http-addr", "0.0.0.0:0", "--node-name", "a"]),
        2,
        "--insecure-open",
    );
    let nowhere = [&["up", "--replay", "/nowhere/x"], &ANY_PORT[..]].concat();
    fails(&run(&nowhere), 1, "cannot read `/nowhere/x`");
}

#[test]
fn without_containerd_and_browser_the_page_is_there_all_the_same() {
    let args = ["--open", "--node-name", "a", "--socket", "/nowhere.sock"];
    let (up, url) = Running::up(&[&ANY_PORT[..], &args].concat());
    up.says("/nowhere.sock");
    assert_eq!(served(&url), Ends::new());
    up.stop();
    let (up, _) = Running::up(&[&ANY_PORT[..], &args].concat());
    // Nothing is on the path of this process.
    let line = up.says("no browser could be opened");
    assert!(line.contains("xdg-open"), "{line}");
    up.stop();
}

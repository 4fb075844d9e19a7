//! The program as people call it: what it accepts, what it writes, how it ends.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use pulltrace_core::wire::v1::{Outcome, PullStatus};

const RECORDING: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/recordings/three_pulls.jsonl"
);

/// The program, with nothing of this process's environment.
fn pulltrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulltrace"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = pulltrace(args);
    command.envs(env.iter().copied());
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A recording in a file of its own.
fn recording(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("recording.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

#[track_caller]
fn refused(args: &[&str], env: &[(&str, &str)], line: &str) {
    let output = run(args, env);
    assert_eq!(text(&output.stderr), format!("pulltrace: {line}\n"));
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_bad_flag_is_named_with_its_value_and_what_is_accepted() {
    refused(
        &["watch", "--log-level", "loud"],
        &[],
        r#"--log-level is "loud": accepted are off, error, warn, info, debug, trace"#,
    );
    refused(
        &["watch", "--output=xml"],
        &[],
        r#"--output is "xml": accepted are auto, live, plain, json"#,
    );
    refused(
        &["watch", "--report-interval", "5"],
        &[],
        r#"--report-interval is "5": no duration; accepted are numbers with the units ms, s, m and h, like 500ms, 1.5s or 1h30m"#,
    );
    refused(
        &["watch", "--stall-after", "0s"],
        &[],
        r#"--stall-after is "0s": no time at all; accepted is more than 0s"#,
    );
    refused(
        &["replay", "x", "--speed", "-1"],
        &[],
        r#"--speed is "-1": no speed; accepted are `max`, `0` (the same), and positive numbers like 1, 10 or 0.5"#,
    );
    refused(
        &["watch", "--report-interval", "1ms", "--node-name", "a"],
        &[],
        "--report-interval: the report interval is 1ms: at least 10 ms are needed",
    );
}

#[test]
fn a_bad_variable_is_named_by_its_own_name() {
    refused(
        &["watch"],
        &[("PULLTRACE_LOG_LEVEL", "loud")],
        r#"PULLTRACE_LOG_LEVEL is "loud": accepted are off, error, warn, info, debug, trace"#,
    );
    refused(
        &["record", "x"],
        &[("PULLTRACE_NODE_NAME", "a b")],
        r#"PULLTRACE_NODE_NAME is "a b": no node name: `a b` (1 to 253 letters, digits, `-`, `_`, `.`)"#,
    );
    refused(
        &["watch"],
        &[("PULLTRACE_CONTAINERD_NAMESPACE", "../x")],
        r#"PULLTRACE_CONTAINERD_NAMESPACE is "../x": no containerd namespace: `../x` (1 to 253 letters, digits, `-`, `_`, `.`)"#,
    );
    refused(
        &["watch"],
        &[("PULLTRACE_HISTORY_TTL", "30 m")],
        r#"PULLTRACE_HISTORY_TTL is "30 m": no duration; accepted are numbers with the units ms, s, m and h, like 500ms, 1.5s or 1h30m"#,
    );
    refused(
        &["replay", "x", "--log-format", "xml"],
        &[("PULLTRACE_LOG_FORMAT", "json")],
        r#"--log-format is "xml": accepted are text, json"#,
    );
}

#[test]
fn an_empty_variable_counts_as_not_set_and_an_empty_flag_does_not() {
    let env = [
        ("PULLTRACE_LOG_LEVEL", ""),
        ("PULLTRACE_LOG_FORMAT", ""),
        ("PULLTRACE_STALL_AFTER", ""),
        ("PULLTRACE_HISTORY_TTL", ""),
    ];
    let output = run(&["replay", RECORDING, "--speed", "max"], &env);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let output = run(&["watch", "--node-name", ""], &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn unknown_flags_and_missing_commands_are_refused() {
    for args in [
        &["watch", "--frobnicate"][..],
        &["frobnicate"],
        &["replay"],
        &[],
    ] {
        let output = run(args, &[]);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains("Usage: pulltrace"));
    }
}

#[test]
fn help_tells_of_each_command_and_variable() {
    let help = text(&run(&["--help"], &[]).stdout);
    for word in ["watch", "record", "replay", "Exit codes", "Examples"] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
    let help = text(&run(&["watch", "--help"], &[]).stdout);
    for variable in [
        "PULLTRACE_CONTAINERD_SOCKET",
        "PULLTRACE_CONTAINERD_NAMESPACE",
        "PULLTRACE_NODE_NAME",
        "PULLTRACE_LOG_LEVEL",
        "PULLTRACE_LOG_FORMAT",
        "PULLTRACE_REPORT_INTERVAL",
        "PULLTRACE_HISTORY_TTL",
    ] {
        assert!(help.contains(variable), "{variable} is missing in:\n{help}");
    }
}

#[test]
fn the_version_has_the_revision() {
    let output = run(&["--version"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let version = text(&output.stdout);
    let revision = version
        .trim_end()
        .strip_prefix(concat!("pulltrace ", env!("CARGO_PKG_VERSION"), " ("))
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or_else(|| panic!("{version}"));
    let hex = revision.len() == 12 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.git");
    assert!(
        hex || !checkout.exists() && revision == "unknown",
        "{version}"
    );
}

/// Estimates are judged where they are made.
fn without_estimates(lines: &str) -> String {
    let facts = |line: &str| -> String {
        let facts: Vec<_> = line.split(", ").filter(|f| !f.ends_with(" left")).collect();
        facts.join(", ") + "\n"
    };
    lines.lines().map(facts).collect()
}

#[test]
fn a_replay_in_a_pipe_is_lines() {
    let output = run(&["replay", RECORDING, "--speed", "max"], &[]);
    assert_eq!(
        without_estimates(&text(&output.stdout)),
        include_str!("golden/three_pulls.txt")
    );
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_replay_as_json_is_one_pull_in_each_line() {
    let args = ["replay", RECORDING, "--speed", "0", "--output", "json"];
    let output = run(&args, &[]);
    let mut last = std::collections::BTreeMap::new();
    for line in text(&output.stdout).lines() {
        let pull: PullStatus = serde_json::from_str(line).expect(line);
        last.insert(pull.id.clone(), pull);
    }
    let mut ends: Vec<_> = last
        .values()
        .map(|pull| (pull.repository.as_deref(), pull.outcome))
        .collect();
    ends.sort_by_key(|(name, _)| *name);
    assert_eq!(
        ends,
        [
            (Some("127.0.0.1/team/base"), Some(Outcome::Completed)),
            (Some("127.0.0.1/team/broken"), Some(Outcome::Failed)),
            (Some("127.0.0.1/team/web"), Some(Outcome::Completed)),
        ]
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    for form in ["plain", "json"] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = pulltrace(&["replay", RECORDING, "--speed", "max", "--output", form])
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(Child::wait_with_output)
            .unwrap();
        assert_eq!(text(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_torn_last_line_is_said_and_all_before_it_shown() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read_to_string(RECORDING).unwrap();
    let torn = recording(dir.path(), whole.get(..whole.len() - 30).unwrap());
    let output = run(&["replay", torn.to_str().unwrap(), "--speed", "max"], &[]);
    let said = text(&output.stderr);
    assert!(
        said.contains("the last of the recording, is cut off"),
        "{said}"
    );
    let lines = without_estimates(&text(&output.stdout));
    assert!(include_str!("golden/three_pulls.txt").starts_with(&lines));
    assert!(lines.lines().count() > 5, "{lines}");
    assert_eq!(output.status.code(), Some(0));
}

/// Runs the program on a terminal of its own, 80 by 24, and returns what the terminal was sent.
#[cfg(target_os = "linux")]
fn on_a_terminal(args: &str, env: &[(&str, &str)]) -> String {
    let program = env!("CARGO_BIN_EXE_pulltrace");
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("stty cols 80 rows 24; exec {program} {args}"))
        .arg("/dev/null")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "xterm-256color")
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("`script` of the package bsdutils");
    let sent = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{sent}");
    sent
}

/// What a terminal shows last: all behind the last move to the top of the view.
#[cfg(target_os = "linux")]
fn last_frame(sent: &str) -> String {
    let frame = sent.rsplit_once("\x1b[?2026h").expect("a frame").1;
    let mut shown = String::new();
    let mut rest = frame;
    while let Some((before, code)) = rest.split_once('\x1b') {
        shown += before;
        rest = code.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        rest = rest.get(1..).unwrap_or_default();
    }
    shown += rest;
    shown.replace('\r', "")
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_the_view_is_drawn_and_the_cursor_given_back() {
    let replay = format!("replay {RECORDING} --speed max");
    let sent = on_a_terminal(&replay, &[("LANG", "C.UTF-8")]);
    assert_eq!(
        last_frame(&sent),
        include_str!("golden/three_pulls_80x24.txt")
    );
    assert!(sent.contains("\x1b[32m"), "no colours in {sent:?}");
    assert!(sent.contains("\x1b[?25l"), "{sent:?}");
    assert!(sent.trim_end().ends_with("\x1b[?25h"), "{sent:?}");

    let plain = on_a_terminal(&replay, &[("NO_COLOR", "1")]);
    assert!(!plain.contains("\x1b[32m"), "{plain:?}");
    assert!(last_frame(&plain).is_ascii(), "the locale has no more");
    let dumb = on_a_terminal(&replay, &[("TERM", "dumb")]);
    assert!(!dumb.contains('\x1b'), "{dumb:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_line_stands_above_what_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read_to_string(RECORDING).unwrap();
    let torn = recording(dir.path(), whole.get(..whole.len() - 30).unwrap());
    let replay = format!("replay {} --speed max", torn.display());
    let sent = on_a_terminal(&replay, &[]);
    let (before, after) = sent.split_once("is cut off").expect("the log line");
    assert!(before.contains("\x1b[J"), "the view was taken away before");
    assert!(
        last_frame(after).contains("completed in 2.5 s"),
        "{after:?}"
    );
}

#[test]
fn what_cannot_be_replayed_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read_to_string(RECORDING).unwrap();
    let newer = whole.replacen(
        r#""pulltrace_recording":1"#,
        r#""pulltrace_recording":2"#,
        1,
    );
    assert_ne!(newer, whole);
    for (content, why) in [
        (
            newer.as_str(),
            "a recording of version 2, and this program reads up to version 1: use a newer one",
        ),
        ("", "no recording: the first line does not say what it is"),
        (
            "{\"a\":1}\n",
            "no recording: the first line does not say what it is",
        ),
    ] {
        let path = recording(dir.path(), content);
        let output = run(&["replay", path.to_str().unwrap()], &[]);
        let line = format!("pulltrace: cannot replay `{}`: {why}\n", path.display());
        assert_eq!(text(&output.stderr), line);
        assert_eq!(output.status.code(), Some(1));
    }
    let output = run(&["replay", "/nowhere/x"], &[]);
    let said = text(&output.stderr);
    assert!(
        said.starts_with("pulltrace: cannot read `/nowhere/x`: No such file"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_recording_is_overwritten_only_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = recording(dir.path(), "precious");
    let file = path.to_str().unwrap();
    refused(
        &["record", file, "--node-name", "a"],
        &[],
        &format!(
            "there is a file `{file}` already: choose another name, or overwrite it with --force"
        ),
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let output = run(&["record", "/nowhere/x", "--node-name", "a"], &[]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_live_view_needs_a_terminal() {
    refused(
        &["watch", "--output", "live", "--node-name", "a"],
        &[],
        "--output live needs a terminal, and standard output is none: use plain or json",
    );
}

/// Runs a command until it has said a line on standard error, tells it to stop, and returns all that
/// it said.
fn until_it_says_something(args: &[&str], signal: &str) -> String {
    let mut child = pulltrace(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    errors.read_line(&mut said).unwrap();
    let told = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    errors.read_to_string(&mut said).unwrap();
    let ended = child.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{said}");
    said
}

#[test]
fn a_containerd_that_is_not_there_is_said_once_and_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing");
    let file = recording(dir.path(), "no socket");
    let left = dir.path().join("left.sock");
    drop(UnixListener::bind(&left).unwrap());
    for (path, what) in [
        (&nothing, "there is no `"),
        (&file, "is no socket: give the path of containerd's socket"),
        (&left, "nobody answers at `"),
    ] {
        let path = path.to_str().unwrap();
        let said = until_it_says_something(&["watch", "--node-name", "a", "--socket", path], "INT");
        assert!(said.contains(what) && said.contains(path), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_recording_of_nothing_says_so_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new.jsonl");
    let socket = dir.path().join("nothing");
    let args = [
        "record",
        file.to_str().unwrap(),
        "--node-name",
        "a",
        "--socket",
        socket.to_str().unwrap(),
        "--log-format",
        "json",
    ];
    let said = until_it_says_something(&args, "TERM");
    let lines: Vec<_> = said.lines().collect();
    let log: serde_json::Value = serde_json::from_str(lines[0]).expect("a line of JSON");
    assert_eq!(log["level"], "WARN");
    let recorded = std::fs::read_to_string(&file).unwrap();
    let count = format!("recorded {} lines, ", recorded.lines().count());
    assert!(lines[1].starts_with(&count), "{said}");
    assert_eq!(lines.len(), 2);
}

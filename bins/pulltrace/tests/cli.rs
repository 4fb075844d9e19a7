//! Tests of the command-line interface: arguments, output, exit codes.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use pulltrace_core::wire::v1::{Outcome, PullStatus};

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/three_pulls.jsonl");

/// The program, with an empty environment.
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

/// Writes the text to a file in the folder and returns its path.
fn write_file(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("recording.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

/// `message` is the error without the program's name, and the `help:` line if there is one.
#[track_caller]
fn assert_usage_error(args: &[&str], env: &[(&str, &str)], message: &str) {
    let output = run(args, env);
    assert_eq!(text(&output.stderr), format!("pulltrace: {message}\n"));
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

#[test]
fn invalid_flag_reports_value_and_expected_format() {
    assert_usage_error(
        &["watch", "--log-level", "loud"],
        &[],
        r#"--log-level is "loud": expected off, error, warn, info, debug, trace"#,
    );
    assert_usage_error(
        &["watch", "--output=xml"],
        &[],
        r#"--output is "xml": expected auto, live, plain, json"#,
    );
    assert_usage_error(
        &["watch", "--report-interval", "5"],
        &[],
        r#"--report-interval is "5": invalid duration: expected e.g. `500ms`, `1.5s`, `1h30m`"#,
    );
    assert_usage_error(
        &["watch", "--stall-after", "0s"],
        &[],
        r#"--stall-after is "0s": invalid duration: expected more than 0s"#,
    );
    assert_usage_error(
        &["replay", "x", "--speed", "-1"],
        &[],
        r#"--speed is "-1": invalid speed: expected `max`, `0` (the same), or a positive number, e.g. 1, 10, 0.5"#,
    );
    assert_usage_error(
        &["watch", "--report-interval", "1ms", "--node-name", "a"],
        &[],
        "--report-interval: invalid report interval 1ms: expected at least 10 ms",
    );
}

#[test]
fn invalid_variable_is_named() {
    assert_usage_error(
        &["watch"],
        &[("PULLTRACE_LOG_LEVEL", "loud")],
        r#"PULLTRACE_LOG_LEVEL is "loud": expected off, error, warn, info, debug, trace"#,
    );
    assert_usage_error(
        &["record", "x"],
        &[("PULLTRACE_NODE_NAME", "a b")],
        r#"PULLTRACE_NODE_NAME is "a b": invalid node name `a b`: expected 1 to 253 letters, digits, `-`, `_`, `.`"#,
    );
    assert_usage_error(
        &["watch"],
        &[("PULLTRACE_CONTAINERD_NAMESPACE", "../x")],
        r#"PULLTRACE_CONTAINERD_NAMESPACE is "../x": invalid containerd namespace `../x`: expected 1 to 253 letters, digits, `-`, `_`, `.`"#,
    );
    assert_usage_error(
        &["watch"],
        &[("PULLTRACE_HISTORY_TTL", "30 m")],
        r#"PULLTRACE_HISTORY_TTL is "30 m": invalid duration: expected e.g. `500ms`, `1.5s`, `1h30m`"#,
    );
    assert_usage_error(
        &["replay", "x", "--log-format", "xml"],
        &[("PULLTRACE_LOG_FORMAT", "json")],
        r#"--log-format is "xml": expected text, json"#,
    );
}

#[test]
fn empty_variable_is_ignored_but_empty_flag_rejected() {
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
fn rejects_unknown_flags_and_missing_commands() {
    for args in [&["watch", "--frobnicate"][..], &["frobnicate"], &["replay"], &[]] {
        let output = run(args, &[]);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains("Usage: pulltrace"));
    }
}

#[test]
fn help_lists_commands_and_variables() {
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
fn version_includes_revision() {
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
    assert!(hex || !checkout.exists() && revision == "unknown", "{version}");
}

/// Removes estimates such as `3 s left`, which have their own tests.
fn without_estimates(lines: &str) -> String {
    let strip = |line: &str| -> String {
        let kept: Vec<_> = line.split(", ").filter(|f| !f.ends_with(" left")).collect();
        kept.join(", ") + "\n"
    };
    lines.lines().map(strip).collect()
}

#[test]
fn replay_in_pipe_prints_lines() {
    let output = run(&["replay", RECORDING, "--speed", "max"], &[]);
    assert_eq!(without_estimates(&text(&output.stdout)), include_str!("golden/three_pulls.txt"));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn json_replay_prints_one_pull_per_line() {
    let args = ["replay", RECORDING, "--speed", "0", "--output", "json"];
    let output = run(&args, &[]);
    let mut last = std::collections::BTreeMap::new();
    for line in text(&output.stdout).lines() {
        let pull: PullStatus = serde_json::from_str(line).expect(line);
        last.insert(pull.id.clone(), pull);
    }
    let mut ends: Vec<_> =
        last.values().map(|pull| (pull.repository.as_deref(), pull.outcome)).collect();
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
fn closed_pipe_is_not_an_error() {
    for mode in ["plain", "json"] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = pulltrace(&["replay", RECORDING, "--speed", "max", "--output", mode])
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
fn truncated_recording_is_reported_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read_to_string(RECORDING).unwrap();
    let cut = write_file(dir.path(), whole.get(..whole.len() - 30).unwrap());
    let output = run(&["replay", cut.to_str().unwrap(), "--speed", "max"], &[]);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("of the recording is truncated"), "{stderr}");
    let lines = without_estimates(&text(&output.stdout));
    assert!(include_str!("golden/three_pulls.txt").starts_with(&lines));
    assert!(lines.lines().count() > 5, "{lines}");
    assert_eq!(output.status.code(), Some(0));
}

/// Runs the program on an 80x24 terminal and returns what it sends to it.
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
        .expect("failed to run `script` (package bsdutils)");
    let sent = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{sent}");
    sent
}

/// Returns the text of the last frame.
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
fn terminal_view_is_drawn_and_cursor_restored() {
    let replay = format!("replay {RECORDING} --speed max");
    let sent = on_a_terminal(&replay, &[("LANG", "C.UTF-8")]);
    assert_eq!(last_frame(&sent), include_str!("golden/three_pulls_80x24.txt"));
    assert!(sent.contains("\x1b[32m"), "no colours in {sent:?}");
    assert!(sent.contains("\x1b[?25l"), "{sent:?}");
    assert!(sent.trim_end().ends_with("\x1b[?25h"), "{sent:?}");

    let plain = on_a_terminal(&replay, &[("NO_COLOR", "1")]);
    assert!(!plain.contains("\x1b[32m"), "{plain:?}");
    assert!(last_frame(&plain).is_ascii(), "non-ASCII output without a UTF-8 locale");
    let dumb = on_a_terminal(&replay, &[("TERM", "dumb")]);
    assert!(!dumb.contains('\x1b'), "{dumb:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn log_line_is_written_above_the_view() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read_to_string(RECORDING).unwrap();
    let cut = write_file(dir.path(), whole.get(..whole.len() - 30).unwrap());
    let replay = format!("replay {} --speed max", cut.display());
    let sent = on_a_terminal(&replay, &[]);
    let (before, after) = sent.split_once("is truncated").expect("the log line");
    assert!(before.contains("\x1b[J"), "the view is erased first");
    assert!(last_frame(after).contains("completed in 2.5 s"), "{after:?}");
}

#[test]
fn invalid_recording_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read_to_string(RECORDING).unwrap();
    let newer = whole.replacen(r#""pulltrace_recording":1"#, r#""pulltrace_recording":2"#, 1);
    assert_ne!(newer, whole);
    for (content, why) in [
        (
            newer.as_str(),
            "unsupported recording version 2 (supported: up to version 1)\nhelp: Use a newer version of pulltrace.",
        ),
        ("", "not a recording: invalid header in the first line"),
        ("{\"a\":1}\n", "not a recording: invalid header in the first line"),
    ] {
        let path = write_file(dir.path(), content);
        let output = run(&["replay", path.to_str().unwrap()], &[]);
        let message = format!("pulltrace: failed to replay `{}`: {why}\n", path.display());
        assert_eq!(text(&output.stderr), message);
        assert_eq!(output.status.code(), Some(1));
    }
    let output = run(&["replay", "/nowhere/x"], &[]);
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("pulltrace: failed to open `/nowhere/x`: No such file"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn record_overwrites_only_with_force() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_file(dir.path(), "precious");
    let file = path.to_str().unwrap();
    assert_usage_error(
        &["record", file, "--node-name", "a"],
        &[],
        &format!("file `{file}` already exists\nhelp: Use --force to overwrite it."),
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let output = run(&["record", "/nowhere/x", "--node-name", "a"], &[]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn live_output_requires_terminal() {
    assert_usage_error(
        &["watch", "--output", "live", "--node-name", "a"],
        &[],
        "`--output live` requires a terminal\nhelp: Use --output plain or --output json.",
    );
}

/// Runs a command, sends it the signal after its first line on standard error, asserts exit code 0,
/// and returns standard error.
fn stderr_until_stopped(args: &[&str], signal: &str) -> String {
    let mut child = pulltrace(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut stderr = String::new();
    errors.read_line(&mut stderr).unwrap();
    let status =
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    errors.read_to_string(&mut stderr).unwrap();
    let ended = child.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{stderr}");
    stderr
}

#[test]
fn unreachable_containerd_is_logged_once() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing");
    let file = write_file(dir.path(), "no socket");
    let stale = dir.path().join("left.sock");
    drop(UnixListener::bind(&stale).unwrap());
    for (path, message) in [
        (&nothing, "socket `"),
        (&file, "is not a socket help=\"Pass the path of containerd's socket.\""),
        (&stale, "failed to connect to `"),
    ] {
        let path = path.to_str().unwrap();
        let stderr = stderr_until_stopped(&["watch", "--node-name", "a", "--socket", path], "INT");
        assert!(stderr.contains(message) && stderr.contains(path), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn record_without_containerd_reports_line_count() {
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
    let stderr = stderr_until_stopped(&args, "TERM");
    let lines: Vec<_> = stderr.lines().collect();
    let log: serde_json::Value = serde_json::from_str(lines[0]).expect("a line of JSON");
    assert_eq!(log["level"], "WARN");
    let recorded = std::fs::read_to_string(&file).unwrap();
    let count = format!("recorded {} lines (", recorded.lines().count());
    assert!(lines[1].starts_with(&count), "{stderr}");
    assert_eq!(lines.len(), 2);
}

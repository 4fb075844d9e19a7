//! Tests of the command-line interface: arguments, output, exit codes.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use pulltrace_core::wire::v1::{Outcome, PullStatus};
use pulltrace_shell::transcript::Transcript;

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

/// The wording of all errors that need no running program.
#[test]
fn error_messages_match_golden_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let whole = std::fs::read_to_string(RECORDING).unwrap();
    let newer = whole.replacen(r#""pulltrace_recording":1"#, r#""pulltrace_recording":2"#, 1);
    assert_ne!(newer, whole);
    file("newer.jsonl", &newer);
    file("empty.jsonl", "");
    file("other.jsonl", "{\"a\":1}\n");
    let mut transcript = Transcript::new(env!("CARGO_BIN_EXE_pulltrace"), dir.path());
    for line in include_str!("golden/errors.commands").lines() {
        transcript.run(line).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/errors.txt");
    transcript.check(&golden).unwrap_or_else(|difference| panic!("{difference}"));
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
    let args = ["replay", cut.to_str().unwrap(), "--speed", "max", "--log-format", "json"];
    let output = run(&args, &[]);
    assert_eq!(log_levels(&text(&output.stderr)), ["WARN"]);
    let lines = without_estimates(&text(&output.stdout));
    assert!(include_str!("golden/three_pulls.txt").starts_with(&lines));
    assert!(lines.lines().count() > 5, "{lines}");
    assert_eq!(output.status.code(), Some(0));
}

/// The level of each line of a log in JSON.
fn log_levels(log: &str) -> Vec<String> {
    let level = |line: &str| -> String {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        line["level"].as_str().expect("a level").to_owned()
    };
    log.lines().map(level).collect()
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
    let (before, after) = sent.split_once("WARN").expect("the log line");
    assert!(before.contains("\x1b[J"), "the view is erased first");
    assert!(last_frame(after).contains("/team/web"), "{after:?}");
}

#[test]
fn record_overwrites_only_with_force() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_file(dir.path(), "precious");
    let output = run(&["record", path.to_str().unwrap(), "--node-name", "a"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
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
    for path in [&nothing, &file, &stale] {
        let path = path.to_str().unwrap();
        let stderr = stderr_until_stopped(
            &["watch", "--node-name", "a", "--socket", path, "--log-format", "json"],
            "INT",
        );
        assert_eq!(log_levels(&stderr), ["WARN"], "{path}");
        assert!(stderr.contains(path), "{stderr}");
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
    assert_eq!(log_levels(lines[0]), ["WARN"]);
    let recorded = std::fs::read_to_string(&file).unwrap();
    let count = lines[1].split(' ').find_map(|word| word.parse::<usize>().ok());
    assert_eq!(count, Some(recorded.lines().count()), "{stderr}");
    assert_eq!(lines.len(), 2);
}

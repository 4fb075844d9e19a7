//! The examples around a server: one embeds it, one reports to it, one follows it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Generous timeout, not a measured limit.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A program that is killed on drop.
struct Running {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(program: &str, argument: &str) -> Self {
        let mut child = Command::new(program)
            .arg(argument)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    /// Returns the next line that contains `what`.
    async fn wait_for_line(&mut self, what: &str) -> String {
        let found = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("output ended without `{what}`"));
                if line.contains(what) {
                    return line;
                }
            }
        };
        let found = tokio::time::timeout(TIMEOUT, found).await;
        found.unwrap_or_else(|_| panic!("timed out waiting for `{what}`"))
    }
}

#[tokio::test]
async fn custom_source_is_followed_through_mounted_server() {
    let mount = env!("CARGO_BIN_EXE_mount_router");
    let mut server = Running::start(mount, "127.0.0.1:0");
    let url = server.wait_for_line("/pulltrace/").await;
    let mut events = Running::start(env!("CARGO_BIN_EXE_follow_events"), &url);

    let report = env!("CARGO_BIN_EXE_report_own_source");
    let reported = Command::new(report).arg(&url).status();
    let reported = tokio::time::timeout(TIMEOUT, reported).await.expect("program exits");
    assert!(reported.unwrap().success());

    let ended = "my-node  registry.example/app:1  Completed  100 %";
    let line = events.wait_for_line("Completed").await;
    assert!(line.ends_with(ended), "{line}");
    let mut late = Running::start(env!("CARGO_BIN_EXE_follow_events"), &url);
    assert_eq!(late.wait_for_line("known").await, format!("known    {ended}"));
}

//! The examples around a server: one has it inside, one reports to it, one follows it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A bound of patience, not a measure.
const SOON: Duration = Duration::from_secs(60);

/// A program that runs until it is dropped.
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
        Self {
            _child: child,
            lines,
        }
    }

    /// The next line with this in it.
    async fn until(&mut self, what: &str) -> String {
        let found = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended without saying `{what}`"));
                if line.contains(what) {
                    return line;
                }
            }
        };
        let found = tokio::time::timeout(SOON, found).await;
        found.unwrap_or_else(|_| panic!("it does not say `{what}`"))
    }
}

#[tokio::test]
async fn a_source_of_ones_own_is_followed_through_a_server_in_a_program_of_ones_own() {
    let mount = env!("CARGO_BIN_EXE_mount_router");
    let mut server = Running::start(mount, "127.0.0.1:0");
    let url = server.until("/pulltrace/").await;
    let mut events = Running::start(env!("CARGO_BIN_EXE_follow_events"), &url);

    let report = env!("CARGO_BIN_EXE_report_own_source");
    let reported = Command::new(report).arg(&url).status();
    let reported = tokio::time::timeout(SOON, reported).await.expect("it ends");
    assert!(reported.unwrap().success());

    let ended = "my-node  registry.example/app:1  Completed  100 %";
    let line = events.until("Completed").await;
    assert!(line.ends_with(ended), "{line}");
    let mut late = Running::start(env!("CARGO_BIN_EXE_follow_events"), &url);
    assert_eq!(late.until("known").await, format!("known    {ended}"));
}

//! The embedded collector on a real containerd.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options};
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::registry::Registry;
use pulltrace_testkit::{need, wait};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// Generous timeout, not a measured limit.
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn embed_collector_prints_and_records_pulls_v1_6() {
    if let Some(binary) = need::or_skip(need::containerd("1.6")) {
        prints_and_records_pulls(&binary, "1.6").await;
    }
}

#[tokio::test]
async fn embed_collector_prints_and_records_pulls_v2_4() {
    if let Some(binary) = need::or_skip(need::containerd("2.4")) {
        prints_and_records_pulls(&binary, "2.4").await;
    }
}

async fn prints_and_records_pulls(binary: &ContainerdBinary, minor: &str) {
    let containerd = Containerd::start(binary, &Options::in_memory()).await.unwrap();
    let registry = Registry::start().unwrap();
    // Kept: `recordings/` contains the file of a run on 1.6.
    let recording =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("three-pulls-{minor}.jsonl"));
    let mut program = Command::new(env!("CARGO_BIN_EXE_embed_collector"))
        .arg("--socket")
        .arg(containerd.socket())
        .arg("--record")
        .arg(&recording)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let printed = OutputLines::capture(&mut program);

    let base = Layer::random("base", mib(4));
    let (one, two) = (Layer::random("one", mib(1)), Layer::random("two", mib(3)));
    let broken = Layer::random("broken", mib(2));
    let images = [
        ("app:1", vec![base.clone(), one], base.digest()),
        ("app:2", vec![base.clone(), two.clone()], two.digest()),
        ("broken:1", vec![broken.clone()], broken.digest()),
    ];
    for (name, layers, held) in images {
        let image = Image::builder().layers(layers).build();
        let name = registry.push(name, &image);
        let repository = name.rsplit_once('/').unwrap().1.rsplit_once(':').unwrap().0;
        // Each pull is held until it was seen, so that none is too short.
        let gate = registry.blob(held).hold(mib(2) - 1);
        let pull = containerd.cri().pull(&name);
        let downloading = format!("127.0.0.1/{repository}  downloading");
        printed.wait_for_line(&downloading).await;
        gate.await_reached(TIMEOUT).await.unwrap();
        if repository == "broken" {
            pull.cancel().await;
            printed.wait_for_line("127.0.0.1/broken  failed").await;
        } else {
            gate.release();
            pull.outcome().await.unwrap();
            printed.wait_for_line(&format!("{name}  completed  100 %")).await;
        }
    }

    interrupt(&program).await;
    let status = tokio::time::timeout(TIMEOUT, program.wait()).await;
    assert!(status.expect("program exits").unwrap().success());
    printed.wait_for_line("3 pulls ended").await;

    let read =
        Command::new(env!("CARGO_BIN_EXE_read_recording")).arg(&recording).output().await.unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    for name in ["app:1", "app:2"] {
        let expected = format!("/{name}  completed after");
        assert!(read.contains(&expected), "{expected}: {read}");
    }
    assert!(read.contains("127.0.0.1/broken  failed after"), "{read}");
}

/// Sends SIGINT, like Ctrl-C.
async fn interrupt(program: &Child) {
    let pid = program.id().unwrap().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status();
    assert!(kill.await.unwrap().success());
}

/// The output lines of a program.
struct OutputLines(std::sync::Arc<Mutex<Vec<String>>>);

impl OutputLines {
    fn capture(program: &mut Child) -> Self {
        let mut stdout = BufReader::new(program.stdout.take().unwrap()).lines();
        let lines = std::sync::Arc::new(Mutex::new(Vec::new()));
        let kept = std::sync::Arc::clone(&lines);
        tokio::spawn(async move {
            while let Some(line) = stdout.next_line().await.unwrap() {
                kept.lock().await.push(line);
            }
        });
        Self(lines)
    }

    /// Waits for a line that starts with `start`, and drops all lines up to it.
    async fn wait_for_line(&self, start: &str) {
        let what = format!("a line starts with `{start}`");
        let found = wait::until(what, TIMEOUT, async || {
            let mut lines = self.0.lock().await;
            let at = lines.iter().position(|line| line.starts_with(start))?;
            lines.drain(..=at);
            Some(())
        });
        if let Err(error) = found.await {
            panic!("{error}: {:#?}", self.0.lock().await);
        }
    }
}

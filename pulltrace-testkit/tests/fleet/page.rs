//! The page in a real browser, with a real server, agent and containerd. `web/test/e2e/real.ts`
//! checks the page and requests events from here, one line each, over a TCP connection.

use std::fs::File;
use std::path::Path;
use std::process::ExitStatus;

use pulltrace_core::wire::v1::Outcome;
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::need::{self, Missing};
use pulltrace_testkit::registry::{Gate, Times};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::kit::{Kit, Scenario, image_of, scenario};

pub(crate) const SCENARIO: Scenario = scenario!(page_stays_correct_across_restarts);

const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web");

fn needs() -> Result<(), Missing> {
    need::program("chromium", "chromium")?;
    need::program("node", "nodejs")?;
    if Path::new(WEB).join("node_modules").is_dir() {
        return Ok(());
    }
    Err(Missing::new("npm packages of the page tests", "run npm ci in web/"))
}

/// Five pulls. From 2.1 on, containerd has three download slots, so some of them wait.
struct PagePulls {
    /// Two pulls that share a base layer, and a small one.
    shared: Option<([Gate; 2], Vec<Pull>)>,
    broken: Option<(Gate, Pull)>,
    held: Option<(Gate, Pull)>,
    /// Digest of the layer that breaks.
    broken_layer: String,
}

async fn page_stays_correct_across_restarts(mut kit: Kit) -> Kit {
    if need::or_skip(needs()).is_none() {
        return kit;
    }
    let mut pulls = start_pulls(&kit).await;
    let stage = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = stage.local_addr().expect("an address").to_string();
    let log = kit.containerd.dir().join("page.log");
    let output = File::options().create(true).append(true).open(&log);
    let output = output.expect("a log");
    let mut page = Command::new("node")
        .args(["node_modules/vitest/vitest.mjs", "run"])
        .args(["--config", "test/e2e/real.config.ts"])
        .current_dir(WEB)
        .envs([("PULLTRACE_URL", kit.server.url()), ("PULLTRACE_STAGE", &address)])
        .env("NO_COLOR", "1")
        .stdout(output.try_clone().expect("duplicated file handle"))
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let status: ExitStatus = tokio::select! {
        status = page.wait() => status.expect("node exits"),
        () = serve_commands(&mut kit, &mut pulls, &stage) => unreachable!("runs until node exits"),
    };
    let output_text = std::fs::read(&log).expect("a log");
    assert!(status.success(), "{}", String::from_utf8_lossy(&output_text));
    for path in ["one", "two", "held", "quick"] {
        let row = kit.wait_ended(&format!("page/{path}")).await;
        assert_eq!(row.outcome, Some(Outcome::Completed), "{row:#?}");
    }
    let broken = kit.wait_ended("page/broken").await;
    assert_eq!(broken.outcome, Some(Outcome::Failed), "{broken:#?}");
    kit
}

async fn start_pulls(kit: &Kit) -> PagePulls {
    let base = Layer::random("base", mib(8));
    let [one, two] = ["one", "two"].map(|name| {
        let own = Layer::random(name, mib(1));
        Image::builder().layer(&base).layer(&own).build()
    });
    let (held, broken) = (image_of(&["held"], 6), image_of(&["broken"], 6));
    let gates = [&held, &broken].map(|image| kit.hold(image, mib(3)));
    let [held_gate, broken_gate] = gates;
    let (first, gate, _) = kit.pull_held("page/one:1", &one, mib(4)).await;
    let second = kit.pull("page/two:1", &two);
    kit.until("the second pull is visible", |log| log.find("page/two").map(drop)).await;
    let held = kit.pull("page/held:1", &held);
    let seen = |log: &crate::reader::ReaderLog| {
        let row = log.find("page/held")?;
        (row.downloaded_bytes >= Some(mib(2))).then_some(())
    };
    kit.until("the held pull is downloading", seen).await;
    let breaks = broken.layers()[0].descriptor.digest.clone();
    let broken = kit.pull("page/broken:1", &broken);
    let quick = image_of(&["quick"], 1);
    let closed = kit.hold(&quick, 0);
    let quick = kit.pull("page/quick:1", &quick);
    let five = |log: &crate::reader::ReaderLog| (log.rows().count() == 5).then_some(());
    kit.until("five pulls are visible", five).await;
    PagePulls {
        shared: Some(([gate, closed], vec![first, second, quick])),
        broken: Some((broken_gate, broken)),
        held: Some((held_gate, held)),
        broken_layer: breaks,
    }
}

/// Executes one command per line and acknowledges it.
async fn serve_commands(kit: &mut Kit, pulls: &mut PagePulls, stage: &TcpListener) {
    loop {
        let (stream, _) = stage.accept().await.expect("connection");
        let (lines, mut answers) = stream.into_split();
        let mut lines = BufReader::new(lines).lines();
        while let Some(line) = lines.next_line().await.expect("a line") {
            execute(kit, pulls, &line).await;
            answers.write_all(b"done\n").await.expect("test is connected");
        }
    }
}

async fn execute(kit: &mut Kit, pulls: &mut PagePulls, line: &str) {
    match line {
        "kill server" => kit.server.kill9().await.expect("killed"),
        "start server" => kit.server.restart().await.expect("restarted"),
        "kill agent" => kit.agent.kill9().await.expect("killed"),
        "start agent" => kit.restart_agent().await,
        "release shared" => {
            let (gates, pulls) = pulls.shared.take().expect("only once");
            drop(gates);
            for pull in pulls {
                pull.outcome().await.expect("pull succeeds");
            }
        }
        "release held" => {
            let (gate, pull) = pulls.held.take().expect("only once");
            gate.release();
            pull.outcome().await.expect("pull succeeds");
        }
        "break" => {
            let (gate, pull) = pulls.broken.take().expect("only once");
            kit.registry.blob(&pulls.broken_layer).cut(mib(3), Times::Always);
            gate.release();
            pull.outcome().await.expect_err("pull fails");
        }
        other => panic!("unknown command `{other}`"),
    }
}

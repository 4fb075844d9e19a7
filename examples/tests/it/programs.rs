//! Tests of the examples that run without containerd; most read a real recording.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Only ends a test that hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A recording made with containerd 1.6: three pulls, one of which fails.
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings/three-pulls.jsonl");

/// Runs a program to its end and returns its output.
async fn run(program: &str, args: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(TIMEOUT, child.wait_with_output());
    let output = output.await.expect("the program hangs").unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn custom_source_prints_pulls_from_stdin_as_json() {
    let custom_source = env!("CARGO_BIN_EXE_custom_source");
    let lines = run(custom_source, &[], "nginx\ndone\nredis:7\nfail\n").await;
    let last_of = |image: &str| {
        let mut found = lines.lines().filter(|line| line.contains(image));
        found.next_back().unwrap().to_owned()
    };
    let nginx = last_of("docker.io/library/nginx:latest");
    assert!(nginx.contains(r#""outcome":"completed""#), "{nginx}");
    let redis = last_of("docker.io/library/redis:7");
    assert!(redis.contains(r#""outcome":"failed""#), "{redis}");
}

#[tokio::test]
async fn read_recording_prints_each_outcome() {
    let output = run(env!("CARGO_BIN_EXE_read_recording"), &[RECORDING], "").await;
    let started = output.lines().filter(|line| line.ends_with("  started"));
    assert_eq!(started.count(), 3, "{output}");
    for part in ["/app:1  completed after", "/app:2  completed after"] {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(output.contains("/broken  failed after"), "{output}");
    assert!(output.contains(" of 5.00 MiB downloaded"), "{output}");
    assert!(output.contains(", 3.00 MiB of 7.00 MiB downloaded"), "{output}");
}

#[tokio::test]
async fn custom_sink_prints_failures_and_final_totals() {
    let args = ["--recording", RECORDING];
    let output = run(env!("CARGO_BIN_EXE_custom_sink"), &args, "").await;
    assert!(output.contains("failed: 127.0.0.1/broken\n"), "{output}");
    let last = output.lines().last().unwrap();
    assert!(last.ends_with("  0 pulls  0 B of 0 B"), "{output}");
}

#[tokio::test]
async fn who_waits_links_pods_to_recorded_pulls() {
    let announced = "shop/web app 127.0.0.1:43325/app:1 0\nshop/db db 127.0.0.1:43325/app:2 1\n";
    let output = run(env!("CARGO_BIN_EXE_who_waits"), &[RECORDING], announced).await;
    for part in [
        "/app:1  completed\n  for shop/web (app), by image_record\n",
        "/app:2  completed\n  for shop/db (db), by image_record\n",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(output.ends_with("/broken  failed\n"), "expected no pod: {output}");
}

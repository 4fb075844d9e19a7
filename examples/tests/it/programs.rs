//! The examples that need no containerd, on what a real one said.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A bound of patience, not a measure.
const SOON: Duration = Duration::from_secs(60);

/// A recording of a real containerd 1.6: of three pulls, one fails.
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings/three-pulls.jsonl");

/// What a program printed, once it is over.
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
    let output = tokio::time::timeout(SOON, child.wait_with_output());
    let output = output.await.expect("it ends").unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn pulls_that_are_typed_in_come_out_as_json() {
    let custom_source = env!("CARGO_BIN_EXE_custom_source");
    let lines = run(custom_source, &[], "nginx\ndone\nredis:7\nfail\n").await;
    let last_of = |image: &str| {
        let mut of = lines.lines().filter(|line| line.contains(image));
        of.next_back().unwrap().to_owned()
    };
    let nginx = last_of("docker.io/library/nginx:latest");
    assert!(nginx.contains(r#""outcome":"completed""#), "{nginx}");
    let redis = last_of("docker.io/library/redis:7");
    assert!(redis.contains(r#""outcome":"failed""#), "{redis}");
}

#[tokio::test]
async fn a_recording_tells_what_became_of_each_pull() {
    let told = run(env!("CARGO_BIN_EXE_read_recording"), &[RECORDING], "").await;
    let started = told.lines().filter(|line| line.ends_with("  started"));
    assert_eq!(started.count(), 3, "{told}");
    for part in ["/app:1  completed after", "/app:2  completed after"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.contains("/broken  failed after"), "{told}");
    assert!(told.contains(" of 5.00 MiB downloaded"), "{told}");
    assert!(told.contains(", 3.00 MiB of 7.00 MiB downloaded"), "{told}");
}

#[tokio::test]
async fn a_sink_of_ones_own_says_what_failed_and_that_nothing_goes_on() {
    let args = ["--recording", RECORDING];
    let told = run(env!("CARGO_BIN_EXE_custom_sink"), &args, "").await;
    assert!(told.contains("failed: 127.0.0.1/broken\n"), "{told}");
    let last = told.lines().last().unwrap();
    assert!(last.ends_with("  0 pulls  0 B of 0 B"), "{told}");
}

#[tokio::test]
async fn pods_are_found_for_the_pulls_of_a_recording() {
    let announced = "shop/web app 127.0.0.1:43325/app:1 0\nshop/db db 127.0.0.1:43325/app:2 1\n";
    let told = run(env!("CARGO_BIN_EXE_who_waits"), &[RECORDING], announced).await;
    for part in [
        "/app:1  completed\n  for shop/web (app), by image_record\n",
        "/app:2  completed\n  for shop/db (db), by image_record\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(
        told.ends_with("/broken  failed\n"),
        "nobody asked for it: {told}"
    );
}

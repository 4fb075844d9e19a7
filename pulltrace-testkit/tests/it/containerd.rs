//! The private containerd and its clients on each version: verifies the kit itself, without the
//! collector.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use pulltrace_testkit::containerd::{
    Containerd, ContainerdBinary, Options, mounts_below, remove_leftovers,
};
use pulltrace_testkit::image::{Image, Layer, Platform, mib};
use pulltrace_testkit::registry::{Refusal, Registry, Times};
use pulltrace_testkit::{clock, need, wait};

const SOON: Duration = Duration::from_secs(20);

/// Runs a scenario on a version of containerd, or counts a skip.
async fn on<F: Future<Output = ()>>(minor: &str, scenario: impl FnOnce(ContainerdBinary) -> F) {
    if let Some(binary) = need::or_skip(need::containerd(minor)) {
        scenario(binary).await;
    }
}

/// Turns each scenario into one test per version.
macro_rules! on_each_version {
    ($($scenario:ident),* $(,)?) => {
        mod v1_6 {
            $(#[tokio::test]
            async fn $scenario() {
                super::on("1.6", super::$scenario).await;
            })*
        }
        mod v2_4 {
            $(#[tokio::test]
            async fn $scenario() {
                super::on("2.4", super::$scenario).await;
            })*
        }
    };
}

on_each_version!(
    cri_pulls_built_image,
    held_layer_is_partly_on_disk,
    cancelled_pull_leaves_no_image,
    registry_faults_affect_containerd,
    unusual_images_are_pulled_or_rejected,
    full_content_store_fails_pull,
    ctr_pulls_imports_and_can_be_killed,
    killed_daemon_keeps_images_after_restart,
    drop_leaves_nothing_behind,
    sweep_cleans_up_after_killed_run,
    mirror_redirects_another_host,
    options_take_effect,
    sandbox_runs_and_is_removed,
);

async fn start(binary: &ContainerdBinary) -> (Containerd, Registry) {
    let containerd =
        Containerd::start(binary, &Options::in_memory()).await.expect("containerd starts");
    (containerd, Registry::start().expect("the registry starts"))
}

/// Returns the sizes of the files that containerd is downloading.
fn ingests(containerd: &Containerd) -> Vec<u64> {
    let dir = containerd.root().join("io.containerd.content.v1.content/ingest");
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| std::fs::metadata(entry.ok()?.path().join("data")).ok())
        .map(|data| data.len())
        .collect()
}

async fn cri_pulls_built_image(binary: ContainerdBinary) {
    let (containerd, registry) = start(&binary).await;
    let cri = containerd.cri();
    let image = Image::builder()
        .layer(&Layer::random("base", mib(3)))
        .layer(&Layer::many_files("files", 300, 2_000))
        .build();
    let reference = registry.push("team/app:1", &image);
    let id = cri.pull(&reference).outcome().await.unwrap();
    assert_eq!(id, image.manifest().config.digest);

    let found = cri.image(&reference).await.unwrap().unwrap();
    assert_eq!(found.id, id);
    assert_eq!(found.tags, std::slice::from_ref(&reference));
    assert_eq!(found.digests, [registry.reference(&format!("team/app@{}", image.root.digest))]);
    assert_eq!(cri.images().await.unwrap(), [found]);
    for layer in image.layers() {
        let requests = registry.blob(&layer.descriptor.digest);
        assert_eq!(requests.requests().len(), 1);
        assert_eq!(requests.bytes_sent(), layer.descriptor.size);
    }

    cri.remove(&id).await.unwrap();
    assert_eq!(cri.image(&reference).await.unwrap(), None);
    let missing = registry.reference("team/app:none");
    let error = cri.pull(&missing).outcome().await.unwrap_err();
    assert_eq!(error.code, "NotFound");
    assert!(error.message.contains("not found"), "{error}");
}

async fn held_layer_is_partly_on_disk(binary: ContainerdBinary) {
    let (containerd, registry) = start(&binary).await;
    let layer = Layer::random("layer", mib(6));
    let image = Image::builder().layer(&layer).build();
    let reference = registry.push("app:1", &image);
    let gate = registry.blob(layer.digest()).hold(mib(4));
    let pull = containerd.cri().pull(&reference);
    gate.await_reached(SOON).await.unwrap();
    wait::until("4 MiB are on disk", SOON, async || {
        (ingests(&containerd) == [mib(4)]).then_some(())
    })
    .await
    .unwrap();
    assert!(!pull.is_finished());
    gate.release();
    pull.outcome().await.unwrap();
    assert!(ingests(&containerd).is_empty());
}

async fn cancelled_pull_leaves_no_image(binary: ContainerdBinary) {
    let (containerd, registry) = start(&binary).await;
    let image = Image::builder().layer(&Layer::random("layer", mib(1))).build();
    let reference = registry.push("app:1", &image);
    let gate = registry.blobs().hold(1_000);
    let pull = containerd.cri().pull(&reference);
    gate.await_reached(SOON).await.unwrap();
    assert!(pull.cancel().await);
    wait::until("containerd has closed all requests", SOON, async || {
        let requests = registry.blobs().requests();
        requests.iter().all(|request| request.end.is_some()).then_some(())
    })
    .await
    .unwrap();
    assert!(containerd.cri().images().await.unwrap().is_empty());
}

async fn registry_faults_affect_containerd(binary: ContainerdBinary) {
    let (containerd, registry) = start(&binary).await;
    let cri = containerd.cri();
    let push = |name: &str| {
        let layer = Layer::random(name, mib(2));
        let image = Image::builder().layer(&layer).build();
        let reference = registry.push(&format!("{name}:1"), &image);
        (registry.blob(layer.digest()), reference)
    };

    let (layer, reference) = push("cut-once");
    layer.cut(mib(1), Times::Once);
    cri.pull(&reference).outcome().await.unwrap();
    let starts: Vec<_> = layer.requests().iter().map(|r| r.range_start).collect();
    assert_eq!(starts, [None, Some(mib(1))]);

    let (layer, reference) = push("slow");
    layer.throttle(Some(mib(4)));
    let start = clock::now();
    cri.pull(&reference).outcome().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(500));

    let (layer, reference) = push("rate-limited");
    layer.refuse(Refusal::status(429).header("Retry-After", "0").times(Times::Once));
    cri.pull(&reference).outcome().await.unwrap();
    assert_eq!(layer.requests().len(), 2);

    let (layer, reference) = push("corrupt");
    layer.corrupt(mib(1) + 5);
    let error = cri.pull(&reference).outcome().await.unwrap_err();
    // Rejected by digest, or earlier by gzip.
    assert!(error.message.contains("unexpected"), "{error}");

    let (layer, reference) = push("broken");
    layer.refuse(Refusal::status(500));
    let error = cri.pull(&reference).outcome().await.unwrap_err();
    assert!(error.message.contains("500"), "{error}");

    let (_, reference) = push("unauthorized");
    let manifest = registry.manifest("1").in_repository("unauthorized");
    manifest.refuse(Refusal::status(401).header("WWW-Authenticate", "Basic realm=\"test\""));
    let error = cri.pull(&reference).outcome().await.unwrap_err();
    // 1.6 quotes the status, later versions report missing credentials.
    let messages = ["401 Unauthorized", "authorization failed"];
    assert!(messages.iter().any(|text| error.message.contains(text)), "{error}");

    let (_, reference) = push("silent");
    let silence = registry.manifests().in_repository("silent").silent();
    let pull = cri.pull(&reference);
    silence.await_reached(SOON).await.unwrap();
    assert!(!pull.is_finished());
    silence.release();
    pull.outcome().await.unwrap();
}

async fn unusual_images_are_pulled_or_rejected(binary: ContainerdBinary) {
    let (containerd, registry) = start(&binary).await;
    let cri = containerd.cri();
    let pull = async |name: &str, image: &Image| {
        let reference = registry.push(name, image);
        cri.pull(&reference).outcome().await
    };
    let layer = Layer::random("shared", 50_000);
    let one = |platform: Platform, label: &str| {
        Image::builder().platform(platform).layer(&layer).label("l", label).build()
    };

    let many = Image::builder()
        .layers((0..120).map(|i| Layer::random(&format!("layer {i}"), 3_000)))
        .build();
    pull("many:1", &many).await.expect("120 layers");

    let odd = Image::builder()
        .layer(&Layer::empty())
        .layer(&layer)
        .layer(&layer)
        .layer(&Layer::empty())
        .layer(&Layer::random_tar("plain", 20_480))
        .build();
    pull("odd:1", &odd).await.expect("empty and duplicate layers");

    let index = Image::index()
        .image(&one(Platform::foreign(), "foreign"))
        .image(&one(Platform::host(), "host"))
        .attestation()
        .build();
    let id = pull("index:1", &index).await.expect("an index");
    assert_eq!(id, index.manifest().config.digest);
    assert!(registry.manifest(&index.manifests[0].descriptor.digest).requests().is_empty());

    let twice = Image::index()
        .image(&one(Platform::host(), "first"))
        .image(&one(Platform::host(), "second"))
        .build();
    pull("twice:1", &twice).await.expect("two matching manifests");
    let second = registry.manifest(&twice.manifests[1].descriptor.digest);
    assert_eq!(second.requests().is_empty(), !binary.at_least(2, 1));

    let foreign = Image::index().image(&one(Platform::foreign(), "foreign")).build();
    let error = pull("foreign:1", &foreign).await.unwrap_err();
    assert!(error.message.contains("no match for platform"), "{error}");

    let zero = Image::builder().layer(&Layer::zero_bytes()).build();
    let error = pull("zero:1", &zero).await.unwrap_err();
    assert!(error.message.contains("content size of zero"), "{error}");

    let huge = Layer::with_wrong_digest("huge", 5 * 1024 * mib(1));
    registry.blob(huge.digest()).cut(mib(1), Times::Always);
    let image = Image::builder().layer(&huge).build();
    pull("huge:1", &image).await.expect_err("permanently cut");
}

async fn full_content_store_fails_pull(binary: ContainerdBinary) {
    let options = Options { content_limit_mib: Some(4), ..Options::default() };
    let containerd = Containerd::start(&binary, &options).await.unwrap();
    let registry = Registry::start().unwrap();
    let image = |size| Image::builder().layer(&Layer::random("l", size)).build();
    let fits = registry.push("fits:1", &image(mib(1)));
    containerd.cri().pull(&fits).outcome().await.unwrap();
    let large = registry.push("large:1", &image(mib(8)));
    let error = containerd.cri().pull(&large).outcome().await.unwrap_err();
    assert!(error.message.contains("no space left"), "{error}");
}

async fn ctr_pulls_imports_and_can_be_killed(binary: ContainerdBinary) {
    let (containerd, registry) = start(&binary).await;
    let ctr = containerd.ctr("testing");
    let image = Image::builder().layer(&Layer::random("layer", mib(3))).build();
    let reference = registry.push("app:1", &image);

    let gate = registry.blobs().hold(mib(2));
    let pull = ctr.pull(&reference).unwrap();
    gate.await_reached(SOON).await.unwrap();
    pull.kill9().await.unwrap();
    let leases = ctr.run(["leases", "ls", "-q"]).await.unwrap();
    assert_eq!(leases.lines().count(), 1, "{leases}");
    gate.release();

    ctr.pull(&reference).unwrap().outcome().await.unwrap();
    let images = ctr.run(["images", "ls", "-q"]).await.unwrap();
    assert_eq!(images.trim(), reference);
    assert!(containerd.cri().images().await.unwrap().is_empty());

    ctr.create_lease("mine", &["buildkit/lease.temporary=1"]).await.unwrap();
    ctr.create_container(&reference, "box").await.unwrap();
    assert_eq!(ctr.run(["containers", "ls", "-q"]).await.unwrap().trim(), "box");
    ctr.delete_lease("mine").await.unwrap();

    let archive = containerd.dir().join("image.tar");
    let other = Image::builder().layer(&Layer::random("other", 100_000)).build();
    other.write_archive("example.com/other:1", &archive).unwrap();
    ctr.import(&archive).await.unwrap();
    let images = ctr.run(["images", "ls", "-q"]).await.unwrap();
    assert!(images.contains("example.com/other:1"), "{images}");

    let missing = registry.reference("none:1");
    let error = ctr.pull(&missing).unwrap().outcome().await.unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
}

async fn killed_daemon_keeps_images_after_restart(binary: ContainerdBinary) {
    let (mut containerd, registry) = start(&binary).await;
    let layer = |name: &str| Layer::random(name, mib(3));
    let first = registry.push("first:1", &Image::builder().layer(&layer("a")).build());
    containerd.cri().pull(&first).outcome().await.unwrap();

    let image = Image::builder().layer(&layer("b")).build();
    let second = registry.push("second:1", &image);
    let blob = registry.blob(&image.layers()[0].descriptor.digest);
    let gate = blob.hold(mib(2));
    let pull = containerd.cri().pull(&second);
    gate.await_reached(SOON).await.unwrap();
    wait::until("2 MiB are on disk", SOON, async || {
        (ingests(&containerd) == [mib(2)]).then_some(())
    })
    .await
    .unwrap();
    let pid = containerd.pid().unwrap();
    containerd.kill9().unwrap();
    assert_eq!(containerd.pid(), None);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    pull.outcome().await.expect_err("daemon was killed");

    containerd.restart().await.unwrap();
    gate.release();
    assert!(containerd.cri().image(&first).await.unwrap().is_some());
    containerd.cri().pull(&second).outcome().await.unwrap();
    let starts: Vec<_> = blob.requests().iter().map(|r| r.range_start).collect();
    assert_eq!(starts, [None, Some(mib(2))]);

    containerd.stop().await.unwrap();
    containerd.restart().await.unwrap();
    assert_eq!(containerd.cri().images().await.unwrap().len(), 2);
}

async fn drop_leaves_nothing_behind(binary: ContainerdBinary) {
    let options = Options { content_limit_mib: Some(16), ..Options::default() };
    let containerd = Containerd::start(&binary, &options).await.unwrap();
    let dir = containerd.dir().to_owned();
    let pid = containerd.pid().unwrap();
    assert_eq!(mounts_below(&dir).unwrap().len(), 1);
    assert!(containerd.socket().as_os_str().len() < 100);
    let registry = Registry::start().unwrap();
    let image = Image::builder().layer(&Layer::random("l", mib(1))).build();
    let reference = registry.push("app:1", &image);
    let _gate = registry.blobs().hold(1_000);
    let pull = containerd.cri().pull(&reference);
    registry.blobs().await_bytes(1_000, SOON).await.unwrap();
    drop(containerd);
    assert!(!dir.exists());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(mounts_below(&dir).unwrap().is_empty());
    pull.outcome().await.expect_err("daemon has stopped");
}

async fn mirror_redirects_another_host(binary: ContainerdBinary) {
    let (containerd, registry) = start(&binary).await;
    containerd.mirror("docker.io", &registry.address().to_string()).unwrap();
    let image = Image::builder().layer(&Layer::random("l", 20_000)).build();
    registry.push("library/app:latest", &image);
    containerd.cri().pull("app").outcome().await.unwrap();
    let found = containerd.cri().image("app").await.unwrap().unwrap();
    assert_eq!(found.tags, ["docker.io/library/app:latest"]);
}

/// Environment variable of the copy of this test binary that is started to be killed: the file that
/// receives its directory and process ID.
const VICTIM: &str = "PULLTRACE_TESTKIT_VICTIM";

async fn sweep_cleans_up_after_killed_run(binary: ContainerdBinary) {
    let options = Options { content_limit_mib: Some(16), ..Options::default() };
    if let Some(file) = std::env::var_os(VICTIM) {
        let containerd = Containerd::start(&binary, &options).await.unwrap();
        let text = format!("{}\n{}\n", containerd.dir().display(), containerd.pid().unwrap());
        std::fs::write(file, text).unwrap();
        return std::future::pending().await;
    }

    let test = std::thread::current().name().unwrap().to_owned();
    let file =
        std::env::temp_dir().join(format!("pt-victim-{}-{}", std::process::id(), binary.minor));
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test])
        .env(VICTIM, &file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let started = wait::until("the victim has started", SOON, async || {
        let text = std::fs::read_to_string(&file).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        Some((lines.next()?, lines.next()?))
    })
    .await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    let (dir, pid) = started.unwrap();
    std::fs::remove_file(&file).unwrap();

    wait::until("its daemon has ended and is swept", SOON, async || {
        remove_leftovers().unwrap();
        (!Path::new(&dir).exists()).then_some(())
    })
    .await
    .unwrap();
    let daemon = Path::new("/proc").join(&pid).join("root");
    assert!(std::fs::read_link(daemon).is_err(), "daemon still runs");
    assert!(mounts_below(Path::new(&dir)).unwrap().is_empty());
}

async fn sandbox_runs_and_is_removed(binary: ContainerdBinary) {
    let (containerd, registry) = start(&binary).await;
    if need::or_skip(need::program("runc", "runc")).is_none() {
        return;
    }
    containerd.serve_sandbox_image(&registry).unwrap();
    let dir = containerd.dir().to_owned();
    let removed = containerd.run_sandbox("first").await.unwrap();
    assert_eq!(removed.len(), 64);
    assert_eq!(shims(&dir), 1);
    containerd.cri().remove_sandbox(&removed).await.unwrap();
    wait::until("the shim has exited", SOON, async || (shims(&dir) == 0).then_some(()))
        .await
        .unwrap();

    // Dropping containerd must clean up the second one.
    let left = containerd.run_sandbox("second").await.unwrap();
    let socket = shim_socket(&dir, &left);
    assert!(socket.exists());
    let images = containerd.cri().images().await.unwrap();
    assert_eq!(images[0].tags, [containerd.sandbox_image()]);
    drop(containerd);
    assert_eq!(shims(&dir), 0);
    assert!(!dir.exists());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&left), "{mounts}");
    assert!(!socket.exists());
    for group in ["", "memory", "systemd"] {
        let group = Path::new("/sys/fs/cgroup").join(group);
        assert!(!group.join(dir.file_name().unwrap()).exists());
    }
}

/// Returns the number of shims of this containerd, by their command lines.
fn shims(dir: &Path) -> usize {
    let needle = format!("-address\0{}/", dir.display());
    let entries = std::fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|command| String::from_utf8_lossy(command).contains(&needle))
        .count()
}

/// Returns the socket path of a sandbox's shim.
fn shim_socket(dir: &Path, sandbox: &str) -> std::path::PathBuf {
    let bundle = dir.join("state/io.containerd.runtime.v2.task/k8s.io").join(sandbox);
    let text = ["address", "bootstrap.json"]
        .iter()
        .find_map(|file| std::fs::read_to_string(bundle.join(file)).ok())
        .expect("address of the shim");
    let (_, rest) = text.split_once("unix://").expect("unix socket");
    rest.split('"').next().unwrap().trim().into()
}

async fn options_take_effect(binary: ContainerdBinary) {
    let registry = Registry::start().unwrap();
    let options = Options {
        use_local_image_pull: true,
        max_concurrent_downloads: Some(1),
        discard_unpacked_layers: true,
        gc_schedule_delay: Some(Duration::from_millis(10)),
        debug: true,
        ..Options::in_memory()
    };
    let containerd = Containerd::start(&binary, &options).await.unwrap();
    assert!(containerd.log_tail(usize::MAX).contains("level=debug"));
    let layer = |name: &str| Layer::random(name, 20_000);
    let one = |label: &str| {
        let image = Image::builder().label("l", label);
        image.layer(&layer("a")).layer(&layer("b")).build()
    };
    let index = Image::index().image(&one("1")).image(&one("2")).build();
    let reference = registry.push("twice:1", &index);
    let layers: Vec<_> =
        index.layers().iter().map(|layer| registry.blob(&layer.descriptor.digest)).collect();
    let gates: Vec<_> = layers.iter().map(|layer| layer.hold(10)).collect();
    let pull = containerd.cri().pull(&reference);
    wait::until("a layer is held", SOON, async || {
        gates.iter().any(|gate| gate.reached() > 0).then_some(())
    })
    .await
    .unwrap();
    // The second layer waits for the only slot and was not requested.
    let asked: usize = layers.iter().map(|layer| layer.requests().len()).sum();
    assert_eq!(asked, 1);
    drop(gates);
    pull.outcome().await.unwrap();
    // The CRI plugin itself pulls only the first of two matching manifests.
    let second = registry.manifest(&index.manifests[1].descriptor.digest);
    assert!(second.requests().is_empty());
    let content = containerd.root().join("io.containerd.content.v1.content");
    let blob = content.join("blobs/sha256").join(layer("a").digest().trim_start_matches("sha256:"));
    // Garbage collection may have run before the end of the pull, so trigger it.
    let ctr = containerd.ctr("k8s.io");
    ctr.create_lease("collect", &[]).await.unwrap();
    ctr.run(["leases", "delete", "--sync", "collect"]).await.unwrap();
    assert!(!blob.exists(), "blob should be discarded");

    if binary.at_least(1, 7) {
        let options = Options {
            image_pull_progress_timeout: Some(Duration::from_secs(1)),
            ..Options::in_memory()
        };
        let containerd = Containerd::start(&binary, &options).await.unwrap();
        let slow = Layer::random("slow", mib(3));
        let reference = registry.push("slow:1", &Image::builder().layer(&slow).build());
        let _gate = registry.blob(slow.digest()).hold(mib(2));
        let error = containerd.cri().pull(&reference).outcome().await.unwrap_err();
        assert!(error.message.contains("context canceled"), "{error}");
    }
}

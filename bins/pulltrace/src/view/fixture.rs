//! Pulls for the view tests; every number is set explicitly.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::eta::{LayerWork, Speeds, UnpackSpeeds, estimate};
use pulltrace_core::{
    Bytes, BytesPerSecond, Compression, Digest, Eta, Failure, FailureReason, Image, ImageLayer,
    Layer, LayerState, Limits, Mono, NodeTime, Now, Outcome, Percent, Phase, Pull, PullFact,
    PullId, PullTable, Repository, WaitingKind, WaitingOn,
};

use super::scene::Scene;
use crate::source::{Origin, SourceStatus};

pub(super) const MIB: u64 = 1 << 20;

pub(super) fn at(second: i64) -> NodeTime {
    NodeTime::from_unix(1_795_550_400 + second, 0)
}

pub(super) fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64)).parse().unwrap()
}

pub(super) fn rate(mib: u32) -> BytesPerSecond {
    BytesPerSecond::new(f64::from(mib) * 1_048_576.0).unwrap()
}

pub(super) fn eta(low: u64, seconds: u64, high: u64) -> Eta {
    let work = LayerWork {
        to_fetch: Bytes::ZERO,
        to_unpack: Bytes(1),
        compression: Compression::Gzip,
        unpacking_for: None,
    };
    let speeds = Speeds { pull: None, node: None, downloading: 1, uncounted: Bytes::ZERO };
    let mut eta = estimate(&[work], speeds, &UnpackSpeeds::default()).unwrap();
    eta.low = Duration::from_secs(low);
    eta.left = Duration::from_secs(seconds);
    eta.high = Duration::from_secs(high);
    eta
}

pub(super) fn id(lease: &str) -> PullId {
    PullId::Lease {
        node: "worker-1".parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        lease: lease.parse().unwrap(),
        created: at(0),
    }
}

fn now(second: i64) -> Now {
    Now { mono: Mono(Duration::from_secs(u64::try_from(second).unwrap())), node: at(second) }
}

/// Returns a pull of an image with layers of these sizes in MiB and digests `a…`, `b…` and so on.
pub(super) fn pull(lease: &str, path: &str, sizes: &[u64]) -> Pull {
    let mut table = PullTable::new(Limits::default());
    let pull = id(lease);
    let letters = 'a'..='f';
    let layers: Vec<_> = sizes
        .iter()
        .zip(letters)
        .map(|(size, letter)| ImageLayer {
            digest: digest(letter),
            size: Bytes(size * MIB),
            chains: vec![digest(letter)],
            compression: Compression::Gzip,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
            created_by: Some(format!("RUN make {letter}")),
        })
        .collect();
    assert_eq!(layers.len(), sizes.len());
    let image = Arc::new(Image {
        root: digest('0'),
        manifests: vec![digest('1')],
        platform: Some("linux/amd64".to_owned()),
        layers,
    });
    let repository = Repository::new("registry.example", path).unwrap();
    let changes = table.apply(
        &[
            PullFact::Started { at: at(0) }.of(pull.clone()),
            PullFact::Root(digest('0')).of(pull.clone()),
            PullFact::Repository(repository).of(pull.clone()),
            PullFact::Image(image).of(pull),
        ],
        now(0),
    );
    let mut pull = changes[0].pull.as_ref().clone();
    pull.names = vec![format!("registry.example/{path}:1.2").parse().unwrap()];
    (pull.waiting_on, pull.motion.eta, pull.motion.rate) = (None, None, None);
    for layer in &mut pull.layers {
        layer.waiting_on = None;
    }
    pull
}

/// Returns a pull that has only been started.
pub(super) fn unresolved_pull(lease: &str) -> Pull {
    let mut table = PullTable::new(Limits::default());
    let pull = id(lease);
    let changes = table.apply(&[PullFact::Started { at: at(0) }.of(pull)], now(0));
    changes[0].pull.as_ref().clone()
}

/// Returns a wait of this kind that started at second `since`.
pub(super) fn waiting(kind: WaitingKind, since: i64) -> WaitingOn {
    let mut table = PullTable::new(Limits::default());
    let pull = id("0-waiting");
    table.apply(&[PullFact::Started { at: at(0) }.of(pull.clone())], now(0));
    table.apply(&[], now(20));
    let mut waiting = table.get(&pull).unwrap().waiting_on.clone().unwrap();
    (waiting.kind, waiting.since) = (kind, at(since));
    waiting
}

pub(super) fn downloading(layer: &mut Layer, mib: u64, speed: u32) {
    layer.state = LayerState::Downloading;
    layer.motion.downloaded = Bytes(mib * MIB);
    layer.motion.rate = Some(rate(speed));
}

/// Returns the scene of most tests: one pull in each state, at second 20.
pub(super) fn scene() -> Scene {
    let mut web = pull("1-web", "team/web", &[10, 30, 60, 20]);
    web.phase = Phase::Downloading;
    web.motion.percent = Some(Percent::from_fraction(0.46));
    web.cached = Bytes(10 * MIB);
    web.to_download = Some(Bytes(110 * MIB));
    web.motion.downloaded = Bytes(61 * MIB);
    web.to_extract = Some(Bytes(110 * MIB));
    web.motion.extracted = Bytes(30 * MIB);
    web.motion.rate = Some(rate(12));
    web.motion.eta = Some(eta(3, 5, 20));
    web.layers[0].state = LayerState::Cached;
    web.layers[1].state = LayerState::Complete;
    downloading(&mut web.layers[2], 31, 12);
    web.layers[3].waiting_on = Some(Box::new(waiting(WaitingKind::DownloadSlot, 8)));

    let mut api = pull("2-api", "team/api", &[30, 5]);
    api.phase = Phase::Extracting;
    api.started_at = at(2);
    api.motion.percent = Some(Percent::from_fraction(0.82));
    api.motion.downloaded = Bytes(35 * MIB);
    api.motion.extracted = Bytes(5 * MIB);
    api.motion.eta = Some(eta(2, 2, 3));
    api.layers[0].state = LayerState::Extracting;
    api.layers[0].extracting_at = Some(at(16));
    api.layers[0].motion.unpacked_bytes = Some(Bytes(70 * MIB));
    api.layers[1].state = LayerState::Downloaded;
    api.layers[1].waiting_on = Some(Box::new(waiting(WaitingKind::ParentLayer, 17)));

    let mut shared = pull("3-shared", "team/worker-with-a-long-name", &[10, 1]);
    shared.phase = Phase::Downloading;
    shared.started_at = at(3);
    shared.names.clear();
    shared.motion.percent = Some(Percent::ZERO);
    let mut on = waiting(WaitingKind::SharedLayer, 9);
    on.pull = Some(id("1-web"));
    on.layer = Some(digest('a'));
    shared.layers[0].waiting_on = Some(Box::new(on.clone()));
    shared.layers[1].state = LayerState::Downloaded;
    shared.layers[1].motion.downloaded = Bytes(MIB);
    shared.motion.downloaded = Bytes(MIB);
    shared.waiting_on = Some(on);

    let mut stalled = pull("4-stalled", "team/stuck", &[900]);
    stalled.phase = Phase::Downloading;
    stalled.started_at = at(4);
    stalled.motion.percent = Some(Percent::from_fraction(0.1));
    stalled.motion.downloaded = Bytes(90 * MIB);
    downloading(&mut stalled.layers[0], 90, 0);
    stalled.stalled_since = Some(at(-100));

    let mut resolving = unresolved_pull("5-resolving");
    resolving.started_at = at(15);
    resolving.waiting_on = Some(waiting(WaitingKind::Registry, 17));

    let mut done = pull("6-done", "library/nginx", &[50, 22]);
    done.phase = Phase::Ended(Outcome::Completed);
    done.motion.percent = Some(Percent::DONE);
    done.cached = Bytes(22 * MIB);
    done.ended_at = Some(at(12));

    let mut failed = pull("7-failed", "team/broken", &[50]);
    failed.phase = Phase::Ended(Outcome::Failed);
    failed.failure = Some(Failure { reason: FailureReason::Unexplained, message: None });
    failed.ended_at = Some(at(4));

    let pulls = [web, api, shared, stalled, resolving, done, failed];
    scene_of(pulls, 20)
}

/// Returns a scene with these pulls.
pub(super) fn scene_of(pulls: impl IntoIterator<Item = Pull>, second: i64) -> Scene {
    let pulls: Vec<_> = pulls.into_iter().map(Arc::new).collect();
    let mut scene = Scene::new(Origin::Containerd("worker-1".parse().unwrap()), at(second));
    scene.runtime = Some("containerd 2.4.2".to_owned());
    let table = PullTable::new(Limits::default());
    let mut sums = table.totals(now(second));
    sums.to_download = Bytes(1_106 * MIB);
    sums.downloaded = Bytes(187 * MIB);
    sums.rate = Some(rate(12));
    scene.status = SourceStatus::Connected;
    scene.update(&pulls, true, sums, at(second));
    scene
}

//! A model of an agent: a simple truth about a node's pulls, and an outbox as agents have it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulltrace_core::wire::check::{AnyReport, parse};
use pulltrace_core::wire::v1::{
    AgentInfo, AgentReport, Dropped, LayerDetail, LayerState, NodeInfo, Phase, ReportAck,
    ReportImage, ReportImageLayer, ReportLayer, ReportPull,
};
use pulltrace_core::{Mono, NodeTime, PullId};
use pulltrace_server_lib::ServerNow;

pub(crate) const LAYERS: usize = 3;
pub(crate) const SIZE: u64 = 100;

pub(crate) fn time(second: u64) -> NodeTime {
    NodeTime::from_unix(1_764_000_000, 0).saturating_add(Duration::from_secs(second))
}

pub(crate) fn now(second: u64) -> ServerNow {
    ServerNow {
        mono: Mono(Duration::from_secs(second)),
        at: time(second),
    }
}

fn digest(kind: char, number: usize) -> String {
    format!("sha256:{kind}{number:063x}")
}

/// The truth about one pull.
#[derive(Clone, Debug)]
struct Truth {
    began: u64,
    /// `None` until its manifest is here.
    bytes: Option<[u64; LAYERS]>,
    ended: Option<(bool, u64)>,
    revision: u64,
}

#[derive(Debug)]
pub(crate) struct Agent {
    node: usize,
    instance: u64,
    started: u64,
    sequence: u64,
    pulls: BTreeMap<usize, Truth>,
    revision: u64,
    acked: Option<u64>,
    epoch: String,
    images_told: BTreeSet<usize>,
    /// What was forgotten: an id never comes again.
    over: BTreeSet<usize>,
}

/// A report under way.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) body: Vec<u8>,
    sequence: u64,
    revision: u64,
    full: bool,
    images: BTreeSet<usize>,
}

impl Request {
    pub(crate) fn report(&self) -> AnyReport {
        parse(&self.body).unwrap()
    }
}

impl Agent {
    pub(crate) fn new(node: usize) -> Self {
        Self {
            node,
            instance: 0,
            started: 0,
            sequence: 0,
            pulls: BTreeMap::new(),
            revision: 0,
            acked: None,
            epoch: String::new(),
            images_told: BTreeSet::new(),
            over: BTreeSet::new(),
        }
    }

    fn touch(&mut self, pull: usize, change: impl FnOnce(&mut Truth)) {
        if let Some(truth) = self.pulls.get_mut(&pull).filter(|t| t.ended.is_none()) {
            self.revision += 1;
            truth.revision = self.revision;
            change(truth);
        }
    }

    pub(crate) fn begin(&mut self, pull: usize, second: u64) {
        if self.over.contains(&pull) {
            return;
        }
        self.revision += 1;
        self.pulls.entry(pull).or_insert(Truth {
            began: second,
            bytes: None,
            ended: None,
            revision: self.revision,
        });
    }

    /// Bytes come, or the manifest where it is not here yet.
    pub(crate) fn grow(&mut self, pull: usize, layer: usize, by: u64) {
        self.touch(pull, |truth| match &mut truth.bytes {
            None => truth.bytes = Some([0; LAYERS]),
            Some(bytes) => bytes[layer] = (bytes[layer] + by).min(SIZE),
        });
    }

    pub(crate) fn end(&mut self, pull: usize, well: bool, second: u64) {
        self.touch(pull, |truth| {
            if well {
                truth.bytes = Some([SIZE; LAYERS]);
            }
            truth.ended = Some((well, second));
        });
    }

    /// It crashes and starts: what was over is forgotten.
    pub(crate) fn restart(&mut self, second: u64) {
        self.instance += 1;
        self.started = second;
        self.sequence = 0;
        self.acked = None;
        let over = self.pulls.extract_if(.., |_, truth| truth.ended.is_some());
        self.over.extend(over.map(|(pull, _)| pull));
    }

    /// Whether the server was told all there is.
    pub(crate) fn is_settled(&self) -> bool {
        self.acked == Some(self.revision)
    }

    pub(crate) fn request(&mut self, second: u64) -> Request {
        self.sequence += 1;
        let full = self.acked.is_none();
        if full {
            self.images_told.clear();
        }
        let acked = self.acked.unwrap_or(0);
        let changed = |truth: &Truth| full || truth.revision > acked;
        let pulls: Vec<ReportPull> = self.told(|_, truth| changed(truth)).collect();
        let named = self
            .pulls
            .iter()
            .filter(|(_, t)| changed(t) && t.bytes.is_some());
        let images: BTreeSet<usize> = named
            .map(|(pull, _)| *pull)
            .filter(|pull| !self.images_told.contains(pull))
            .collect();
        let report = AgentReport {
            schema_version: "v1".to_owned(),
            node_name: self.name(),
            timestamp: time(second),
            sequence: self.sequence,
            full,
            agent: AgentInfo {
                version: "0.1.0".to_owned(),
                instance: format!("{:04}", self.instance),
                started_at: time(self.started),
                interval_ms: 60_000,
            },
            node: NodeInfo::default(),
            images: images.iter().map(|pull| image(*pull)).collect(),
            pulls,
            dropped: Dropped::default(),
        };
        Request {
            body: serde_json::to_vec(&report).unwrap(),
            sequence: self.sequence,
            revision: self.revision,
            full,
            images,
        }
    }

    /// The answer to the request that was under way.
    pub(crate) fn acknowledged(&mut self, request: Request, ack: &ReportAck) {
        let reborn = !self.epoch.is_empty() && self.epoch != ack.server_epoch;
        self.epoch.clone_from(&ack.server_epoch);
        if ack.accepted_seq != request.sequence || ack.need_full || (reborn && !request.full) {
            self.acked = None;
        } else {
            self.acked = Some(request.revision);
            self.images_told.extend(request.images);
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("w{}", self.node)
    }

    pub(crate) fn id(&self, pull: usize) -> PullId {
        format!("lease~{}~k8s.io~{pull}~0", self.name())
            .parse()
            .unwrap()
    }

    /// All that it would tell now.
    pub(crate) fn state(&self) -> impl Iterator<Item = ReportPull> {
        self.told(|_, _| true)
    }

    fn told(&self, which: impl Fn(usize, &Truth) -> bool) -> impl Iterator<Item = ReportPull> {
        let pulls = self
            .pulls
            .iter()
            .filter(move |(pull, truth)| which(**pull, truth));
        pulls.map(|(pull, truth)| told(&self.id(*pull), *pull, truth))
    }
}

fn image(pull: usize) -> ReportImage {
    let layer = |index| ReportImageLayer {
        // The lowest layer is shared by all.
        digest: digest('a', if index == 0 { 0 } else { pull * LAYERS + index }),
        size: SIZE,
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        created_by: None,
    };
    ReportImage {
        root_digest: digest('b', pull),
        manifest_digests: vec![digest('b', pull)],
        platform: None,
        layers: (0..LAYERS).map(layer).collect(),
    }
}

fn told(id: &PullId, pull: usize, truth: &Truth) -> ReportPull {
    let sum: u64 = truth.bytes.iter().flatten().sum();
    let total = SIZE * LAYERS as u64;
    let completed = matches!(truth.ended, Some((true, _)));
    let phase = match truth.ended {
        Some((true, _)) => Phase::Completed,
        Some((false, _)) => Phase::Failed,
        None if truth.bytes.is_none() => Phase::Resolving,
        None if sum < total => Phase::Downloading,
        None => Phase::Extracting,
    };
    let layer = |(index, bytes): (usize, &u64)| ReportLayer {
        index: u32::try_from(index).unwrap(),
        bytes: *bytes,
        state: match *bytes {
            _ if completed => LayerState::Complete,
            0 => LayerState::Waiting,
            SIZE => LayerState::Downloaded,
            _ => LayerState::Downloading,
        },
        detail: LayerDetail::default(),
    };
    let percent = |_| {
        if completed {
            100.0
        } else {
            (sum * 8 / total * 10) as f64
        }
    };
    let known = truth.bytes.map(|_| digest('b', pull));
    ReportPull {
        id: id.to_string(),
        image: known.clone(),
        root_digest: known,
        repository: Some("docker.io/library/nginx".to_owned()),
        names: Vec::new(),
        phase,
        failure: None,
        waiting_on: None,
        percent: truth.bytes.map(percent),
        cached_bytes: 0,
        downloaded_bytes: sum,
        to_extract_bytes: truth.bytes.map(|_| total),
        extracted_bytes: if completed { total } else { 0 },
        wasted_bytes: 0,
        bytes_per_sec: None,
        eta_seconds: None,
        eta_low_seconds: None,
        eta_high_seconds: None,
        eta_basis: None,
        started_at: time(truth.began),
        downloading_at: truth.bytes.map(|_| time(truth.began)),
        extracting_at: None,
        completed_at: truth.ended.map(|(_, second)| time(second)),
        stalled_since: None,
        slow_since: None,
        stale_since: None,
        layers: truth
            .bytes
            .iter()
            .flatten()
            .enumerate()
            .map(layer)
            .collect(),
    }
}

//! A model of an agent: the pulls of a node, and reporting with acknowledgements.

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
    ServerNow { mono: Mono(Duration::from_secs(second)), at: time(second) }
}

fn digest(kind: char, number: usize) -> String {
    format!("sha256:{kind}{number:063x}")
}

/// The actual state of a pull.
#[derive(Clone, Debug)]
struct SimulatedPull {
    started: u64,
    /// `None` while the manifest is unknown.
    bytes: Option<[u64; LAYERS]>,
    ended: Option<(bool, u64)>,
    revision: u64,
}

#[derive(Debug)]
pub(crate) struct SimulatedAgent {
    node: usize,
    instance: u64,
    started: u64,
    sequence: u64,
    pulls: BTreeMap<usize, SimulatedPull>,
    revision: u64,
    acked: Option<u64>,
    epoch: String,
    images_sent: BTreeSet<usize>,
    /// Forgotten pulls, whose ids are never reused.
    forgotten: BTreeSet<usize>,
}

/// A report in flight.
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

impl SimulatedAgent {
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
            images_sent: BTreeSet::new(),
            forgotten: BTreeSet::new(),
        }
    }

    fn update_live(&mut self, pull: usize, change: impl FnOnce(&mut SimulatedPull)) {
        if let Some(truth) = self.pulls.get_mut(&pull).filter(|t| t.ended.is_none()) {
            self.revision += 1;
            truth.revision = self.revision;
            change(truth);
        }
    }

    pub(crate) fn start_pull(&mut self, pull: usize, second: u64) {
        if self.forgotten.contains(&pull) {
            return;
        }
        self.revision += 1;
        self.pulls.entry(pull).or_insert(SimulatedPull {
            started: second,
            bytes: None,
            ended: None,
            revision: self.revision,
        });
    }

    /// Adds bytes, or the manifest if it is still unknown.
    pub(crate) fn add_bytes(&mut self, pull: usize, layer: usize, by: u64) {
        self.update_live(pull, |truth| match &mut truth.bytes {
            None => truth.bytes = Some([0; LAYERS]),
            Some(bytes) => bytes[layer] = (bytes[layer] + by).min(SIZE),
        });
    }

    pub(crate) fn end_pull(&mut self, pull: usize, well: bool, second: u64) {
        self.update_live(pull, |truth| {
            if well {
                truth.bytes = Some([SIZE; LAYERS]);
            }
            truth.ended = Some((well, second));
        });
    }

    /// Crashes and restarts; ended pulls are forgotten.
    pub(crate) fn restart(&mut self, second: u64) {
        self.instance += 1;
        self.started = second;
        self.sequence = 0;
        self.acked = None;
        let over = self.pulls.extract_if(.., |_, truth| truth.ended.is_some());
        self.forgotten.extend(over.map(|(pull, _)| pull));
    }

    /// Returns whether the server has acknowledged everything.
    pub(crate) fn is_settled(&self) -> bool {
        self.acked == Some(self.revision)
    }

    pub(crate) fn request(&mut self, second: u64) -> Request {
        self.sequence += 1;
        let full = self.acked.is_none();
        if full {
            self.images_sent.clear();
        }
        let acked = self.acked.unwrap_or(0);
        let changed = |truth: &SimulatedPull| full || truth.revision > acked;
        let pulls: Vec<ReportPull> = self.report_pulls(|_, truth| changed(truth)).collect();
        let named = self.pulls.iter().filter(|(_, t)| changed(t) && t.bytes.is_some());
        let images: BTreeSet<usize> =
            named.map(|(pull, _)| *pull).filter(|pull| !self.images_sent.contains(pull)).collect();
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

    /// Handles the response to a request.
    pub(crate) fn receive_ack(&mut self, request: Request, ack: &ReportAck) {
        let reborn = !self.epoch.is_empty() && self.epoch != ack.server_epoch;
        self.epoch.clone_from(&ack.server_epoch);
        if ack.accepted_seq != request.sequence || ack.need_full || (reborn && !request.full) {
            self.acked = None;
        } else {
            self.acked = Some(request.revision);
            self.images_sent.extend(request.images);
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("w{}", self.node)
    }

    pub(crate) fn id(&self, pull: usize) -> PullId {
        format!("lease~{}~k8s.io~{pull}~0", self.name()).parse().unwrap()
    }

    /// Everything a full report would contain now.
    pub(crate) fn current_pulls(&self) -> impl Iterator<Item = ReportPull> {
        self.report_pulls(|_, _| true)
    }

    fn report_pulls(
        &self,
        which: impl Fn(usize, &SimulatedPull) -> bool,
    ) -> impl Iterator<Item = ReportPull> {
        let pulls = self.pulls.iter().filter(move |(pull, truth)| which(**pull, truth));
        pulls.map(|(pull, truth)| report_pull(&self.id(*pull), *pull, truth))
    }
}

fn image(pull: usize) -> ReportImage {
    let layer = |index| ReportImageLayer {
        // The lowest layer is shared by all images.
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

fn report_pull(id: &PullId, pull: usize, truth: &SimulatedPull) -> ReportPull {
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
        if completed { 100.0 } else { (sum * 8 / total * 10) as f64 }
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
        started_at: time(truth.started),
        downloading_at: truth.bytes.map(|_| time(truth.started)),
        extracting_at: None,
        completed_at: truth.ended.map(|(_, second)| time(second)),
        stalled_since: None,
        slow_since: None,
        stale_since: None,
        layers: truth.bytes.iter().flatten().enumerate().map(layer).collect(),
    }
}

//! A simulated node: pulls five images of ten layers, each for a minute, and then five others.

use pulltrace_agent_lib::Clock;
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::{
    AgentInfo, AgentReport, Dropped, LayerDetail, LayerState, NodeInfo, Phase, ReportImage,
    ReportImageLayer, ReportLayer, ReportPull, SCHEMA_VERSION,
};

use pulltrace_benches::Error;

/// The load of the comparison: five live pulls of ten layers per node.
const PULLS: usize = 5;
const LAYERS: u32 = 10;

/// The number of reports in which a pull is live.
const REPORTS_PER_PULL: u32 = 60;

/// The size of a layer.
const LAYER_BYTES: u64 = 20 << 20;

/// The number of images in the cluster; nodes pull the same ones.
const IMAGE_COUNT: usize = 100;

pub(crate) struct SimulatedNode {
    number: usize,
    clock: Clock,
    started_at: NodeTime,
    sequence: u64,
    pulls: Vec<SimulatedPull>,
}

struct SimulatedPull {
    /// The number of pulls that this slot had before.
    round: u32,
    slot: usize,
    step: u32,
    started_at: NodeTime,
}

impl SimulatedNode {
    pub(crate) fn new(number: usize, clock: Clock) -> Self {
        let now = clock.now().node;
        let pulls = (0..PULLS).map(|slot| SimulatedPull {
            round: 0,
            slot,
            // Staggered, so that pulls do not all start and end together.
            step: ((number * 7 + slot * 13) % REPORTS_PER_PULL as usize) as u32,
            started_at: now,
        });
        Self { number, started_at: now, sequence: 0, pulls: pulls.collect(), clock }
    }

    /// Returns the next second's report as JSON.
    pub(crate) fn next_report(&mut self) -> Result<Vec<u8>, Error> {
        let now = self.clock.now().node;
        self.sequence += 1;
        let full = self.sequence == 1;
        let mut images = Vec::new();
        let mut pulls = Vec::new();
        for pull in &mut self.pulls {
            // The end was reported, so another pull starts in this slot.
            if pull.step == REPORTS_PER_PULL {
                (pull.round, pull.step, pull.started_at) = (pull.round + 1, 0, now);
            }
            if full || pull.step == 0 {
                images.push(image(pull.image(self.number)));
            }
            pull.step += 1;
            pulls.push(pull.to_report(self.number, now));
        }
        let report = AgentReport {
            schema_version: SCHEMA_VERSION.to_owned(),
            node_name: format!("node-{:05}", self.number),
            timestamp: now,
            sequence: self.sequence,
            full,
            agent: AgentInfo {
                version: "0.1.0".to_owned(),
                instance: "bench".to_owned(),
                started_at: self.started_at,
                interval_ms: 5_000,
            },
            node: NodeInfo {
                runtime_version: Some("containerd 2.4.2".to_owned()),
                ..NodeInfo::default()
            },
            images,
            pulls,
            dropped: Dropped::default(),
        };
        Ok(serde_json::to_vec(&report)?)
    }
}

impl SimulatedPull {
    fn image(&self, node: usize) -> usize {
        (node * PULLS + self.slot + self.round as usize * 31) % IMAGE_COUNT
    }

    fn to_report(&self, node: usize, now: NodeTime) -> ReportPull {
        let layers: Vec<_> = (0..LAYERS).map(|index| layer(index, self.step)).collect();
        let downloaded: u64 = layers.iter().map(|layer| layer.bytes).sum();
        let done = |layer: &&ReportLayer| layer.state == LayerState::Complete;
        let extracted = LAYER_BYTES * layers.iter().filter(done).count() as u64;
        let total = LAYER_BYTES * u64::from(LAYERS);
        let phase = match (extracted == total, downloaded == total) {
            (true, _) => Phase::Completed,
            (false, true) => Phase::Extracting,
            (false, false) => Phase::Downloading,
        };
        let lives = phase != Phase::Completed;
        let image = digest(self.image(node), 0);
        ReportPull {
            id: format!(
                "lease~node-{node:05}~k8s.io~{}-{}~{}",
                self.round,
                self.slot,
                self.started_at.unix_nanos()
            ),
            image: Some(image.clone()),
            root_digest: Some(image),
            repository: Some(format!("registry.example/team/app-{}", self.image(node))),
            names: Vec::new(),
            phase,
            failure: None,
            waiting_on: None,
            percent: Some(percent(downloaded, extracted, total)),
            cached_bytes: 0,
            downloaded_bytes: downloaded,
            to_extract_bytes: Some(total),
            extracted_bytes: extracted,
            wasted_bytes: 0,
            bytes_per_sec: (phase == Phase::Downloading).then_some(3_495_253.0),
            eta_seconds: lives.then(|| f64::from(REPORTS_PER_PULL - self.step)),
            eta_low_seconds: lives.then(|| f64::from(REPORTS_PER_PULL - self.step) * 0.8),
            eta_high_seconds: lives.then(|| f64::from(REPORTS_PER_PULL - self.step) * 1.5),
            eta_basis: None,
            started_at: self.started_at,
            downloading_at: Some(self.started_at),
            extracting_at: None,
            completed_at: (!lives).then_some(now),
            stalled_since: None,
            slow_since: None,
            stale_since: None,
            layers,
        }
    }
}

/// The progress of a layer. Three layers download at once; each is unpacked shortly after its
/// download, and the last one with the pull's last step.
fn layer(index: u32, step: u32) -> ReportLayer {
    // A pull takes 52 units; layers start 4 units apart.
    let at = i64::from(step * 52 / REPORTS_PER_PULL) - i64::from(index) * 4;
    let bytes = LAYER_BYTES * u64::try_from(at.clamp(0, 12)).unwrap_or(0) / 12;
    let state = match at {
        ..=0 => LayerState::Waiting,
        1..12 => LayerState::Downloading,
        12..14 => LayerState::Downloaded,
        14..16 => LayerState::Extracting,
        16.. => LayerState::Complete,
    };
    ReportLayer {
        index,
        bytes,
        state,
        detail: LayerDetail {
            bytes_per_sec: (state == LayerState::Downloading).then_some(1_165_084.0),
            started_ms: (at > 0).then_some(i64::from(index) * 4_000),
            ..LayerDetail::default()
        },
    }
}

/// Computes the percentage as agents do, rounded down to tenths.
#[expect(clippy::cast_precision_loss, reason = "at most a few hundred MiB")]
fn percent(downloaded: u64, extracted: u64, total: u64) -> f64 {
    let share = |part: u64| part as f64 / total as f64;
    let percent = 80.0 * share(downloaded) + 20.0 * share(extracted);
    (percent * 10.0).floor() / 10.0
}

fn image(number: usize) -> ReportImage {
    let layers = (0..LAYERS).map(|index| ReportImageLayer {
        digest: digest(number, index + 1),
        size: LAYER_BYTES,
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        created_by: Some(format!("RUN make step-{index} # of image {number}")),
    });
    ReportImage {
        root_digest: digest(number, 0),
        manifest_digests: vec![digest(number, 0)],
        platform: Some("linux/amd64".to_owned()),
        layers: layers.collect(),
    }
}

fn digest(image: usize, part: u32) -> String {
    format!("sha256:{:064x}", image * 64 + part as usize + 1)
}

#[cfg(test)]
mod tests {
    use pulltrace_core::wire::check::{AnyReport, parse};

    use super::*;

    #[test]
    fn simulated_reports_are_valid() {
        let mut node = SimulatedNode::new(3, Clock::system());
        let mut images = std::collections::HashMap::new();
        let mut ends = std::collections::HashSet::new();
        for _ in 0..3 * REPORTS_PER_PULL {
            let report = parse(&node.next_report().unwrap()).unwrap();
            let AnyReport::V1(report) = report else { panic!("version 1") };
            images.extend(report.images.iter().map(|i| (i.root.clone(), i.clone())));
            for pull in report.pulls {
                let image = pull.image().and_then(|root| images.get(root)).cloned();
                let pull = pull.into_pull(image).unwrap();
                // Like an agent, it must report an end only once.
                assert!(pull.ended_at.is_none() || ends.insert(pull.facts.id));
            }
        }
        assert_eq!(ends.len(), 3 * PULLS);
    }
}

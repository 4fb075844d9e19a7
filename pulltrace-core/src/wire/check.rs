//! From a report to the model: parse, don't validate. An agent is not trusted, so what comes out of
//! here was checked, and what does not pass is refused whole.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::v1;
use crate::eta::{Eta, EtaBasis};
use crate::failure::{Failure, FailureReason};
use crate::id::{Digest, NameError, NodeName, PullId};
use crate::image::{Compression, Image, ImageLayer, MAX_LAYERS};
use crate::layer::{Layer, LayerState};
use crate::pull::{Outcome, Phase, Pull};
use crate::reference::{ImageRef, Repository};
use crate::time::NodeTime;
use crate::unit::{Bytes, BytesPerSecond, Percent};
use crate::wait::{WaitingKind, WaitingOn};

/// The most pulls that a report may have: as many live and ended ones as an agent keeps.
pub const MAX_PULLS: usize = 2_000;

/// The most images that a report may have.
pub const MAX_IMAGES: usize = 2_000;

/// The longest text that is no name: a message, a media type, a version.
pub const MAX_TEXT: usize = 1_024;

/// The most bytes, seconds or milliseconds: what a JSON number carries without loss.
pub const MAX_NUMBER: u64 = 1 << 53;

/// The most whole names of one image.
const MAX_NAMES: usize = 64;

/// The most words of anomalies.
const MAX_WORDS: usize = 64;

/// A report that was checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckedReport {
    /// The node.
    pub node: NodeName,
    /// When the state was as told, by the node's clock.
    pub timestamp: NodeTime,
    /// Grows with each report of this agent instance.
    pub sequence: u64,
    /// Whether `pulls` is everything there is.
    pub full: bool,
    /// Who reports.
    pub agent: v1::AgentInfo,
    /// What it watches.
    pub info: v1::NodeInfo,
    /// Images that the server may not know yet.
    pub images: Vec<Arc<Image>>,
    /// The pulls; each id is one of this node, and is there once.
    pub pulls: Vec<CheckedPull>,
    /// What the agent left out or lost.
    pub dropped: v1::Dropped,
}

/// A pull of a report that was checked, but for the image that it names.
#[derive(Clone, Debug)]
pub struct CheckedPull {
    pull: Pull,
    image: Option<Digest>,
    layers: Vec<v1::ReportLayer>,
}

/// A report that cannot be true, and is refused whole. A retry with the same report does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It is of a version that this server does not know.
    #[error("schemaVersion is `{0}`: this server knows v1")]
    Version(String),
    /// A list has too many items, or a text too many bytes.
    #[error("{what} has {found}: at most {most} are accepted")]
    TooMany {
        /// Which.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many may be.
        most: usize,
    },
    /// A text is not the name, digest or reference that it should be.
    #[error("{what} is not accepted")]
    Name {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: NameError,
    },
    /// A number is negative, not finite, or greater than 2^53.
    #[error("{what} is not accepted: 0 to 2^53 is")]
    Number {
        /// Which.
        what: &'static str,
    },
    /// A word is not of the set.
    #[error("{what} is a word that this server does not know")]
    Word {
        /// Which.
        what: &'static str,
    },
    /// A pull is of another node than the report.
    #[error("pull {id} is not of node {node}")]
    OtherNode {
        /// The pull.
        id: PullId,
        /// The report's node.
        node: NodeName,
    },
    /// Two pulls have one id, or two images one root.
    #[error("{0} is there twice")]
    Twice(String),
    /// Two statements contradict each other.
    #[error("pull {id} contradicts itself: {what}")]
    Contradiction {
        /// The pull.
        id: PullId,
        /// How.
        what: &'static str,
    },
}

impl TryFrom<v1::AgentReport> for CheckedReport {
    type Error = ReportError;

    fn try_from(report: v1::AgentReport) -> Result<Self, ReportError> {
        if report.schema_version != v1::SCHEMA_VERSION {
            let shown = report.schema_version.chars().take(64).collect();
            return Err(ReportError::Version(shown));
        }
        let node: NodeName = name("nodeName", &report.node_name)?;
        count("images", report.images.len(), MAX_IMAGES)?;
        count("pulls", report.pulls.len(), MAX_PULLS)?;
        count(
            "dropped.anomalies",
            report.dropped.anomalies.len(),
            MAX_WORDS,
        )?;
        for word in report.dropped.anomalies.keys() {
            count("dropped.anomalies", word.len(), MAX_TEXT)?;
        }
        text("agent.version", Some(&report.agent.version))?;
        text("agent.instance", Some(&report.agent.instance))?;
        text("node.runtimeVersion", report.node.runtime_version.as_ref())?;
        text(
            "node.runtimeNamespace",
            report.node.runtime_namespace.as_ref(),
        )?;
        text("node.snapshotter", report.node.snapshotter.as_ref())?;
        number("sequence", report.sequence)?;
        number("agent.intervalMs", report.agent.interval_ms)?;
        let images = report
            .images
            .iter()
            .map(image)
            .collect::<Result<Vec<_>, _>>()?;
        unique(images.iter().map(|image| &image.root))?;
        let pulls = report.pulls.into_iter().map(|told| pull(told, &node));
        let pulls = pulls.collect::<Result<Vec<_>, _>>()?;
        unique(pulls.iter().map(CheckedPull::id))?;
        Ok(Self {
            node,
            timestamp: report.timestamp,
            sequence: report.sequence,
            full: report.full,
            agent: report.agent,
            info: report.node,
            images,
            pulls,
            dropped: report.dropped,
        })
    }
}

impl CheckedPull {
    /// Which pull.
    #[must_use]
    pub const fn id(&self) -> &PullId {
        &self.pull.id
    }

    /// The root digest of its image, which must be known to make the pull of the model.
    #[must_use]
    pub const fn image(&self) -> Option<&Digest> {
        self.image.as_ref()
    }

    /// The pull of the model, with the image that [`image`](Self::image) names.
    ///
    /// # Errors
    /// Where the layers are not those of the image, or have more bytes than it says.
    pub fn into_pull(self, image: Option<Arc<Image>>) -> Result<Pull, ReportError> {
        let Self {
            mut pull, layers, ..
        } = self;
        let wrong = |what| ReportError::Contradiction {
            id: pull.id.clone(),
            what,
        };
        let Some(image) = image else {
            return if layers.is_empty() {
                Ok(pull)
            } else {
                Err(wrong("it has layers, but no image"))
            };
        };
        let total = image.total();
        if pull.cached + pull.downloaded > total {
            return Err(wrong("more bytes are here than the image has"));
        }
        let mut seen = BTreeSet::new();
        let mut made = Vec::with_capacity(layers.len());
        for told in layers {
            let index = told.index as usize;
            let Some(known) = image.layers.get(index) else {
                return Err(wrong("it has a layer that its image does not have"));
            };
            if !seen.insert(index) {
                return Err(wrong("it has a layer twice"));
            }
            if told.bytes > known.size.0 {
                return Err(wrong("a layer has more bytes than its image says"));
            }
            made.push(layer(told, known, pull.started_at)?);
        }
        pull.layers = made;
        pull.total = Some(total);
        pull.to_download = Some(Bytes(total.0.saturating_sub(pull.cached.0)));
        pull.image = Some(image);
        Ok(pull)
    }
}

fn image(told: &v1::ReportImage) -> Result<Arc<Image>, ReportError> {
    count("images.layers", told.layers.len(), MAX_LAYERS)?;
    count(
        "images.manifestDigests",
        told.manifest_digests.len(),
        MAX_NAMES,
    )?;
    text("images.platform", told.platform.as_ref())?;
    let manifests = told.manifest_digests.iter();
    let manifests = manifests.map(|digest| name("images.manifestDigests", digest));
    let layers = told.layers.iter().map(|layer| {
        text("images.layers.mediaType", Some(&layer.media_type))?;
        text("images.layers.createdBy", layer.created_by.as_ref())?;
        Ok(ImageLayer {
            digest: name("images.layers.digest", &layer.digest)?,
            size: Bytes(number("images.layers.size", layer.size)?),
            chains: Vec::new(),
            compression: Compression::of(&layer.media_type),
            media_type: layer.media_type.clone(),
            created_by: layer.created_by.clone(),
        })
    });
    let image = Image {
        root: name("images.rootDigest", &told.root_digest)?,
        manifests: manifests.collect::<Result<_, _>>()?,
        platform: told.platform.clone(),
        layers: layers.collect::<Result<Vec<_>, ReportError>>()?,
    };
    unique(image.layers.iter().map(|layer| &layer.digest))?;
    number("images.layers.size", image.total().0)?;
    Ok(Arc::new(image))
}

fn pull(told: v1::ReportPull, node: &NodeName) -> Result<CheckedPull, ReportError> {
    let id: PullId = name("pulls.id", &told.id)?;
    if id.node() != node {
        let node = node.clone();
        return Err(ReportError::OtherNode { id, node });
    }
    count("pulls.names", told.names.len(), MAX_NAMES)?;
    count("pulls.layers", told.layers.len(), MAX_LAYERS)?;
    let phase = phase(told.phase)?;
    let percent = told
        .percent
        .map(|percent| real("pulls.percent", percent))
        .transpose()?;
    let wrong = |what| ReportError::Contradiction {
        id: id.clone(),
        what,
    };
    if percent.is_some_and(|percent| percent > 100.0) {
        return Err(wrong("it is further than 100 %"));
    }
    if percent.is_some_and(|percent| percent >= 100.0) && phase != Phase::Ended(Outcome::Completed)
    {
        return Err(wrong("it is at 100 %, but not completed"));
    }
    if phase.outcome().is_some() != told.completed_at.is_some() {
        return Err(wrong("an end without its time, or a time without an end"));
    }
    if told.failure.is_some() && phase.outcome() != Some(Outcome::Failed) {
        return Err(wrong("it has a failure, but did not fail"));
    }
    let image = told
        .image
        .as_ref()
        .map(|digest| name("pulls.image", digest))
        .transpose()?;
    let root: Option<Digest> = told
        .root_digest
        .as_ref()
        .map(|digest| name("pulls.rootDigest", digest))
        .transpose()?;
    if image.is_some() && image != root {
        return Err(wrong("its image is not that of its root"));
    }
    let pull = Pull {
        phase,
        failure: told.failure.map(failure).transpose()?,
        root,
        repository: told.repository.as_deref().map(repository).transpose()?,
        names: told
            .names
            .iter()
            .map(|text| name::<ImageRef>("pulls.names", text))
            .collect::<Result<_, _>>()?,
        image: None,
        layers: Vec::new(),
        started_at: told.started_at,
        resolved_at: told.downloading_at,
        downloaded_at: told.extracting_at,
        ended_at: told.completed_at,
        percent: percent.map(|percent| Percent::from_share(percent / 100.0)),
        total: None,
        cached: Bytes(number("pulls.cachedBytes", told.cached_bytes)?),
        to_download: None,
        downloaded: Bytes(number("pulls.downloadedBytes", told.downloaded_bytes)?),
        to_extract: told
            .to_extract_bytes
            .map(|bytes| number("pulls.toExtractBytes", bytes).map(Bytes))
            .transpose()?,
        extracted: Bytes(number("pulls.extractedBytes", told.extracted_bytes)?),
        wasted: Bytes(number("pulls.wastedBytes", told.wasted_bytes)?),
        rate: rate("pulls.bytesPerSec", told.bytes_per_sec)?,
        eta: eta(
            told.eta_seconds,
            told.eta_low_seconds,
            told.eta_high_seconds,
            told.eta_basis,
        )?,
        waiting_on: told.waiting_on.map(waiting).transpose()?,
        stalled_since: told.stalled_since,
        slow_since: told.slow_since,
        stale_since: told.stale_since,
        id: id.clone(),
    };
    Ok(CheckedPull {
        pull,
        image,
        layers: told.layers,
    })
}

fn layer(told: v1::ReportLayer, known: &ImageLayer, start: NodeTime) -> Result<Layer, ReportError> {
    let detail = told.detail;
    let at = |millis: Option<i64>| {
        millis
            .map(|millis| {
                number("pulls.layers", millis.unsigned_abs())?;
                let by = Duration::from_millis(millis.unsigned_abs());
                Ok(if millis < 0 {
                    start.saturating_sub(by)
                } else {
                    start.saturating_add(by)
                })
            })
            .transpose()
    };
    Ok(Layer {
        digest: known.digest.clone(),
        size: known.size,
        state: layer_state(told.state)?,
        blob_cached: detail.blob_cached,
        downloaded: Bytes(told.bytes),
        unpacked_bytes: detail
            .unpacked_bytes
            .map(|bytes| number("pulls.layers", bytes).map(Bytes))
            .transpose()?,
        rate: rate("pulls.layers", detail.bytes_per_sec)?,
        waiting_on: detail.waiting_on.map(waiting).transpose()?,
        started_at: at(detail.started_ms)?,
        downloaded_at: at(detail.downloaded_ms)?,
        extracting_at: at(detail.extracting_ms)?,
        completed_at: at(detail.completed_ms)?,
    })
}

fn failure(told: v1::Failure) -> Result<Failure, ReportError> {
    text("pulls.failure.reason", Some(&told.reason))?;
    text("pulls.failure.message", told.message.as_ref())?;
    Ok(Failure {
        reason: FailureReason::of(&told.reason),
        message: told.message,
    })
}

fn waiting(told: v1::WaitingOn) -> Result<WaitingOn, ReportError> {
    let kind = match told.kind {
        v1::WaitingKind::DownloadSlot => WaitingKind::DownloadSlot,
        v1::WaitingKind::SharedLayer => WaitingKind::SharedLayer,
        v1::WaitingKind::ParentLayer => WaitingKind::ParentLayer,
        v1::WaitingKind::Registry => WaitingKind::Registry,
        v1::WaitingKind::Other => {
            return Err(ReportError::Word {
                what: "waitingOn.kind",
            });
        }
    };
    Ok(WaitingOn {
        kind,
        since: told.since,
        pull: told
            .pull
            .map(|pull| name("waitingOn.pull", &pull))
            .transpose()?,
        layer: told
            .layer
            .map(|layer| name("waitingOn.layer", &layer))
            .transpose()?,
    })
}

fn phase(word: v1::Phase) -> Result<Phase, ReportError> {
    Ok(match word {
        v1::Phase::Resolving => Phase::Resolving,
        v1::Phase::Downloading => Phase::Downloading,
        v1::Phase::Extracting => Phase::Extracting,
        v1::Phase::Completed => Phase::Ended(Outcome::Completed),
        v1::Phase::Failed => Phase::Ended(Outcome::Failed),
        v1::Phase::Cancelled => Phase::Ended(Outcome::Cancelled),
        v1::Phase::Unknown => Phase::Ended(Outcome::Unknown),
        v1::Phase::Other => {
            return Err(ReportError::Word {
                what: "pulls.phase",
            });
        }
    })
}

fn layer_state(word: v1::LayerState) -> Result<LayerState, ReportError> {
    Ok(match word {
        v1::LayerState::Waiting => LayerState::Waiting,
        v1::LayerState::Downloading => LayerState::Downloading,
        v1::LayerState::Downloaded => LayerState::Downloaded,
        v1::LayerState::Extracting => LayerState::Extracting,
        v1::LayerState::Complete => LayerState::Complete,
        v1::LayerState::Cached => LayerState::Cached,
        v1::LayerState::Remote => LayerState::Remote,
        v1::LayerState::Other => {
            return Err(ReportError::Word {
                what: "pulls.layers",
            });
        }
    })
}

fn eta(
    left: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    basis: Option<v1::EtaBasis>,
) -> Result<Option<Eta>, ReportError> {
    let Some(left) = left else { return Ok(None) };
    let span = |seconds: f64| {
        let seconds = real("pulls.etaSeconds", seconds)?;
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    };
    Ok(Some(Eta {
        left: span(left)?,
        low: span(low.unwrap_or(left))?,
        high: span(high.unwrap_or(left))?,
        basis: match basis {
            Some(v1::EtaBasis::Learned) => EtaBasis::Learned,
            // What rests on nothing known is assumed.
            Some(v1::EtaBasis::Assumed | v1::EtaBasis::Other) | None => EtaBasis::Assumed,
        },
    }))
}

fn repository(text: &str) -> Result<Repository, ReportError> {
    let (host, path) = text.split_once('/').unwrap_or(("", text));
    Repository::new(host, path).map_err(|source| ReportError::Name {
        what: "pulls.repository",
        source,
    })
}

fn rate(what: &'static str, told: Option<f64>) -> Result<Option<BytesPerSecond>, ReportError> {
    let told = told.map(|told| real(what, told)).transpose()?;
    Ok(told.and_then(BytesPerSecond::new))
}

fn name<T: std::str::FromStr<Err = NameError>>(
    what: &'static str,
    text: &str,
) -> Result<T, ReportError> {
    text.parse()
        .map_err(|source| ReportError::Name { what, source })
}

fn count(what: &'static str, found: usize, most: usize) -> Result<(), ReportError> {
    if found > most {
        return Err(ReportError::TooMany { what, found, most });
    }
    Ok(())
}

fn text(what: &'static str, text: Option<&String>) -> Result<(), ReportError> {
    count(what, text.map_or(0, String::len), MAX_TEXT)
}

fn number(what: &'static str, number: u64) -> Result<u64, ReportError> {
    if number > MAX_NUMBER {
        return Err(ReportError::Number { what });
    }
    Ok(number)
}

#[expect(clippy::cast_precision_loss, reason = "2^53 is exact")]
fn real(what: &'static str, number: f64) -> Result<f64, ReportError> {
    if (0.0..=MAX_NUMBER as f64).contains(&number) {
        Ok(number)
    } else {
        Err(ReportError::Number { what })
    }
}

fn unique<'a, T: Ord + ToString + 'a>(
    items: impl Iterator<Item = &'a T>,
) -> Result<(), ReportError> {
    let mut seen = BTreeSet::new();
    for item in items {
        if !seen.insert(item) {
            return Err(ReportError::Twice(item.to_string()));
        }
    }
    Ok(())
}

//! What changes of a pull, and how it becomes one of the model.

use std::sync::Arc;
use std::time::Duration;

use super::ReportError;
use super::bound::{MAX_NAMES, count, name, number, real, text};
use crate::eta::Eta;
use crate::failure::Failure;
use crate::id::{Digest, NodeName, PullId};
use crate::image::{Image, ImageLayer, MAX_LAYERS};
use crate::layer::{Layer, LayerState};
use crate::pull::{Outcome, Phase, Pull};
use crate::reference::{ImageRef, Repository};
use crate::unit::{Bytes, BytesPerSecond, Percent};
use crate::wait::WaitingOn;
use crate::wire::v1;
use crate::wire::words::UnknownWord;

/// A pull of a report that was checked, but for the image that it names.
#[derive(Clone, Debug)]
pub struct CheckedPull {
    pull: Pull,
    image: Option<Digest>,
    layers: Vec<v1::ReportLayer>,
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
    /// Where the image is another one, the layers are not its layers, or the bytes are not those
    /// that such layers can have.
    pub fn into_pull(self, image: Option<Arc<Image>>) -> Result<Pull, ReportError> {
        let Self {
            mut pull, layers, ..
        } = self;
        let wrong = wrong(pull.id.clone());
        if image.as_ref().map(|image| &image.root) != self.image.as_ref() {
            return Err(wrong("its image is not the one that it names"));
        }
        let Some(image) = image else {
            return Ok(pull);
        };
        let total = image.total();
        let to_download = Bytes(total.0.saturating_sub(pull.cached.0));
        if pull.cached + pull.downloaded > total {
            return Err(wrong("more bytes are here than the image has"));
        }
        if pull.to_extract.is_some_and(|bytes| bytes > total) {
            return Err(wrong("more bytes are to be unpacked than the image has"));
        }
        let all_here = matches!(
            pull.phase,
            Phase::Extracting | Phase::Ended(Outcome::Completed)
        );
        if all_here && pull.downloaded < to_download {
            return Err(wrong("bytes are to come in a phase that has them all"));
        }
        let completed = pull.outcome() == Some(Outcome::Completed);
        let to_extract = pull.to_extract.unwrap_or(pull.extracted);
        if completed && pull.extracted < to_extract {
            return Err(wrong("it is completed, but not unpacked"));
        }
        pull.layers = made(layers, &image, &pull, &wrong)?;
        if completed && !pull.layers.iter().all(|layer| layer.state.is_done()) {
            return Err(wrong("it is completed, but a layer is not"));
        }
        pull.total = Some(total);
        pull.to_download = Some(to_download);
        pull.image = Some(image);
        Ok(pull)
    }
}

fn wrong(id: PullId) -> impl Fn(&'static str) -> ReportError {
    move |what| ReportError::Contradiction {
        id: id.clone(),
        what,
    }
}

pub(super) fn pull(told: v1::ReportPull, node: &NodeName) -> Result<CheckedPull, ReportError> {
    let id: PullId = name("pulls.id", &told.id)?;
    if id.node() != node {
        let node = node.clone();
        return Err(ReportError::OtherNode { id, node });
    }
    count("pulls.names", told.names.len(), MAX_NAMES)?;
    count("pulls.layers", told.layers.len(), MAX_LAYERS)?;
    let digest =
        |what, told: &Option<String>| told.as_ref().map(|told| name(what, told)).transpose();
    let image: Option<Digest> = digest("pulls.image", &told.image)?;
    let names = told.names.iter();
    let names = names.map(|text| name::<ImageRef>("pulls.names", text));
    let percent = told.percent.map(|told| real("pulls.percent", told));
    let percent = percent.transpose()?;
    let pull = Pull {
        phase: word("pulls.phase", told.phase)?,
        failure: told.failure.map(failure).transpose()?,
        root: digest("pulls.rootDigest", &told.root_digest)?,
        repository: told.repository.as_deref().map(repository).transpose()?,
        names: names.collect::<Result<_, _>>()?,
        image: None,
        layers: Vec::new(),
        started_at: told.started_at,
        resolved_at: told.downloading_at,
        downloaded_at: told.extracting_at,
        ended_at: told.completed_at,
        percent: percent.map(Percent::new),
        total: None,
        cached: Bytes(number("pulls.cachedBytes", told.cached_bytes)?),
        to_download: None,
        downloaded: Bytes(number("pulls.downloadedBytes", told.downloaded_bytes)?),
        to_extract: bytes("pulls.toExtractBytes", told.to_extract_bytes)?,
        extracted: Bytes(number("pulls.extractedBytes", told.extracted_bytes)?),
        wasted: Bytes(number("pulls.wastedBytes", told.wasted_bytes)?),
        rate: rate("pulls.bytesPerSec", told.bytes_per_sec)?,
        eta: eta(
            told.eta_seconds,
            told.eta_low_seconds,
            told.eta_high_seconds,
            told.eta_basis,
        )?,
        waiting_on: told
            .waiting_on
            .map(|told| waiting(&told, node))
            .transpose()?,
        stalled_since: told.stalled_since,
        slow_since: told.slow_since,
        stale_since: told.stale_since,
        id,
    };
    let told = CheckedPull {
        pull,
        image,
        layers: told.layers,
    };
    contradiction(&told, percent).map_or(Ok(()), |what| Err(wrong(told.id().clone())(what)))?;
    Ok(told)
}

/// What cannot be true of a pull, whatever its image is. An image that is too large for a report may not be
/// told at all. Times are not compared: clocks are set.
fn contradiction(told: &CheckedPull, percent: Option<f64>) -> Option<&'static str> {
    let pull = &told.pull;
    let outcome = pull.outcome();
    let completed = outcome == Some(Outcome::Completed);
    let moves = pull.rate.is_some() || pull.eta.is_some() || pull.waiting_on.is_some();
    let to_extract = pull.to_extract.unwrap_or(pull.extracted);
    let announced = matches!(pull.id, PullId::Announced { .. });
    [
        (
            announced || pull.phase == Phase::Queued,
            "only a server knows what the kubelet announced",
        ),
        (
            percent.is_some_and(|percent| percent > 100.0),
            "it is further than 100 %",
        ),
        (
            percent.is_some_and(|percent| (percent >= 100.0) != completed),
            "100 % is of what is completed, and only of that",
        ),
        (
            outcome.is_some() != pull.ended_at.is_some(),
            "an end without its time, or a time without an end",
        ),
        (
            pull.failure.is_some() && outcome != Some(Outcome::Failed),
            "it has a failure, but did not fail",
        ),
        (
            outcome.is_some() && (moves || pull.stalled_since.is_some()),
            "it is over, but has a speed, a time left or something to wait for",
        ),
        (
            told.image.is_some() && told.image != pull.root,
            "its image is not that of its root",
        ),
        (
            told.image.is_some() && pull.phase == Phase::Resolving,
            "it is resolving, but its image is known",
        ),
        (
            told.image.is_none() && !told.layers.is_empty(),
            "it has layers, but no image",
        ),
        (
            pull.extracted > to_extract,
            "more is unpacked than there is to unpack",
        ),
    ]
    .into_iter()
    .find_map(|(wrong, what)| wrong.then_some(what))
}

/// All layers of the image, or none: those of a pull that ended long ago may not be kept.
fn made(
    mut told: Vec<v1::ReportLayer>,
    image: &Image,
    pull: &Pull,
    wrong: &impl Fn(&'static str) -> ReportError,
) -> Result<Vec<Layer>, ReportError> {
    told.sort_by_key(|layer| layer.index);
    let places = told.iter().map(|layer| layer.index as usize);
    if !told.is_empty() && !places.eq(0..image.layers.len()) {
        return Err(wrong("its layers are not each layer of its image once"));
    }
    // Collecting results would grow it by steps, and leave room that is kept as long as the pull.
    let mut layers = Vec::with_capacity(told.len());
    for (told, known) in told.into_iter().zip(&image.layers) {
        layers.push(layer(told, known, pull, wrong)?);
    }
    Ok(layers)
}

fn layer(
    told: v1::ReportLayer,
    known: &ImageLayer,
    pull: &Pull,
    wrong: &impl Fn(&'static str) -> ReportError,
) -> Result<Layer, ReportError> {
    let state: LayerState = word("pulls.layers", told.state)?;
    let downloaded = Bytes(told.bytes);
    let possible = match state {
        LayerState::Waiting | LayerState::Remote => downloaded == Bytes::ZERO,
        LayerState::Downloading => downloaded <= known.size,
        LayerState::Downloaded
        | LayerState::Extracting
        | LayerState::Complete
        | LayerState::Cached => downloaded == known.size,
    };
    if !possible {
        return Err(wrong("a layer has bytes that its state cannot have"));
    }
    let detail = told.detail;
    let start = pull.started_at;
    let after = |millis: i64| {
        number("pulls.layers", millis.unsigned_abs())?;
        let by = Duration::from_millis(millis.unsigned_abs());
        Ok(if millis < 0 {
            start.saturating_sub(by)
        } else {
            start.saturating_add(by)
        })
    };
    let waits = detail.waiting_on.map(|told| waiting(&told, pull.id.node()));
    let at = |millis: Option<i64>| millis.map(after).transpose();
    Ok(Layer {
        digest: known.digest.clone(),
        size: known.size,
        state,
        blob_cached: detail.blob_cached,
        downloaded,
        unpacked_bytes: bytes("pulls.layers", detail.unpacked_bytes)?,
        rate: rate("pulls.layers", detail.bytes_per_sec)?,
        waiting_on: waits.transpose()?.map(Box::new),
        started_at: at(detail.started_ms)?,
        downloaded_at: at(detail.downloaded_ms)?,
        extracting_at: at(detail.extracting_ms)?,
        completed_at: at(detail.completed_ms)?,
    })
}

fn failure(told: v1::Failure) -> Result<Failure, ReportError> {
    text("pulls.failure.message", told.message.as_ref())?;
    Ok(Failure {
        reason: told.reason.into(),
        message: told.message,
    })
}

fn waiting(told: &v1::WaitingOn, node: &NodeName) -> Result<WaitingOn, ReportError> {
    let pull = told.pull.as_ref();
    let pull: Option<PullId> = pull.map(|id| name("waitingOn.pull", id)).transpose()?;
    if let Some(id) = pull.clone().filter(|id| id.node() != node) {
        let node = node.clone();
        return Err(ReportError::OtherNode { id, node });
    }
    let layer = told.layer.as_ref();
    Ok(WaitingOn {
        kind: word("waitingOn.kind", told.kind)?,
        since: told.since,
        pull,
        layer: layer
            .map(|told| name("waitingOn.layer", told))
            .transpose()?,
        // Only a server knows a queue.
        ahead: None,
        left: None,
    })
}

/// A time without end is the longest there is. The range has the best guess in it.
fn eta(
    left: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    basis: Option<v1::EtaBasis>,
) -> Result<Option<Eta>, ReportError> {
    let span = |seconds: f64| {
        let seconds = real("pulls.etaSeconds", seconds)?;
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    };
    let (left, low, high) = (
        left.map(span).transpose()?,
        low.map(span).transpose()?,
        high.map(span).transpose()?,
    );
    Ok(left.map(|left| Eta {
        left,
        low: low.unwrap_or(left).min(left),
        high: high.unwrap_or(left).max(left),
        basis: basis.into(),
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

fn bytes(what: &'static str, told: Option<u64>) -> Result<Option<Bytes>, ReportError> {
    told.map(|told| number(what, told).map(Bytes)).transpose()
}

fn word<W, M: TryFrom<W, Error = UnknownWord>>(
    what: &'static str,
    told: W,
) -> Result<M, ReportError> {
    M::try_from(told).map_err(|UnknownWord| ReportError::Word { what })
}

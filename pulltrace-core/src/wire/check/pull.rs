//! Checks the mutable data of a pull and converts it to the model.

use std::sync::Arc;
use std::time::Duration;

use super::error::ReportError;
use super::limits::{MAX_NAMES, check_count, check_float, check_number, check_text, parse_name};
use crate::eta::Eta;
use crate::failure::Failure;
use crate::id::{Digest, NodeName, PullId};
use crate::image::{Image, ImageLayer, MAX_LAYERS};
use crate::layer::{Layer, LayerFacts, LayerMotion, LayerState};
use crate::pull::{Motion, Outcome, Phase, Pull, PullFacts};
use crate::reference::{ImageRef, Repository};
use crate::unit::{Bytes, BytesPerSecond, Percent};
use crate::wait::WaitingOn;
use crate::wire::v1;
use crate::wire::v1::UnknownVariant;

/// A checked pull of a report, without its image.
#[derive(Clone, Debug)]
pub struct CheckedPull {
    pull: Pull,
    image: Option<Digest>,
    layers: Vec<v1::ReportLayer>,
}

impl CheckedPull {
    /// Returns the id.
    #[must_use]
    pub const fn id(&self) -> &PullId {
        &self.pull.facts.id
    }

    /// Returns the root digest of its image, which is needed to convert the pull to the model.
    #[must_use]
    pub const fn image(&self) -> Option<&Digest> {
        self.image.as_ref()
    }

    /// Converts to the model, with the image that [`image`](Self::image) refers to.
    ///
    /// # Errors
    /// If the image is another one, the layers are not its layers, or the byte counts are
    /// impossible for these layers.
    pub fn into_pull(self, image: Option<Arc<Image>>) -> Result<Pull, ReportError> {
        let Self { mut pull, layers, .. } = self;
        let wrong = inconsistent(pull.id.clone());
        if image.as_ref().map(|image| &image.root) != self.image.as_ref() {
            return Err(wrong("the image is not the referenced one"));
        }
        let Some(image) = image else {
            return Ok(pull);
        };
        let total = image.total();
        let to_download = Bytes(total.0.saturating_sub(pull.cached.0));
        if pull.cached + pull.motion.downloaded > total {
            return Err(wrong("more bytes are present than the image has"));
        }
        if pull.to_extract.is_some_and(|bytes| bytes > total) {
            return Err(wrong("more bytes to unpack than the image has"));
        }
        let all_here = matches!(pull.phase, Phase::Extracting | Phase::Ended(Outcome::Completed));
        if all_here && pull.motion.downloaded < to_download {
            return Err(wrong("bytes are missing in a phase that requires all"));
        }
        let completed = pull.outcome() == Some(Outcome::Completed);
        let to_extract = pull.to_extract.unwrap_or(pull.motion.extracted);
        if completed && pull.motion.extracted < to_extract {
            return Err(wrong("completed, but not unpacked"));
        }
        pull.layers = check_layers(layers, &image, &pull, &wrong)?;
        if completed && !pull.layers.iter().all(|layer| layer.state.is_done()) {
            return Err(wrong("completed, but a layer is not"));
        }
        pull.total = Some(total);
        pull.to_download = Some(to_download);
        pull.image = Some(image);
        Ok(pull)
    }
}

fn inconsistent(id: PullId) -> impl Fn(&'static str) -> ReportError {
    move |what| ReportError::Inconsistent { id: id.clone(), what }
}

pub(super) fn check_pull(
    reported: v1::ReportPull,
    node: &NodeName,
) -> Result<CheckedPull, ReportError> {
    let id: PullId = parse_name("pulls.id", &reported.id)?;
    if id.node() != node {
        let node = node.clone();
        return Err(ReportError::WrongNode { id, node });
    }
    check_count("pulls.names", reported.names.len(), MAX_NAMES)?;
    check_count("pulls.layers", reported.layers.len(), MAX_LAYERS)?;
    let digest =
        |what, told: &Option<String>| told.as_ref().map(|told| parse_name(what, told)).transpose();
    let image: Option<Digest> = digest("pulls.image", &reported.image)?;
    let names = reported.names.iter();
    let names = names.map(|text| parse_name::<ImageRef>("pulls.names", text));
    let percent = reported.percent.map(|told| check_float("pulls.percent", told));
    let percent = percent.transpose()?;
    let facts = PullFacts {
        phase: known_variant("pulls.phase", reported.phase)?,
        failure: reported.failure.map(check_failure).transpose()?,
        root: digest("pulls.rootDigest", &reported.root_digest)?,
        repository: reported.repository.as_deref().map(parse_repository).transpose()?,
        names: names.collect::<Result<_, _>>()?,
        image: None,
        started_at: reported.started_at,
        resolved_at: reported.downloading_at,
        downloaded_at: reported.extracting_at,
        ended_at: reported.completed_at,
        total: None,
        cached: Bytes(check_number("pulls.cachedBytes", reported.cached_bytes)?),
        to_download: None,
        to_extract: check_bytes("pulls.toExtractBytes", reported.to_extract_bytes)?,
        wasted: Bytes(check_number("pulls.wastedBytes", reported.wasted_bytes)?),
        waiting_on: reported.waiting_on.map(|told| check_waiting(&told, node)).transpose()?,
        stalled_since: reported.stalled_since,
        slow_since: reported.slow_since,
        stale_since: reported.stale_since,
        id,
    };
    let motion = Motion {
        percent: percent.map(Percent::new),
        downloaded: Bytes(check_number("pulls.downloadedBytes", reported.downloaded_bytes)?),
        extracted: Bytes(check_number("pulls.extractedBytes", reported.extracted_bytes)?),
        rate: check_rate("pulls.bytesPerSec", reported.bytes_per_sec)?,
        eta: check_eta(
            reported.eta_seconds,
            reported.eta_low_seconds,
            reported.eta_high_seconds,
            reported.eta_basis,
        )?,
    };
    let pull = Pull { facts, motion, layers: Vec::new() };
    let checked = CheckedPull { pull, image, layers: reported.layers };
    find_inconsistency(&checked, percent)
        .map_or(Ok(()), |what| Err(inconsistent(checked.id().clone())(what)))?;
    Ok(checked)
}

/// Finds contradictions that do not depend on the image, which is missing if it is too large for a
/// report. Times are not compared, as clocks may be adjusted.
fn find_inconsistency(checked: &CheckedPull, percent: Option<f64>) -> Option<&'static str> {
    let pull = &checked.pull;
    let outcome = pull.outcome();
    let completed = outcome == Some(Outcome::Completed);
    let moves =
        pull.motion.rate.is_some() || pull.motion.eta.is_some() || pull.waiting_on.is_some();
    let to_extract = pull.to_extract.unwrap_or(pull.motion.extracted);
    let announced = matches!(pull.id, PullId::Announced { .. });
    [
        (
            announced || pull.phase == Phase::Queued,
            "agents cannot report announced or queued pulls",
        ),
        (percent.is_some_and(|percent| percent > 100.0), "the progress exceeds 100 %"),
        (
            percent.is_some_and(|percent| (percent >= 100.0) != completed),
            "a pull has 100 % if and only if it is completed",
        ),
        (
            outcome.is_some() != pull.ended_at.is_some(),
            "an outcome without an end time, or an end time without an outcome",
        ),
        (
            pull.failure.is_some() && outcome != Some(Outcome::Failed),
            "a failure is set, but the outcome is not failed",
        ),
        (
            outcome.is_some() && (moves || pull.stalled_since.is_some()),
            "ended, but with a rate, a remaining time, a wait or a stall",
        ),
        (
            checked.image.is_some() && checked.image != pull.root,
            "the image differs from the root digest",
        ),
        (
            checked.image.is_some() && pull.phase == Phase::Resolving,
            "resolving, but the image is known",
        ),
        (checked.image.is_none() && !checked.layers.is_empty(), "layers without an image"),
        (pull.motion.extracted > to_extract, "more bytes unpacked than to unpack"),
    ]
    .into_iter()
    .find_map(|(wrong, what)| wrong.then_some(what))
}

/// Checks the layers: all of the image, or none, as those of old pulls may have been dropped.
fn check_layers(
    mut reported: Vec<v1::ReportLayer>,
    image: &Image,
    pull: &Pull,
    wrong: &impl Fn(&'static str) -> ReportError,
) -> Result<Vec<Layer>, ReportError> {
    reported.sort_by_key(|layer| layer.index);
    let places = reported.iter().map(|layer| layer.index as usize);
    if !reported.is_empty() && !places.eq(0..image.layers.len()) {
        return Err(wrong("the layers differ from those of the image"));
    }
    // Collecting results would grow the vector in steps, and its spare capacity would be kept as
    // long as the pull.
    let mut layers = Vec::with_capacity(reported.len());
    for (layer, known) in reported.into_iter().zip(&image.layers) {
        layers.push(check_layer(layer, known, pull, wrong)?);
    }
    Ok(layers)
}

fn check_layer(
    reported: v1::ReportLayer,
    known: &ImageLayer,
    pull: &Pull,
    wrong: &impl Fn(&'static str) -> ReportError,
) -> Result<Layer, ReportError> {
    let state: LayerState = known_variant("pulls.layers", reported.state)?;
    let downloaded = Bytes(reported.bytes);
    let possible = match state {
        LayerState::Waiting | LayerState::Remote => downloaded == Bytes::ZERO,
        LayerState::Downloading => downloaded <= known.size,
        LayerState::Downloaded
        | LayerState::Extracting
        | LayerState::Complete
        | LayerState::Cached => downloaded == known.size,
    };
    if !possible {
        return Err(wrong("the bytes of a layer are impossible in its state"));
    }
    let detail = reported.detail;
    let start = pull.started_at;
    let after = |millis: i64| {
        check_number("pulls.layers", millis.unsigned_abs())?;
        let by = Duration::from_millis(millis.unsigned_abs());
        Ok(if millis < 0 { start.saturating_sub(by) } else { start.saturating_add(by) })
    };
    let waits = detail.waiting_on.map(|told| check_waiting(&told, pull.id.node()));
    let at = |millis: Option<i64>| millis.map(after).transpose();
    let facts = LayerFacts {
        digest: known.digest.clone(),
        size: known.size,
        state,
        blob_cached: detail.blob_cached,
        waiting_on: waits.transpose()?.map(Box::new),
        started_at: at(detail.started_ms)?,
        downloaded_at: at(detail.downloaded_ms)?,
        extracting_at: at(detail.extracting_ms)?,
        completed_at: at(detail.completed_ms)?,
    };
    let motion = LayerMotion {
        downloaded,
        unpacked_bytes: check_bytes("pulls.layers", detail.unpacked_bytes)?,
        rate: check_rate("pulls.layers", detail.bytes_per_sec)?,
    };
    Ok(Layer { facts, motion })
}

fn check_failure(reported: v1::Failure) -> Result<Failure, ReportError> {
    check_text("pulls.failure.message", reported.message.as_ref())?;
    Ok(Failure { reason: reported.reason, message: reported.message })
}

fn check_waiting(reported: &v1::WaitingOn, node: &NodeName) -> Result<WaitingOn, ReportError> {
    let pull = reported.pull.as_ref();
    let pull: Option<PullId> = pull.map(|id| parse_name("waitingOn.pull", id)).transpose()?;
    if let Some(id) = pull.clone().filter(|id| id.node() != node) {
        let node = node.clone();
        return Err(ReportError::WrongNode { id, node });
    }
    let layer = reported.layer.as_ref();
    Ok(WaitingOn {
        kind: known_variant("waitingOn.kind", reported.kind)?,
        since: reported.since,
        pull,
        layer: layer.map(|told| parse_name("waitingOn.layer", told)).transpose()?,
        // Only a server knows the queue.
        ahead: None,
        left: None,
    })
}

/// Checks the remaining time. A value that is too large becomes the maximum, and the range is
/// extended to contain the estimate.
fn check_eta(
    left: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    basis: Option<v1::EtaBasis>,
) -> Result<Option<Eta>, ReportError> {
    let span = |seconds: f64| {
        let seconds = check_float("pulls.etaSeconds", seconds)?;
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    };
    let (left, low, high) =
        (left.map(span).transpose()?, low.map(span).transpose()?, high.map(span).transpose()?);
    Ok(left.map(|left| Eta {
        left,
        low: low.unwrap_or(left).min(left),
        high: high.unwrap_or(left).max(left),
        basis: basis.into(),
    }))
}

fn parse_repository(text: &str) -> Result<Repository, ReportError> {
    let (host, path) = text.split_once('/').unwrap_or(("", text));
    Repository::new(host, path)
        .map_err(|source| ReportError::InvalidName { what: "pulls.repository", source })
}

fn check_rate(
    what: &'static str,
    reported: Option<f64>,
) -> Result<Option<BytesPerSecond>, ReportError> {
    let rate = reported.map(|told| check_float(what, told)).transpose()?;
    Ok(rate.and_then(BytesPerSecond::new))
}

fn check_bytes(what: &'static str, reported: Option<u64>) -> Result<Option<Bytes>, ReportError> {
    reported.map(|told| check_number(what, told).map(Bytes)).transpose()
}

fn known_variant<W, M: TryFrom<W, Error = UnknownVariant>>(
    what: &'static str,
    value: W,
) -> Result<M, ReportError> {
    M::try_from(value).map_err(|UnknownVariant| ReportError::UnknownVariant { what })
}

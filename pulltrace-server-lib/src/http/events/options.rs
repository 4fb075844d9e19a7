//! The options of a stream, and the position of its reader.

use crate::http::openapi::{Param, choice, text};
use crate::http::problem::ProblemResponse;
use crate::http::query::{Filter, IMAGE, NAMESPACE, NODE, PHASE, POD, QueryParams};

/// A chunk that has reached this size is sent.
pub(super) const CHUNK_TARGET: usize = 64 * 1024;

static LAYERS: Param = Param::query("layersOfEvents", "layers", || {
    let text = "Include layers in their pull, omit them, or send them as separate events.";
    choice(&LAYER_MODES, text)
});
static FORMAT: Param = Param::query("format", "format", || {
    choice(&STREAM_FORMATS, "One event per change, or frames of changes.")
});
pub(super) static SINCE: Param =
    Param::query("since", "since", || text("Resume after this position: `<epoch>-<seq>`."));
pub(super) static LAST_EVENT_ID: Param =
    Param::header("lastEventId", "Last-Event-ID", || text("Same as `since`, which it overrides."));

pub(super) static PARAMS: [&Param; 9] =
    [&NODE, &NAMESPACE, &POD, &IMAGE, &PHASE, &LAYERS, &FORMAT, &SINCE, &LAST_EVENT_ID];

const LAYER_MODES: [(&str, LayerMode); 3] =
    [("embed", LayerMode::Embed), ("none", LayerMode::None), ("events", LayerMode::Events)];
const STREAM_FORMATS: [(&str, StreamFormat); 2] =
    [("event", StreamFormat::Event), ("frame", StreamFormat::Frame)];

/// Options of a stream, from its query parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamOptions {
    pub(super) filter: Filter,
    pub(super) layers: LayerMode,
    pub(super) format: StreamFormat,
}

/// The representation of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LayerMode {
    /// Embedded in their pull.
    #[default]
    Embed,
    /// Omitted.
    None,
    /// As separate events.
    Events,
}

/// The representation of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StreamFormat {
    /// One event per change.
    #[default]
    Event,
    /// Frames with everything that changed since the previous frame.
    Frame,
}

impl StreamOptions {
    pub(super) fn from_query(query: &QueryParams, pods: bool) -> Result<Self, ProblemResponse> {
        let options = Self {
            filter: Filter::from_query(query, pods)?,
            layers: query.choice(&LAYERS, &LAYER_MODES)?,
            format: query.choice(&FORMAT, &STREAM_FORMATS)?,
        };
        if (options.format, options.layers) == (StreamFormat::Frame, LayerMode::Events) {
            return Err(ProblemResponse::invalid_query()
                .with_detail("`format=frame` does not support `layers=events`"));
        }
        Ok(options)
    }
}

/// The last change a reader has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) epoch: String,
    pub(super) seq: u64,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.rsplit_once('-')?;
        Some(Self { epoch: epoch.to_owned(), seq: seq.parse().ok()? })
    }
}

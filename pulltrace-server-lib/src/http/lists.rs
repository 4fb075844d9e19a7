//! List endpoints: pulls, a single pull, nodes and images.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, stream};
use pulltrace_core::wire::v1::{ImageList, ImageStatus, NodeList, PullList, PullStatus};
use pulltrace_core::{NodeName, PullId};

use super::body::{self, CHUNK_SIZE};
use super::coding;
use super::openapi::{Endpoint, Param, Routes, choice, number, text};
use super::problem::ProblemResponse;
use super::query::{Filter, IDS, IMAGE, NAMESPACE, NODE, PHASE, POD, QueryParams};
use super::state::ApiState;
use crate::table::{JsonForm, Row};

/// Rows scanned under one lock, so that readers do not delay the writer.
const SCAN_BATCH: usize = 1_000;

/// Default and maximum number of items per page.
const DEFAULT_LIMIT: usize = 500;
const MAX_LIMIT: usize = 5_000;

static PULL_ID: Param = Param::path("id", "id", || text("The id of a pull."));
static LAYERS: Param = Param::query("layers", "layers", || {
    choice(&LAYER_FORMS, "Include the layers of each pull, or omit them.")
});
pub(super) static LIMIT: Param = Param::query("limit", "limit", || {
    number(MAX_LIMIT, DEFAULT_LIMIT, "The maximum number of pulls or pods per page.")
});
pub(super) static CONTINUE: Param =
    Param::query("continue", "continue", || text("The value of `continue` in the previous page."));

const LAYER_FORMS: [(&str, JsonForm); 2] =
    [("embed", JsonForm::Status), ("none", JsonForm::StatusNoLayers)];

static PULLS_PARAMS: [&Param; 9] =
    [&NODE, &NAMESPACE, &POD, &IMAGE, &PHASE, &IDS, &LAYERS, &LIMIT, &CONTINUE];

pub(super) fn routes() -> Routes {
    Routes::default()
        .get(
            "/api/v1/pulls",
            pulls,
            Endpoint::new("listPulls", "List live pulls, and ended pulls until they expire")
                .params(&PULLS_PARAMS)
                .json::<PullList>(),
        )
        .get(
            "/api/v1/pulls/{id}",
            pull,
            Endpoint::new("getPull", "Get a pull").params(&[&PULL_ID]).json::<PullStatus>(),
        )
        .get(
            "/api/v1/nodes",
            nodes,
            Endpoint::new("listNodes", "List the nodes, with totals over their pulls")
                .params(&[])
                .json::<NodeList>(),
        )
        .get(
            "/api/v1/images",
            images,
            Endpoint::new("listImages", "List the images of all known pulls")
                .params(&[])
                .json::<ImageList>(),
        )
}

async fn pulls(
    State(api): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ProblemResponse> {
    let query = QueryParams::parse(query.as_deref(), &PULLS_PARAMS)?;
    let filter = Filter::from_query(&query, api.cluster.has_any())?;
    let form = query.choice(&LAYERS, &LAYER_FORMS)?;
    let limit = parse_limit(&query)?;
    let ids = query.pull_ids()?;
    let after: Option<PullId> = match query.get(&CONTINUE).map(str::parse) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => {
            return Err(ProblemResponse::invalid_query()
                .with_detail("invalid `continue`: expected the value from the previous page"));
        }
    };
    let head = list_head(&api);
    let (rows, next) = match ids {
        Some(ids) => pulls_by_id(&api, &filter, &ids, after, limit),
        None => scan_page(&api, &filter, after, limit).await,
    };
    let next = next.map_or_else(String::new, |id| format!(",\"continue\":\"{id}\""));
    let rows = rows.into_iter().map(move |row| row.json(form));
    let list = stream_list(format!("{head},\"pulls\":["), rows, format!("]{next}}}"));
    Ok(body::json_stream(&headers, list))
}

/// Parses `limit`, the maximum number of items per page.
pub(super) fn parse_limit(query: &QueryParams) -> Result<usize, ProblemResponse> {
    match query.get(&LIMIT).map(str::parse) {
        None => Ok(DEFAULT_LIMIT),
        Some(Ok(limit @ 1..=MAX_LIMIT)) => Ok(limit),
        Some(_) => Err(ProblemResponse::invalid_query()
            .with_detail(format!("invalid `limit`: expected a number from 1 to {MAX_LIMIT}"))),
    }
}

/// Returns the first `limit` matching rows after `after`, and the id of the last one if there may
/// be more.
async fn scan_page(
    api: &ApiState,
    filter: &Filter,
    after: Option<PullId>,
    limit: usize,
) -> (Vec<Arc<Row>>, Option<PullId>) {
    let mut rows: Vec<Arc<Row>> = Vec::new();
    let mut after = after;
    loop {
        let batch: Vec<Arc<Row>> =
            api.shared.read(|table| table.rows(after.as_ref()).take(SCAN_BATCH).cloned().collect());
        for row in &batch {
            if rows.len() == limit {
                return (rows, after);
            }
            after = Some(row.pull.id.clone());
            if filter.matches(row) && filter.matches_phase(row.pull.phase) {
                rows.push(Arc::clone(row));
            }
        }
        if batch.len() < SCAN_BATCH {
            return (rows, None);
        }
        // A selective filter scans many rows; let other tasks run.
        tokio::task::yield_now().await;
    }
}

/// Like [`scan_page`], but looks up only the given ids.
fn pulls_by_id(
    api: &ApiState,
    filter: &Filter,
    ids: &BTreeSet<PullId>,
    after: Option<PullId>,
    limit: usize,
) -> (Vec<Arc<Row>>, Option<PullId>) {
    let after = after.map_or(Bound::Unbounded, Bound::Excluded);
    let ids = ids.range((after, Bound::Unbounded));
    let mut rows: Vec<Arc<Row>> =
        api.shared.read(|table| ids.filter_map(|id| table.get(id).cloned()).collect());
    rows.retain(|row| filter.matches(row) && filter.matches_phase(row.pull.phase));
    if rows.len() <= limit {
        return (rows, None);
    }
    rows.truncate(limit);
    let last = rows.last().map(|row| row.pull.id.clone());
    (rows, last)
}

async fn pull(
    State(api): State<Arc<ApiState>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ProblemResponse> {
    let find = |id| {
        api.shared.read(|table| {
            let row = table.get(&id).cloned()?;
            // Weak: the compressed and the plain response share it.
            let tag = format!("W/\"{}-{}\"", table.epoch(), row.seq);
            Some((row, tag))
        })
    };
    let found = id.parse::<PullId>().ok().and_then(find);
    let (row, tag) = found.ok_or_else(|| {
        ProblemResponse::not_found().with_detail("unknown pull, or no longer in the history")
    })?;
    let mut answer = if coding::if_none_match(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let text = row.json(JsonForm::Status).to_string();
        body::json_stream(&headers, stream::iter([text]))
    };
    // The epoch is configurable and may contain characters that are invalid in a header.
    let tag = HeaderValue::from_str(&tag).ok();
    answer.headers_mut().extend(tag.map(|tag| (ETAG, tag)));
    Ok(answer)
}

async fn nodes(
    State(api): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ProblemResponse> {
    QueryParams::parse(query.as_deref(), &[])?;
    let head = list_head(&api);
    let nodes: Vec<_> = api.shared.read(|table| table.nodes().cloned().collect());
    let nodes = nodes.into_iter().map(|node| node.json());
    let list = stream_list(format!("{head},\"nodes\":["), nodes, "]}".to_owned());
    Ok(body::json_stream(&headers, list))
}

async fn images(
    State(api): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ProblemResponse> {
    QueryParams::parse(query.as_deref(), &[])?;
    let (epoch, seq) = api.shared.read(|table| (table.epoch().to_owned(), table.seq()));
    let mut found: BTreeMap<String, ImageSummary> = BTreeMap::new();
    let mut after: Option<PullId> = None;
    loop {
        let rows: Vec<Arc<Row>> =
            api.shared.read(|table| table.rows(after.as_ref()).take(SCAN_BATCH).cloned().collect());
        for row in &rows {
            let (digest, title) = (&row.pull.root, row.pull.display_name());
            // A pull with neither digest nor name cannot be attributed to an image yet.
            let key = digest.as_ref().map(ToString::to_string).or(title);
            if let Some(key) = key {
                found.entry(key).or_default().add(row);
            }
        }
        match rows.last() {
            Some(last) if rows.len() == SCAN_BATCH => after = Some(last.pull.id.clone()),
            _ => break,
        }
        tokio::task::yield_now().await;
    }
    let mut images: Vec<ImageStatus> = found.into_values().map(ImageSummary::into_status).collect();
    images.sort_by(|a, b| (&a.name, &a.root_digest).cmp(&(&b.name, &b.root_digest)));
    let list = ImageList { epoch, seq, now: api.clock.now().at, images };
    Ok(body::json_value(&headers, &list))
}

/// Aggregate of all pulls of one image.
#[derive(Default)]
struct ImageSummary {
    /// The best name so far and its quality.
    best_name: Option<(NameQuality, String)>,
    digest: Option<String>,
    total: Option<u64>,
    phases: BTreeMap<String, u64>,
    nodes: BTreeSet<NodeName>,
}

/// The quality of a name, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NameQuality {
    Digest,
    Repository,
    Full,
}

impl ImageSummary {
    fn add(&mut self, row: &Row) {
        let pull = &row.pull;
        let quality = if !pull.names.is_empty() {
            NameQuality::Full
        } else if pull.repository.is_some() {
            NameQuality::Repository
        } else {
            NameQuality::Digest
        };
        if let Some(title) = pull.display_name()
            && self.best_name.as_ref().is_none_or(|(known, _)| quality > *known)
        {
            self.best_name = Some((quality, title));
        }
        if let Some(root) = &pull.root {
            self.digest = Some(root.to_string());
        }
        self.total = self.total.or(pull.total.map(|total| total.0));
        *self.phases.entry(pull.phase.to_string()).or_default() += 1;
        self.nodes.insert(pull.id.node().clone());
    }

    fn into_status(self) -> ImageStatus {
        ImageStatus {
            name: self.best_name.map(|(_, name)| name).unwrap_or_default(),
            root_digest: self.digest,
            total_bytes: self.total,
            phases: self.phases,
            nodes: self.nodes.len() as u64,
        }
    }
}

/// The beginning of a list response, with the epoch and sequence number it is valid for.
pub(super) fn list_head(api: &ApiState) -> String {
    let now = api.clock.now().at;
    api.shared.read(|table| {
        let (epoch, seq) = (table.epoch(), table.seq());
        format!("{{\"epoch\":\"{epoch}\",\"seq\":{seq},\"now\":\"{now}\"")
    })
}

/// Streams a list in chunks, so that only one chunk is in memory at a time.
pub(super) fn stream_list(
    head: String,
    mut items: impl Iterator<Item = impl AsRef<str> + Send> + Send + 'static,
    tail: String,
) -> impl Stream<Item = String> + Send + 'static {
    async_stream::stream! {
        let mut piece = head;
        let mut first = true;
        for item in &mut items {
            if !first {
                piece.push(',');
            }
            first = false;
            piece.push_str(item.as_ref());
            if piece.len() >= CHUNK_SIZE {
                yield std::mem::take(&mut piece);
            }
        }
        piece.push_str(&tail);
        yield piece;
    }
}

//! What there is, at once: pulls, one pull, nodes, images.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, stream};
use pulltrace_core::wire::v1::{ImageList, ImageStatus};
use pulltrace_core::{NodeName, PullId};

use super::Api;
use super::body::{self, PIECE};
use super::coding;
use super::problem::Refusal;
use super::query::{FILTERS, Filter, Query};
use crate::table::{Form, Row};

/// Rows that are looked at in one go, so that the writer waits for no reader.
const PAGE: usize = 1_000;

/// Items of a page where no other number is asked for, and the most.
const USUAL: usize = 500;
const MOST: usize = 5_000;

pub(super) async fn pulls(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let known = [&FILTERS[..], &["id", "layers", "limit", "continue"]].concat();
    let query = Query::parse(query.as_deref(), &known)?;
    let filter = Filter::of(&query, api.cluster.is_any())?;
    let layers = [("embed", Form::Status), ("none", Form::StatusBare)];
    let form = query.word("layers", &layers, Form::Status)?;
    let limit = limit(&query)?;
    let ids = query.ids()?;
    let after: Option<PullId> = match query.get("continue").map(str::parse) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => {
            return Err(Refusal::query().detail("`continue` is what the page before said"));
        }
    };
    let head = head(&api);
    let (rows, next) = match ids {
        Some(ids) => chosen(&api, &filter, &ids, after, limit),
        None => page(&api, &filter, after, limit).await,
    };
    let next = next.map_or_else(String::new, |id| format!(",\"continue\":\"{id}\""));
    let rows = rows.into_iter().map(move |row| row.json(form));
    let list = pieces(format!("{head},\"pulls\":["), rows, format!("]{next}}}"));
    Ok(body::json(&headers, list))
}

/// The most items of a page.
pub(super) fn limit(query: &Query) -> Result<usize, Refusal> {
    match query.get("limit").map(str::parse) {
        None => Ok(USUAL),
        Some(Ok(limit @ 1..=MOST)) => Ok(limit),
        Some(_) => Err(Refusal::query().detail(format!("`limit` is a number from 1 to {MOST}"))),
    }
}

/// The first `limit` rows after one that the filter wants, and where there may be more the last of
/// them.
async fn page(
    api: &Api,
    filter: &Filter,
    after: Option<PullId>,
    limit: usize,
) -> (Vec<Arc<Row>>, Option<PullId>) {
    let mut rows: Vec<Arc<Row>> = Vec::new();
    let mut after = after;
    loop {
        let looked_at: Vec<Arc<Row>> = api
            .shared
            .read(|table| table.rows(after.as_ref()).take(PAGE).cloned().collect());
        for row in &looked_at {
            if rows.len() == limit {
                return (rows, after);
            }
            after = Some(row.pull.id.clone());
            if filter.wants(row) && filter.wants_phase(row.pull.phase) {
                rows.push(Arc::clone(row));
            }
        }
        if looked_at.len() < PAGE {
            return (rows, None);
        }
        // A filter that wants little looks at much.
        tokio::task::yield_now().await;
    }
}

/// The same of these ids alone, which are few: no other row is looked at.
fn chosen(
    api: &Api,
    filter: &Filter,
    ids: &BTreeSet<PullId>,
    after: Option<PullId>,
    limit: usize,
) -> (Vec<Arc<Row>>, Option<PullId>) {
    let after = after.map_or(Bound::Unbounded, Bound::Excluded);
    let ids = ids.range((after, Bound::Unbounded));
    let mut rows: Vec<Arc<Row>> = api
        .shared
        .read(|table| ids.filter_map(|id| table.get(id).cloned()).collect());
    rows.retain(|row| filter.wants(row) && filter.wants_phase(row.pull.phase));
    if rows.len() <= limit {
        return (rows, None);
    }
    rows.truncate(limit);
    let last = rows.last().map(|row| row.pull.id.clone());
    (rows, last)
}

pub(super) async fn pull(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let find = |id| {
        api.shared.read(|table| {
            let row = table.get(&id).cloned()?;
            // Weak: packed or not, it says the same.
            let tag = format!("W/\"{}-{}\"", table.epoch(), row.seq);
            Some((row, tag))
        })
    };
    let found = id.parse::<PullId>().ok().and_then(find);
    let (row, tag) = found.ok_or_else(|| {
        Refusal::not_found().detail("there is no such pull, or it is kept no more")
    })?;
    let mut answer = if coding::has(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let text = row.json(Form::Status).to_string();
        body::json(&headers, stream::iter([text]))
    };
    // An epoch is what the server was told to call its life.
    let tag = HeaderValue::from_str(&tag).ok();
    answer.headers_mut().extend(tag.map(|tag| (ETAG, tag)));
    Ok(answer)
}

pub(super) async fn nodes(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Query::parse(query.as_deref(), &[])?;
    let head = head(&api);
    let nodes: Vec<_> = api.shared.read(|table| table.nodes().cloned().collect());
    let nodes = nodes.into_iter().map(|node| node.json());
    let list = pieces(format!("{head},\"nodes\":["), nodes, "]}".to_owned());
    Ok(body::json(&headers, list))
}

pub(super) async fn images(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Query::parse(query.as_deref(), &[])?;
    let (epoch, seq) = api
        .shared
        .read(|table| (table.epoch().to_owned(), table.seq()));
    let mut found: BTreeMap<String, Image> = BTreeMap::new();
    let mut after: Option<PullId> = None;
    loop {
        let rows: Vec<Arc<Row>> = api
            .shared
            .read(|table| table.rows(after.as_ref()).take(PAGE).cloned().collect());
        for row in &rows {
            let (digest, title) = (&row.pull.root, row.pull.title());
            // A pull of which neither is known is of no image yet.
            let key = digest.as_ref().map(ToString::to_string).or(title);
            if let Some(key) = key {
                found.entry(key).or_default().add(row);
            }
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE => after = Some(last.pull.id.clone()),
            _ => break,
        }
        tokio::task::yield_now().await;
    }
    let mut images: Vec<ImageStatus> = found.into_values().map(Image::status).collect();
    images.sort_by(|a, b| (&a.name, &a.root_digest).cmp(&(&b.name, &b.root_digest)));
    let list = ImageList {
        epoch,
        seq,
        now: api.clock.now().at,
        images,
    };
    Ok(body::told(&headers, &list))
}

/// The description of this API for programs.
pub(super) async fn openapi(headers: HeaderMap) -> Response {
    let text = pulltrace_core::wire::openapi::document();
    body::json(&headers, stream::iter([text]))
}

/// What the pulls of one image say together.
#[derive(Default)]
struct Image {
    /// The best name, and how good it is.
    name: Option<(Goodness, String)>,
    digest: Option<String>,
    total: Option<u64>,
    phases: BTreeMap<String, u64>,
    nodes: BTreeSet<NodeName>,
}

/// What a name is; the best is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Goodness {
    Digest,
    Repository,
    Whole,
}

impl Image {
    fn add(&mut self, row: &Row) {
        let pull = &row.pull;
        let goodness = if !pull.names.is_empty() {
            Goodness::Whole
        } else if pull.repository.is_some() {
            Goodness::Repository
        } else {
            Goodness::Digest
        };
        if let Some(title) = pull.title()
            && self
                .name
                .as_ref()
                .is_none_or(|(known, _)| goodness > *known)
        {
            self.name = Some((goodness, title));
        }
        if let Some(root) = &pull.root {
            self.digest = Some(root.to_string());
        }
        self.total = self.total.or(pull.total.map(|total| total.0));
        *self.phases.entry(pull.phase.to_string()).or_default() += 1;
        self.nodes.insert(pull.id.node().clone());
    }

    fn status(self) -> ImageStatus {
        ImageStatus {
            name: self.name.map(|(_, name)| name).unwrap_or_default(),
            root_digest: self.digest,
            total_bytes: self.total,
            phases: self.phases,
            nodes: self.nodes.len() as u64,
        }
    }
}

/// The head of a list: where in the changes it is true.
pub(super) fn head(api: &Api) -> String {
    let now = api.clock.now().at;
    api.shared.read(|table| {
        let (epoch, seq) = (table.epoch(), table.seq());
        format!("{{\"epoch\":\"{epoch}\",\"seq\":{seq},\"now\":\"{now}\"")
    })
}

/// A list in pieces, of which only one is there at a time.
pub(super) fn pieces(
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
            if piece.len() >= PIECE {
                yield std::mem::take(&mut piece);
            }
        }
        piece.push_str(&tail);
        yield piece;
    }
}

//! Lists that the server returns in pages.

use pulltrace_core::wire::v1::{PodList, PullList};
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::RequestError;
use crate::filter::Filter;

/// Items per page of a list.
const PAGE_SIZE: usize = 500;

/// The maximum number of pages of a list, which exceeds the pulls and pods that a server keeps.
const MAX_PAGES: usize = 2_000;

/// A page of a list.
trait Page: DeserializeOwned {
    fn epoch(&self) -> &str;

    fn take_next(&mut self) -> Option<String>;

    /// Appends the items of the next page.
    fn append(&mut self, next: Self);
}

impl Page for PullList {
    fn epoch(&self) -> &str {
        &self.epoch
    }

    fn take_next(&mut self) -> Option<String> {
        self.next.take()
    }

    fn append(&mut self, mut next: Self) {
        self.pulls.append(&mut next.pulls);
    }
}

impl Page for PodList {
    fn epoch(&self) -> &str {
        &self.epoch
    }

    fn take_next(&mut self) -> Option<String> {
        self.next.take()
    }

    fn append(&mut self, mut next: Self) {
        self.pods.append(&mut next.pods);
    }
}

impl Client {
    /// Returns the live and ended pulls that match the filter, from all pages of the list.
    ///
    /// Time and position in the list are those of the first page, so a stream that starts from the
    /// list includes all later changes.
    ///
    /// # Errors
    /// If the request of a page fails. There are no retries, but if the server restarts between two
    /// pages, the list is read again from the start.
    pub async fn pulls(&self, filter: &Filter) -> Result<PullList, RequestError> {
        self.pages(&["api", "v1", "pulls"], filter.list_query()).await
    }

    /// Returns the pods that wait for an image, and the state of the server's Kubernetes sources,
    /// from all pages of the list. The filter applies by node, namespace, pod and image.
    ///
    /// # Errors
    /// If the request of a page fails; a server without a pod source rejects it. There are no
    /// retries, but if the server restarts between two pages, the list is read again from the
    /// start.
    pub async fn pods(&self, filter: &Filter) -> Result<PodList, RequestError> {
        self.pages(&["api", "v1", "pods"], filter.pods_query()).await
    }

    async fn pages<P: Page>(
        &self,
        path: &[&str],
        mut query: Vec<(&'static str, String)>,
    ) -> Result<P, RequestError> {
        query.push(("limit", PAGE_SIZE.to_string()));
        let mut whole: Option<P> = None;
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = query.clone();
            query.extend(next.take().map(|next| ("continue", next)));
            let mut page: P = self.http.get_json(self.http.url(path, &query)).await?;
            next = page.take_next();
            match &mut whole {
                None => whole = Some(page),
                Some(whole) if whole.epoch() == page.epoch() => whole.append(page),
                // The server has restarted: read the list again.
                Some(_) => (whole, next) = (None, None),
            }
            if next.is_none()
                && let Some(whole) = whole.take()
            {
                return Ok(whole);
            }
        }
        Err(self.http.not_pulltrace("its list is endless"))
    }
}

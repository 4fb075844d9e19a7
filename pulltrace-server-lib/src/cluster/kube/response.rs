//! Size-limited reading of list pages and watch lines, with little buffering.

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::RequestError;
use crate::cluster::SourceFailureKind;

/// Maximum size of a page. 500 pods as the API server sends them are about 5 MiB.
const MAX_PAGE_BYTES: usize = 64 << 20;

/// Maximum size of a line. An object in etcd has at most 1.5 MiB.
const MAX_LINE_BYTES: usize = 8 << 20;

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct ListPage<'a> {
    pub(super) metadata: ListPageMetadata,
    #[serde(borrow)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListPageMetadata {
    pub(super) resource_version: String,
    /// The token of the next page.
    pub(super) r#continue: Option<String>,
}

/// A line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct WatchLine<'a> {
    pub(super) r#type: String,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// The object of an `ERROR` line.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorStatus {
    #[serde(default)]
    pub(super) code: u16,
    #[serde(default)]
    pub(super) message: String,
}

/// The object of a `BOOKMARK` line.
#[derive(Debug, Deserialize)]
pub(super) struct Bookmark {
    pub(super) metadata: BookmarkMetadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookmarkMetadata {
    pub(super) resource_version: String,
}

/// Reads a response in pieces.
#[derive(Debug)]
pub(super) struct ResponseReader<R> {
    response: R,
    buffer: Vec<u8>,
    /// Length of the line at the start of the buffer that was returned already.
    consumed: usize,
}

impl<R: AsyncBufRead + Unpin> ResponseReader<R> {
    pub(super) fn new(response: R) -> Self {
        Self { response, buffer: Vec::new(), consumed: 0 }
    }

    /// Reads the complete response.
    pub(super) async fn read_to_end(mut self) -> Result<Vec<u8>, RequestError> {
        while self.fill_buffer(MAX_PAGE_BYTES).await? {}
        Ok(self.buffer)
    }

    /// Returns the next line, or `None` at the end, even within a line. Cancel-safe.
    pub(super) async fn next_line(&mut self) -> Result<Option<&[u8]>, RequestError> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        // Do not keep the memory of a long line.
        if self.buffer.is_empty() {
            self.buffer.shrink_to(64 << 10);
        }
        let mut searched = 0;
        loop {
            let rest = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let end = searched + at;
                self.consumed = end + 1;
                return Ok(self.buffer.get(..end));
            }
            searched = self.buffer.len();
            if !self.fill_buffer(MAX_LINE_BYTES).await? {
                return Ok(None);
            }
        }
    }

    /// Reads more data; returns false at the end.
    async fn fill_buffer(&mut self, most: usize) -> Result<bool, RequestError> {
        let piece = self.response.fill_buf().await.map_err(|error| {
            let text = format!("connection to the API server lost: {error}");
            RequestError::new(SourceFailureKind::Unreachable, &text)
        })?;
        let length = piece.len();
        self.buffer.extend_from_slice(piece);
        self.response.consume_unpin(length);
        if self.buffer.len() > most {
            return Err(RequestError::TooLong);
        }
        Ok(length > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_lines(text: &[u8]) -> (Vec<String>, Result<(), RequestError>) {
        let mut body = ResponseReader::new(futures_util::io::BufReader::new(text));
        let mut lines = Vec::new();
        loop {
            match body.next_line().await {
                Ok(Some(line)) => lines.push(String::from_utf8(line.to_vec()).unwrap()),
                Ok(None) => return (lines, Ok(())),
                Err(failure) => return (lines, Err(failure)),
            }
        }
    }

    #[tokio::test]
    async fn truncated_last_line_is_dropped() {
        let (read, end) = read_lines(b"one\n\ntwo\nthr").await;
        assert_eq!(
            (read.as_slice(), end),
            (["one", "", "two"].map(str::to_owned).as_slice(), Ok(()))
        );
    }

    #[tokio::test]
    async fn overlong_line_is_an_error() {
        let mut text = b"one\n".to_vec();
        text.resize(MAX_LINE_BYTES + 10, b'x');
        assert_eq!(read_lines(&text).await, (vec!["one".to_owned()], Err(RequestError::TooLong)));
    }

    #[tokio::test]
    async fn overlong_page_is_an_error() {
        let page = vec![b'x'; MAX_PAGE_BYTES + 1];
        assert_eq!(ResponseReader::new(&page[..]).read_to_end().await, Err(RequestError::TooLong));
        assert_eq!(ResponseReader::new(&page[..9]).read_to_end().await, Ok(vec![b'x'; 9]));
    }
}

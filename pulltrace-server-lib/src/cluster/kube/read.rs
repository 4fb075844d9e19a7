//! Answers of the API server: a page of a list, the lines of a watch; bounded, and no more kept than is
//! being read.

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::trouble::Failure;
use crate::cluster::TroubleKind;

/// The longest page that is taken: 500 pods with all that the API server has of them are about 5 MiB.
const LONGEST_PAGE: usize = 64 << 20;

/// The longest line that is taken: an object has at most 1.5 MiB where it is kept.
const LONGEST_LINE: usize = 8 << 20;

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<'a> {
    pub(super) metadata: PageMetadata,
    #[serde(borrow)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata {
    pub(super) resource_version: String,
    /// Where the next page begins.
    pub(super) r#continue: Option<String>,
}

/// A line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    pub(super) r#type: String,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// What an object of type `ERROR` says.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) code: u16,
    #[serde(default)]
    pub(super) message: String,
}

/// What an object of type `BOOKMARK` says.
#[derive(Debug, Deserialize)]
pub(super) struct Bookmark {
    pub(super) metadata: BookmarkMetadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookmarkMetadata {
    pub(super) resource_version: String,
}

/// What comes of an answer that is read in pieces.
#[derive(Debug)]
pub(super) struct Body<R> {
    answer: R,
    read: Vec<u8>,
    /// How much of `read` is a line that was handed out.
    taken: usize,
}

impl<R: AsyncBufRead + Unpin> Body<R> {
    pub(super) fn new(answer: R) -> Self {
        Self {
            answer,
            read: Vec::new(),
            taken: 0,
        }
    }

    /// All of it.
    pub(super) async fn whole(mut self) -> Result<Vec<u8>, Failure> {
        while self.more(LONGEST_PAGE).await? {}
        Ok(self.read)
    }

    /// The next line; `None` where it ends, also within a line. Dropped, it loses nothing.
    pub(super) async fn line(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.read.drain(..self.taken);
        self.taken = 0;
        // One long line does not stay as memory for all that follow.
        if self.read.is_empty() {
            self.read.shrink_to(64 << 10);
        }
        let mut searched = 0;
        loop {
            let rest = self.read.get(searched..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let end = searched + at;
                self.taken = end + 1;
                return Ok(self.read.get(..end));
            }
            searched = self.read.len();
            if !self.more(LONGEST_LINE).await? {
                return Ok(None);
            }
        }
    }

    /// Reads a piece; false where there is none.
    async fn more(&mut self, most: usize) -> Result<bool, Failure> {
        let piece = self.answer.fill_buf().await.map_err(|error| {
            let text = format!("the API server broke off: {error}");
            Failure::new(TroubleKind::Unreachable, &text)
        })?;
        let length = piece.len();
        self.read.extend_from_slice(piece);
        self.answer.consume_unpin(length);
        if self.read.len() > most {
            return Err(Failure::TooLong);
        }
        Ok(length > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8]) -> (Vec<String>, Result<(), Failure>) {
        let mut body = Body::new(futures_util::io::BufReader::new(text));
        let mut lines = Vec::new();
        loop {
            match body.line().await {
                Ok(Some(line)) => lines.push(String::from_utf8(line.to_vec()).unwrap()),
                Ok(None) => return (lines, Ok(())),
                Err(failure) => return (lines, Err(failure)),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_read_and_one_that_is_cut_is_none() {
        let (read, end) = lines(b"one\n\ntwo\nthr").await;
        assert_eq!(
            (read.as_slice(), end),
            (["one", "", "two"].map(str::to_owned).as_slice(), Ok(()))
        );
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_read_to_its_end() {
        let mut text = b"one\n".to_vec();
        text.resize(LONGEST_LINE + 10, b'x');
        assert_eq!(
            lines(&text).await,
            (vec!["one".to_owned()], Err(Failure::TooLong))
        );
    }

    #[tokio::test]
    async fn a_page_without_end_is_not_read_to_its_end() {
        let page = vec![b'x'; LONGEST_PAGE + 1];
        assert_eq!(Body::new(&page[..]).whole().await, Err(Failure::TooLong));
        assert_eq!(Body::new(&page[..9]).whole().await, Ok(vec![b'x'; 9]));
    }
}

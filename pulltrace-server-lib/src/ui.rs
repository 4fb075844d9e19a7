//! The page: its files, embedded in the binary as they are and packed.

use axum::body::{Body, Bytes};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::http::coding;

// `EMBEDDED`, as the build script found it.
include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// A page that was built.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) files: &'static [File],
    /// Another one for each build; `None` where there is only a note that it was not built.
    pub(crate) build: Option<&'static str>,
}

/// One file of it.
#[derive(Debug)]
pub(crate) struct File {
    /// Its path from the root of the page.
    pub(crate) name: &'static str,
    /// Another one for other contents.
    pub(crate) hash: &'static str,
    pub(crate) plain: &'static [u8],
    /// Packed, where that is worth it.
    pub(crate) gzip: Option<&'static [u8]>,
    pub(crate) br: Option<&'static [u8]>,
}

impl Page {
    pub(crate) const fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// The file at this path of a URL, if there is one.
    pub(crate) fn file(&self, path: &str) -> Option<&'static File> {
        let name = match path.strip_prefix('/')? {
            "" => "index.html",
            name => name,
        };
        self.files.iter().find(|file| file.name == name)
    }
}

impl File {
    /// It as an answer to GET or HEAD, in the form that the reader likes best.
    pub(crate) fn answer(&self, method: &Method, asked: &HeaderMap) -> Response {
        let (coding, bytes) = self.form(asked);
        let tag = match coding {
            Some(coding) => format!("\"{}-{coding}\"", self.hash),
            None => format!("\"{}\"", self.hash),
        };
        let mut headers = HeaderMap::new();
        // The names of assets change with what is in them.
        let cache = if self.name.starts_with("assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        let known = coding::has(asked, &tag);
        // It is hexadecimal digits and the name of a coding.
        headers.extend(HeaderValue::from_str(&tag).map(|tag| (ETAG, tag)));
        if known {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind(self.name)));
        headers.extend(coding.map(|coding| (CONTENT_ENCODING, HeaderValue::from_static(coding))));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        let body = if method == Method::HEAD {
            Body::empty()
        } else {
            Body::from(Bytes::from_static(bytes))
        };
        (headers, body).into_response()
    }

    /// The form that the reader likes best, of equal ones the smaller; plain where it takes no other.
    fn form(&self, asked: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let mut best = (0.0, None, self.plain);
        for (coding, packed) in [("br", self.br), ("gzip", self.gzip)] {
            let weight = coding::weight(asked, coding);
            if let Some(packed) = packed
                && weight > best.0
            {
                best = (weight, Some(coding), packed);
            }
        }
        (best.1, best.2)
    }
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;

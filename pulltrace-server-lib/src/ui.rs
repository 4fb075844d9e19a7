//! The page: its files, embedded in the binary, packed once.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

// `FILES`: each file's path from the root of the page, and its bytes.
include!(concat!(env!("OUT_DIR"), "/page.rs"));

struct File {
    plain: &'static [u8],
    /// Packed, where that is smaller.
    packed: Option<Bytes>,
}

static PAGE: LazyLock<HashMap<&'static str, File>> = LazyLock::new(|| {
    let files = FILES.iter().map(|(path, plain)| {
        let packed = pack(plain).filter(|packed| packed.len() < plain.len());
        (*path, File { plain, packed })
    });
    files.collect()
});

fn pack(plain: &[u8]) -> Option<Bytes> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(plain).ok()?;
    packer.finish().ok().map(Bytes::from)
}

/// The file of the page at this path of a URL, if there is one.
pub(crate) fn file(path: &str, gzip: bool) -> Option<Response> {
    let name = match path.strip_prefix('/')? {
        "" => "index.html",
        name => name,
    };
    let file = PAGE.get(name)?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    // The names of assets change with what is in them.
    let cache = if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    let body = match &file.packed {
        Some(packed) if gzip => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            packed.clone()
        }
        _ => Bytes::from_static(file.plain),
    };
    Some((headers, body).into_response())
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
mod tests {
    use super::*;

    #[test]
    fn the_page_is_at_the_root_and_its_assets_never_change() {
        let page = file("/", true).unwrap();
        assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(page.headers()[CONTENT_ENCODING], "gzip");
        assert!(
            !file("/", false)
                .unwrap()
                .headers()
                .contains_key(CONTENT_ENCODING)
        );
        for name in FILES.iter().map(|(name, _)| name) {
            assert_ne!(kind(name), "application/octet-stream", "{name}");
        }
        assert!(file("/../Cargo.toml", false).is_none());
    }
}

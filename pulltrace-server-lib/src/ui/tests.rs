//! The page, served by the router of a complete server: a test page, and the embedded one.

use std::io::Read as _;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_SECURITY_POLICY, IF_NONE_MATCH, LOCATION,
};
use axum::http::{HeaderName, Request};
use tower::ServiceExt as _;

use super::*;
use crate::access::Access;
use crate::server::Server;

/// Some files are compressed and some are not.
static TEST_PAGE: Page = Page {
    files: &[
        File {
            name: "assets/app-1a.js",
            hash: "aa",
            plain: b"plain script",
            gzip: Some(b"gzip script"),
            br: Some(b"br script"),
        },
        File { name: "assets/inter-2b.woff2", hash: "bb", plain: b"a font", gzip: None, br: None },
        File { name: "favicon.svg", hash: "cc", plain: b"<svg/>", gzip: None, br: None },
        File {
            name: "index.html",
            hash: "dd",
            plain: b"plain page",
            gzip: Some(b"gzip page"),
            br: Some(b"br page"),
        },
    ],
    build: Some("0123456789abcdef"),
};

/// The expected content security policy.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
    img-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors 'none'";

fn test_router(page: &'static Page) -> Router {
    let access = Access::new().insecure_open();
    let server = Server::builder().access(access).page(page).build().unwrap();
    server.router()
}

struct TestResponse {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl TestResponse {
    /// The value of a header, or an empty string.
    fn header(&self, name: &HeaderName) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    fn assert_problem(&self, status: u16, reason: &str) {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.header(&CONTENT_TYPE), "application/problem+json");
        assert!(body.contains(&format!("\"reason\":\"{reason}\"")), "{body}");
    }
}

async fn request(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(HeaderName, &str)],
) -> TestResponse {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let answer =
        TestResponse { status: head.status.as_u16(), headers: head.headers, body: body.to_vec() };
    // Every response has these headers.
    assert_eq!(answer.header(&CONTENT_SECURITY_POLICY), POLICY, "{path}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.headers[name], value, "{path}");
    }
    let permissions = answer.headers["permissions-policy"].to_str().unwrap();
    for denied in ["camera=()", "geolocation=()", "usb=()", "microphone=()"] {
        assert!(permissions.contains(denied), "{permissions}");
    }
    assert!(!permissions.contains("clipboard-write"), "{permissions}");
    answer
}

async fn get(router: &Router, path: &str) -> TestResponse {
    request(router, "GET", path, &[]).await
}

#[tokio::test]
async fn file_is_sent_in_preferred_encoding() {
    let router = test_router(&TEST_PAGE);
    for (asked, coding, body) in [
        ("", "", "plain page"),
        ("identity", "", "plain page"),
        ("gzip", "gzip", "gzip page"),
        ("br", "br", "br page"),
        ("gzip, deflate, br, zstd", "br", "br page"),
        ("*", "br", "br page"),
        ("br;q=0, gzip", "gzip", "gzip page"),
        ("br;q=0.1, gzip;q=0.2", "gzip", "gzip page"),
        ("br;q=0, gzip;q=0", "", "plain page"),
        ("*;q=0", "", "plain page"),
        ("br;q=0, *", "gzip", "gzip page"),
    ] {
        let page = request(&router, "GET", "/", &[(ACCEPT_ENCODING, asked)]).await;
        assert_eq!(page.status, 200, "{asked}");
        assert_eq!(page.header(&CONTENT_ENCODING), coding, "{asked}");
        assert_eq!(page.body, body.as_bytes(), "{asked}");
        assert_eq!(page.header(&VARY), "accept-encoding", "{asked}");
        assert_eq!(page.header(&CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(page.header(&CONTENT_LENGTH), body.len().to_string());
    }
    // Files without a compressed form are sent uncompressed.
    let font = [(ACCEPT_ENCODING, "br, gzip")];
    let font = request(&router, "GET", "/assets/inter-2b.woff2", &font).await;
    assert_eq!((font.header(&CONTENT_ENCODING), &*font.body), ("", &b"a font"[..]));
}

#[tokio::test]
async fn assets_are_immutable_and_page_is_revalidated() {
    let router = test_router(&TEST_PAGE);
    for path in ["/assets/app-1a.js", "/assets/inter-2b.woff2"] {
        let asset = get(&router, path).await;
        let cache = "public, max-age=31536000, immutable";
        assert_eq!(asset.header(&CACHE_CONTROL), cache, "{path}");
    }
    for path in ["/", "/index.html", "/favicon.svg"] {
        let page = get(&router, path).await;
        assert_eq!((page.status, page.header(&CACHE_CONTROL)), (200, "no-cache"));
    }
}

#[tokio::test]
async fn matching_etag_yields_304() {
    let router = test_router(&TEST_PAGE);
    let mut tags = Vec::new();
    for coding in ["", "gzip", "br"] {
        let as_before = (ACCEPT_ENCODING, coding);
        let page = request(&router, "GET", "/", std::slice::from_ref(&as_before)).await;
        let tag = page.header(&ETAG).to_owned();
        assert!(tag.starts_with("\"dd") && tag.ends_with('"'), "{tag}");
        for method in ["GET", "HEAD"] {
            let again = [as_before.clone(), (IF_NONE_MATCH, &*tag)];
            let again = request(&router, method, "/", &again).await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{tag}");
            assert_eq!(again.header(&ETAG), tag);
            assert_eq!(again.header(&CACHE_CONTROL), "no-cache");
            assert_eq!(again.header(&VARY), "accept-encoding");
        }
        let older = [as_before, (IF_NONE_MATCH, "\"d0\"")];
        assert_eq!(request(&router, "GET", "/", &older).await.status, 200);
        tags.push(tag);
    }
    // Each encoding has its own tag, since the bytes differ.
    tags.dedup();
    assert_eq!(tags.len(), 3, "{tags:?}");
}

#[tokio::test]
async fn head_has_same_headers_as_get() {
    let router = test_router(&TEST_PAGE);
    let packed = [(ACCEPT_ENCODING, "br")];
    for path in ["/", "/assets/app-1a.js", "/assets/inter-2b.woff2"] {
        let whole = request(&router, "GET", path, &packed).await;
        let head = request(&router, "HEAD", path, &packed).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.headers, whole.headers);
        assert_eq!(head.header(&CONTENT_LENGTH), whole.body.len().to_string());
    }
}

#[tokio::test]
async fn unknown_paths_yield_problem_not_page() {
    let router = test_router(&TEST_PAGE);
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/pulls",
        "/pulls",
        "/assets",
        "/assets/",
        "/assets/app-0.js",
        "/index.htm",
        "//",
        "/../Cargo.toml",
        "/assets/../index.html",
        "/assets/..%2findex.html",
    ] {
        get(&router, path).await.assert_problem(404, "not_found");
    }
    for (method, path, allowed) in [
        ("POST", "/api/v1/pulls", "GET,HEAD"),
        ("DELETE", "/api/v1/server", "GET,HEAD"),
        ("GET", "/api/v1/report", "POST"),
        ("POST", "/", "GET,HEAD"),
        ("PUT", "/assets/app-1a.js", "GET,HEAD"),
    ] {
        let refused = request(&router, method, path, &[]).await;
        refused.assert_problem(405, "method");
        assert_eq!(refused.header(&ALLOW), allowed, "{method} {path}");
    }
    let nowhere = request(&router, "POST", "/nowhere", &[]).await;
    nowhere.assert_problem(404, "not_found");
}

#[tokio::test]
async fn router_works_when_nested_below_a_path() {
    let service = Router::new().nest_service("/pulltrace", test_router(&TEST_PAGE));
    let page = get(&service, "/pulltrace/").await;
    assert_eq!((page.status, &*page.body), (200, &b"plain page"[..]));
    for nested in [service, Router::new().nest("/pulltrace", test_router(&TEST_PAGE))] {
        let page = get(&nested, "/pulltrace/index.html").await;
        assert_eq!((page.status, &*page.body), (200, &b"plain page"[..]));
        let asset = get(&nested, "/pulltrace/assets/app-1a.js").await;
        assert_eq!((asset.status, &*asset.body), (200, &b"plain script"[..]));
        let pulls = get(&nested, "/pulltrace/api/v1/pulls").await;
        assert_eq!(pulls.status, 200);
        let nothing = get(&nested, "/pulltrace/api/v1/nothing").await;
        nothing.assert_problem(404, "not_found");
        // From there, the browser would resolve the assets to `/assets`.
        let moved = get(&nested, "/pulltrace").await;
        let location = moved.header(&LOCATION);
        assert_eq!((moved.status, location), (307, "pulltrace/index.html"));
    }
}

#[tokio::test]
async fn server_endpoint_reports_page_build() {
    let response = get(&test_router(&TEST_PAGE), "/api/v1/server").await;
    let status: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(status["page"], "0123456789abcdef");
    static NOTE: Page = Page { files: &[], build: None };
    let response = get(&test_router(&NOTE), "/api/v1/server").await;
    assert!(!String::from_utf8(response.body).unwrap().contains("\"page\""));
}

#[test]
fn embedded_compressed_files_match_originals() {
    let page = Page::embedded();
    assert!(page.file("/").is_some());
    for file in page.files {
        assert_ne!(content_type(file.name), "application/octet-stream", "{}", file.name);
        assert_eq!(file.hash.len(), 16, "{}", file.hash);
        if let Some(mut packed) = file.gzip {
            let mut plain = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(&mut packed);
            reader.read_to_end(&mut plain).unwrap();
            assert!(plain == file.plain, "{}", file.name);
        }
        if let Some(mut packed) = file.br {
            let mut plain = Vec::new();
            brotli::BrotliDecompress(&mut packed, &mut plain).unwrap();
            assert!(plain == file.plain, "{}", file.name);
        }
    }
}

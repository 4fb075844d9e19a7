//! The OpenAPI document.

use hyper::header::CONTENT_TYPE;
use serde_json::Value;

use crate::test_server::TestServer;

fn committed() -> Value {
    let text = std::fs::read_to_string("../docs/openapi.json").unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn served_document_equals_committed_one() {
    let world = TestServer::start().await;
    let document = world.get("/api/v1/openapi.json").await;
    assert_eq!(document.headers[CONTENT_TYPE], "application/json");
    assert!(
        committed() == document.json(),
        "out of date: run cargo run -p pulltrace-server-lib --features http --example openapi"
    );
}

#[test]
fn references_of_document_resolve() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let document = committed();
    let mut found = Vec::new();
    walk(&document, &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

//! What is generated from the wire's types is committed, and is what they say now.

#[cfg(feature = "ts")]
#[test]
fn the_page_has_the_types_that_the_server_sends() {
    let committed = std::fs::read_to_string("../web/src/api/gen/wire.ts").unwrap();
    assert_eq!(
        committed,
        pulltrace_core::wire::typescript::document(),
        "generate it anew: the first line of the file says how"
    );
}

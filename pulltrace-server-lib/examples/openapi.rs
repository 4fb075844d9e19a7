//! Writes the committed OpenAPI document.

fn main() -> std::io::Result<()> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    std::fs::write(file, pulltrace_server_lib::openapi_document())
}

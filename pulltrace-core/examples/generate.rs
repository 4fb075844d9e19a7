//! Writes what is generated from the wire's types, and committed.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("web/src/api/gen");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(
        folder.join("wire.ts"),
        pulltrace_core::wire::typescript::document(),
    )
}

//! Writes the committed files that are generated from the wire types and failure reasons.

use std::fs;
use std::path::Path;

use pulltrace_core::wire::typescript;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/src/api/gen");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("wire.ts"), typescript::document())?;
    fs::write(folder.join("failures.ts"), typescript::failures())
}

//! Lists files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Result};

/// Folders whose files are built, downloaded or generated.
const BUILT: [&str; 5] = ["target", "node_modules", "corpus", "artifacts", "dist"];

/// Returns the files below a folder with one of these extensions, sorted. Skips hidden folders and
/// build output.
pub(crate) fn list(dir: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let listed = || format!("list {}", dir.display());
    let mut entries =
        fs::read_dir(dir).context(listed)?.collect::<std::io::Result<Vec<_>>>().context(listed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().context(|| format!("read the type of {}", path.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let matches = || {
            path.extension()
                .is_some_and(|found| extensions.iter().any(|expected| found == *expected))
        };
        if kind.is_dir() && !BUILT.contains(&name.as_str()) && !name.starts_with('.') {
            found.extend(list(&path, extensions)?);
        } else if kind.is_file() && matches() {
            found.push(path);
        }
    }
    Ok(found)
}

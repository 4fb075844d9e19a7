//! Finds the git revision for `--version`, without git: `PULLTRACE_REVISION` of the build's
//! environment, else what a published package says of itself, else the checkout, else `unknown`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=PULLTRACE_REVISION");
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let revision = env::var("PULLTRACE_REVISION")
        .ok()
        .filter(|text| !text.is_empty())
        .or_else(|| packaged(&here))
        .or_else(|| checked_out(&here))
        .filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))
        .unwrap_or_else(|| "unknown".to_owned());
    let short = revision.get(..12).unwrap_or(&revision);
    println!("cargo::rustc-env=PULLTRACE_REVISION={short}");
}

/// `cargo package` writes the revision beside the manifest.
fn packaged(here: &Path) -> Option<String> {
    let text = read(&here.join(".cargo_vcs_info.json"))?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    rest.split('"').nth(1).map(ToOwned::to_owned)
}

/// The checkout is that of this workspace: a `.git` further up is somebody else's.
fn checked_out(here: &Path) -> Option<String> {
    let dot_git = here.parent()?.parent()?.join(".git");
    // In a worktree it is a file that says where its folder is.
    let git = if dot_git.is_dir() {
        dot_git
    } else {
        let text = read(&dot_git)?;
        dot_git
            .parent()?
            .join(text.trim().strip_prefix("gitdir: ")?)
    };
    let head = read(&git.join("HEAD"))?;
    let Some(branch) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_owned());
    };
    let common = read(&git.join("commondir")).map_or(git.clone(), |dir| git.join(dir.trim()));
    if let Some(revision) = read(&common.join(branch)) {
        return Some(revision.trim().to_owned());
    }
    read(&common.join("packed-refs"))?.lines().find_map(|line| {
        line.strip_suffix(branch)?
            .split_whitespace()
            .next()
            .map(ToOwned::to_owned)
    })
}

/// The text of a file; the build is run again when it changes.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text)
}

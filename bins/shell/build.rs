//! Determines the git revision for `--version` without running git: `PULLTRACE_REVISION` from the
//! build environment, the `.cargo_vcs_info.json` of a published package, the checkout, or
//! `unknown`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=PULLTRACE_REVISION");
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let revision = env::var("PULLTRACE_REVISION")
        .ok()
        .filter(|text| !text.is_empty())
        .or_else(|| packaged_revision(&here))
        .or_else(|| checkout_revision(&here))
        .filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))
        .unwrap_or_else(|| "unknown".to_owned());
    let short = revision.get(..12).unwrap_or(&revision);
    println!("cargo::rustc-env=PULLTRACE_REVISION={short}");
}

/// Reads the revision that `cargo package` writes next to the manifest.
fn packaged_revision(here: &Path) -> Option<String> {
    let text = read_tracked(&here.join(".cargo_vcs_info.json"))?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    rest.split('"').nth(1).map(ToOwned::to_owned)
}

/// Reads the revision from the `.git` of this workspace; a `.git` further up belongs to another
/// project.
fn checkout_revision(here: &Path) -> Option<String> {
    let dot_git = here.parent()?.parent()?.join(".git");
    // In a worktree, `.git` is a file that names the real directory.
    let git = if dot_git.is_dir() {
        dot_git
    } else {
        let text = read_tracked(&dot_git)?;
        dot_git.parent()?.join(text.trim().strip_prefix("gitdir: ")?)
    };
    let head = read_tracked(&git.join("HEAD"))?;
    let Some(branch) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_owned());
    };
    let common =
        read_tracked(&git.join("commondir")).map_or(git.clone(), |dir| git.join(dir.trim()));
    if let Some(revision) = read_tracked(&common.join(branch)) {
        return Some(revision.trim().to_owned());
    }
    read_tracked(&common.join("packed-refs"))?.lines().find_map(|line| {
        line.strip_suffix(branch)?.split_whitespace().next().map(ToOwned::to_owned)
    })
}

/// Reads a file and has the build script rerun when it changes.
fn read_tracked(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text)
}

//! The web page: its packages and its build, which the server embeds.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::root::Root;

/// The folder of the page.
pub(crate) fn dir(root: &Root) -> PathBuf {
    root.dir.join("web")
}

/// npm in the folder of the page.
pub(crate) fn npm(root: &Root, args: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(args)
        .current_dir(dir(root))
        .env("NO_COLOR", "1")
        .env("npm_config_audit", "false")
        .env("npm_config_fund", "false")
        .env("npm_config_update_notifier", "false");
    npm
}

/// Installs what the page is built with, where that has changed, and builds the page.
pub(crate) fn build(root: &Root, run: &mut impl FnMut(&mut Command) -> Result<()>) -> Result<()> {
    install(root, run)?;
    run(&mut npm(root, &["run", "build"]))
}

/// Installs exactly what the lock file names, where something else or nothing is installed.
pub(crate) fn install(root: &Root, run: &mut impl FnMut(&mut Command) -> Result<()>) -> Result<()> {
    if !process::found("npm") {
        return Err(Error::Failed(
            "the page is built with Node 20.19 or newer, and there is no npm on PATH: install it \
             from your distribution or nodejs.org"
                .to_owned(),
        ));
    }
    let written = |name: &str| {
        let file = fs::metadata(dir(root).join(name));
        file.and_then(|file| file.modified()).ok()
    };
    let wanted = written("package-lock.json");
    // npm writes it last.
    let installed = written("node_modules/.package-lock.json");
    if installed.is_some() && installed >= wanted {
        return Ok(());
    }
    run(&mut npm(root, &["ci"]))
}

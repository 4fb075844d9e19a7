//! The web page: its packages and its build, which the server embeds.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::root::Root;

/// Where the scripts of the page look for a browser, unless `CHROMIUM` says it.
const SYSTEM_CHROMIUM: &str = "/usr/bin/chromium";

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

/// Takes the README's pictures; or, with `states`, one of each state on each screen.
pub(crate) fn screenshots(root: &Root, args: &[String]) -> Result<()> {
    match args.split_first() {
        Some((first, rest)) if first == "states" => in_browser(root, "shots", rest),
        _ => in_browser(root, "pictures", args),
    }
}

/// Builds the page, and becomes a script of its `package.json` that shows it in Chromium.
pub(crate) fn in_browser(root: &Root, script: &str, args: &[String]) -> Result<()> {
    browser(env::var_os("CHROMIUM"))?;
    eprintln!("building the page");
    build(root, &mut process::run)?;
    let mut npm = npm(root, &["run", script, "--"]);
    Err(process::become_program(npm.args(args)))
}

/// Whether there is a Chromium: the one that is asked for, or that of the system.
fn browser(asked: Option<OsString>) -> Result<()> {
    let missing = match asked.filter(|path| !path.is_empty()) {
        Some(path) if Path::new(&path).is_file() => return Ok(()),
        Some(path) => format!("CHROMIUM says {}, which is no file", path.display()),
        None if Path::new(SYSTEM_CHROMIUM).is_file() => return Ok(()),
        None => format!("there is no {SYSTEM_CHROMIUM}"),
    };
    Err(Error::Failed(format!(
        "the page is shown in Chromium, and {missing}: on Debian `apt-get install chromium`, or say where \
         it is by CHROMIUM"
    )))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_is_not_there_is_named_with_what_to_do() {
        let error = browser(Some("/missing/chromium".into())).unwrap_err();
        let text = error.text().unwrap();
        assert!(text.contains("/missing/chromium"), "{text}");
        assert!(text.contains("apt-get install chromium"), "{text}");
        let there = env::current_exe().unwrap();
        assert!(browser(Some(there.into())).is_ok());
    }
}

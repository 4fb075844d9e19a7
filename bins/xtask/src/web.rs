//! Builds the web page, which the server embeds, and runs its scripts.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::root::Root;

/// The browser of the page's scripts, unless `CHROMIUM` is set.
const SYSTEM_CHROMIUM: &str = "/usr/bin/chromium";

/// The folder of the page's sources.
pub(crate) fn dir(root: &Root) -> PathBuf {
    root.dir.join("web")
}

/// npm in the folder of the page's sources.
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

/// Installs the page's dependencies if they have changed, and builds the page.
pub(crate) fn build(root: &Root, run: &mut impl FnMut(&mut Command) -> Result<()>) -> Result<()> {
    install(root, run)?;
    run(&mut npm(root, &["run", "build"]))
}

pub(crate) const SCREENSHOTS_DETAILS: &str = "\
Without `states`: the pictures of the README, of a simulated cluster.
  [--out ../docs/images] [--dist DIR]
With `states`: one picture of each state of the page on each screen.
  [--out shots] [--dist DIR] [--story NAME] [--screen NAME] [--look NAME] [--check DIR]

Requires Chromium and Node 20.19 or newer. CHROMIUM is the path of the browser
(default: /usr/bin/chromium).";

/// Takes the pictures of the README or, with `states`, one of each state on each screen.
pub(crate) fn screenshots(root: &Root, args: &ScreenshotArgs) -> Result<()> {
    match args.options.split_first() {
        Some((first, rest)) if first == "states" => exec_script(root, "shots", rest),
        _ => exec_script(root, "pictures", &args.options),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ScreenshotArgs {
    /// `states`, and options of the script
    #[arg(value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Builds the page, and replaces this process with a script of its `package.json`, which opens it in
/// Chromium.
pub(crate) fn exec_script(root: &Root, script: &str, args: &[String]) -> Result<()> {
    require_browser(env::var_os("CHROMIUM"))?;
    eprintln!("building the page");
    build(root, &mut process::run)?;
    let mut npm = npm(root, &["run", script, "--"]);
    Err(process::exec(npm.args(args)))
}

/// Returns an error with installation advice unless Chromium is installed. `path` is the value of
/// `CHROMIUM`.
fn require_browser(path: Option<OsString>) -> Result<()> {
    let problem = match path.filter(|path| !path.is_empty()) {
        Some(path) if Path::new(&path).is_file() => return Ok(()),
        Some(path) => format!("{} (from CHROMIUM) does not exist", path.display()),
        None if Path::new(SYSTEM_CHROMIUM).is_file() => return Ok(()),
        None => format!("{SYSTEM_CHROMIUM} does not exist"),
    };
    Err(Error::Missing(format!(
        "Chromium not found: {problem}; install it (on Debian: apt-get install chromium), or set \
         CHROMIUM to its path"
    )))
}

/// Installs the locked dependencies unless they are installed.
pub(crate) fn install(root: &Root, run: &mut impl FnMut(&mut Command) -> Result<()>) -> Result<()> {
    if !process::found("npm") {
        return Err(Error::Missing(
            "npm not found: install Node 20.19 or newer from your distribution or nodejs.org, \
             which builds the page"
                .to_owned(),
        ));
    }
    let modified = |name: &str| {
        let file = fs::metadata(dir(root).join(name));
        file.and_then(|file| file.modified()).ok()
    };
    let locked = modified("package-lock.json");
    // npm writes this file last.
    let installed = modified("node_modules/.package-lock.json");
    if installed.is_some() && installed >= locked {
        return Ok(());
    }
    run(&mut npm(root, &["ci"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_browser_is_reported_with_advice() {
        let error = require_browser(Some("/missing/chromium".into())).unwrap_err();
        let text = error.text().unwrap();
        assert!(text.contains("/missing/chromium"), "{text}");
        assert!(text.contains("apt-get install chromium"), "{text}");
        let existing = env::current_exe().unwrap();
        assert!(require_browser(Some(existing.into())).is_ok());
    }
}

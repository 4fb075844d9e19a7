//! `cargo xtask containerd VERSION…`: builds versions of containerd with Go into the cache, from
//! which the tests run them.
//!
//! A version is built in a temporary folder and renamed, so the cache never holds a partial one.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::background::{self, Build, BuildSteps};
use crate::error::{Context as _, Error, Result};
use crate::go;
use crate::process;
use crate::root::Root;

const PROGRAMS: [&str; 3] = ["containerd", "ctr", "containerd-shim-runc-v2"];

/// Excludes snapshotters that need C libraries and that no test uses.
const TAGS: &str = "no_btrfs,no_devmapper,no_zfs";

/// Contains the exact version. Written last.
const VERSION_FILE: &str = "VERSION";

#[derive(Debug)]
struct Pin {
    /// The version that people and tests ask for.
    minor: &'static str,
    /// The version that is built.
    exact: &'static str,
    module: &'static str,
    method: Method,
}

#[derive(Debug, PartialEq)]
enum Method {
    /// `go install module/cmd/…@version`.
    Install,
    /// Builds from a temporary module that requires this one: its `go.mod` has `replace`
    /// directives, which `go install` rejects.
    Require,
}

const V1: &str = "github.com/containerd/containerd";
const V2: &str = "github.com/containerd/containerd/v2";

const PINS: &[Pin] = &[
    Pin { minor: "1.7", exact: "1.7.35", module: V1, method: Method::Require },
    Pin { minor: "2.0", exact: "2.0.14", module: V2, method: Method::Require },
    Pin { minor: "2.1", exact: "2.1.9", module: V2, method: Method::Require },
    Pin { minor: "2.2", exact: "2.2.9", module: V2, method: Method::Install },
    Pin { minor: "2.3", exact: "2.3.7", module: V2, method: Method::Install },
    Pin { minor: "2.4", exact: "2.4.2", module: V2, method: Method::Install },
];

/// The versions that the tests run on by default.
pub(crate) const TEST_VERSIONS: [&str; 2] = [DEBIAN_VERSION, "2.4"];

/// The version of Debian's package. Found on `PATH` and never built.
pub(crate) const DEBIAN_VERSION: &str = "1.6";

pub(crate) fn details() -> String {
    format!(
        "\
Versions: {}. Each can also be given exactly, such as 2.4.2.
containerd {DEBIAN_VERSION} is a package of Debian, which `cargo xtask setup` installs.

Requires Go 1.24 or newer. A build takes two minutes on two cores.
Prints the folders of the programs.",
        known_versions()
    )
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Versions to build
    #[arg(value_name = "VERSION", required = true, value_parser = parse_built_version)]
    versions: Vec<String>,
}

pub(crate) fn run(root: &Root, args: &Args) -> Result<()> {
    for path in start(root, &args.versions)?.finish()? {
        println!("{}", path.join("bin").display());
    }
    Ok(())
}

/// Starts to build these versions in the background, one after the other. Versions in the cache
/// and `1.6`, which is not built, are skipped.
pub(crate) fn start(root: &Root, versions: &[String]) -> Result<Build> {
    let home = root.cache.join("containerd");
    let built = versions.iter().filter(|version| *version != DEBIAN_VERSION);
    let pins: Vec<&Pin> = built.map(|version| pin(version)).collect::<Result<_>>()?;
    let built = pins.iter().map(|pin| home.join(pin.minor)).collect();
    let mut missing: Vec<&Pin> =
        pins.into_iter().filter(|pin| !is_complete(&home.join(pin.minor), pin)).collect();
    missing.sort_by_key(|pin| pin.minor);
    missing.dedup_by_key(|pin| pin.minor);
    if missing.is_empty() {
        return Ok(Build::up_to_date(built));
    }
    let exact: Vec<&str> = missing.iter().map(|pin| pin.exact).collect();
    let name = format!("containerd {}", exact.join(", "));
    go::require(&name)?;
    let log = root.target.join("xtask/build-containerd.log");
    Build::start(&name, built, &log, move |steps| {
        missing.iter().try_for_each(|pin| install(&home, pin, steps))
    })
}

/// Returns the versions that the tests need and that are built from source.
pub(crate) fn built_test_versions() -> Vec<String> {
    let built = TEST_VERSIONS.iter().filter(|version| **version != DEBIAN_VERSION);
    built.map(|version| (*version).to_owned()).collect()
}

/// Builds these versions unless they are in the cache, and waits for them.
pub(crate) fn ensure(root: &Root, versions: &[String]) -> Result<()> {
    start(root, versions)?.finish().map(drop)
}

/// Returns the versions that are not in the cache and have to be built.
pub(crate) fn missing_versions<'a>(root: &Root, versions: &'a [String]) -> Vec<&'a str> {
    let home = root.cache.join("containerd");
    let is_missing = |version: &&'a String| {
        pin(version).is_ok_and(|pin| !is_complete(&home.join(pin.minor), pin))
    };
    versions.iter().filter(is_missing).map(String::as_str).collect()
}

/// Accepts a version that the tests can run on.
pub(crate) fn parse_version(version: &str) -> std::result::Result<String, String> {
    if version == DEBIAN_VERSION {
        return Ok(version.to_owned());
    }
    parse_built_version(version).map_err(|_| {
        let known = known_versions();
        format!("unknown containerd version `{version}`; expected one of {DEBIAN_VERSION}, {known}")
    })
}

fn parse_built_version(version: &str) -> std::result::Result<String, String> {
    match pin(version) {
        Ok(_) => Ok(version.to_owned()),
        Err(error) => Err(error.text().unwrap_or_default().to_owned()),
    }
}

pub(crate) fn known_versions() -> String {
    PINS.iter().map(|pin| pin.minor).collect::<Vec<_>>().join(", ")
}

fn pin(version: &str) -> Result<&'static Pin> {
    let number = version.strip_prefix('v').unwrap_or(version);
    if number == DEBIAN_VERSION {
        return Err(Error::Failed(format!(
            "containerd {DEBIAN_VERSION} is a package of Debian, which `cargo xtask setup` \
             installs; these versions can be built: {}",
            known_versions()
        )));
    }
    PINS.iter().find(|pin| pin.minor == number || pin.exact == number).ok_or_else(|| {
        Error::Failed(format!(
            "unknown containerd version `{version}`; expected one of {}",
            known_versions()
        ))
    })
}

fn install(home: &Path, pin: &Pin, steps: &mut BuildSteps) -> Result<()> {
    // The process id separates concurrent builds.
    let partial = home.join(format!(".{}-{}", pin.minor, std::process::id()));
    let target = home.join(pin.minor);
    if is_complete(&target, pin) {
        return Ok(());
    }
    let result = build(pin, &partial, steps).and_then(|()| move_into_place(&partial, &target, pin));
    // Exists only after a failure, which is reported instead.
    drop(fs::remove_dir_all(&partial));
    result
}

fn is_complete(dir: &Path, pin: &Pin) -> bool {
    fs::read_to_string(dir.join(VERSION_FILE)).is_ok_and(|text| text.trim() == pin.exact)
        && PROGRAMS.iter().all(|program| dir.join("bin").join(program).is_file())
}

fn build(pin: &Pin, dir: &Path, steps: &mut BuildSteps) -> Result<()> {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).context(|| format!("create {}", bin.display()))?;
    match pin.method {
        Method::Install => {
            let mut go = go_command(dir);
            go.env("GOBIN", &bin).args(["install", "-ldflags=-s -w", "-tags", TAGS]);
            go.args(packages(pin).map(|package| format!("{package}@v{}", pin.exact)));
            steps.run(&mut go)?;
        }
        Method::Require => {
            let module = dir.join("module");
            fs::create_dir_all(&module).context(|| format!("create {}", module.display()))?;
            steps.run(go_command(&module).args(["mod", "init", "build"]))?;
            let mut get = go_command(&module);
            get.arg("get").args(packages(pin).map(|package| format!("{package}@v{}", pin.exact)));
            steps.run(&mut get)?;
            let mut build = go_command(&module);
            build.args(["build", "-ldflags=-s -w", "-tags", TAGS, "-o"]).arg(&bin);
            steps.run(build.args(packages(pin)))?;
        }
    }
    let daemon = bin.join("containerd");
    let version = process::output(Command::new(&daemon).arg("--version"))?;
    if !version.contains(pin.exact) {
        return Err(Error::Failed(format!(
            "built containerd {}, but its version is `{}`",
            pin.exact,
            version.trim()
        )));
    }
    let file = dir.join(VERSION_FILE);
    fs::write(&file, format!("{}\n", pin.exact)).context(|| format!("write {}", file.display()))
}

fn go_command(dir: &Path) -> Command {
    let mut go = background::command("go");
    // The caller's workspace and flags do not apply to this build.
    go.current_dir(dir).env("CGO_ENABLED", "0").env("GOWORK", "off").env("GOFLAGS", "");
    go
}

fn packages(pin: &Pin) -> impl Iterator<Item = String> + use<'_> {
    PROGRAMS.iter().map(|program| format!("{}/cmd/{program}", pin.module))
}

fn move_into_place(partial: &Path, target: &Path, pin: &Pin) -> Result<()> {
    let replaced = partial.with_added_extension("replaced");
    if target.exists() {
        if is_complete(target, pin) {
            // A concurrent build finished first.
            return Ok(());
        }
        // Renamed and not overwritten: a running containerd keeps its files.
        fs::rename(target, &replaced).context(|| format!("rename {}", target.display()))?;
    }
    let module = partial.join("module");
    if module.exists() {
        fs::remove_dir_all(&module).context(|| format!("remove {}", module.display()))?;
    }
    let moved = fs::rename(partial, target);
    if replaced.exists() {
        fs::remove_dir_all(&replaced).context(|| format!("remove {}", replaced.display()))?;
    }
    match moved {
        Err(_) if is_complete(target, pin) => Ok(()),
        other => other.context(|| format!("move {} to {}", partial.display(), target.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn fill(dir: &Path, exact: &str, programs: &[&str]) {
        fs::create_dir_all(dir.join("bin")).unwrap();
        for program in programs {
            fs::write(dir.join("bin").join(program), exact).unwrap();
        }
        fs::write(dir.join(VERSION_FILE), exact).unwrap();
    }

    #[test]
    fn pins_are_patches_of_their_minor() {
        for pin in PINS {
            assert!(pin.exact.starts_with(&format!("{}.", pin.minor)), "{pin:?}");
            assert_eq!(pin.module.ends_with("/v2"), pin.exact.starts_with("2."), "{pin:?}");
        }
    }

    #[test]
    fn version_is_accepted_by_minor_or_exactly() {
        assert_eq!(pin("2.4").unwrap().exact, "2.4.2");
        assert_eq!(pin("v2.0.14").unwrap().minor, "2.0");
        for bad in ["1.6", "2.4.1", "2", "latest", ""] {
            assert!(matches!(pin(bad), Err(Error::Failed(_))), "{bad}");
        }
        assert!(parse_version("1.6").is_ok() && parse_version("3.0").is_err());
    }

    #[test]
    fn only_complete_install_of_pinned_version_counts() {
        let dir = scratch("complete");
        let pin = pin("2.4").unwrap();
        fill(&dir, pin.exact, &PROGRAMS[..2]);
        assert!(!is_complete(&dir, pin), "a program is missing");
        fill(&dir, pin.exact, &PROGRAMS);
        assert!(is_complete(&dir, pin));
        fill(&dir, "2.4.1", &PROGRAMS);
        assert!(!is_complete(&dir, pin), "an older patch");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn cached_versions_are_not_built() {
        let cache = scratch("cached");
        let root = Root { dir: cache.clone(), target: cache.clone(), cache: cache.clone() };
        let versions = ["1.6", "2.4", "2.0"].map(str::to_owned);
        assert_eq!(missing_versions(&root, &versions), ["2.4", "2.0"]);
        for version in &versions[1..] {
            let dir = cache.join("containerd").join(version);
            fill(&dir, pin(version).unwrap().exact, &PROGRAMS);
        }
        assert!(missing_versions(&root, &versions).is_empty());
        let built = start(&root, &versions).unwrap().finish().unwrap();
        assert_eq!(built.len(), 2, "{built:?}");
        fs::remove_dir_all(&cache).unwrap();
    }

    #[test]
    fn new_build_replaces_incomplete_one() {
        let dir = scratch("replace");
        let pin = pin("2.0").unwrap();
        let (partial, target) = (dir.join(".2.0-1"), dir.join("2.0"));
        fill(&partial, pin.exact, &PROGRAMS);
        fs::create_dir_all(partial.join("module")).unwrap();
        fill(&target, pin.exact, &PROGRAMS[..1]);
        move_into_place(&partial, &target, pin).unwrap();
        assert!(is_complete(&target, pin) && !target.join("module").exists());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}

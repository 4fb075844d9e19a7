//! `cargo xtask containerd VERSION…`: builds a version of containerd by the Go
//! tool chain into the cache, where the testkit finds it.
//!
//! A version is there whole or not at all: it is built beside its place and
//! renamed into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clock::{self, Stopwatch};
use crate::error::{Context as _, Error, Result};
use crate::process;
use crate::root::Root;

const PROGRAMS: [&str; 3] = ["containerd", "ctr", "containerd-shim-runc-v2"];

/// What is left out needs C libraries and serves no test.
const TAGS: &str = "no_btrfs,no_devmapper,no_zfs";

/// Holds the exact version of a whole install.
const STAMP: &str = "VERSION";

type Run<'a> = dyn FnMut(&mut Command) -> Result<()> + 'a;

#[derive(Debug)]
struct Pin {
    /// The name that people and tests use.
    minor: &'static str,
    /// What is built.
    exact: &'static str,
    module: &'static str,
    how: How,
}

#[derive(Debug, PartialEq)]
enum How {
    /// `go install module/cmd/…@version`.
    Install,
    /// Its `go.mod` replaces modules, which `go install` refuses: built from a
    /// throw-away module that requires it.
    Require,
}

const V1: &str = "github.com/containerd/containerd";
const V2: &str = "github.com/containerd/containerd/v2";

const PINS: &[Pin] = &[
    Pin {
        minor: "1.7",
        exact: "1.7.35",
        module: V1,
        how: How::Require,
    },
    Pin {
        minor: "2.0",
        exact: "2.0.14",
        module: V2,
        how: How::Require,
    },
    Pin {
        minor: "2.1",
        exact: "2.1.9",
        module: V2,
        how: How::Require,
    },
    Pin {
        minor: "2.2",
        exact: "2.2.9",
        module: V2,
        how: How::Install,
    },
    Pin {
        minor: "2.3",
        exact: "2.3.7",
        module: V2,
        how: How::Install,
    },
    Pin {
        minor: "2.4",
        exact: "2.4.2",
        module: V2,
        how: How::Install,
    },
];

/// The version that comes from Debian and is found on `PATH`.
pub(crate) const FROM_PATH: &str = "1.6";

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    if args.is_empty() {
        return Err(Error::Usage(format!("which version? One of {}", known())));
    }
    // All are checked before the first is built.
    for version in args {
        pin(version)?;
    }
    args.iter()
        .try_for_each(|version| install(root, version, &mut process::run))
}

/// Makes the version be there; does nothing when it is. `1.6` is not built:
/// whether it is on `PATH` is `setup`'s business. The caller says how the
/// commands are run.
pub(crate) fn ensure(root: &Root, version: &str, run: &mut Run<'_>) -> Result<()> {
    if version == FROM_PATH {
        Ok(())
    } else {
        install(root, version, run)
    }
}

/// Refuses a version that nothing can provide.
pub(crate) fn check(version: &str) -> Result<()> {
    if version == FROM_PATH || pin(version).is_ok() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "containerd `{version}` is not known; one of {FROM_PATH}, {}",
        known()
    )))
}

fn known() -> String {
    PINS.iter()
        .map(|pin| pin.minor)
        .collect::<Vec<_>>()
        .join(", ")
}

fn pin(version: &str) -> Result<&'static Pin> {
    let wanted = version.strip_prefix('v').unwrap_or(version);
    if wanted == FROM_PATH {
        return Err(Error::Usage(format!(
            "containerd {FROM_PATH} is Debian's package, which `cargo xtask setup` installs; \
             built from source are {}",
            known()
        )));
    }
    PINS.iter()
        .find(|pin| pin.minor == wanted || pin.exact == wanted)
        .ok_or_else(|| {
            Error::Usage(format!(
                "containerd `{version}` is not known; one of {}",
                known()
            ))
        })
}

fn install(root: &Root, version: &str, run: &mut Run<'_>) -> Result<()> {
    let pin = pin(version)?;
    let home = root.cache.join("containerd");
    let place = home.join(pin.minor);
    if is_whole(&place, pin) {
        eprintln!(
            "containerd {} is in {}",
            pin.exact,
            place.join("bin").display()
        );
        return Ok(());
    }
    if !process::found("go") {
        return Err(Error::Failed(format!(
            "containerd {} is built by Go, and there is no `go` on PATH: install Go 1.24 or newer \
             (https://go.dev/dl/)",
            pin.exact
        )));
    }
    eprintln!(
        "containerd {}: building into {}",
        pin.exact,
        place.display()
    );
    let watch = Stopwatch::start();
    // The process id keeps two builds at the same time apart.
    let half = home.join(format!(".{}-{}", pin.minor, std::process::id()));
    let result = build(pin, &half, run).and_then(|()| move_into_place(&half, &place, pin));
    // Best effort: what went wrong above says more than a leftover folder.
    drop(fs::remove_dir_all(&half));
    result?;
    eprintln!(
        "containerd {}: done in {}",
        pin.exact,
        clock::show(watch.elapsed())
    );
    Ok(())
}

fn is_whole(place: &Path, pin: &Pin) -> bool {
    fs::read_to_string(place.join(STAMP)).is_ok_and(|text| text.trim() == pin.exact)
        && PROGRAMS
            .iter()
            .all(|program| place.join("bin").join(program).is_file())
}

fn build(pin: &Pin, half: &Path, run: &mut Run<'_>) -> Result<()> {
    let bin = half.join("bin");
    fs::create_dir_all(&bin).context(|| format!("create {}", bin.display()))?;
    match pin.how {
        How::Install => {
            let mut go = go(half);
            go.env("GOBIN", &bin)
                .args(["install", "-ldflags=-s -w", "-tags", TAGS]);
            go.args(packages(pin).map(|package| format!("{package}@v{}", pin.exact)));
            run(&mut go)?;
        }
        How::Require => {
            let module = half.join("module");
            fs::create_dir_all(&module).context(|| format!("create {}", module.display()))?;
            run(go(&module).args(["mod", "init", "build"]))?;
            let mut get = go(&module);
            get.arg("get")
                .args(packages(pin).map(|package| format!("{package}@v{}", pin.exact)));
            run(&mut get)?;
            let mut build = go(&module);
            build
                .args(["build", "-ldflags=-s -w", "-tags", TAGS, "-o"])
                .arg(&bin);
            run(build.args(packages(pin)))?;
        }
    }
    let daemon = bin.join("containerd");
    let said = process::output(Command::new(&daemon).arg("--version"))?;
    if !said.contains(pin.exact) {
        return Err(Error::Failed(format!(
            "what was built as containerd {} calls itself `{}`",
            pin.exact,
            said.trim()
        )));
    }
    let stamp = half.join(STAMP);
    fs::write(&stamp, format!("{}\n", pin.exact)).context(|| format!("write {}", stamp.display()))
}

fn go(dir: &Path) -> Command {
    let mut go = Command::new("go");
    // A workspace or flags of the caller are not about this build.
    go.current_dir(dir)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GOFLAGS", "");
    go
}

fn packages(pin: &Pin) -> impl Iterator<Item = String> + use<'_> {
    PROGRAMS
        .iter()
        .map(|program| format!("{}/cmd/{program}", pin.module))
}

fn move_into_place(half: &Path, place: &Path, pin: &Pin) -> Result<()> {
    let old = old_place(half);
    if place.exists() {
        if is_whole(place, pin) {
            // Somebody else was faster.
            return Ok(());
        }
        // A running containerd keeps its open files.
        fs::rename(place, &old).context(|| format!("move {} away", place.display()))?;
    }
    let module = half.join("module");
    if module.exists() {
        fs::remove_dir_all(&module).context(|| format!("remove {}", module.display()))?;
    }
    let moved = fs::rename(half, place);
    if old.exists() {
        fs::remove_dir_all(&old).context(|| format!("remove {}", old.display()))?;
    }
    match moved {
        Err(_) if is_whole(place, pin) => Ok(()),
        other => other.context(|| format!("move {} to {}", half.display(), place.display())),
    }
}

fn old_place(half: &Path) -> PathBuf {
    let mut name = half.as_os_str().to_owned();
    name.push("-old");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
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
        fs::write(dir.join(STAMP), exact).unwrap();
    }

    #[test]
    fn pins_are_patches_of_their_minor() {
        for pin in PINS {
            assert!(pin.exact.starts_with(&format!("{}.", pin.minor)), "{pin:?}");
            assert_eq!(
                pin.module.ends_with("/v2"),
                pin.exact.starts_with("2."),
                "{pin:?}"
            );
        }
    }

    #[test]
    fn a_version_is_known_by_minor_or_exactly_and_else_refused() {
        assert_eq!(pin("2.4").unwrap().exact, "2.4.2");
        assert_eq!(pin("v2.0.14").unwrap().minor, "2.0");
        for bad in ["1.6", "2.4.1", "2", "latest", ""] {
            assert!(matches!(pin(bad), Err(Error::Usage(_))), "{bad}");
        }
        assert!(check("1.6").is_ok() && check("3.0").is_err());
    }

    #[test]
    fn only_a_whole_install_of_the_pinned_version_counts() {
        let dir = scratch("whole");
        let pin = pin("2.4").unwrap();
        fill(&dir, pin.exact, &PROGRAMS[..2]);
        assert!(!is_whole(&dir, pin), "a program is missing");
        fill(&dir, pin.exact, &PROGRAMS);
        assert!(is_whole(&dir, pin));
        fill(&dir, "2.4.1", &PROGRAMS);
        assert!(!is_whole(&dir, pin), "an older patch");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_new_build_replaces_a_broken_one_and_leaves_nothing_beside_it() {
        let dir = scratch("replace");
        let pin = pin("2.0").unwrap();
        let (half, place) = (dir.join(".2.0-1"), dir.join("2.0"));
        fill(&half, pin.exact, &PROGRAMS);
        fs::create_dir_all(half.join("module")).unwrap();
        fill(&place, pin.exact, &PROGRAMS[..1]);
        move_into_place(&half, &place, pin).unwrap();
        assert!(is_whole(&place, pin) && !place.join("module").exists());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}

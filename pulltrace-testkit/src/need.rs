//! What a test needs from the machine, and what to install when it is missing.
//!
//! Under `CI=true` a missing thing is a failure. Elsewhere the test is skipped,
//! which is printed and, when the variable `PULLTRACE_SKIPPED` names a file,
//! added to that file as one line, so that the run can count its skips.

use std::io::Write as _;
use std::path::Path;

use crate::containerd::ContainerdBinary;

/// Something the machine lacks, with the way to get it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is missing: {remedy}")]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Missing {
    /// Says that `what` is missing and that `remedy` helps.
    #[must_use]
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// Needs the rights of root: containerd mounts file systems.
///
/// # Errors
/// [`Missing`] when the process runs as another user.
pub fn root() -> Result<(), Missing> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(Missing::new(
            "root",
            "run the tests as root (sudo -E cargo …)",
        ))
    }
}

/// Needs a containerd of this minor version, `"1.6"` or `"2.4"`, and root.
///
/// # Errors
/// [`Missing`] with what to install.
pub fn containerd(minor: &str) -> Result<ContainerdBinary, Missing> {
    root()?;
    ContainerdBinary::find(minor)
}

/// Needs a program on `PATH`.
///
/// # Errors
/// [`Missing`] with the package to install.
pub fn program(name: &str, package: &str) -> Result<std::path::PathBuf, Missing> {
    on_path(name).ok_or_else(|| {
        Missing::new(
            format!("the program {name}"),
            format!("apt-get install {package}"),
        )
    })
}

/// Where `PATH` has a program of this name.
pub(crate) fn on_path(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Hands on what is there; skips the test that cannot have it.
///
/// ```no_run
/// # use pulltrace_testkit::need;
/// let Some(binary) = need::or_skip(need::containerd("2.4")) else {
///     return;
/// };
/// ```
///
/// # Panics
/// Under `CI=true` when something is missing: there nothing is skipped. Also
/// when the skip could not be counted.
pub fn or_skip<T>(needed: Result<T, Missing>) -> Option<T> {
    let missing = match needed {
        Ok(value) => return Some(value),
        Err(missing) => missing,
    };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test without a name");
    let ci = std::env::var("CI").as_deref() == Ok("true");
    let list = std::env::var_os("PULLTRACE_SKIPPED");
    skip(test, &missing, ci, list.as_deref().map(Path::new));
    None
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test must be visible in the test's own output"
)]
fn skip(test: &str, missing: &Missing, ci: bool, list: Option<&Path>) {
    assert!(!ci, "{test} cannot run: {missing}");
    eprintln!("skipped {test}: {missing}");
    let Some(list) = list else {
        return;
    };
    let line = format!("{test}: {missing}\n");
    let added = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(list)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = added {
        panic!(
            "the skip of {test} could not be counted in {}: {error}",
            list.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Missing {
        Missing::new("the moon", "look up")
    }

    #[test]
    fn a_skip_is_one_line_in_the_list() {
        let list = std::env::temp_dir().join(format!("pulltrace-skips-{}", std::process::id()));
        skip("one", &missing(), false, Some(&list));
        skip("two", &missing(), false, Some(&list));
        let text = std::fs::read_to_string(&list).unwrap();
        std::fs::remove_file(&list).unwrap();
        assert_eq!(
            text,
            "one: the moon is missing: look up\ntwo: the moon is missing: look up\n"
        );
    }

    #[test]
    #[should_panic(expected = "one cannot run: the moon is missing: look up")]
    fn nothing_is_skipped_under_ci() {
        skip("one", &missing(), true, None);
    }

    #[test]
    #[should_panic(expected = "could not be counted")]
    fn a_skip_that_is_not_counted_is_a_failure() {
        skip(
            "one",
            &missing(),
            false,
            Some(Path::new("/proc/none/skips")),
        );
    }

    #[test]
    fn what_is_there_is_handed_on() {
        assert_eq!(or_skip(Ok::<_, Missing>(7)), Some(7));
    }

    #[test]
    fn a_program_is_found_on_the_path_or_named_with_its_package() {
        assert!(program("sh", "dash").unwrap().is_file());
        assert_eq!(
            program("no-such-program", "none").unwrap_err().to_string(),
            "the program no-such-program is missing: apt-get install none"
        );
    }
}

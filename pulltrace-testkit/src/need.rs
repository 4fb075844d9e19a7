//! Prerequisites of a test, and how to install missing ones.
//!
//! With `CI=true` a missing prerequisite fails the test. Otherwise the test is skipped: the skip is
//! printed and, if the variable `PULLTRACE_SKIPPED` names a file, appended to it as one line, so
//! that the test run can count its skips.

use std::io::Write as _;
use std::path::Path;

use crate::containerd::ContainerdBinary;
use crate::missing::on_path;

pub use crate::missing::Missing;

/// Requires root: containerd mounts file systems.
///
/// # Errors
/// [`Missing`] when the process runs as another user.
pub fn root() -> Result<(), Missing> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(Missing::new("root", "run the tests as root (sudo -E cargo …)"))
    }
}

/// Requires a containerd of this minor version, such as `"1.6"` or `"2.4"`, and root.
///
/// # Errors
/// [`Missing`] with the package or command to install it.
pub fn containerd(minor: &str) -> Result<ContainerdBinary, Missing> {
    root()?;
    ContainerdBinary::find(minor)
}

/// Requires a program on `PATH`.
///
/// # Errors
/// [`Missing`] with the package to install.
pub fn program(name: &str, package: &str) -> Result<std::path::PathBuf, Missing> {
    on_path(name).ok_or_else(|| {
        Missing::new(format!("program {name}"), format!("apt-get install {package}"))
    })
}

/// Returns the value, or `None` after recording that the test is skipped.
///
/// ```no_run
/// # use pulltrace_testkit::need;
/// let Some(binary) = need::or_skip(need::containerd("2.4")) else {
///     return;
/// };
/// ```
///
/// # Panics
/// With `CI=true` when the prerequisite is missing, and when the skip cannot be recorded.
pub fn or_skip<T>(needed: Result<T, Missing>) -> Option<T> {
    let missing = match needed {
        Ok(value) => return Some(value),
        Err(missing) => missing,
    };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed test");
    let ci = std::env::var("CI").as_deref() == Ok("true");
    let list = std::env::var_os("PULLTRACE_SKIPPED");
    skip(test, &missing, ci, list.as_deref().map(Path::new));
    None
}

/// Wraps a test of a custom harness so that it runs on a thread with its name, as in libtest: skips
/// and panics then report the name.
///
/// # Panics
/// When the test panics or its thread cannot be started.
pub fn named_test<T: Send + 'static>(
    name: String,
    test: impl FnOnce() -> T + Send + 'static,
) -> impl FnOnce() -> T + Send + 'static {
    move || {
        let thread = std::thread::Builder::new().name(name).spawn(test);
        let result = thread.expect("failed to start the thread").join();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test must be visible in the test's own output")]
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
        panic!("failed to record the skip of {test} in {}: {error}", list.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Missing {
        Missing::new("the moon", "look up")
    }

    #[test]
    fn skip_appends_one_line_to_list() {
        let list = std::env::temp_dir().join(format!("pulltrace-skips-{}", std::process::id()));
        skip("one", &missing(), false, Some(&list));
        skip("two", &missing(), false, Some(&list));
        let text = std::fs::read_to_string(&list).unwrap();
        std::fs::remove_file(&list).unwrap();
        assert_eq!(text, "one: the moon is missing: look up\ntwo: the moon is missing: look up\n");
    }

    #[test]
    fn named_test_runs_on_thread_with_its_name() {
        let name = || std::thread::current().name().map(str::to_owned);
        let test = named_test("2.4::pulls".to_owned(), name);
        assert_eq!(test().as_deref(), Some("2.4::pulls"));
    }

    #[test]
    #[should_panic(expected = "one cannot run: the moon is missing: look up")]
    fn missing_requirement_panics_in_ci() {
        skip("one", &missing(), true, None);
    }

    #[test]
    #[should_panic(expected = "failed to record the skip")]
    fn unrecorded_skip_panics() {
        skip("one", &missing(), false, Some(Path::new("/proc/none/skips")));
    }

    #[test]
    fn or_skip_returns_available_value() {
        assert_eq!(or_skip(Ok::<_, Missing>(7)), Some(7));
    }

    #[test]
    fn program_lookup_searches_path_and_names_package() {
        assert!(program("sh", "dash").unwrap().is_file());
        assert_eq!(
            program("no-such-program", "none").unwrap_err().to_string(),
            "program no-such-program is missing: apt-get install none"
        );
    }
}

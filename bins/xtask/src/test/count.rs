//! How many tests there were, read from what libtest and vitest print at their
//! end.

use std::ops::AddAssign;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn is_empty(self) -> bool {
        self == Counts::default()
    }

    /// Tests that said they could do nothing, and which libtest calls passed.
    pub(crate) fn skip_passed(&mut self, tests: u64) {
        self.passed = self.passed.saturating_sub(tests);
        self.skipped += tests;
    }

    /// Takes a line of output; only a summary of tests changes anything.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(counts) = summary(line).or_else(|| summary_of_vitest(line)) {
            *self += counts;
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; …`.
/// What is filtered out was not asked for, and is not counted.
fn summary(line: &str) -> Option<Counts> {
    let rest = line.trim().strip_prefix("test result: ")?;
    let (_verdict, numbers) = rest.split_once(". ")?;
    let mut counts = Counts::default();
    for part in numbers.split("; ") {
        match part.trim().split_once(' ') {
            Some((number, "passed")) => counts.passed = number.parse().ok()?,
            Some((number, "failed")) => counts.failed = number.parse().ok()?,
            Some((number, "ignored")) => counts.skipped = number.parse().ok()?,
            _ => {}
        }
    }
    Some(counts)
}

/// `Tests  1 failed | 12 passed | 2 skipped (15)`.
fn summary_of_vitest(line: &str) -> Option<Counts> {
    let rest = line.trim().strip_prefix("Tests  ")?;
    let (numbers, _all) = rest.rsplit_once(" (")?;
    let mut counts = Counts::default();
    for part in numbers.split(" | ") {
        match part.trim().split_once(' ') {
            Some((number, "passed")) => counts.passed = number.parse().ok()?,
            Some((number, "failed")) => counts.failed = number.parse().ok()?,
            Some((number, "skipped" | "todo")) => counts.skipped += number.parse::<u64>().ok()?,
            _ => return None,
        }
    }
    Some(counts)
}

/// The test that a line of libtest says has failed.
pub(crate) fn failed_test(line: &str) -> Option<&str> {
    let name = line
        .trim()
        .strip_prefix("test ")?
        .strip_suffix(" ... FAILED")?;
    // Some runners pad it to a column.
    Some(name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_tests_add_up_and_other_lines_do_not_count() {
        let mut counts = Counts::default();
        for line in [
            "running 13 tests",
            "test a::b ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.2s",
            "12 passed; 3 failed",
            "test result: nonsense",
            " Test Files  4 passed (4)",
            "      Tests  1 failed | 30 passed | 2 skipped (33)",
            "      Tests  5 passed (5)",
        ] {
            counts.read(line);
        }
        assert_eq!(
            counts,
            Counts {
                passed: 48,
                failed: 3,
                skipped: 3
            }
        );
        assert_eq!(counts.to_string(), "48 passed, 3 failed, 3 skipped");
    }

    #[test]
    fn failed_tests_are_named() {
        assert_eq!(failed_test("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failed_test("test 2.4::b    ... FAILED"), Some("2.4::b"));
        assert_eq!(failed_test("test a::b ... ok"), None);
    }
}

//! Test counts, parsed from the summaries of libtest and vitest.

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

    /// Moves tests that skipped themselves, which libtest counts as passed, to `skipped`.
    pub(crate) fn passed_to_skipped(&mut self, tests: u64) {
        self.passed = self.passed.saturating_sub(tests);
        self.skipped += tests;
    }

    /// Adds the numbers of a summary line. Ignores other lines.
    pub(crate) fn add_summary(&mut self, line: &str) {
        if let Some(counts) = libtest_summary(line).or_else(|| vitest_summary(line)) {
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
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Parses `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; …`.
/// Filtered-out tests are not counted.
fn libtest_summary(line: &str) -> Option<Counts> {
    let rest = line.trim().strip_prefix("test result: ")?;
    let (_result, numbers) = rest.split_once(". ")?;
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

/// Parses `Tests  1 failed | 12 passed | 2 skipped (15)`.
fn vitest_summary(line: &str) -> Option<Counts> {
    let rest = line.trim().strip_prefix("Tests  ")?;
    let (numbers, _total) = rest.rsplit_once(" (")?;
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

/// Returns the name of the failed test, if the line reports one.
pub(crate) fn failed_test(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
    // libtest-mimic pads names.
    Some(name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_add_up_and_other_lines_are_ignored() {
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
            counts.add_summary(line);
        }
        assert_eq!(counts, Counts { passed: 48, failed: 3, skipped: 3 });
        assert_eq!(counts.to_string(), "48 passed, 3 failed, 3 skipped");
    }

    #[test]
    fn failed_test_is_parsed() {
        assert_eq!(failed_test("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failed_test("test 2.4::b    ... FAILED"), Some("2.4::b"));
        assert_eq!(failed_test("test a::b ... ok"), None);
    }
}

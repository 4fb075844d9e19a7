//! Summarises skipped stages and tests: one line for each missing prerequisite.

/// A prerequisite that is missing on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Tests that need it name it so in their skip lines: `containerd 2.4`.
    pub(crate) name: String,
    /// For people, with advice.
    pub(crate) text: String,
}

#[derive(Debug)]
struct Group<'a> {
    /// `None` if no stage has named the prerequisite.
    name: Option<&'a str>,
    text: &'a str,
    stages: Vec<&'a str>,
    tests: usize,
}

/// Returns one line for each missing prerequisite, with the stages and the number of tests that it
/// blocked.
///
/// `stages` are the skipped stages. `lines` are the skip lines of tests: `TEST: NAME is missing:
/// ADVICE`.
pub(crate) fn summarize(stages: &[(&str, Missing)], lines: &str) -> Vec<String> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (stage, missing) in stages {
        let name = Some(missing.name.as_str());
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.stages.push(stage),
            None => groups.push(Group { name, text: &missing.text, stages: vec![stage], tests: 0 }),
        }
    }
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        // Names of tests have `::` in them, but no colon before a space.
        let text = line.split_once(": ").map_or(line, |(_test, text)| text);
        match find(&mut groups, text) {
            Some(group) => group.tests += 1,
            None => groups.push(Group { name: None, text, stages: Vec::new(), tests: 1 }),
        }
    }
    groups.iter().map(Group::line).collect()
}

/// Finds the group of a test's reason. Advice may name other prerequisites, and is ignored.
fn find<'a, 'b>(groups: &'b mut [Group<'a>], text: &str) -> Option<&'b mut Group<'a>> {
    let (what, _advice) = text.split_once(": ").unwrap_or((text, ""));
    let is_same = |group: &&mut Group<'a>| match group.name {
        Some(name) => what.contains(name),
        None => group.text == text,
    };
    groups.iter_mut().find(is_same)
}

impl Group<'_> {
    fn line(&self) -> String {
        let mut blocked: Vec<String> = self.stages.iter().map(|stage| (*stage).into()).collect();
        match self.tests {
            0 => {}
            1 => blocked.push("1 test".to_owned()),
            tests => blocked.push(format!("{tests} tests")),
        }
        format!("SKIPPED {}: {}", blocked.join(", "), self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(name: &str, text: &str) -> Missing {
        Missing { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn missing_prerequisite_is_reported_once() {
        let go = "containerd 2.4.2 is not built: install Go 1.24 or newer";
        let stages = [
            ("setup", missing("chromium", "install chromium")),
            ("containerd", missing("containerd 2.4", go)),
            ("browser", missing("chromium", "chromium is not on PATH")),
        ];
        let lines = "\
2.4::pulls::one: containerd 2.4 is missing: run `cargo xtask containerd 2.4`
2.4::pulls::two: containerd 2.4 is missing: run `cargo xtask containerd 2.4`
page: the program chromium is missing: apt-get install chromium
1.6::pulls::one: containerd 1.6 is missing: apt-get install containerd runc
1.6::pulls::two: containerd 1.6 is missing: apt-get install containerd runc

sandbox: the program runc is missing: apt-get install runc
";
        assert_eq!(
            summarize(&stages, lines),
            [
                "SKIPPED setup, browser, 1 test: install chromium",
                &format!("SKIPPED containerd, 2 tests: {go}"),
                "SKIPPED 2 tests: containerd 1.6 is missing: apt-get install containerd runc",
                "SKIPPED 1 test: the program runc is missing: apt-get install runc",
            ]
        );
    }

    #[test]
    fn advice_does_not_decide_the_group() {
        let stages = [("setup", missing("runc", "install runc"))];
        let lines = "a: containerd 1.6 is missing: apt-get install containerd runc";
        let summary = summarize(&stages, lines);
        assert_eq!(summary.len(), 2, "{summary:?}");
        assert!(summarize(&[], "").is_empty());
    }
}

//! Prepares the build step of a layer for display: short, on one line, and without values that may
//! be secrets.

/// The maximum length of a step in characters.
pub(super) const MAX_STEP: usize = 120;

/// Shells that precede the command of a `RUN` step.
const SHELLS: [&str; 8] = [
    "/bin/sh -c ",
    "/bin/bash -c ",
    "/bin/ash -c ",
    "/usr/bin/bash -c ",
    "/bin/bash -o pipefail -c ",
    "/bin/sh -o pipefail -c ",
    "cmd /S /C ",
    "powershell -Command ",
];

/// Formats a step as in the Dockerfile; `None` if nothing remains.
///
/// Values of `ARG` and `ENV` are removed in every notation that builders use: `|1 A=b` before the
/// shell of a `RUN`, and the instructions `ARG` and `ENV` themselves.
pub(super) fn clean_step(text: &str) -> Option<String> {
    let line = collapse_whitespace(text);
    let line = line.trim().trim_end_matches("# buildkit").trim_end();
    let (instruction, rest) = match line.split_once(' ') {
        Some(("RUN", rest)) => ("RUN ", rest),
        _ => ("", line),
    };
    let step = if has_build_args(rest) {
        // Values are not quoted and may contain anything, even the name of a shell. The last shell
        // belongs to the command or is part of it, so everything before it is removed.
        let command =
            SHELLS.iter().filter_map(|shell| rest.rfind(shell).map(|at| at + shell.len())).max();
        let command = command.and_then(|at| rest.get(at..)).unwrap_or_default();
        format!("RUN {command}")
    } else if let Some(step) = rest.strip_prefix("/bin/sh -c #(nop)") {
        strip_values(step.trim_start())
    } else if let Some(command) = rest.strip_prefix("/bin/sh -c ") {
        strip_values(&format!("RUN {command}"))
    } else {
        strip_values(&format!("{instruction}{rest}"))
    };
    let step = step.trim();
    (!step.is_empty()).then(|| truncate(step))
}

/// Matches `|2 A=1 B=2 …`: the number of build arguments, then the arguments, of a `RUN`.
fn has_build_args(text: &str) -> bool {
    text.strip_prefix('|').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Reduces `ENV` and `ARG` to the first name. The rest is removed because it may be part of a
/// quoted value.
fn strip_values(step: &str) -> String {
    let Some((instruction, rest)) = step.split_once(' ') else {
        return step.to_owned();
    };
    if !["ENV", "ARG"].iter().any(|word| instruction.eq_ignore_ascii_case(word)) {
        return step.to_owned();
    }
    // Some builders write a list in brackets: `ENV [A=b]`.
    let rest = rest.trim_start().trim_start_matches('[');
    let name = rest.split(['=', ' ']).next().unwrap_or_default();
    format!("{instruction} {name}")
}

/// Replaces each sequence of whitespace and control characters by one space. Control characters
/// could be terminal escape sequences.
fn collapse_whitespace(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        if !(c.is_whitespace() || c.is_control()) {
            line.push(c);
        } else if !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line
}

fn truncate(step: &str) -> String {
    if step.chars().count() <= MAX_STEP {
        return step.to_owned();
    }
    step.chars().take(MAX_STEP - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(clean_step(text).as_deref(), Some(shown));
    }

    #[test]
    fn step_is_shown_as_in_dockerfile() {
        check("/bin/sh -c #(nop) ADD file:3da4 in / ", "ADD file:3da4 in /");
        check("/bin/sh -c apt-get update", "RUN apt-get update");
        check(
            "RUN /bin/sh -c make   install\n\t&& rm -r x # buildkit",
            "RUN make install && rm -r x",
        );
        check("COPY app /usr/bin/ # buildkit", "COPY app /usr/bin/");
        check("bazel build ...", "bazel build ...");
        check("/bin/sh -c #(nop)  CMD [\"bash\"]", "CMD [\"bash\"]");
    }

    #[test]
    fn argument_values_are_removed() {
        check("|1 TOKEN=s3cret /bin/sh -c make", "RUN make");
        check(
            "RUN |2 A=s3cret B=two words /bin/bash -o pipefail -c make all # buildkit",
            "RUN make all",
        );
        check("RUN |1 A=/bin/sh -c s3cret /bin/sh -c make # buildkit", "RUN make");
        check("|1 A=s3cret /own/shell make", "RUN");
        check("ENV PASSWORD=s3cret", "ENV PASSWORD");
        check("/bin/sh -c #(nop)  ENV PASSWORD=s3cret", "ENV PASSWORD");
        check("/bin/sh -c #(nop) ENV A=\"one s3cret=two\" B=c", "ENV A");
        check("ENV PASSWORD s3cret word", "ENV PASSWORD");
        check("ARG TOKEN=s3cret", "ARG TOKEN");
        check("ENV [A=s3cret]", "ENV A");
        check("arg token=s3cret # buildkit", "arg token");
        let long = format!("|1 A={} /bin/sh -c make", "s3cret ".repeat(1_000));
        check(&long, "RUN make");
    }

    #[test]
    fn step_is_truncated_and_single_line() {
        assert_eq!(clean_step(""), None);
        assert_eq!(clean_step(" \n "), None);
        let shown = clean_step(&format!("/bin/sh -c {}", "é".repeat(5_000))).unwrap();
        assert_eq!(shown.chars().count(), MAX_STEP);
        assert!(shown.ends_with('…'));
        check("COPY a\u{1b}[31m b", "COPY a [31m b");
    }

    proptest::proptest! {
        #[test]
        fn clean_step_accepts_any_text(text in ".{0,400}") {
            if let Some(shown) = clean_step(&text) {
                proptest::prop_assert!(shown.chars().count() <= MAX_STEP);
                proptest::prop_assert!(!shown.chars().any(char::is_control));
            }
        }

        #[test]
        fn secret_in_argument_is_never_shown(
            before in "(RUN )?", name in "[A-Z]{1,8}", value in "[a-z =\"'/-]{0,20}", after in "[a-z =\"'/-]{0,20}",
        ) {
            let text = format!("{before}|1 {name}={value}S3CRET{after} /bin/sh -c make");
            let shown = clean_step(&text);
            proptest::prop_assert_eq!(shown.as_deref(), Some("RUN make"));
            for text in [
                format!("ENV {name}={value}S3CRET{after}"),
                format!("/bin/sh -c #(nop)  ARG {name}={value}S3CRET{after}"),
            ] {
                proptest::prop_assert!(!clean_step(&text).unwrap().contains("S3CRET"));
            }
        }
    }
}

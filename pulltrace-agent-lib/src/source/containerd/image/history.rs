//! The build step that made a layer, fit to be shown: short, on one line, and without values that may be
//! secrets.

/// The longest step, in characters.
pub(super) const MAX_STEP: usize = 120;

/// Shells after which the command of a `RUN` stands.
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

/// The step as people wrote it; `None` where nothing is left of it.
///
/// The values of `ARG` and `ENV` are left out, in all the ways in which builders record them: `|1 A=b` before
/// the shell of a `RUN`, and the instructions `ARG` and `ENV` themselves.
pub(super) fn clean(text: &str) -> Option<String> {
    let line = one_line(text);
    let line = line.trim().trim_end_matches("# buildkit").trim_end();
    let (instruction, rest) = match line.split_once(' ') {
        Some(("RUN", rest)) => ("RUN ", rest),
        _ => ("", line),
    };
    let step = if is_args(rest) {
        // The values are not quoted and may hold anything, a shell too; the last one is that of the command
        // or a part of it, so nothing before it is ever shown.
        let command = SHELLS
            .iter()
            .filter_map(|shell| rest.rfind(shell).map(|at| at + shell.len()))
            .max();
        let command = command.and_then(|at| rest.get(at..)).unwrap_or_default();
        format!("RUN {command}")
    } else if let Some(step) = rest.strip_prefix("/bin/sh -c #(nop)") {
        without_values(step.trim_start())
    } else if let Some(command) = rest.strip_prefix("/bin/sh -c ") {
        without_values(&format!("RUN {command}"))
    } else {
        without_values(&format!("{instruction}{rest}"))
    };
    let step = step.trim();
    (!step.is_empty()).then(|| shorten(step))
}

/// `|2 A=1 B=2 …`: the build arguments that a `RUN` saw, counted.
fn is_args(text: &str) -> bool {
    text.strip_prefix('|')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `ENV` and `ARG` keep their first name and nothing else: what follows may be inside a quoted value.
fn without_values(step: &str) -> String {
    let Some((instruction, rest)) = step.split_once(' ') else {
        return step.to_owned();
    };
    if !["ENV", "ARG"]
        .iter()
        .any(|word| instruction.eq_ignore_ascii_case(word))
    {
        return step.to_owned();
    }
    // Some builders write the list in brackets: `ENV [A=b]`.
    let rest = rest.trim_start().trim_start_matches('[');
    let name = rest.split(['=', ' ']).next().unwrap_or_default();
    format!("{instruction} {name}")
}

/// Every run of spaces, line ends and control characters (which could drive a terminal) becomes one space.
fn one_line(text: &str) -> String {
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

fn shorten(step: &str) -> String {
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
        assert_eq!(clean(text).as_deref(), Some(shown));
    }

    #[test]
    fn a_step_reads_as_it_was_written() {
        check(
            "/bin/sh -c #(nop) ADD file:3da4 in / ",
            "ADD file:3da4 in /",
        );
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
    fn the_values_of_arguments_are_never_shown() {
        check("|1 TOKEN=s3cret /bin/sh -c make", "RUN make");
        check(
            "RUN |2 A=s3cret B=two words /bin/bash -o pipefail -c make all # buildkit",
            "RUN make all",
        );
        check(
            "RUN |1 A=/bin/sh -c s3cret /bin/sh -c make # buildkit",
            "RUN make",
        );
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
    fn a_step_is_short_and_on_one_line() {
        assert_eq!(clean(""), None);
        assert_eq!(clean(" \n "), None);
        let shown = clean(&format!("/bin/sh -c {}", "é".repeat(5_000))).unwrap();
        assert_eq!(shown.chars().count(), MAX_STEP);
        assert!(shown.ends_with('…'));
        check("COPY a\u{1b}[31m b", "COPY a [31m b");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_cleaned(text in ".{0,400}") {
            if let Some(shown) = clean(&text) {
                proptest::prop_assert!(shown.chars().count() <= MAX_STEP);
                proptest::prop_assert!(!shown.chars().any(char::is_control));
            }
        }

        #[test]
        fn a_secret_in_an_argument_is_never_shown(
            before in "(RUN )?", name in "[A-Z]{1,8}", value in "[a-z =\"'/-]{0,20}", after in "[a-z =\"'/-]{0,20}",
        ) {
            let text = format!("{before}|1 {name}={value}S3CRET{after} /bin/sh -c make");
            let shown = clean(&text);
            proptest::prop_assert_eq!(shown.as_deref(), Some("RUN make"));
            for text in [
                format!("ENV {name}={value}S3CRET{after}"),
                format!("/bin/sh -c #(nop)  ARG {name}={value}S3CRET{after}"),
            ] {
                proptest::prop_assert!(!clean(&text).unwrap().contains("S3CRET"));
            }
        }
    }
}

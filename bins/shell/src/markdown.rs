//! Generates the flag reference of the documentation.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command};

/// Renders the flags and variables of a program and its subcommands as Markdown.
#[must_use]
pub fn render(program: &Command) -> String {
    let mut out = String::new();
    section(&mut out, program, program.get_name(), 2);
    for command in program.get_subcommands() {
        let name = format!("{} {}", program.get_name(), command.get_name());
        section(&mut out, command, &name, 3);
    }
    out
}

/// Checks that the part of a page between `<!-- PROGRAM: begin -->` and `<!-- PROGRAM: end -->`
/// matches [`render`]; with `PULLTRACE_BLESS=1`, rewrites that part.
///
/// # Errors
/// Returns a message if the part is outdated or missing, or the page cannot be read or written.
pub fn check(page: &Path, program: &Command) -> Result<(), String> {
    let name = program.get_name();
    let failed = |error| format!("{}: {error}", page.display());
    let text = std::fs::read_to_string(page).map_err(failed)?;
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (part, after) = rest.split_once(&end)?;
        Some((before, part, after))
    });
    let Some((before, part, after)) = parts else {
        return Err(format!("{} has no section for {name}", page.display()));
    };
    let rendered = render(program);
    if part == rendered {
        return Ok(());
    }
    if std::env::var_os("PULLTRACE_BLESS").is_none() {
        return Err(format!(
            "{} is outdated: run the tests of {name} with PULLTRACE_BLESS=1",
            page.display()
        ));
    }
    std::fs::write(page, [before, &begin, &rendered, &end, after].concat()).map_err(failed)
}

fn section(out: &mut String, command: &Command, name: &str, level: usize) {
    let about = command.get_about().map(ToString::to_string);
    // Writing to a string cannot fail.
    let _written = write!(
        out,
        "{} {name}\n\n{}.\n\n",
        "#".repeat(level),
        one_line(&about.unwrap_or_default()).trim_end_matches('.')
    );
    let mut headings: Vec<Option<&str>> = Vec::new();
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    for heading in shown().map(Arg::get_help_heading) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            let _written = write!(out, "{heading}:\n\n");
        }
        *out += "| flag | variable | default | description |\n|---|---|---|---|\n";
        for arg in shown().filter(|arg| arg.get_help_heading() == heading) {
            row(out, arg);
        }
        out.push('\n');
    }
}

fn row(out: &mut String, arg: &Arg) {
    let takes = arg.get_action().takes_values();
    let value = arg.get_value_names().and_then(<[_]>::first);
    let value = value.filter(|_| takes).map(ToString::to_string);
    let flag = match (arg.get_long(), value) {
        (Some(long), Some(value)) => format!("--{long} {value}"),
        (Some(long), None) => format!("--{long}"),
        (None, value) => value.unwrap_or_default(),
    };
    let variable = arg.get_env().map(|name| name.to_string_lossy());
    let variable = variable.map(|name| format!("`{name}`")).unwrap_or_default();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // Defaults that clap does not know are given in the help text.
    let (help, stated_default) = match help.split_once(" [default: ") {
        Some((help, told)) => (help.to_owned(), told.trim_end_matches(']').to_owned()),
        None => (help, String::new()),
    };
    let default = match arg.get_default_values().first() {
        Some(value) if takes => format!("`{}`", value.to_string_lossy()),
        _ if arg.is_required_set() => "required".to_owned(),
        _ => stated_default,
    };
    let values: Vec<_> = arg.get_possible_values();
    let values: Vec<_> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
    let values = match takes && !values.is_empty() {
        true => format!(" ({})", values.join(", ")),
        false => String::new(),
    };
    let _written = writeln!(
        out,
        "| `{flag}` | {variable} | {} | {}{values} |",
        one_line(&default),
        one_line(&help)
    );
}

/// Joins lines and escapes `|` for a table cell.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn program() -> Command {
        let word = Arg::new("word").long("word").value_name("WORD").default_value("a");
        Command::new("thing")
            .about("Does a\nthing")
            .arg(word.env("THING_WORD").value_parser(["a", "b"]).help("Which"))
            .arg(Arg::new("fast").long("fast").action(ArgAction::SetTrue).help("At once | now"))
            .subcommand(
                Command::new("look")
                    .about("Looks.")
                    .arg(Arg::new("file").value_name("FILE").required(true).help("Where"))
                    .arg(
                        Arg::new("at")
                            .long("at")
                            .value_name("X")
                            .help("At [default: the end]")
                            .help_heading("Odd"),
                    ),
            )
    }

    #[test]
    fn renders_every_flag() {
        let expected = "\
## thing

Does a thing.

| flag | variable | default | description |
|---|---|---|---|
| `--word WORD` | `THING_WORD` | `a` | Which (`a`, `b`) |
| `--fast` |  |  | At once \\| now |

### thing look

Looks.

| flag | variable | default | description |
|---|---|---|---|
| `FILE` |  | required | Where |

Odd:

| flag | variable | default | description |
|---|---|---|---|
| `--at X` |  | the end | At |

";
        assert_eq!(render(&program()), expected);
    }

    #[test]
    fn outdated_page_is_detected() {
        let page = std::env::temp_dir().join(format!("page-{}.md", std::process::id()));
        let check = |text: &str| {
            std::fs::write(&page, text).unwrap();
            check(&page, &program())
        };
        let whole =
            format!("a\n<!-- thing: begin -->\n{}<!-- thing: end -->\nb", render(&program()));
        assert_eq!(check(&whole), Ok(()));
        let error = check(&whole.replace("Which", "What")).unwrap_err();
        assert!(error.contains("PULLTRACE_BLESS=1"), "{error}");
        assert!(check("a").unwrap_err().contains("no section for thing"));
        std::fs::remove_file(page).unwrap();
    }
}

//! `cargo xtask bench agent|correlate|eta|latency|server|web`: builds and runs the testkit's
//! bench programs, and beside them the programs that they measure; or that of the page.

use crate::containerd;
use crate::error::{Error, Result};
use crate::process;
use crate::root::Root;
use crate::setup;
use crate::web;

/// What each bench measures, as people run it.
const BENCHES: [(&str, &[&str]); 5] = [
    ("agent", &["pulltrace-agent", "pulltrace-server"]),
    ("correlate", &[]),
    ("eta", &[]),
    ("latency", &["pulltrace-agent", "pulltrace-server"]),
    ("server", &["pulltrace-server"]),
];

/// What the benches compare: the oldest and the newest way of containerd.
const NEWEST: &str = "2.4";

/// The bench of the page, which is a script of its own.
const WEB: &str = "web";

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    if let Some((bench, rest)) = args.split_first()
        && bench == WEB
    {
        return web::in_browser(root, "bench", rest);
    }
    let (bench, measured, rest) = parse(args)?;
    setup::ensure()?;
    if !matches!(bench, "server" | "correlate") {
        containerd::ensure(root, NEWEST, &mut process::run)?;
    }
    if measured.iter().any(|program| *program != "pulltrace-agent") {
        // They embed the page.
        web::build(root, &mut process::run)?;
    }
    for program in measured {
        process::run(process::cargo(&root.dir).args(["build", "--release", "-p", program]))?;
    }
    let mut cargo = process::cargo(&root.dir);
    cargo.args(["run", "--release", "-p", "pulltrace-testkit", "--bin"]);
    cargo.arg(format!("bench-{bench}")).arg("--").args(rest);
    cargo.env("PULLTRACE_CACHE", &root.cache);
    Err(process::become_program(&mut cargo))
}

/// Which bench, what it measures, and its own arguments.
fn parse(args: &[String]) -> Result<(&'static str, &'static [&'static str], &[String])> {
    let names = format!("{}, {WEB}", BENCHES.map(|(name, _)| name).join(", "));
    let Some((wanted, rest)) = args.split_first() else {
        return Err(Error::Usage(format!("which bench? One of {names}")));
    };
    let found = BENCHES.into_iter().find(|(name, _)| name == wanted);
    let (name, measured) = found
        .ok_or_else(|| Error::Usage(format!("there is no bench `{wanted}`; one of {names}")))?;
    Ok((name, measured, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_is_one_of_those_and_keeps_its_arguments() {
        let args = ["eta", "--runs", "3"].map(str::to_owned);
        assert_eq!(parse(&args).unwrap(), ("eta", &[][..], &args[1..]));
        assert!(matches!(parse(&args[1..]), Err(Error::Usage(_))));
        assert!(matches!(parse(&[]), Err(Error::Usage(_))));
    }
}

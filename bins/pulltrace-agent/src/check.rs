//! `pulltrace-agent check`: reports whether everything the agent needs is available, one line per
//! check, and advice after a failed one.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use pulltrace_agent_lib::source::containerd::discover;
use pulltrace_core::error::error_chain;

use crate::cli::Cli;
use crate::error::Error;
use crate::sink;

/// The lines to print, and whether all checks passed.
struct CheckReport {
    text: String,
    ok: bool,
}

impl CheckReport {
    fn pass(&mut self, check: &str, found: &str) {
        self.line("ok", check, found);
    }

    /// Records a result that may be a problem.
    fn warn(&mut self, check: &str, found: &str) {
        self.line("?", check, found);
    }

    fn fail(&mut self, check: &str, error: &(dyn StdError + 'static), help: Option<&'static str>) {
        self.ok = false;
        self.line("FAIL", check, &error_chain(error));
        if let Some(help) = help {
            self.line("", "", &format!("help: {help}"));
        }
    }

    fn line(&mut self, mark: &str, check: &str, found: &str) {
        // Writing to a string cannot fail.
        let _written = writeln!(self.text, "{mark:<5}{check:<12}{found}");
    }
}

pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Error> {
    let mut found = CheckReport { text: String::new(), ok: true };
    match cli.source.node() {
        Ok(node) => found.pass("node", node.as_str()),
        Err(error) => {
            let error = Error::NodeName(error);
            found.fail("node", &error, error.help());
        }
    }
    containerd(&cli, &mut found).await;
    server(cli, &mut found).await;
    io::stdout().write_all(found.text.as_bytes()).map_err(Error::Output)?;
    Ok(if found.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn containerd(cli: &Cli, found: &mut CheckReport) {
    let namespace = &cli.source.namespace;
    match discover::detect(cli.source.socket.as_deref(), namespace).await {
        Ok(seen) => {
            found.pass("socket", &seen.socket.display().to_string());
            if seen.is_supported {
                found.pass("containerd", &seen.version);
            } else {
                let text = format!("{}: not tested (supported: 1.6 to 2.x)", seen.version);
                found.warn("containerd", &text);
            }
            if seen.has_namespace {
                found.pass("namespace", namespace.as_str());
            } else {
                let text = format!(
                    "{namespace} does not exist yet: the first pull creates it, if the name is correct"
                );
                found.warn("namespace", &text);
            }
        }
        Err(error) => found.fail("socket", &error, error.help()),
    }
}

async fn server(cli: Cli, found: &mut CheckReport) {
    let Some(url) = cli.server.server_url.clone() else {
        return found.fail("server", &Error::NoServer, Error::NoServer.help());
    };
    let has_token = cli.server.agent_token.is_some() || cli.server.agent_token_file.is_some();
    let mut sink = match sink::build(&url, cli.server, &cli.source) {
        Ok(sink) => sink,
        Err(error) => return found.fail("server", &error, error.help()),
    };
    match sink.check_health().await {
        Ok(()) => found.pass("server", &format!("{url} is reachable")),
        Err(error) => return found.fail("server", &error, error.help()),
    }
    match sink.check_token().await {
        Ok(()) if has_token => found.pass("token", "accepted"),
        Ok(()) => found.pass("token", "not set and not required"),
        Err(error) => found.fail("token", &error, error.help()),
    }
}

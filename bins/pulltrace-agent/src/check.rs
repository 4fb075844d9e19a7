//! `pulltrace-agent check`: whether everything that the agent needs is there, one line each.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use pulltrace_agent_lib::source::containerd::discover;
use pulltrace_shell::error::chain;

use crate::cli::Cli;
use crate::error::Error;

/// The lines, and whether all is ok.
struct Found {
    text: String,
    ok: bool,
}

impl Found {
    /// What is as it should be.
    fn fine(&mut self, what: &str, found: &str) {
        self.line("ok", what, found);
    }

    /// What may be as it should be.
    fn doubtful(&mut self, what: &str, found: &str) {
        self.line("?", what, found);
    }

    fn wrong(&mut self, what: &str, error: &(dyn StdError + 'static)) {
        self.ok = false;
        self.line("FAIL", what, &chain(error));
    }

    fn line(&mut self, mark: &str, what: &str, found: &str) {
        // A string takes everything.
        let _written = writeln!(self.text, "{mark:<5}{what:<12}{found}");
    }
}

pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Error> {
    let mut found = Found {
        text: String::new(),
        ok: true,
    };
    match cli.source.node() {
        Ok(node) => found.fine("node", node.as_str()),
        Err(error) => found.wrong("node", &Error::NodeName(error)),
    }
    containerd(&cli, &mut found).await;
    server(cli, &mut found).await;
    io::stdout()
        .write_all(found.text.as_bytes())
        .map_err(Error::Output)?;
    Ok(if found.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn containerd(cli: &Cli, found: &mut Found) {
    let namespace = &cli.source.namespace;
    match discover::look(cli.source.socket.as_deref(), namespace).await {
        Ok(seen) => {
            found.fine("socket", &seen.socket.display().to_string());
            if seen.is_known {
                found.fine("containerd", &seen.version);
            } else {
                let text = format!("{}: not tried; 1.6 to 2.x are", seen.version);
                found.doubtful("containerd", &text);
            }
            if seen.has_namespace {
                found.fine("namespace", namespace.as_str());
            } else {
                let text = format!(
                    "{namespace} is not there: it comes with the first pull into it, if the name is right"
                );
                found.doubtful("namespace", &text);
            }
        }
        Err(error) => found.wrong("socket", &error),
    }
}

async fn server(cli: Cli, found: &mut Found) {
    let Some(url) = cli.server.server_url.clone() else {
        return found.wrong("server", &Error::NoServer);
    };
    let with_token = cli.server.agent_token.is_some() || cli.server.agent_token_file.is_some();
    let mut sink = match crate::sink(&url, cli.server, &cli.source) {
        Ok(sink) => sink,
        Err(error) => return found.wrong("server", &error),
    };
    match sink.reach().await {
        Ok(()) => found.fine("server", &format!("{url} answers")),
        Err(error) => return found.wrong("server", &error),
    }
    match sink.admitted().await {
        Ok(()) if with_token => found.fine("token", "accepted"),
        Ok(()) => found.fine("token", "none is given, and none is asked for"),
        Err(error) => found.wrong("token", &error),
    }
}

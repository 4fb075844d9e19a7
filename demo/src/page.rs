//! The process that serves the demo's web page: `pulltrace up` or the server.

use std::net::{Ipv4Addr, TcpListener};

use crate::child::{Child, Program, check_status};
use crate::error::{DemoError, log};
use crate::stop::Stop;

/// The default port. A random port is used if it is taken.
const DEFAULT_PORT: u16 = 8080;

pub(crate) struct PageServer {
    child: Child,
    url: String,
}

impl PageServer {
    /// Starts the process on `port`, else on the default port or, if that is taken, on a free one.
    pub(crate) async fn start(up: &Program, port: Option<u16>) -> Result<Self, DemoError> {
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let port = port.unwrap_or(if is_free(DEFAULT_PORT) { DEFAULT_PORT } else { 0 });
        let address = format!("127.0.0.1:{port}");
        // Its warnings would be written into the terminal view of `pulltrace watch`.
        let up = up.args(["--http-addr", &address, "--log-level", "error"]);
        let (mut child, url) = up.start_page().await?;
        let Some(url) = url else {
            check_status(child.wait().await?)?;
            let text = "the program that serves the page exited before it printed the URL";
            return Err(DemoError::Failed(text.to_owned()));
        };
        log(&format!("serving the page at {url}"));
        Ok(Self { child, url })
    }

    /// Returns the command that shows the page's data in the terminal.
    pub(crate) fn watch_command(&self, watch: &Program) -> Program {
        watch.args(["--server", &self.url])
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn stop(mut self, stop: &Stop) -> Result<(), DemoError> {
        check_status(self.child.stop(stop).await?)
    }
}

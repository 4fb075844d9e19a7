//! The `pulltrace up` of the demo, or its server: where its page is, and how it ends.

use std::net::{Ipv4Addr, TcpListener};

use crate::child::{Child, Pulltrace};
use crate::stop::Stop;
use crate::{Failure, passed, say};

/// Where the page is when nobody asks for another place and nobody else is there.
const PORT: u16 = 8080;

pub(crate) struct Page {
    child: Child,
    url: String,
}

impl Page {
    /// Starts it at this port, or at the usual one, or where that is taken at one that is free.
    pub(crate) async fn start(up: &Pulltrace, port: Option<u16>) -> Result<Self, Failure> {
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let port = port.unwrap_or(if is_free(PORT) { PORT } else { 0 });
        let address = format!("127.0.0.1:{port}");
        // Its warnings would be written into the view of the other one.
        let up = up.args(["--http-addr", &address, "--log-level", "error"]);
        let (mut child, url) = up.start_page().await?;
        let Some(url) = url else {
            passed(child.ended().await?)?;
            let text = "the program that serves the page ended before it said where that is";
            return Err(Failure::Failed(text.to_owned()));
        };
        say(&format!("the page is at {url}"));
        Ok(Self { child, url })
    }

    /// The program that shows what the page shows.
    pub(crate) fn shown_by(&self, watch: &Pulltrace) -> Pulltrace {
        watch.args(["--server", &self.url])
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn end(mut self, stop: &Stop) -> Result<(), Failure> {
        passed(self.child.end(stop).await?)
    }
}

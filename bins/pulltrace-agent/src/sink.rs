//! Creates the sink from the flags.

use pulltrace_agent_lib::sink::HttpSink;
use pulltrace_shell::node::SourceArgs;

use crate::cli::ServerArgs;
use crate::error::Error;

pub(crate) fn build(url: &str, server: ServerArgs, source: &SourceArgs) -> Result<HttpSink, Error> {
    let mut sink = HttpSink::builder(url)
        .version(env!("CARGO_PKG_VERSION"))
        .namespace(source.namespace.clone());
    if let Some(token) = server.agent_token {
        sink = sink.token(token);
    }
    if let Some(file) = server.agent_token_file {
        sink = sink.token_file(file);
    }
    if let Some(file) = server.server_ca_file {
        sink = sink.ca_file(file);
    }
    sink.build().map_err(Error::Setup)
}

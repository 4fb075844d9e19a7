//! The HTTP API of a complete server, over real sockets.

mod access;
mod cluster;
mod connections;
mod lists;
mod metrics;
mod openapi;
mod pods;
mod reports;
mod server;
mod stream;
mod test_server;

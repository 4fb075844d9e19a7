//! The API of a whole server, over real sockets.

mod access;
mod cluster;
mod connections;
mod lists;
mod metrics;
mod pods;
mod reports;
mod server;
mod stream;
mod world;

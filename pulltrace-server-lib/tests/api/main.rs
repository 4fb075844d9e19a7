//! The API of a whole server, over real sockets.

mod access;
mod connections;
mod lists;
mod metrics;
mod reports;
mod stream;
mod world;

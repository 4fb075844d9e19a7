//! That the testkit's API server is a real one, and that what is deployed can be deployed to it.

mod deploy;
mod kit;
mod server;
mod sources;

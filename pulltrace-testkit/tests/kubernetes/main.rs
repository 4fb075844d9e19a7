//! Checks that the test kit's API server is a real one and accepts the deployment.

mod deploy;
mod kit;
mod server;
mod sources;

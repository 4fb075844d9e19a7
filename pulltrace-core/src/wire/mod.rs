//! What is said of pulls beyond this process: JSON types apart from the model, which is not
//! serialisable itself.
//!
//! So far this is the row that people and programs read, [`PullStatus`](v1::PullStatus) with its
//! layers. What agents and servers say to each other comes with the server.

mod convert;
pub mod time;
pub mod v1;

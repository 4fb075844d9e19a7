//! A versioned table. A reader is a cursor and a filter, so slow readers cost the server no memory.
//!
//! Each change has a sequence number. Each row is in the log once, at its last change; a removed
//! row leaves a tombstone for a while.

mod follower;
mod row;
mod shared;
mod versioned;

pub use follower::{Follower, ReadBatch, RowUpdate};
pub use row::{JsonForm, LayerSeqs, NodeRow, Row};
pub use shared::SharedTable;
pub use versioned::{CursorTooOld, Delta, Table, TableVersion};

#[cfg(test)]
mod tests;

//! The reports of all nodes as one state.

mod change;
mod correction;
mod stats;

pub use change::{Changes, Downloaded, Ended, NodeView, PullChange};
pub use correction::{Correction, status};
pub use stats::{Counters, PerPhase, Stats};

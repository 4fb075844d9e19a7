//! Time limits after a signal.

use std::time::Duration;

/// Time for a command to end after a signal; an unread pipe can block it.
pub(crate) const COMMAND_LIMIT: Duration = Duration::from_secs(3);

/// Time for a part of a command to end: a collector, or a server.
pub(crate) const PART_LIMIT: Duration = Duration::from_secs(1);

//! The state that the stages of a run share.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::background::Build;
use crate::error::Result;
use crate::root::Root;

/// Names a file. A test that cannot run here appends a line to it and passes, because libtest cannot
/// skip a test that has started.
pub(super) const SKIPPED_VARIABLE: &str = "PULLTRACE_SKIPPED";

/// Shared by all stages of a run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) root: Root,
    pub(super) versions: Vec<String>,
    pub(super) skipped_file: PathBuf,
    /// Started before the first stage, and taken by the stage that waits for it.
    pub(super) containerd: RefCell<Option<Result<Build>>>,
    pub(super) kubernetes: RefCell<Option<Result<Build>>>,
}

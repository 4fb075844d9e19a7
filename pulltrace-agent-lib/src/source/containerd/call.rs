//! One call to containerd, for whoever counts them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A call to containerd that is over, however it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// Which: one of [`methods`](super::methods).
    pub method: &'static str,
    /// From the call to the last byte of its answer; `None` for the stream of events, which is over only when
    /// it breaks.
    pub took: Option<Duration>,
    /// Why there is no answer: the word of a gRPC status, such as `permission_denied`, where containerd
    /// refused, `unavailable` where it could not be reached or the connection broke, `deadline` where it did
    /// not answer in time. `None` where it answered; that something is not there is an answer.
    pub error: Option<&'static str>,
}

type Tell = dyn Fn(&Call) + Send + Sync;

/// Who is told of calls, if anybody is.
#[derive(Clone, Default)]
pub(super) struct OnCall(Option<Arc<Tell>>);

impl OnCall {
    pub(super) fn new(tell: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(super) fn tell(&self, call: &Call) {
        if let Some(tell) = &self.0 {
            tell(call);
        }
    }
}

impl fmt::Debug for OnCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnCall").field(&self.0.is_some()).finish()
    }
}

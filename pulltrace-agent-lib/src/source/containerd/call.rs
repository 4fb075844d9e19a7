//! Observation of calls to containerd, e.g. for metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A finished call to containerd.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The method; one of [`methods`](super::methods).
    pub method: &'static str,
    /// Time until the complete response; `None` for the event stream, which only ends when it
    /// breaks.
    pub duration: Option<Duration>,
    /// The error code; `None` on success, which includes "not found".
    ///
    /// `unavailable` means that the connection failed, `deadline` that the call timed out. Any
    /// other code is the name of the gRPC status, such as `permission_denied`.
    pub error: Option<&'static str>,
}

type Callback = dyn Fn(&Call) + Send + Sync;

/// An optional callback for finished calls.
#[derive(Clone, Default)]
pub(super) struct OnCall(Option<Arc<Callback>>);

impl OnCall {
    pub(super) fn new(callback: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(callback)))
    }

    pub(super) fn notify(&self, call: &Call) {
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

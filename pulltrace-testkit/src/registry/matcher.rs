//! Selects requests for faults and for queries.

use std::fmt;

use super::log::{Request, RequestKind};

/// Matches requests; `None` matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestMatcher {
    pub(super) kind: Option<RequestKind>,
    pub(super) repository: Option<String>,
    pub(super) reference: Option<String>,
}

impl RequestMatcher {
    pub(super) fn matches(&self, request: &Request) -> bool {
        self.kind.is_none_or(|kind| kind == request.kind)
            && self
                .repository
                .as_ref()
                .is_none_or(|repository| Some(repository) == request.repository.as_ref())
            && self.reference.as_ref().is_none_or(|reference| {
                Some(reference) == request.reference.as_ref()
                    || Some(reference) == request.digest.as_ref()
            })
    }
}

impl fmt::Display for RequestMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Some(RequestKind::Blob) => "blob",
            Some(RequestKind::Manifest) => "manifest",
            Some(RequestKind::Other) | None => "resource",
        };
        match &self.reference {
            Some(reference) => write!(f, "the {kind} {reference}")?,
            None => write!(f, "any {kind}")?,
        }
        match &self.repository {
            Some(repository) => write!(f, " of {repository}"),
            None => Ok(()),
        }
    }
}

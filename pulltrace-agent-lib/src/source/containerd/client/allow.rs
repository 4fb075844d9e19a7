//! The allow list of containerd methods, all of them read-only.
//!
//! containerd has no read-only mode: a process that can open its socket can do anything. This list
//! is therefore enforced on the client side, where other methods fail before a byte is sent.

use std::future::ready;
use std::task::{Context, Poll};

use pulltrace_core::Namespace;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderName, HeaderValue, Request, Response};
use tonic::codegen::{BoxFuture, Service, StdError};

/// The allowed methods. None of them changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    ContentInfo,
    ContentListStatuses,
    ContentRead,
    EventsSubscribe,
    ImagesGet,
    ImagesList,
    LeasesList,
    LeasesListResources,
    NamespacesList,
    SnapshotsStat,
    SnapshotsUsage,
    Version,
}

impl Method {
    pub(crate) const ALL: [Self; 12] = [
        Self::ContentInfo,
        Self::ContentListStatuses,
        Self::ContentRead,
        Self::EventsSubscribe,
        Self::ImagesGet,
        Self::ImagesList,
        Self::LeasesList,
        Self::LeasesListResources,
        Self::NamespacesList,
        Self::SnapshotsStat,
        Self::SnapshotsUsage,
        Self::Version,
    ];

    /// Returns the gRPC path.
    const fn path(self) -> &'static str {
        match self {
            Self::ContentInfo => "/containerd.services.content.v1.Content/Info",
            Self::ContentListStatuses => "/containerd.services.content.v1.Content/ListStatuses",
            Self::ContentRead => "/containerd.services.content.v1.Content/Read",
            Self::EventsSubscribe => "/containerd.services.events.v1.Events/Subscribe",
            Self::ImagesGet => "/containerd.services.images.v1.Images/Get",
            Self::ImagesList => "/containerd.services.images.v1.Images/List",
            Self::LeasesList => "/containerd.services.leases.v1.Leases/List",
            Self::LeasesListResources => "/containerd.services.leases.v1.Leases/ListResources",
            Self::NamespacesList => "/containerd.services.namespaces.v1.Namespaces/List",
            Self::SnapshotsStat => "/containerd.services.snapshots.v1.Snapshots/Stat",
            Self::SnapshotsUsage => "/containerd.services.snapshots.v1.Snapshots/Usage",
            Self::Version => "/containerd.services.version.v1.Version/Version",
        }
    }

    /// Returns service and method: `Leases/List`.
    pub(crate) fn name(self) -> &'static str {
        let path = self.path();
        path.rsplit_once('.').map_or(path, |(_, name)| name)
    }
}

const NAMESPACE_HEADER: HeaderName = HeaderName::from_static("containerd-namespace");
/// With this header a call would add the objects it reads to a lease, which changes containerd's
/// state.
const LEASE_HEADER: HeaderName = HeaderName::from_static("containerd-lease");

/// A channel that rejects methods that are not on the list and sets the namespace of every call.
#[derive(Clone, Debug)]
pub(super) struct GuardedChannel<S> {
    inner: S,
    namespace: HeaderValue,
}

impl<S> GuardedChannel<S> {
    /// # Errors
    /// Returns an error if the namespace is not a valid header value, which is not known to happen
    /// for a [`Namespace`].
    pub(super) fn new(inner: S, namespace: &Namespace) -> Result<Self, String> {
        let namespace = HeaderValue::from_str(namespace.as_str()).map_err(|e| e.to_string())?;
        Ok(Self { inner, namespace })
    }
}

impl<S, B> Service<Request<Body>> for GuardedChannel<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = StdError;
    type Future = BoxFuture<Response<B>, StdError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = request.uri().path();
        if !Method::ALL.iter().any(|allowed| allowed.path() == method) {
            let refusal =
                Status::permission_denied(format!("method `{method}` is not on the allow list"));
            return Box::pin(ready(Err(refusal.into())));
        }
        let headers = request.headers_mut();
        headers.remove(LEASE_HEADER);
        headers.insert(NAMESPACE_HEADER, self.namespace.clone());
        let response = self.inner.call(request);
        Box::pin(async move { response.await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::future::Ready;
    use std::sync::{Arc, Mutex};

    use containerd_client::services::v1 as api;
    use tonic::Code;

    use super::*;

    /// A service that records requests instead of sending them, and returns an error.
    #[derive(Clone, Debug, Default)]
    struct RecordingService(Arc<Mutex<Vec<Request<()>>>>);

    impl Service<Request<Body>> for RecordingService {
        type Response = Response<Body>;
        type Error = StdError;
        type Future = Ready<Result<Response<Body>, StdError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let (parts, _) = request.into_parts();
            self.0.lock().unwrap().push(Request::from_parts(parts, ()));
            ready(Err(Status::unavailable("recorded, not sent").into()))
        }
    }

    fn guarded() -> (GuardedChannel<RecordingService>, RecordingService) {
        let wire = RecordingService::default();
        (GuardedChannel::new(wire.clone(), &"k8s.io".parse().unwrap()).unwrap(), wire)
    }

    #[tokio::test]
    async fn mutating_call_is_rejected_before_sending() {
        let (guarded, wire) = guarded();
        let mut refusals = Vec::new();
        macro_rules! refused {
            ($client:path, $method:ident($request:expr)) => {
                refusals.push((
                    stringify!($method),
                    <$client>::new(guarded.clone()).$method($request).await.err(),
                ))
            };
        }
        refused!(api::images_client::ImagesClient<_>, delete(api::DeleteImageRequest::default()));
        refused!(api::images_client::ImagesClient<_>, create(api::CreateImageRequest::default()));
        refused!(api::images_client::ImagesClient<_>, update(api::UpdateImageRequest::default()));
        refused!(
            api::content_client::ContentClient<_>,
            delete(api::DeleteContentRequest::default())
        );
        refused!(api::content_client::ContentClient<_>, update(api::UpdateRequest::default()));
        refused!(api::content_client::ContentClient<_>, abort(api::AbortRequest::default()));
        refused!(api::leases_client::LeasesClient<_>, create(api::CreateRequest::default()));
        refused!(
            api::leases_client::LeasesClient<_>,
            add_resource(api::AddResourceRequest::default())
        );
        refused!(api::events_client::EventsClient<_>, publish(api::PublishRequest::default()));
        refused!(
            api::containers_client::ContainersClient<_>,
            list(api::ListContainersRequest::default())
        );
        refused!(
            api::snapshots::snapshots_client::SnapshotsClient<_>,
            remove(api::snapshots::RemoveSnapshotRequest::default())
        );
        for (method, error) in refusals {
            let error = error.unwrap_or_else(|| panic!("`{method}` was allowed"));
            assert_eq!(error.code(), Code::PermissionDenied, "{method}: {error}");
        }
        assert_eq!(wire.0.lock().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn allowed_call_sets_namespace_and_drops_lease() {
        let (guarded, wire) = guarded();
        let mut request = tonic::Request::new(api::GetImageRequest::default());
        request.metadata_mut().insert("containerd-lease", "1-abcd".parse().unwrap());
        let answer = api::images_client::ImagesClient::new(guarded).get(request).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unavailable, "the request was passed on");
        let seen = wire.0.lock().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].uri().path(), "/containerd.services.images.v1.Images/Get");
        assert_eq!(seen[0].headers().get("containerd-namespace").unwrap(), "k8s.io");
        assert_eq!(seen[0].headers().get("containerd-lease"), None);
    }

    /// The list as documented. A further method must be a deliberate decision.
    #[test]
    fn allow_list_matches_documentation() {
        let documented = BTreeSet::from([
            "Content/Info",
            "Content/ListStatuses",
            "Content/Read",
            "Events/Subscribe",
            "Images/Get",
            "Images/List",
            "Leases/List",
            "Leases/ListResources",
            "Namespaces/List",
            "Snapshots/Stat",
            "Snapshots/Usage",
            "Version/Version",
        ]);
        let listed = BTreeSet::from(Method::ALL.map(Method::name));
        assert_eq!(listed, documented);
    }
}

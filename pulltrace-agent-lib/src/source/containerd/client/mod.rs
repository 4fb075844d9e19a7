//! The containerd client. All calls are made here, and gRPC types are used in this module only.
//!
//! Every call has a timeout, sets the namespace and is on the allow list. Calls are not retried;
//! the caller decides about that.

mod allow;
mod convert;
mod error;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use containerd_client::services::v1 as api;
use containerd_client::types::Envelope;
use pulltrace_core::{Digest, Namespace, NodeTime};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use self::allow::GuardedChannel;
pub(super) use self::allow::Method;
pub(super) use self::error::DEADLINE;
pub use self::error::{Cause, ClientError};
use super::call::{Call, OnCall};
use super::image;
use super::input::{Event, ImageRecord, Lease, Poll, Query, Reply, ServerInfo};
use crate::clock::Clock;

/// The largest message that is accepted; containerd's own limit for responses.
const MAX_MESSAGE: usize = 16 << 20;

/// The largest blob that is read as a document.
const MAX_DOCUMENT: u64 = image::MAX_DOCUMENT as u64;

/// The maximum number of leases whose resources are listed in one poll; the newest ones win.
const MAX_LISTED_LEASES: usize = 256;

type AllowedChannel = GuardedChannel<Channel>;

/// A lazily connected client for one containerd and one namespace.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    namespace: Namespace,
    /// Channel for calls with a timeout.
    calls: AllowedChannel,
    /// Channel for the event stream. A timeout or keep-alive ping would break it while there are no
    /// events.
    stream: AllowedChannel,
    /// Invalid or excess items since the last call of `take_skipped`.
    skipped_items: AtomicU64,
    clock: Clock,
    on_call: OnCall,
}

impl Client {
    /// Creates a client without connecting.
    ///
    /// # Errors
    /// Returns an error if the path cannot be used as a socket address.
    pub(super) fn new(
        socket: &Path,
        namespace: &Namespace,
        on_call: OnCall,
    ) -> Result<Self, ClientError> {
        let refused =
            |reason: String| ClientError::Socket { path: socket.display().to_string(), reason };
        let path = socket.to_str().ok_or_else(|| refused("not valid UTF-8".into()))?;
        let wire = |connect: Option<Duration>| {
            let mut endpoint = Endpoint::from_shared(format!("unix://{path}"))
                .map_err(|e| refused(e.to_string()))?;
            if let Some(timeout) = connect {
                endpoint = endpoint.connect_timeout(timeout);
            }
            GuardedChannel::new(endpoint.connect_lazy(), namespace).map_err(refused)
        };
        Ok(Self {
            socket: socket.to_owned(),
            namespace: namespace.clone(),
            calls: wire(Some(DEADLINE))?,
            stream: wire(None)?,
            skipped_items: AtomicU64::new(0),
            clock: Clock::system(),
            on_call,
        })
    }

    /// Returns when the socket was bound, i.e. when containerd started; `None` if its metadata
    /// cannot be read.
    pub(crate) fn started_at(&self) -> Option<NodeTime> {
        let bound = std::fs::metadata(&self.socket).and_then(|data| data.modified());
        bound.ok().map(NodeTime::from_system)
    }

    /// Returns the number of invalid or excess items from containerd since the last call.
    pub(crate) fn take_skipped(&self) -> u64 {
        self.skipped_items.swap(0, Ordering::Relaxed)
    }

    /// Returns containerd's version and start time.
    pub(crate) async fn server(&self) -> Result<ServerInfo, ClientError> {
        let mut client = api::version_client::VersionClient::new(self.calls.clone());
        let answer = self
            .call_with_deadline(Method::Version, client.version(()))
            .await
            .map_err(ClientError::Version)?;
        Ok(ServerInfo { version: answer.version, started_at: self.started_at() })
    }

    /// Returns whether the client's namespace exists.
    pub(crate) async fn has_namespace(&self) -> Result<bool, ClientError> {
        let mut client = api::namespaces_client::NamespacesClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let all = self
            .call_with_deadline(
                Method::NamespacesList,
                client.list(api::ListNamespacesRequest::default()),
            )
            .await;
        let all = all.map_err(ClientError::Namespaces)?.namespaces;
        Ok(all.iter().any(|namespace| namespace.name == self.namespace.as_str()))
    }

    /// Runs a poll: lists the ingests, then the leases, then the resources of leases that may be
    /// pulls.
    ///
    /// If `idle`, the leases are listed first. Without a possible pull among them, the rest is
    /// skipped.
    pub(crate) async fn poll(
        &self,
        idle: bool,
        is_candidate: impl Fn(&Lease) -> bool + Send,
    ) -> Result<Poll, ClientError> {
        if idle {
            let leases = self.list_leases().await?;
            if !leases.iter().any(&is_candidate) {
                let ingests = Vec::new();
                return Ok(Poll { ingests, leases });
            }
        }
        let mut content = api::content_client::ContentClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let statuses = self
            .call_with_deadline(
                Method::ContentListStatuses,
                content.list_statuses(api::ListStatusesRequest::default()),
            )
            .await;
        let statuses = statuses.map_err(ClientError::Ingests)?.statuses;
        let ingests = self.keep_valid(statuses.into_iter().map(convert::ingest));

        let mut leases = self.list_leases().await?;
        let mut client = api::leases_client::LeasesClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let mut wanted: Vec<usize> =
            (0..leases.len()).filter(|&i| is_candidate(&leases[i])).collect();
        wanted.sort_by_key(|&i| std::cmp::Reverse(leases[i].created_at));
        self.skipped_items
            .fetch_add(wanted.len().saturating_sub(MAX_LISTED_LEASES) as u64, Ordering::Relaxed);
        let wanted: BTreeSet<usize> = wanted.into_iter().take(MAX_LISTED_LEASES).collect();
        for lease in wanted {
            let lease = &mut leases[lease];
            let request = api::ListResourcesRequest { id: lease.id.clone() };
            lease.resources = match self
                .call_with_deadline(Method::LeasesListResources, client.list_resources(request))
                .await
            {
                Ok(answer) => Some(answer.resources.into_iter().map(convert::resource).collect()),
                Err(Cause::NotFound) => None,
                Err(cause) => return Err(ClientError::Resources(cause)),
            };
        }
        Ok(Poll { ingests, leases })
    }

    /// Lists the leases with an expiry, i.e. those of pulls and of some other operations.
    async fn list_leases(&self) -> Result<Vec<Lease>, ClientError> {
        let mut client = api::leases_client::LeasesClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let filters = vec![r#"labels."containerd.io/gc.expire""#.to_owned()];
        let answer = self
            .call_with_deadline(Method::LeasesList, client.list(api::ListRequest { filters }))
            .await;
        let leases = answer.map_err(ClientError::Leases)?.leases;
        Ok(self.keep_valid(leases.into_iter().map(convert::lease)))
    }

    /// Runs a query. "Not found" is a reply, not an error.
    pub(crate) async fn run_query(&self, query: &Query) -> Result<Reply, ClientError> {
        let (answer, failed): (Result<Reply, Cause>, fn(Cause) -> ClientError) = match query {
            Query::Info { digest } => (self.info(digest).await, ClientError::Info),
            Query::Read { digest, size } => (self.read(digest, *size).await, ClientError::Read),
            Query::Stat { snapshotter, key } => {
                (self.stat(snapshotter, key).await, ClientError::Stat)
            }
            Query::Usage { snapshotter, key } => {
                (self.usage(snapshotter, key).await, ClientError::Usage)
            }
            Query::RecordsOf { target } => {
                (self.records_by_target(target).await, ClientError::Images)
            }
            Query::Record { name } => (self.record_by_name(name).await, ClientError::Images),
        };
        match answer {
            Ok(reply) => Ok(reply),
            Err(Cause::NotFound) => Ok(Reply::NotFound),
            Err(cause) => Err(failed(cause)),
        }
    }

    /// Passes each event to `on_event` until the stream breaks, and returns the error.
    ///
    /// containerd sends no response headers before the first event, so waiting for them does
    /// not reveal a broken connection. Events between two calls of this function are lost.
    pub(crate) async fn events(&self, on_event: impl FnMut(Event) + Send) -> ClientError {
        let mut client = api::events_client::EventsClient::new(self.stream.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let filter = format!(
            r#"namespace=="{}",topic~="^/(images|content|snapshot)/""#,
            self.namespace.as_str()
        );
        let subscribed = client.subscribe(api::SubscribeRequest { filters: vec![filter] }).await;
        let (cause, word) = match subscribed.map(Response::into_inner) {
            Ok(stream) => self.read_events(stream, on_event).await,
            Err(status) => (Cause::from_status(&status), error::error_code(&status)),
        };
        self.on_call.notify(&Call {
            method: Method::EventsSubscribe.name(),
            duration: None,
            error: word,
        });
        ClientError::Events(cause)
    }

    /// Passes each event to `on_event` until the stream breaks, and returns the cause and its error
    /// code.
    async fn read_events(
        &self,
        mut stream: Streaming<Envelope>,
        mut on_event: impl FnMut(Event) + Send,
    ) -> (Cause, Option<&'static str>) {
        loop {
            match stream.message().await {
                Ok(Some(envelope)) => {
                    if envelope.namespace == self.namespace.as_str()
                        && let Some(event) = convert::event(envelope)
                    {
                        on_event(event);
                    }
                }
                Ok(None) => {
                    let ended = Cause::Unreachable("stream closed by containerd".into());
                    return (ended, Some(error::CODE_UNAVAILABLE));
                }
                Err(status) => return (Cause::from_status(&status), error::error_code(&status)),
            }
        }
    }

    async fn info(&self, digest: &str) -> Result<Reply, Cause> {
        let mut client = api::content_client::ContentClient::new(self.calls.clone());
        let answer = self
            .call_with_deadline(
                Method::ContentInfo,
                client.info(api::InfoRequest { digest: digest.to_owned() }),
            )
            .await?;
        answer.info.and_then(convert::info).ok_or_else(|| missing_field("creation time"))
    }

    async fn read(&self, digest: &str, size: u64) -> Result<Reply, Cause> {
        let wanted = i64::try_from(size).ok().filter(|_| size <= MAX_DOCUMENT);
        let Some(wanted) = wanted else {
            return Err(Cause::InvalidResponse(format!(
                "document too large: {size} bytes, limit {MAX_DOCUMENT}"
            )));
        };
        let request =
            api::ReadContentRequest { digest: digest.to_owned(), offset: 0, size: wanted };
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let mut client = api::content_client::ContentClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let read = async {
            let mut stream = client.read(request).await?.into_inner();
            let mut bytes = Vec::new();
            while let Some(part) = stream.message().await? {
                bytes.extend_from_slice(&part.data);
                if bytes.len() >= limit {
                    bytes.truncate(limit);
                    break;
                }
            }
            Ok(Response::new(bytes))
        };
        let bytes = self.call_with_deadline(Method::ContentRead, read).await?;
        Ok(Reply::Document { text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    async fn stat(&self, snapshotter: &str, key: &str) -> Result<Reply, Cause> {
        let mut client = api::snapshots::snapshots_client::SnapshotsClient::new(self.calls.clone());
        let request = api::snapshots::StatSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
        };
        let answer = self.call_with_deadline(Method::SnapshotsStat, client.stat(request)).await?;
        answer
            .info
            .as_ref()
            .and_then(convert::snapshot)
            .ok_or_else(|| missing_field("creation time"))
    }

    async fn usage(&self, snapshotter: &str, key: &str) -> Result<Reply, Cause> {
        let mut client = api::snapshots::snapshots_client::SnapshotsClient::new(self.calls.clone());
        let request = api::snapshots::UsageRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
        };
        let answer = self.call_with_deadline(Method::SnapshotsUsage, client.usage(request)).await?;
        Ok(Reply::Usage { size: answer.size })
    }

    async fn records_by_target(&self, target: &str) -> Result<Reply, Cause> {
        // The digest is inserted into a filter expression, so it must be valid.
        let target: Digest = target.parse().map_err(|e| Cause::InvalidResponse(format!("{e}")))?;
        let mut client = api::images_client::ImagesClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let request =
            api::ListImagesRequest { filters: vec![format!(r#"target.digest=="{target}""#)] };
        let images =
            self.call_with_deadline(Method::ImagesList, client.list(request)).await?.images;
        Ok(Reply::Records { records: self.keep_valid(images.into_iter().map(convert::record)) })
    }

    async fn record_by_name(&self, name: &str) -> Result<Reply, Cause> {
        let mut client = api::images_client::ImagesClient::new(self.calls.clone());
        let image = self
            .call_with_deadline(
                Method::ImagesGet,
                client.get(api::GetImageRequest { name: name.to_owned() }),
            )
            .await?
            .image;
        let records: Vec<ImageRecord> = image.and_then(convert::record).into_iter().collect();
        if records.is_empty() {
            Err(missing_field("target"))
        } else {
            Ok(Reply::Records { records })
        }
    }

    /// Awaits a call with a timeout and notifies the observer. All calls except the event stream
    /// are awaited here.
    async fn call_with_deadline<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Cause> {
        let began = self.clock.now().mono;
        let (answer, error) = match tokio::time::timeout(DEADLINE, call).await {
            Ok(Ok(answer)) => (Ok(answer.into_inner()), None),
            Ok(Err(status)) => (Err(Cause::from_status(&status)), error::error_code(&status)),
            Err(_) => (Err(Cause::Timeout), Some(error::CODE_DEADLINE)),
        };
        self.on_call.notify(&Call {
            method: method.name(),
            duration: Some(self.clock.now().mono.since(began)),
            error,
        });
        answer
    }

    fn keep_valid<T>(&self, all: impl Iterator<Item = Option<T>>) -> Vec<T> {
        let mut usable = Vec::new();
        for one in all {
            match one {
                Some(one) => usable.push(one),
                None => _ = self.skipped_items.fetch_add(1, Ordering::Relaxed),
            }
        }
        usable
    }
}

fn missing_field(what: &str) -> Cause {
    Cause::InvalidResponse(format!("missing {what}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn call_is_observed_with_its_result() {
        let dir = tempfile::tempdir().unwrap();
        let (hangs, gone) = (dir.path().join("hangs"), dir.path().join("gone"));
        let _listener = std::os::unix::net::UnixListener::bind(&hangs).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let client = |socket: &Path| {
            let calls = Arc::clone(&calls);
            let on_call = OnCall::new(move |call| calls.lock().unwrap().push(call.clone()));
            Client::new(socket, &"k8s.io".parse().unwrap(), on_call).unwrap()
        };
        let query = Query::Record { name: "a".into() };
        assert!(client(&hangs).run_query(&query).await.is_err());
        assert!(client(&gone).poll(true, |_| true).await.is_err());
        client(&gone).events(|_| {}).await;
        let calls = calls.lock().unwrap();
        let calls: Vec<_> = calls.iter().map(|call| (call.method, call.error)).collect();
        let unreachable = Some("unavailable");
        let expected = [
            ("Images/Get", Some("deadline")),
            ("Leases/List", unreachable),
            ("Events/Subscribe", unreachable),
        ];
        assert_eq!(calls, expected);
    }
}

//! The calls to containerd: the only folder with its gRPC types, and all calls there are.
//!
//! Every call has a deadline, names the namespace, and is on the list in `allow`. Nothing here decides
//! anything, and nothing is tried twice: whoever calls knows when to try again.

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

use self::allow::Guarded;
pub(super) use self::allow::Method;
pub(crate) use self::error::chain;
pub use self::error::{Cause, ClientError};
use super::call::{Call, OnCall};
use super::input::{Event, Lease, Poll, Query, Record, Reply, Server};
use crate::clock::Clock;

/// How long any call may take, to the last byte of its answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);

/// The largest message that is read, which is containerd's own limit for what it sends.
const MAX_MESSAGE: usize = 16 << 20;

/// The largest blob that is read as a document: containerd's own limit for manifests.
pub(crate) const MAX_DOCUMENT: u64 = 4 << 20;

/// The most leases whose resources are listed in one poll; beyond, the newest win.
const MAX_LISTED: usize = 256;

type Wire = Guarded<Channel>;

/// A connection to one containerd, for one namespace. It connects when it is first used.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    namespace: Namespace,
    /// For calls that answer at once.
    calls: Wire,
    /// For the stream of events alone: a timeout or a keep-alive ping would cut it while nothing happens.
    stream: Wire,
    /// What containerd sent without the times that it always sends.
    left_out: AtomicU64,
    clock: Clock,
    on_call: OnCall,
}

impl Client {
    /// A client of the containerd behind `socket`, which tells of each call. Nothing is opened yet.
    ///
    /// # Errors
    /// Where the path cannot be that of a socket.
    pub(super) fn new(
        socket: &Path,
        namespace: &Namespace,
        on_call: OnCall,
    ) -> Result<Self, ClientError> {
        let refused = |reason: String| ClientError::Socket {
            path: socket.display().to_string(),
            reason,
        };
        let path = socket
            .to_str()
            .ok_or_else(|| refused("it is not UTF-8".into()))?;
        let wire = |connect: Option<Duration>| {
            let mut endpoint = Endpoint::from_shared(format!("unix://{path}"))
                .map_err(|e| refused(e.to_string()))?;
            if let Some(timeout) = connect {
                endpoint = endpoint.connect_timeout(timeout);
            }
            Guarded::new(endpoint.connect_lazy(), namespace).map_err(refused)
        };
        Ok(Self {
            socket: socket.to_owned(),
            namespace: namespace.clone(),
            calls: wire(Some(DEADLINE))?,
            stream: wire(None)?,
            left_out: AtomicU64::new(0),
            clock: Clock::system(),
            on_call,
        })
    }

    /// When the socket was bound, which is when containerd started; `None` where it cannot be read.
    pub(crate) fn started_at(&self) -> Option<NodeTime> {
        let bound = std::fs::metadata(&self.socket).and_then(|data| data.modified());
        bound.ok().map(NodeTime::from_system)
    }

    /// How many things containerd sent that could not be used, since the last call.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }

    /// Which containerd this is.
    pub(crate) async fn server(&self) -> Result<Server, ClientError> {
        let mut client = api::version_client::VersionClient::new(self.calls.clone());
        let answer = self
            .within(Method::Version, client.version(()))
            .await
            .map_err(ClientError::Version)?;
        Ok(Server {
            version: answer.version,
            started_at: self.started_at(),
        })
    }

    /// Whether containerd has this client's namespace.
    pub(crate) async fn has_namespace(&self) -> Result<bool, ClientError> {
        let mut client = api::namespaces_client::NamespacesClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let all = self
            .within(
                Method::NamespacesList,
                client.list(api::ListNamespacesRequest::default()),
            )
            .await;
        let all = all.map_err(ClientError::Namespaces)?.namespaces;
        Ok(all
            .iter()
            .any(|namespace| namespace.name == self.namespace.as_str()))
    }

    /// One round of listing: the ingests first, then the leases, then what those hold that `wants` says.
    ///
    /// Where nothing is expected (`idle`), the leases alone are listed: if none of them may be a pull's, there
    /// is nothing else to see.
    pub(crate) async fn poll(
        &self,
        idle: bool,
        wants: impl Fn(&Lease) -> bool + Send,
    ) -> Result<Poll, ClientError> {
        if idle {
            let leases = self.leases().await?;
            if !leases.iter().any(&wants) {
                let ingests = Vec::new();
                return Ok(Poll { ingests, leases });
            }
        }
        let mut content = api::content_client::ContentClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let statuses = self
            .within(
                Method::ContentListStatuses,
                content.list_statuses(api::ListStatusesRequest::default()),
            )
            .await;
        let statuses = statuses.map_err(ClientError::Ingests)?.statuses;
        let ingests = self.usable(statuses.into_iter().map(convert::ingest));

        let mut leases = self.leases().await?;
        let mut client = api::leases_client::LeasesClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let mut wanted: Vec<usize> = (0..leases.len()).filter(|&i| wants(&leases[i])).collect();
        wanted.sort_by_key(|&i| std::cmp::Reverse(leases[i].created_at));
        self.left_out.fetch_add(
            wanted.len().saturating_sub(MAX_LISTED) as u64,
            Ordering::Relaxed,
        );
        let wanted: BTreeSet<usize> = wanted.into_iter().take(MAX_LISTED).collect();
        for lease in wanted {
            let lease = &mut leases[lease];
            let request = api::ListResourcesRequest {
                id: lease.id.clone(),
            };
            lease.resources = match self
                .within(Method::LeasesListResources, client.list_resources(request))
                .await
            {
                Ok(answer) => Some(
                    answer
                        .resources
                        .into_iter()
                        .map(convert::resource)
                        .collect(),
                ),
                Err(Cause::NotFound) => None,
                Err(cause) => return Err(ClientError::Resources(cause)),
            };
        }
        Ok(Poll { ingests, leases })
    }

    /// The leases that expire: those of clients that pull, and of others.
    async fn leases(&self) -> Result<Vec<Lease>, ClientError> {
        let mut client = api::leases_client::LeasesClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let filters = vec![r#"labels."containerd.io/gc.expire""#.to_owned()];
        let answer = self
            .within(
                Method::LeasesList,
                client.list(api::ListRequest { filters }),
            )
            .await;
        let leases = answer.map_err(ClientError::Leases)?.leases;
        Ok(self.usable(leases.into_iter().map(convert::lease)))
    }

    /// The reply to a query. That something is not there is a reply, not an error.
    pub(crate) async fn answer(&self, query: &Query) -> Result<Reply, ClientError> {
        let (answer, failed): (Result<Reply, Cause>, fn(Cause) -> ClientError) = match query {
            Query::Info { digest } => (self.info(digest).await, ClientError::Info),
            Query::Read { digest, size } => (self.read(digest, *size).await, ClientError::Read),
            Query::Stat { snapshotter, key } => {
                (self.stat(snapshotter, key).await, ClientError::Stat)
            }
            Query::Usage { snapshotter, key } => {
                (self.usage(snapshotter, key).await, ClientError::Usage)
            }
            Query::RecordsOf { target } => (self.records_of(target).await, ClientError::Images),
            Query::Record { name } => (self.record(name).await, ClientError::Images),
        };
        match answer {
            Ok(reply) => Ok(reply),
            Err(Cause::NotFound) => Ok(Reply::NotFound),
            Err(cause) => Err(failed(cause)),
        }
    }

    /// Hands each event to `tell`, until the stream breaks; then says why.
    ///
    /// containerd does not answer this call before the first event, so that nothing comes for a while says
    /// nothing. What happens after it returned and before it is called again is never announced.
    pub(crate) async fn events(&self, tell: impl FnMut(Event) + Send) -> ClientError {
        let mut client = api::events_client::EventsClient::new(self.stream.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let filter = format!(
            r#"namespace=="{}",topic~="^/(images|content|snapshot)/""#,
            self.namespace.as_str()
        );
        let subscribed = client
            .subscribe(api::SubscribeRequest {
                filters: vec![filter],
            })
            .await;
        let (cause, word) = match subscribed.map(Response::into_inner) {
            Ok(stream) => self.hear(stream, tell).await,
            Err(status) => (Cause::of(&status), error::word(&status)),
        };
        self.on_call.tell(&Call {
            method: Method::EventsSubscribe.name(),
            took: None,
            error: word,
        });
        ClientError::Events(cause)
    }

    /// Hands each event to `tell` until the stream breaks, and says why it did.
    async fn hear(
        &self,
        mut stream: Streaming<Envelope>,
        mut tell: impl FnMut(Event) + Send,
    ) -> (Cause, Option<&'static str>) {
        loop {
            match stream.message().await {
                Ok(Some(envelope)) => {
                    if envelope.namespace == self.namespace.as_str()
                        && let Some(event) = convert::event(envelope)
                    {
                        tell(event);
                    }
                }
                Ok(None) => {
                    let ended = Cause::Unreachable("containerd ended it".into());
                    return (ended, Some(error::UNREACHABLE));
                }
                Err(status) => return (Cause::of(&status), error::word(&status)),
            }
        }
    }

    async fn info(&self, digest: &str) -> Result<Reply, Cause> {
        let mut client = api::content_client::ContentClient::new(self.calls.clone());
        let answer = self
            .within(
                Method::ContentInfo,
                client.info(api::InfoRequest {
                    digest: digest.to_owned(),
                }),
            )
            .await?;
        answer
            .info
            .and_then(convert::info)
            .ok_or_else(|| no("time of creation"))
    }

    async fn read(&self, digest: &str, size: u64) -> Result<Reply, Cause> {
        let wanted = i64::try_from(size).ok().filter(|_| size <= MAX_DOCUMENT);
        let Some(wanted) = wanted else {
            return Err(Cause::Nonsense(format!(
                "{size} bytes, more than a document may have ({MAX_DOCUMENT})"
            )));
        };
        let request = api::ReadContentRequest {
            digest: digest.to_owned(),
            offset: 0,
            size: wanted,
        };
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
        let bytes = self.within(Method::ContentRead, read).await?;
        Ok(Reply::Document {
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    async fn stat(&self, snapshotter: &str, key: &str) -> Result<Reply, Cause> {
        let mut client = api::snapshots::snapshots_client::SnapshotsClient::new(self.calls.clone());
        let request = api::snapshots::StatSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
        };
        let answer = self
            .within(Method::SnapshotsStat, client.stat(request))
            .await?;
        answer
            .info
            .as_ref()
            .and_then(convert::snapshot)
            .ok_or_else(|| no("time of creation"))
    }

    async fn usage(&self, snapshotter: &str, key: &str) -> Result<Reply, Cause> {
        let mut client = api::snapshots::snapshots_client::SnapshotsClient::new(self.calls.clone());
        let request = api::snapshots::UsageRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
        };
        let answer = self
            .within(Method::SnapshotsUsage, client.usage(request))
            .await?;
        Ok(Reply::Usage { size: answer.size })
    }

    async fn records_of(&self, target: &str) -> Result<Reply, Cause> {
        // The digest becomes part of a filter: nothing else may.
        let target: Digest = target
            .parse()
            .map_err(|e| Cause::Nonsense(format!("{e}")))?;
        let mut client = api::images_client::ImagesClient::new(self.calls.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let request = api::ListImagesRequest {
            filters: vec![format!(r#"target.digest=="{target}""#)],
        };
        let images = self
            .within(Method::ImagesList, client.list(request))
            .await?
            .images;
        Ok(Reply::Records {
            records: self.usable(images.into_iter().map(convert::record)),
        })
    }

    async fn record(&self, name: &str) -> Result<Reply, Cause> {
        let mut client = api::images_client::ImagesClient::new(self.calls.clone());
        let image = self
            .within(
                Method::ImagesGet,
                client.get(api::GetImageRequest {
                    name: name.to_owned(),
                }),
            )
            .await?
            .image;
        let records: Vec<Record> = image.and_then(convert::record).into_iter().collect();
        if records.is_empty() {
            Err(no("target"))
        } else {
            Ok(Reply::Records { records })
        }
    }

    /// The answer of a call, which must be whole before the deadline: the one place that waits for one.
    async fn within<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Cause> {
        let began = self.clock.now().mono;
        let (answer, error) = match tokio::time::timeout(DEADLINE, call).await {
            Ok(Ok(answer)) => (Ok(answer.into_inner()), None),
            Ok(Err(status)) => (Err(Cause::of(&status)), error::word(&status)),
            Err(_) => (Err(Cause::Timeout), Some(error::LATE)),
        };
        self.on_call.tell(&Call {
            method: method.name(),
            took: Some(self.clock.now().mono.since(began)),
            error,
        });
        answer
    }

    fn usable<T>(&self, all: impl Iterator<Item = Option<T>>) -> Vec<T> {
        let mut usable = Vec::new();
        for one in all {
            match one {
                Some(one) => usable.push(one),
                None => _ = self.left_out.fetch_add(1, Ordering::Relaxed),
            }
        }
        usable
    }
}

fn no(what: &str) -> Cause {
    Cause::Nonsense(format!("it has no {what}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_call_is_told_with_how_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (hangs, gone) = (dir.path().join("hangs"), dir.path().join("gone"));
        let _listener = std::os::unix::net::UnixListener::bind(&hangs).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let client = |socket: &Path| {
            let told = Arc::clone(&told);
            let on_call = OnCall::new(move |call| told.lock().unwrap().push(call.clone()));
            Client::new(socket, &"k8s.io".parse().unwrap(), on_call).unwrap()
        };
        let query = Query::Record { name: "a".into() };
        assert!(client(&hangs).answer(&query).await.is_err());
        assert!(client(&gone).poll(true, |_| true).await.is_err());
        client(&gone).events(|_| {}).await;
        let told = told.lock().unwrap();
        let told: Vec<_> = told.iter().map(|call| (call.method, call.error)).collect();
        let unreachable = Some("unavailable");
        let expected = [
            ("Images/Get", Some("deadline")),
            ("Leases/List", unreachable),
            ("Events/Subscribe", unreachable),
        ];
        assert_eq!(told, expected);
    }
}

//! The baseline: a loop of nothing but the calls of one poll, the least that any polling agent can
//! cost.

use std::path::Path;
use std::time::Duration;

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use pulltrace_benches::Error;

/// The size limit of a response, in bytes.
const MAX_RESPONSE_BYTES: usize = 16 << 20;
const NAMESPACE: &str = "k8s.io";
/// Leases of pulls; others do not expire.
const EXPIRING_FILTER: &str = r#"labels."containerd.io/gc.expire""#;

/// Calls containerd's list methods.
pub(crate) struct ContainerdClient {
    channel: Channel,
}

/// The number of items listed by one poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PollCounts {
    pub(crate) ingests: usize,
    pub(crate) leases: usize,
    pub(crate) resources: usize,
}

impl ContainerdClient {
    pub(crate) fn connect(socket: &Path) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?;
        Ok(Self { channel: endpoint.connect_lazy() })
    }

    pub(crate) async fn poll(&self) -> Result<PollCounts, Error> {
        let ingests: Statuses = self
            .call("/containerd.services.content.v1.Content/ListStatuses", Filters::default())
            .await?;
        let filters = Filters { filters: vec![EXPIRING_FILTER.to_owned()] };
        let leases: Leases =
            self.call("/containerd.services.leases.v1.Leases/List", filters).await?;
        let mut listed = PollCounts {
            ingests: ingests.statuses.len(),
            leases: leases.leases.len(),
            resources: 0,
        };
        for lease in leases.leases {
            let held: Resources = self
                .call(
                    "/containerd.services.leases.v1.Leases/ListResources",
                    LeaseId { id: lease.id },
                )
                .await?;
            listed.resources += held.resources.len();
        }
        Ok(listed)
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Error>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut client =
            Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_RESPONSE_BYTES);
        client.ready().await?;
        let mut request = tonic::Request::new(request);
        request
            .metadata_mut()
            .insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(path);
        Ok(client.unary(request, path, codec).await?.into_inner())
    }
}

/// Polls until the process is killed.
pub(crate) async fn run(socket: &Path, interval: Duration) -> Result<(), Error> {
    let lists = ContainerdClient::connect(socket)?;
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        lists.poll().await?;
    }
}

/// The request of both lists.
#[derive(Clone, PartialEq, prost::Message)]
struct Filters {
    #[prost(string, repeated, tag = "1")]
    filters: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Statuses {
    #[prost(message, repeated, tag = "1")]
    statuses: Vec<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(message, optional, tag = "1")]
    started_at: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    updated_at: Option<Timestamp>,
    #[prost(string, tag = "3")]
    r#ref: String,
    #[prost(int64, tag = "4")]
    offset: i64,
    #[prost(int64, tag = "5")]
    total: i64,
    #[prost(string, tag = "6")]
    expected: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Leases {
    #[prost(message, repeated, tag = "1")]
    leases: Vec<Lease>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Lease {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    created_at: Option<Timestamp>,
    #[prost(map = "string, string", tag = "3")]
    labels: std::collections::HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseId {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resources {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<Resource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    r#type: String,
}

//! gRPC over containerd's socket with hand-written messages: the kit makes too few calls to justify
//! generated code. The only file of the library that uses tonic's types.

use std::path::Path;
use std::time::Duration;

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

/// The size limit of a response, in bytes.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// A call that containerd rejected or did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// The name of the gRPC code, such as `NotFound`.
    pub code: String,
    /// The message as sent by containerd.
    pub message: String,
}

/// A lazy connection: made on the first call and again after it was lost.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    channel: tonic::transport::Channel,
}

impl Channel {
    pub(crate) fn connect(socket: &Path) -> Self {
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))
            .expect("a socket's path is a valid URI")
            .connect_timeout(Duration::from_secs(2));
        Self { channel: endpoint.connect_lazy() }
    }

    pub(crate) async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, CallError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let failed = |status: &tonic::Status| CallError {
            code: format!("{:?}", status.code()),
            message: status.message().to_owned(),
        };
        let mut client =
            Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_RESPONSE_BYTES);
        client.ready().await.map_err(|error| CallError {
            code: "Unavailable".into(),
            message: error.to_string(),
        })?;
        let answer = client
            .unary(
                tonic::Request::new(request),
                PathAndQuery::from_static(path),
                ProstCodec::<Q, A>::default(),
            )
            .await
            .map_err(|status| failed(&status))?;
        Ok(answer.into_inner())
    }

    /// Returns the version of the containerd that answers.
    pub(crate) async fn version(&self) -> Result<String, CallError> {
        let answer: VersionResponse =
            self.call("/containerd.services.version.v1.Version/Version", Empty {}).await?;
        Ok(answer.version)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionResponse {
    #[prost(string, tag = "1")]
    version: String,
}

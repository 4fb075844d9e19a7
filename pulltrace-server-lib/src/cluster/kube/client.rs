//! The API server client: configuration, credentials, timeouts and limits.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt as _, BodyStream, Limited, StreamBody};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::{BoxError, service_fn};
use tracing::debug;

use super::config::{Config, ConnectError};
use super::failure::{RESPONSE_TIMEOUT, ResponseTimeout, ResponseTooLong};

/// Maximum size of a page of a list. 500 pods as the API server sends them are about 5 MiB.
const MAX_PAGE_BYTES: usize = 64 << 20;

/// Maximum size of a line of a watch. An object in etcd has at most 1.5 MiB.
const MAX_LINE_BYTES: usize = 8 << 20;

/// An API server client that can be rebuilt with new credentials.
#[derive(Clone)]
pub(super) struct ApiClient {
    config: Arc<Config>,
    client: Arc<Mutex<kube::Client>>,
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ApiClient {
    pub(super) async fn new(config: Config) -> Result<Self, ConnectError> {
        let client = build_client(&config).await?;
        Ok(Self { config: Arc::new(config), client: Arc::new(Mutex::new(client)) })
    }

    /// Returns a client for a watcher. It uses the current credentials for each request, limits
    /// time and memory, and sets `accepted` when the API server has accepted a watch.
    pub(super) fn for_watcher(&self, accepted: &Arc<watch::Sender<bool>>) -> kube::Client {
        let (this, accepted) = (self.clone(), Arc::clone(accepted));
        let send = move |request: Request<Body>| {
            let (this, accepted) = (this.clone(), Arc::clone(&accepted));
            async move { this.send(request, &accepted).await }
        };
        kube::Client::new(service_fn(send), "default")
    }

    async fn send(
        &self,
        request: Request<Body>,
        accepted: &watch::Sender<bool>,
    ) -> Result<Response<impl HttpBody<Data = Bytes, Error = BoxError> + use<>>, BoxError> {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        if is_watch {
            accepted.send_replace(false);
        }
        let exchange = async {
            let response = self.client().send(request).await?;
            if response.status().is_success() {
                return Ok::<_, BoxError>(response);
            }
            // Nothing else limits the size and time of the body of an error.
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_LINE_BYTES).collect().await?.to_bytes();
            Ok(Response::from_parts(head, Body::from(body)))
        };
        let response = timeout(RESPONSE_TIMEOUT, exchange).await.map_err(|_| ResponseTimeout)??;
        if is_watch {
            accepted.send_replace(response.status().is_success());
        }
        let limit = if is_watch { MAX_LINE_BYTES } else { MAX_PAGE_BYTES };
        Ok(response.map(|body| limit_body(body, limit, is_watch)))
    }

    fn client(&self) -> kube::Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rebuilds the client with the current credentials: kube rereads a token file once a minute,
    /// but never a kubeconfig.
    pub(super) async fn reload_credentials(&self) {
        match build_client(&self.config).await {
            Ok(client) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => debug!(
                error = &error as &dyn std::error::Error,
                "failed to rebuild the API server client"
            ),
        }
    }
}

async fn build_client(config: &Config) -> Result<kube::Client, ConnectError> {
    // With several providers compiled in, rustls panics unless a default was installed. Fails if
    // there is one already, which is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    let options =
        KubeConfigOptions { context: config.context.clone(), ..KubeConfigOptions::default() };
    let found = match &config.kubeconfig {
        Some(path) => {
            let unusable = |source| ConnectError::Kubeconfig {
                name: path.display().to_string(),
                source: Box::new(source),
            };
            let file = Kubeconfig::read_from(path).map_err(unusable)?;
            let found = kube::Config::from_custom_kubeconfig(file, &options).await;
            found.map_err(unusable)
        }
        None if config.context.is_some() => {
            let found = kube::Config::from_kubeconfig(&options).await;
            found.map_err(|source| ConnectError::Kubeconfig {
                name: "from $KUBECONFIG or ~/.kube/config".to_owned(),
                source: Box::new(source),
            })
        }
        None => {
            let found = kube::Config::infer().await;
            found.map_err(|source| ConnectError::NoCluster(Box::new(source)))
        }
    };
    let mut found = found?;
    // The caller decides when to retry.
    found.default_retry = false;
    kube::Client::try_from(found).map_err(|source| ConnectError::Client(Box::new(source)))
}

/// Ends a response with an error if it exceeds the limit, or, `per_line`, if a line does; kube has
/// no limit.
fn limit_body<B: HttpBody<Data = Bytes>>(
    body: B,
    limit: usize,
    per_line: bool,
) -> impl HttpBody<Data = Bytes, Error = BoxError>
where
    B::Error: Into<BoxError>,
{
    let mut length = 0;
    StreamBody::new(BodyStream::new(body).map(move |frame| {
        let frame = frame.map_err(Into::into)?;
        if let Some(data) = frame.data_ref() {
            length = match data.iter().rposition(|byte| *byte == b'\n') {
                Some(end) if per_line => data.len() - end - 1,
                _ => length + data.len(),
            };
        }
        if length > limit { Err(ResponseTooLong.into()) } else { Ok(frame) }
    }))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::BodyExt as _;

    use super::*;

    /// Returns the length of the response, or `None` if it was too long.
    async fn length_of(chunks: Vec<Vec<u8>>, limit: usize, per_line: bool) -> Option<usize> {
        let frames = chunks.into_iter().map(|chunk| Ok::<_, BoxError>(Frame::data(chunk.into())));
        let body = limit_body(StreamBody::new(stream::iter(frames)), limit, per_line);
        match body.collect().await {
            Ok(collected) => Some(collected.to_bytes().len()),
            Err(error) => {
                assert!(error.is::<ResponseTooLong>(), "{error}");
                None
            }
        }
    }

    #[tokio::test]
    async fn overlong_line_is_an_error() {
        let line = || b"0123456789\n".to_vec();
        let length_of = |chunks| length_of(chunks, 10, true);
        assert_eq!(length_of(vec![line(); 100]).await, Some(1_100));
        assert_eq!(length_of(vec![line(), b"01234".to_vec(), b"56789".to_vec()]).await, Some(21));
        assert_eq!(length_of(vec![line(), b"01234".to_vec(), b"567890".to_vec()]).await, None);
        assert_eq!(length_of(vec![b"0\n01234567890".to_vec()]).await, None);
    }

    #[tokio::test]
    async fn overlong_page_with_line_breaks_is_an_error() {
        let line = || b"0123456789\n".to_vec();
        assert_eq!(length_of(vec![line()], 15, false).await, Some(11));
        assert_eq!(length_of(vec![line(), line()], 15, false).await, None);
    }
}

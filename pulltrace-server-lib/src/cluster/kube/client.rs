//! The API server client: configuration, credentials, and streaming list and watch requests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::AsyncBufRead;
use kube::api::{ListParams, Request, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tracing::debug;

use super::failure::RequestError;
use super::{Config, ConnectError};

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

    /// Streams one page of a list.
    pub(super) async fn list(
        &self,
        path: &str,
        params: &ListParams,
    ) -> Result<impl AsyncBufRead + Unpin + use<>, RequestError> {
        let request = Request::new(path).list(params).map_err(kube::Error::BuildRequest)?;
        Ok(self.client().request_stream(request).await?)
    }

    /// Streams the changes after `version`.
    pub(super) async fn watch(
        &self,
        path: &str,
        params: &WatchParams,
        version: &str,
    ) -> Result<impl AsyncBufRead + Unpin + use<>, RequestError> {
        let request = Request::new(path).watch(params, version);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        // Kubernetes 1.37 would compress each line separately.
        if let Ok(plain) = "identity".parse() {
            request.headers_mut().insert("accept-encoding", plain);
        }
        Ok(self.client().request_stream(request).await?)
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

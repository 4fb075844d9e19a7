//! The way to an API server: where it is, and as who it is asked.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::AsyncBufRead;
use kube::api::{ListParams, Request, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tracing::debug;

use super::trouble::Failure;
use super::{Config, ConnectError};

/// A client of an API server that can be made anew.
#[derive(Clone)]
pub(super) struct Access {
    config: Arc<Config>,
    client: Arc<Mutex<kube::Client>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Access {
    pub(super) async fn new(config: Config) -> Result<Self, ConnectError> {
        let client = client(&config).await?;
        Ok(Self {
            config: Arc::new(config),
            client: Arc::new(Mutex::new(client)),
        })
    }

    /// A page of a list, as it comes.
    pub(super) async fn list(
        &self,
        path: &str,
        params: &ListParams,
    ) -> Result<impl AsyncBufRead + Unpin + use<>, Failure> {
        let request = Request::new(path)
            .list(params)
            .map_err(kube::Error::BuildRequest)?;
        Ok(self.client().request_stream(request).await?)
    }

    /// What changes after `version`, as it comes.
    pub(super) async fn watch(
        &self,
        path: &str,
        params: &WatchParams,
        version: &str,
    ) -> Result<impl AsyncBufRead + Unpin + use<>, Failure> {
        let request = Request::new(path).watch(params, version);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        // Kubernetes 1.37 would compress each line by itself.
        if let Ok(plain) = "identity".parse() {
            request.headers_mut().insert("accept-encoding", plain);
        }
        Ok(self.client().request_stream(request).await?)
    }

    fn client(&self) -> kube::Client {
        self.client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads anew who asks: kube reads a file with a token once a minute, and a kubeconfig never again.
    pub(super) async fn renew(&self) {
        match client(&self.config).await {
            Ok(client) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => debug!(error = &error as &dyn std::error::Error, "no new client"),
        }
    }
}

async fn client(config: &Config) -> Result<kube::Client, ConnectError> {
    // Where several providers are built in, rustls panics for want of a choice. It fails where one was chosen.
    drop(rustls::crypto::ring::default_provider().install_default());
    let options = KubeConfigOptions {
        context: config.context.clone(),
        ..KubeConfigOptions::default()
    };
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
                name: "of $KUBECONFIG or ~/.kube/config".to_owned(),
                source: Box::new(source),
            })
        }
        None => {
            let found = kube::Config::infer().await;
            found.map_err(|source| ConnectError::NoCluster(Box::new(source)))
        }
    };
    let mut found = found?;
    // Who asks says how long it waits, and what for.
    found.default_retry = false;
    kube::Client::try_from(found).map_err(|source| ConnectError::Client(Box::new(source)))
}

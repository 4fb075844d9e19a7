//! TLS certificates, reloaded when their files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// Interval between checks of the files.
const RELOAD_INTERVAL: Duration = Duration::from_secs(60);

/// The TLS configuration of a listener. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    certificate: Arc<CertificateStore>,
}

/// The current certificate.
#[derive(Debug)]
struct CertificateStore {
    files: [PathBuf; 2],
    active: RwLock<(PemContents, Arc<CertifiedKey>)>,
}

/// Contents of the certificate and the key file.
type PemContents = [Vec<u8>; 2];

/// Unusable TLS files. A retry does not help until they are fixed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file does not exist or cannot be read.
    #[error("failed to read TLS file `{}`", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file has no certificate or private key.
    #[error("no PEM {what} in TLS file `{}`", path.display())]
    Pem {
        /// The expected content: `certificate` or `private key`.
        what: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// The key type is unsupported, or the key does not match the certificate.
    #[error("private key `{}` cannot be used with certificate `{}`", key.display(), chain.display())]
    Pair {
        /// The certificate file.
        chain: PathBuf,
        /// The key file.
        key: PathBuf,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
    /// The TLS protocol versions could not be configured.
    #[error("failed to configure TLS")]
    Setup(#[source] rustls::Error),
}

impl Tls {
    /// Reads a PEM certificate chain, leaf first, and its private key. While a listener is served,
    /// the files are reloaded every 60 s; unusable files are ignored.
    ///
    /// # Errors
    /// Fails if the files are unusable.
    pub fn from_files(
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let files = [chain.into(), key.into()];
        let read = read_files(&files)?;
        let pair = load_key_pair(&files, &read)?;
        let current = Arc::new(CertificateStore { files, active: RwLock::new((read, pair)) });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), certificate: current })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Reloads the files every 60 s, forever.
    pub(super) async fn reload_periodically(self) {
        loop {
            tokio::time::sleep(RELOAD_INTERVAL).await;
            match self.certificate.reload() {
                Ok(false) => {}
                Ok(true) => tracing::info!("TLS certificate reloaded"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "failed to reload the TLS certificate; keeping the current one"
                    );
                }
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.certificate.files).finish_non_exhaustive()
    }
}

impl CertificateStore {
    /// Reloads the files. Returns whether the certificate has changed.
    fn reload(&self) -> Result<bool, TlsError> {
        let files = read_files(&self.files)?;
        let mut shown = self.active.write().unwrap_or_else(PoisonError::into_inner);
        if shown.0 == files {
            return Ok(false);
        }
        let pair = load_key_pair(&self.files, &files)?;
        *shown = (files, pair);
        Ok(true)
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.active.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&shown.1))
    }
}

fn read_files([chain, key]: &[PathBuf; 2]) -> Result<PemContents, TlsError> {
    let one = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
    };
    Ok([one(chain)?, one(key)?])
}

fn load_key_pair(
    [chain, key]: &[PathBuf; 2],
    [pem, key_pem]: &PemContents,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let bad = |what, path: &Path, source| TlsError::Pem { what, path: path.to_owned(), source };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| bad("certificate", chain, source))?;
    if certificates.is_empty() {
        return Err(bad("certificate", chain, pem::Error::NoItemsFound));
    }
    let private =
        PrivateKeyDer::from_pem_slice(key_pem).map_err(|source| bad("private key", key, source))?;
    CertifiedKey::from_der(certificates, private, &ring::default_provider())
        .map(Arc::new)
        .map_err(|source| TlsError::Pair { chain: chain.clone(), key: key.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reload_ignores_mismatched_certificate_and_key() {
        let given = |name: &str| {
            let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/tls");
            std::fs::read(Path::new(dir).join(name)).unwrap()
        };
        let dir = tempfile::tempdir().unwrap();
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| dir.path().join(name));
        std::fs::write(&chain, given("localhost.pem")).unwrap();
        std::fs::write(&key, given("localhost.key")).unwrap();
        let tls = Tls::from_files(&chain, &key).unwrap();
        let shown = || Arc::clone(&tls.certificate.active.read().unwrap().1);
        let first = shown();
        assert!(!tls.certificate.reload().unwrap());
        std::fs::write(&chain, given("other.pem")).unwrap();
        assert!(matches!(tls.certificate.reload(), Err(TlsError::Pair { .. })));
        assert!(Arc::ptr_eq(&shown(), &first));
        std::fs::write(&key, given("other.key")).unwrap();
        assert!(tls.certificate.reload().unwrap());
        assert_ne!(shown().cert, first.cert);
    }
}

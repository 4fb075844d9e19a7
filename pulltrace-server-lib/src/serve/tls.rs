//! TLS: a certificate and its key, read again where they changed.

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

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// What a listener needs to speak TLS. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Current {
    files: [PathBuf; 2],
    shown: RwLock<(Files, Arc<CertifiedKey>)>,
}

/// The contents of the files: the chain, the key.
type Files = [Vec<u8>; 2];

/// Files that TLS cannot be spoken with. A retry helps once they are as they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is not there, or may not be read.
    #[error("cannot read the TLS file `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file has not what it should.
    #[error("no {what} in PEM form in the TLS file `{}`", path.display())]
    Pem {
        /// What it should have: `certificate` or `private key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The key is of a kind that is not supported, or is not that of the certificate.
    #[error("the private key in `{}` cannot be used with the certificate in `{}`", key.display(), chain.display())]
    Pair {
        /// The file of the certificate.
        chain: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The versions of TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl Tls {
    /// Reads a certificate chain and its private key, both in PEM form. While a listener is served,
    /// the files are looked at again each 60 s; files that cannot be used change nothing.
    ///
    /// # Errors
    /// Where they cannot be used.
    pub fn from_files(
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let files = [chain.into(), key.into()];
        let read = read(&files)?;
        let pair = pair(&files, &read)?;
        let current = Arc::new(Current {
            files,
            shown: RwLock::new((read, pair)),
        });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            current,
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Never ends: looks at the files again and again.
    pub(super) async fn reload_for_ever(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.current.reload() {
                Ok(false) => {}
                Ok(true) => tracing::info!("a new TLS certificate is shown"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the TLS certificate stays as it was");
                }
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.current.files)
            .finish_non_exhaustive()
    }
}

impl Current {
    /// Whether another certificate is shown than before.
    fn reload(&self) -> Result<bool, TlsError> {
        let files = read(&self.files)?;
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        if shown.0 == files {
            return Ok(false);
        }
        let pair = pair(&self.files, &files)?;
        *shown = (files, pair);
        Ok(true)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&shown.1))
    }
}

fn read([chain, key]: &[PathBuf; 2]) -> Result<Files, TlsError> {
    let one = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })
    };
    Ok([one(chain)?, one(key)?])
}

fn pair(
    [chain, key]: &[PathBuf; 2],
    [pem, key_pem]: &Files,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let bad = |what, path: &Path, source| TlsError::Pem {
        what,
        path: path.to_owned(),
        source,
    };
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
        .map_err(|source| TlsError::Pair {
            chain: chain.clone(),
            key: key.clone(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_certificate_is_shown_and_half_a_change_is_not() {
        let given = |name: &str| {
            let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/tls");
            std::fs::read(Path::new(dir).join(name)).unwrap()
        };
        let dir = tempfile::tempdir().unwrap();
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| dir.path().join(name));
        std::fs::write(&chain, given("localhost.pem")).unwrap();
        std::fs::write(&key, given("localhost.key")).unwrap();
        let tls = Tls::from_files(&chain, &key).unwrap();
        let shown = || Arc::clone(&tls.current.shown.read().unwrap().1);
        let first = shown();
        assert!(!tls.current.reload().unwrap());
        std::fs::write(&chain, given("other.pem")).unwrap();
        assert!(matches!(tls.current.reload(), Err(TlsError::Pair { .. })));
        assert!(Arc::ptr_eq(&shown(), &first));
        std::fs::write(&key, given("other.key")).unwrap();
        assert!(tls.current.reload().unwrap());
        assert_ne!(shown().cert, first.cert);
    }
}

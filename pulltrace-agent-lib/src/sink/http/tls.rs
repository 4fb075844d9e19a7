//! Whom the sink trusts.

use std::path::Path;
use std::sync::Arc;

use reqwest::Url;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::error::HttpSetupError;

/// TLS by ring, whatever else the process uses. Without TLS in the URL no certificates are looked for.
pub(super) fn config(server: &Url, ca_file: Option<&Path>) -> Result<ClientConfig, HttpSetupError> {
    let roots = match (ca_file, server.scheme()) {
        (Some(path), _) => from_file(path)?,
        (None, "https") => of_system()?,
        (None, _) => RootCertStore::empty(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpSetupError::Client(error.into()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn from_file(path: &Path) -> Result<RootCertStore, HttpSetupError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| HttpSetupError::CaFile {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| failed(e.into()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| failed(e.into()))?;
        roots.add(certificate).map_err(|e| failed(e.into()))?;
    }
    if roots.is_empty() {
        return Err(failed("there is no certificate in it".into()));
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, HttpSetupError> {
    let mut roots = RootCertStore::empty();
    // Some of a system's are always too old to be read.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(HttpSetupError::NoRoots);
    }
    Ok(roots)
}

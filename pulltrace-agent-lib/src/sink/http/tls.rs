//! TLS configuration of the sink.

use std::path::Path;
use std::sync::Arc;

use reqwest::Url;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::error::HttpSetupError;

/// Builds a configuration that uses ring, whatever the process default is. System certificates are
/// only loaded for `https`.
pub(super) fn client_config(
    server: &Url,
    ca_file: Option<&Path>,
) -> Result<ClientConfig, HttpSetupError> {
    let roots = match (ca_file, server.scheme()) {
        (Some(path), _) => roots_from_file(path)?,
        (None, "https") => system_roots()?,
        (None, _) => RootCertStore::empty(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpSetupError::Client(error.into()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn roots_from_file(path: &Path) -> Result<RootCertStore, HttpSetupError> {
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
        return Err(failed("the file contains no certificate".into()));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, HttpSetupError> {
    let mut roots = RootCertStore::empty();
    // System stores usually contain some certificates that are too old to parse.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(HttpSetupError::NoSystemRoots);
    }
    Ok(roots)
}

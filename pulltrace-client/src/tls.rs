//! The TLS configuration.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::error::SetupError;

/// Uses ring regardless of the process default, so that no crypto provider has to be installed.
/// Certificates are only loaded for HTTPS.
pub(crate) fn config(https: bool) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    if https {
        // Some system certificates are too old to be parsed.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(SetupError::NoCaCertificates);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Client(error.into()))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

//! TLS towards the upstream.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::fault::BoxError;

/// Builds the client's TLS settings: the system's roots, or those of `SSL_CERT_FILE` / `SSL_CERT_DIR`.
/// Reads files: call it where blocking is allowed.
///
/// # Errors
/// When there is not one usable root.
pub fn client_config() -> Result<ClientConfig, BoxError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(format!(
            "no trusted root certificates were found{why}; install ca-certificates or set SSL_CERT_FILE"
        )
        .into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

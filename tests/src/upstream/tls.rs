//! A certificate authority of the test's own.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// An authority and a certificate for `localhost`, `127.0.0.1` and `::1`.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When keys cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(rcgen::DnType::CommonName, "kmi tests");
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// The authority's certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for this machine's loopback names, and its key, as PEM.
    ///
    /// # Panics
    /// When keys cannot be made.
    #[must_use]
    pub fn issue(&self) -> (String, String) {
        self.sign(&Self::params())
    }

    /// The same, with an end in so many days from now; negative: it has ended.
    ///
    /// # Panics
    /// When keys cannot be made.
    #[must_use]
    pub fn issue_for(&self, days: i64) -> (String, String) {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let date = |days: i64| {
            let date = today.checked_add(jiff::Span::new().days(days)).unwrap();
            rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
        };
        let mut params = Self::params();
        (params.not_before, params.not_after) = (date(days.min(0) - 30), date(days));
        self.sign(&params)
    }

    fn params() -> CertificateParams {
        CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from)).unwrap()
    }

    fn sign(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.clone().signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A server that offers these protocols.
    ///
    /// # Panics
    /// When keys cannot be made.
    #[must_use]
    pub fn server_config(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

/// A client that trusts one authority.
///
/// # Panics
/// When the PEM is not a certificate.
#[must_use]
pub fn client_config(ca_pem: &str) -> Arc<ClientConfig> {
    client_config_for(ca_pem, rustls::DEFAULT_VERSIONS, &[])
}

/// The same, with these versions of TLS and these protocols on offer.
///
/// # Panics
/// When the PEM is not a certificate.
#[must_use]
pub fn client_config_for(
    ca_pem: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

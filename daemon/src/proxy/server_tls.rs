//! The proxy's own TLS: certificate and key from their files, replaced while serving when the files change.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kmid_config::settings::TlsFiles;
use kmid_core::door::names::Names;
use kmid_core::door::validity::Validity;
use kmid_core::said::Said;
use kmid_core::time::Time;
use kmid_core::{say, show_as_said};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::Zeroizing;

/// Chains and keys are a few KiB.
const LARGEST_FILE: u64 = 1 << 20;

/// Why the proxy cannot speak TLS.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// The certificate chain cannot be read.
    Certificate(String),
    /// The private key cannot be read.
    Key(String),
    /// They do not fit together, or are not usable.
    Pair(#[from] rustls::Error),
}

impl TlsError {
    /// For people.
    #[must_use]
    pub fn said(&self) -> Said {
        match self {
            Self::Certificate(path) => say!(certificate_unreadable, path = path.as_str()),
            Self::Key(path) => say!(certificate_key_unreadable, path = path.as_str()),
            Self::Pair(why) => say!(certificate_pair_unusable, why = why.to_string()),
        }
    }
}

show_as_said!(TlsError);

/// The certificate in use.
#[derive(Debug)]
pub struct Certificate {
    files: TlsFiles,
    pair: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads certificate and key. Blocks.
    ///
    /// # Errors
    /// Says which file is at fault; never shows its content.
    pub fn load(files: &TlsFiles) -> Result<Arc<Self>, TlsError> {
        let pair = ArcSwap::from_pointee(read(files)?);
        Ok(Arc::new(Self { files: files.clone(), pair }))
    }

    /// Reads the files anew; a new certificate serves from the next connection on. Whether it is a new one. Blocks.
    ///
    /// # Errors
    /// As [`Certificate::load`]; then the old pair stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let pair = read(&self.files)?;
        let is_new = pair.cert != self.pair.load().cert;
        if is_new {
            self.pair.store(Arc::new(pair));
        }
        Ok(is_new)
    }

    /// The files that it comes from.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// How long the certificate in use is good; `None` when that cannot be read from it.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        let pair = self.pair.load();
        let parsed = x509_cert::Certificate::from_der(pair.cert.first()?).ok()?;
        let found = parsed.tbs_certificate().validity();
        let time = |time: x509_cert::time::Time| {
            Time::from_millis(i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX))
        };
        Some(Validity { not_before: time(found.not_before), not_after: time(found.not_after) })
    }

    /// Whom the certificate in use names; nobody, when that cannot be read from it.
    #[must_use]
    pub fn names(&self) -> Names {
        let pair = self.pair.load();
        let parsed = pair.cert.first().and_then(|der| x509_cert::Certificate::from_der(der).ok());
        let found =
            parsed.and_then(|parsed| parsed.tbs_certificate().get_extension::<SubjectAltName>().ok()?);
        let mut names = Names::default();
        for name in found.map(|(_, found)| found.0).unwrap_or_default() {
            match name {
                GeneralName::DnsName(name) => names.dns.push(name.to_string()),
                GeneralName::IpAddress(bytes) => names.addresses.extend(address(bytes.as_bytes())),
                _ => {}
            }
        }
        names
    }

    /// A server with this certificate that offers these protocols.
    ///
    /// # Errors
    /// When the TLS library offers no version.
    pub fn server_config(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.load_full())
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = content(&files.cert).and_then(|pem| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        chain.ok().filter(|chain| !chain.is_empty())
    });
    let chain = chain.ok_or_else(|| TlsError::Certificate(files.cert.display().to_string()))?;
    let key = content(&files.key).and_then(|pem| PrivateKeyDer::from_pem_slice(&pem).ok());
    let key = key.ok_or_else(|| TlsError::Key(files.key.display().to_string()))?;
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

/// A regular file of a sensible size.
fn content(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    // A pipe would be waited for.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut content = Zeroizing::new(Vec::new());
    File::open(path).ok()?.take(LARGEST_FILE).read_to_end(&mut content).ok()?;
    Some(content)
}

/// Four or sixteen bytes (RFC 5280 4.2.1.6).
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
#[path = "server_tls_tests.rs"]
mod tests;

//! Certificates that a test makes for itself: an authority, and an identity on the loopback that it has signed.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// PEM files, gone with the test. Each of these has an authority of its own.
pub(crate) struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes an authority, a key, and the authority's certificate for it.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for certificates");
        // Two of one name would be taken for one another, and then be refused for another reason.
        let mut authority = parameters(&folder.path().display().to_string(), &[]);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (authority_key, key) = (generate(), generate());
        let ca = authority.self_signed(&authority_key).expect("a certificate");
        let issuer = Issuer::new(authority, authority_key);
        let identity = parameters("a server", &["127.0.0.1", "localhost"]);
        let cert = identity.signed_by(&key, &issuer).expect("a certificate");
        let files = [("ca", ca.pem()), ("cert", cert.pem()), ("key", key.serialize_pem())];
        for (name, pem) in files {
            std::fs::write(folder.path().join(name), pem).expect("a file");
        }
        Self { folder }
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    /// The identity's certificate.
    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.path().join("cert")
    }

    /// The identity's private key.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }
}

fn parameters(name: &str, addresses: &[&str]) -> CertificateParams {
    let addresses: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
    let mut parameters = CertificateParams::new(addresses).expect("addresses");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn generate() -> KeyPair {
    KeyPair::generate().expect("a key")
}

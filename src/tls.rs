//! TLS: certificates that are checked before anything depends on them, and the handshakes of the HTTP side. Only this room
//! names rustls.
//!
//! The algorithms are ring's, which needs no more than a C compiler to build.

use std::{fmt, io, sync::Arc, time::Duration};

use tokio::{io::AsyncRead, io::AsyncWrite, net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    client::TlsStream,
    rustls::{
        self, ClientConfig, InconsistentKeys, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        sign::{CertifiedKey, SingleCertAndKey},
    },
};
use zeroize::Zeroizing;

mod ourselves;

pub use ourselves::connect_to_ourselves;

/// What is spoken over TLS: hyper is built without HTTP/2.
const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate, with the intermediate ones after it, and its private key. Both are in PEM, and belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    chain: String,
    key: Zeroizing<String>,
}

/// Why a certificate and a key cannot be used. Nothing of them is repeated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate is none.
    #[error("{0}")]
    Certificate(String),
    /// The key is none.
    #[error("{0}")]
    Key(String),
    /// Each is one, and they are not each other's.
    #[error("is not the key of that certificate")]
    Mismatch,
}

/// Whom to believe that a server is who it says, and who we are to it. The default: whom the system believes, and nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientTls {
    /// Believed instead of the system's certificates.
    pub authorities: Option<Authorities>,
    /// Shown to a server that asks for it.
    pub identity: Option<Identity>,
}

/// Certificates of authorities in PEM, one at least.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(String);

impl Identity {
    /// Checks that there is a certificate, a key without a passphrase, and that they belong together.
    ///
    /// # Errors
    /// [`IdentityError`] where they do not.
    pub fn from_pem(chain: String, key: Zeroizing<String>) -> Result<Self, IdentityError> {
        let identity = Self { chain, key };
        identity.certified()?;
        Ok(identity)
    }

    /// The certificates, in PEM.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The private key, in PEM: for whoever shakes hands with it, and for nothing else.
    pub fn expose_key(&self) -> &str {
        &self.key
    }

    /// Whether the other side of a connection has shown this certificate.
    pub fn is_shown_by(&self, connection: &TlsStream<TcpStream>) -> bool {
        let shown = connection.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let ours = CertificateDer::from_pem_slice(self.chain.as_bytes()).ok();
        shown.is_some() && shown == ours.as_ref()
    }

    fn certified(&self) -> Result<CertifiedKey, IdentityError> {
        let chain = certificates(&self.chain).map_err(IdentityError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| {
            IdentityError::Key("expected a private key in PEM, without a passphrase".to_owned())
        })?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => IdentityError::Mismatch,
            rustls::Error::InvalidCertificate(_) => {
                IdentityError::Certificate(format!("holds a certificate that cannot be used: {error}"))
            }
            error => IdentityError::Key(format!("holds a private key that cannot be used: {error}")),
        })
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl Authorities {
    /// Checks that every certificate in the text can be one of an authority.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(pem: String) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&pem)? {
            roots
                .add(certificate)
                .map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
        }
        Ok(Self(pem))
    }

    /// The certificates, in PEM.
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorities(..)")
    }
}

/// Makes ring's algorithms those of the whole process: rustls takes them from there, for us and for the Redis client. May be
/// repeated.
pub fn install_algorithms() {
    // Fails where they are installed already.
    let _ = ring::default_provider().install_default();
}

/// How a client of ours shakes hands: it believes the authorities of `tls`, or else the system's.
///
/// # Errors
/// What is wrong with the certificates of `tls`.
pub fn client(tls: &ClientTls) -> Result<ClientConfig, String> {
    install_algorithms();
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        Some(authorities) => {
            for certificate in certificates(authorities.pem())? {
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
        }
        // A system without certificates is told by a handshake that fails, where there is one.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    Ok(match &tls.identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let certified = identity.certified().map_err(|error| error.to_string())?;
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    })
}

/// Shakes hands with clients.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// As this identity, to everybody: clients show no certificate.
    ///
    /// # Errors
    /// [`IdentityError`] where the identity cannot be used, which [`Identity::from_pem`] has checked.
    pub fn new(identity: &Identity) -> Result<Self, IdentityError> {
        install_algorithms();
        let identity = SingleCertAndKey::from(identity.certified()?);
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(identity));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The connection, encrypted from now on.
    ///
    /// # Errors
    /// Where the client does not speak TLS, does not take the certificate, goes away, or is not done in `patience`.
    pub async fn accept(
        &self,
        stream: TcpStream,
        patience: Duration,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
        match timeout(patience, self.0.accept(stream)).await {
            Ok(shaken) => shaken,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err("expected a certificate in PEM".to_owned()),
    }
}

//! Certificates and keys, as files that the configuration names. They are read at start, and checked with the rest.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{redis_url::RedisUrl, source::Problems};
use crate::tls::{Authorities, ClientTls, Identity, IdentityError};

/// `server.tls`: who we are to clients.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// The certificate in PEM, with the intermediate ones after it.
    pub cert: PathBuf,
    /// Its private key in PEM, without a passphrase.
    pub key: PathBuf,
}

/// What a `rediss://` connection needs beyond what the system believes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RedisTls {
    /// Certificates in PEM that are believed instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, with the intermediate ones after it, for a server that asks for one.
    pub client_cert_file: Option<PathBuf>,
    /// Its private key.
    pub client_key_file: Option<PathBuf>,
}

/// Why a file cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct TlsFileError {
    /// The field that names the file, without what it stands in.
    pub field: &'static str,
    /// Names the file, and repeats nothing of it.
    pub detail: String,
}

impl ServerTls {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsFileError`] where they are not there, or not a certificate and its key.
    pub fn read(&self) -> Result<Identity, TlsFileError> {
        identity(("cert", &self.cert), ("key", &self.key))
    }

    pub(super) fn check(&self, problems: &mut Problems<'_>) {
        if let Err(error) = self.read() {
            problems.add(format!("server.tls.{}", error.field), error.detail);
        }
    }
}

impl RedisTls {
    /// Reads what is named.
    ///
    /// # Errors
    /// [`TlsFileError`] where a file is not there or not what it is to be, or where one of a pair is missing.
    pub fn read(&self) -> Result<ClientTls, TlsFileError> {
        let authorities = self.ca_file.as_deref().map(authorities).transpose()?;
        let identity = match (&self.client_cert_file, &self.client_key_file) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(identity(("client_cert_file", cert), ("client_key_file", key))?),
            (Some(_), None) => return Err(missing("client_key_file", "client_cert_file")),
            (None, Some(_)) => return Err(missing("client_cert_file", "client_key_file")),
        };
        Ok(ClientTls { authorities, identity })
    }

    /// Checks it as what stands in the section at `path` beside `url`.
    pub(super) fn check(&self, path: &str, url: &RedisUrl, problems: &mut Problems<'_>) {
        if url.is_encrypted() {
            if let Err(error) = self.read() {
                problems.add(format!("{path}.{}", error.field), error.detail);
            }
            return;
        }
        for field in self.given() {
            problems.add(
                format!("{path}.{field}"),
                "belongs to a rediss:// URL, and this one is not encrypted: change the URL, or leave it out",
            );
        }
    }

    /// The fields that name a file.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        let files = [
            ("ca_file", &self.ca_file),
            ("client_cert_file", &self.client_cert_file),
            ("client_key_file", &self.client_key_file),
        ];
        files.into_iter().filter(|(_, file)| file.is_some()).map(|(field, _)| field)
    }
}

fn missing(field: &'static str, beside: &str) -> TlsFileError {
    TlsFileError { field, detail: format!("is missing, and {beside} is of no use without it") }
}

fn authorities(file: &Path) -> Result<Authorities, TlsFileError> {
    let refused = |detail| TlsFileError { field: "ca_file", detail };
    let pem = super::secret::read_file(file).map_err(refused)?;
    Authorities::from_pem(pem).map_err(|detail| refused(format!("{}: {detail}", file.display())))
}

type Named<'a> = (&'static str, &'a PathBuf);

fn identity(cert: Named<'_>, key: Named<'_>) -> Result<Identity, TlsFileError> {
    let read = |(field, file): Named<'_>| {
        super::secret::read_file(file).map_err(|detail| TlsFileError { field, detail })
    };
    let (chain, private) = (read(cert)?, Zeroizing::new(read(key)?));
    Identity::from_pem(chain, private).map_err(|error| {
        let (field, file) = match error {
            IdentityError::Certificate(_) => cert,
            IdentityError::Key(_) | IdentityError::Mismatch => key,
        };
        TlsFileError { field, detail: format!("{}: {error}", file.display()) }
    })
}

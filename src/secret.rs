//! What one secret guards: holder ids that reveal nothing, and access tokens sealed at rest (DESIGN 6).

use std::fmt;

use crate::{event::AccessToken, relations::Sealed};

/// Stands for an access token everywhere but in its vault entry: a 128-bit keyed hash, shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HolderId(pub [u8; 16]);

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The keys that one secret derives.
pub struct Keys([u8; 32]);

/// What the vault keeps of a holder.
#[derive(Debug)]
pub struct VaultEntry {
    /// The token itself.
    pub token: AccessToken,
    /// Who that is, for people who look.
    pub user_id: Option<Box<str>>,
}

/// A vault entry that these keys did not seal for this holder.
#[derive(Debug, thiserror::Error)]
#[error("the vault entry cannot be opened with this secret")]
pub struct OpenError;

impl Keys {
    /// Derives the keys.
    pub fn derive(secret: &[u8]) -> Self {
        Self(blake3::derive_key("stand-in", secret))
    }

    /// The holder that a token stands for.
    pub fn holder_id(&self, token: &AccessToken) -> HolderId {
        let hash = blake3::keyed_hash(&self.0, token.expose().as_bytes());
        HolderId(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// Seals an entry.
    pub fn seal(&self, holder: HolderId, token: &AccessToken, user_id: Option<&str>) -> Sealed {
        Sealed(serde_json::json!([holder.to_string(), token.expose(), user_id]).to_string().into_bytes())
    }

    /// Opens what [`Keys::seal`] sealed.
    ///
    /// # Errors
    /// [`OpenError`] where it is another holder's or another secret's.
    pub fn open(&self, holder: HolderId, sealed: &Sealed) -> Result<VaultEntry, OpenError> {
        let (of, token, user_id): (String, String, Option<Box<str>>) =
            serde_json::from_slice(&sealed.0).map_err(|_| OpenError)?;
        if of != holder.to_string() {
            return Err(OpenError);
        }
        Ok(VaultEntry { token: AccessToken::new(token), user_id })
    }
}

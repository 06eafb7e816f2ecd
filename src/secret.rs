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

/// What every key is derived from.
pub struct Secret([u8; 32]);

/// Why a text is no secret.
#[derive(Debug, thiserror::Error)]
#[error("the secret is too short")]
pub struct WeakSecret;

impl Secret {
    /// The secret that a text stands for.
    ///
    /// # Errors
    /// [`WeakSecret`] where it is too short.
    pub fn from_text(text: &str) -> Result<Self, WeakSecret> {
        (text.len() >= 32).then(|| Self(blake3::derive_key("stand-in", text.as_bytes()))).ok_or(WeakSecret)
    }
}

/// The keys that one secret derives.
pub struct Keys([u8; 32]);

/// What the vault keeps of a holder.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// Derives every key.
    pub fn derive(secret: &Secret) -> Self {
        Self(secret.0)
    }

    /// Who stands for this token.
    pub fn holder_id(&self, token: &AccessToken) -> HolderId {
        let hash = blake3::keyed_hash(&self.0, token.expose().as_bytes());
        HolderId(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// Seals an entry for its holder.
    pub fn seal(&self, holder: HolderId, entry: &VaultEntry) -> Sealed {
        let parts = serde_json::json!([holder.to_string(), entry.token.expose(), entry.user_id]);
        Sealed(parts.to_string().into_bytes())
    }

    /// Opens what [`Keys::seal`] made for the same holder.
    ///
    /// # Errors
    /// [`OpenError`] where it is another holder's.
    pub fn open(&self, holder: HolderId, sealed: &Sealed) -> Result<VaultEntry, OpenError> {
        let (of, token, user_id): (String, String, Option<Box<str>>) =
            serde_json::from_slice(&sealed.0).map_err(|_| OpenError)?;
        if of != holder.to_string() {
            return Err(OpenError);
        }
        Ok(VaultEntry { token: AccessToken::new(token), user_id })
    }
}

//! What one secret guards: holder ids that reveal nothing, and access tokens sealed at rest (DESIGN 6).

use std::{fmt, path::Path, str::FromStr};

use zeroize::{Zeroize, ZeroizeOnDrop};

mod cipher;
mod file;
mod keys;
mod record_key;

pub use cipher::SEAL_BYTES;
pub use file::FileError;
pub use keys::{Keys, OpenError, VaultEntry};
pub use record_key::{RecordKey, SegmentKey};

/// Stands for an access token everywhere but in its vault entry: a 128-bit keyed hash, shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HolderId(pub [u8; 16]);

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

/// Why a text is no holder id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a holder id is 32 hex digits in lower case")]
pub struct NoHolderId;

impl FromStr for HolderId {
    type Err = NoHolderId;

    /// Reads what it shows, and nothing else: each holder has one id.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| NoHolderId)?;
        let id = Self(id);
        if id.to_string() == text { Ok(id) } else { Err(NoHolderId) }
    }
}

impl fmt::Debug for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What every key is derived from. It does not print, and its memory is wiped when it goes.
///
/// It is given as text, and the whole text counts: it is hashed, not decoded, so that hex, base64 or a long
/// passphrase all do, and the text of a secret's file may be moved to the environment and back.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The shortest text that is taken, in bytes. One of hex digits only holds 4 bits a digit and needs twice that,
    /// which also catches a truncated file.
    pub const MIN_BYTES: usize = 32;
    /// The longest text that is taken, in bytes: more than that is the wrong file.
    pub const MAX_BYTES: usize = 4096;
    /// Fewer different bytes than these are a placeholder, not a secret.
    const MIN_DIFFERENT: usize = 8;

    /// The secret from the configured value, else from the file, which is made where there is none.
    ///
    /// # Errors
    /// [`SecretError`]: the value is too weak, or the file is, or it cannot be kept secret, read or made.
    pub fn load(value: Option<&str>, file: &Path) -> Result<Self, SecretError> {
        match value {
            Some(text) => Ok(Self::from_text(text)?),
            None => Self::from_file(file),
        }
    }

    /// The secret in a file that only its owner can read; the file is made, with its folders, where there is none.
    ///
    /// # Errors
    /// [`SecretError`]: the file is open to others, holds no secret, or cannot be read or made.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let text = file::read_or_make(path)
            .map_err(|source| SecretError::File { path: path.display().to_string(), source })?;
        Self::from_text(&text)
            .map_err(|weak| SecretError::WeakFile { path: path.display().to_string(), weak })
    }

    /// The secret that a text stands for. White space around it does not count.
    ///
    /// # Errors
    /// [`WeakSecret`]: a text that is too short, too long or too plain.
    pub fn from_text(text: &str) -> Result<Self, WeakSecret> {
        let text = text.trim();
        let mut seen = [false; 256];
        text.bytes().for_each(|byte| seen[usize::from(byte)] = true);
        if text.is_empty() {
            Err(WeakSecret::Empty)
        } else if text.len() > Self::MAX_BYTES {
            Err(WeakSecret::TooLong)
        } else if text.len() < 2 * Self::MIN_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Err(WeakSecret::ShortHex { digits: text.len() })
        } else if text.len() < Self::MIN_BYTES {
            Err(WeakSecret::Short { bytes: text.len() })
        } else if seen.iter().filter(|seen| **seen).count() < Self::MIN_DIFFERENT {
            Err(WeakSecret::Plain)
        } else {
            Ok(Self(blake3::derive_key("decache secret text v1", text.as_bytes())))
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The configured value is no secret.
    #[error("the secret's value {0}")]
    WeakValue(#[from] WeakSecret),
    /// The file holds no secret.
    #[error("the secret in {path} {weak}")]
    WeakFile {
        /// The file.
        path: String,
        /// What is wrong with its text.
        weak: WeakSecret,
    },
    /// The file cannot be used.
    #[error("the secret's file {path} {source}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: FileError,
    },
}

/// Why a text is no secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WeakSecret {
    /// There is none.
    #[error("is empty")]
    Empty,
    /// Fewer than [`Secret::MIN_BYTES`].
    #[error("is too short: {bytes} bytes, where 32 are needed (`openssl rand -hex 32` prints a good one)")]
    Short {
        /// How long it is.
        bytes: usize,
    },
    /// Hex digits for fewer than [`Secret::MIN_BYTES`].
    #[error("is too short, or truncated: {digits} hex digits, where 64 are needed")]
    ShortHex {
        /// How many there are.
        digits: usize,
    },
    /// More than [`Secret::MAX_BYTES`].
    #[error("is too long: at most 4096 bytes are taken")]
    TooLong,
    /// Nearly the same byte again and again.
    #[error("is a placeholder: it has fewer than 8 different characters")]
    Plain,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_needs_32_bytes_or_64_hex_digits() {
        let hex = "0123456789abcdef".repeat(4);
        assert!(Secret::from_text(&hex).is_ok());
        assert_eq!(Secret::from_text(&hex[..63]).unwrap_err(), WeakSecret::ShortHex { digits: 63 });
        assert!(Secret::from_text("a passphrase of thirty-two bytes").is_ok());
        assert_eq!(
            Secret::from_text("a passphrase of thirtyone bytes").unwrap_err(),
            WeakSecret::Short { bytes: 31 }
        );
        assert_eq!(Secret::from_text(" \n").unwrap_err(), WeakSecret::Empty);
        assert_eq!(Secret::from_text(&"xy".repeat(32)).unwrap_err(), WeakSecret::Plain);
        assert_eq!(Secret::from_text(&hex.repeat(100)).unwrap_err(), WeakSecret::TooLong);
    }

    #[test]
    fn white_space_around_a_text_does_not_count() {
        let text = "a passphrase of thirty-two bytes";
        let plain = Secret::from_text(text).unwrap();
        assert_eq!(plain.0, Secret::from_text(&format!("\t{text}\r\n")).unwrap().0);
    }

    #[test]
    fn a_configured_value_goes_before_the_file_and_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        assert!(Secret::load(Some("a passphrase of thirty-two bytes"), &file).is_ok());
        let refused = Secret::load(Some("short"), &file).unwrap_err();
        assert!(refused.to_string().starts_with("the secret's value is too short"), "{refused}");
        assert!(!file.exists());
    }

    #[test]
    fn a_secret_does_not_print() {
        let text = "a passphrase of thirty-two bytes";
        assert_eq!(format!("{:?}", Secret::from_text(text).unwrap()), "Secret(..)");
        let weak = format!("{0} {0:?}", Secret::load(Some("hunter2"), Path::new("unused")).unwrap_err());
        assert!(!weak.contains("hunter2"), "{weak}");
    }
}

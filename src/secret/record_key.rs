//! The key that journal records are sealed with.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

/// Seals and opens records of a journal. It does not print.
#[derive(Clone)]
pub struct RecordKey(XChaCha20Poly1305);

/// Bytes that sealing adds.
pub const SEAL_BYTES: usize = 16;

impl RecordKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// Seals a record. No nonce may be used twice.
    pub fn seal(&self, nonce: [u8; 24], plain: &[u8]) -> Vec<u8> {
        self.0
            .encrypt(&XNonce::from(nonce), Payload::from(plain))
            .expect("a record is far below the cipher's 256 GiB, its only limit")
    }

    /// Opens a record; `None` where it was altered or sealed under another secret.
    pub fn open(&self, nonce: [u8; 24], sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(&XNonce::from(nonce), Payload::from(sealed)).ok()
    }
}

//! The key that journal records are sealed with.

use zeroize::Zeroizing;

use super::cipher::Cipher;

/// Seals and opens records of a journal. It does not print.
#[derive(Clone)]
pub struct RecordKey(Zeroizing<[u8; 32]>);

/// What seals and opens the records of one part of a journal, by their numbers. It does not print.
#[derive(Clone)]
pub struct SegmentKey(Cipher);

impl RecordKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key.into())
    }

    /// The key of a part whose random number is this. With it a record is sealed as XChaCha20-Poly1305 seals it whose nonce
    /// is that number and the record's own; what the two have in common is reckoned once.
    pub fn of_segment(&self, nonce: [u8; 16]) -> SegmentKey {
        SegmentKey(Cipher::new(&self.0, nonce))
    }
}

impl SegmentKey {
    /// Seals in its place what stands in `out` from `from` on. No number may be used twice.
    pub fn seal(&self, number: u64, out: &mut Vec<u8>, from: usize) {
        self.0.seal(number.to_le_bytes(), &[], out, from);
    }

    /// Opens a record; `None` where it was altered or sealed under another secret.
    pub fn open(&self, number: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut record = sealed.to_vec();
        let length = self.0.open(number.to_le_bytes(), &[], &mut record)?.len();
        record.truncate(length);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce, aead::Aead};

    use super::*;

    #[test]
    fn a_record_is_sealed_as_by_the_whole_cipher() {
        let (key, part) = ([3; 32], [5; 16]);
        let mut whole = [0; 24];
        whole[..16].copy_from_slice(&part);
        whole[16..].copy_from_slice(&7_u64.to_le_bytes());
        let expected =
            XChaCha20Poly1305::new(&key.into()).encrypt(&XNonce::from(whole), &b"a record"[..]).unwrap();
        let mut out = b"before, a record".to_vec();
        let key = RecordKey::new(key).of_segment(part);
        key.seal(7, &mut out, 8);
        assert_eq!(out, [b"before, ", &*expected].concat());
        assert_eq!(key.open(7, &expected).unwrap(), b"a record");
        assert_eq!(key.open(8, &expected), None);
    }
}

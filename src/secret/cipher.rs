//! XChaCha20-Poly1305 in its two steps: what the first 16 bytes of a nonce make of a key, and the inner cipher under that, with
//! the other 8 (draft-irtf-cfrg-xchacha-03, section 2).

use chacha20::hchacha;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Bytes that sealing adds.
pub const SEAL_BYTES: usize = 16;

/// The inner cipher, for all nonces that begin alike. It does not print. `ring` does not wipe its key; that opens nothing else
/// than what is sealed under these nonces.
#[derive(Clone)]
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    /// For nonces that begin with `nonce`.
    pub(super) fn new(key: &[u8; 32], nonce: [u8; 16]) -> Self {
        let inner = Zeroizing::new(<[u8; 32]>::from(hchacha::<chacha20::R20>(key.into(), &nonce.into())));
        let inner = UnboundKey::new(&CHACHA20_POLY1305, &*inner).expect("a key of this cipher has 32 bytes");
        Self(LessSafeKey::new(inner))
    }

    /// Seals in its place what stands in `out` from `from` on, bound to `bound`. No nonce may be used twice.
    pub(super) fn seal(&self, rest_of_nonce: [u8; 8], bound: &[u8], out: &mut Vec<u8>, from: usize) {
        let tag = self
            .0
            .seal_in_place_separate_tag(whole(rest_of_nonce), Aad::from(bound), &mut out[from..])
            .expect("what is sealed is far below the cipher's 256 GiB, its only limit");
        out.extend_from_slice(tag.as_ref());
    }

    /// Opens in its place what was sealed and bound so; `None` where it was altered, or sealed under another key.
    pub(super) fn open<'a>(
        &self,
        rest_of_nonce: [u8; 8],
        bound: &[u8],
        sealed: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let opened = self.0.open_in_place(whole(rest_of_nonce), Aad::from(bound), sealed);
        opened.ok().map(|plain| &*plain)
    }
}

/// As the inner cipher takes it.
fn whole(rest: [u8; 8]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&rest);
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::{
        KeyInit, XChaCha20Poly1305, XNonce,
        aead::{Aead, Payload},
    };

    use super::*;

    #[test]
    fn it_seals_and_opens_as_another_implementation_does() {
        let (key, nonce, bound) = ([3; 32], std::array::from_fn::<u8, 24, _>(|at| at as u8), b"bound");
        let (first, rest) = (*nonce.first_chunk().unwrap(), *nonce.last_chunk().unwrap());
        let theirs = XChaCha20Poly1305::new(&key.into());
        let ours = Cipher::new(&key, first);
        for length in [0, 1, 15, 16, 63, 64, 65, 255, 256, 257, 4096] {
            let plain: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let expected = theirs.encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: bound }).unwrap();
            let mut out = [b"before", &*plain].concat();
            ours.seal(rest, bound, &mut out, 6);
            assert_eq!(out, [b"before", &*expected].concat(), "{length} bytes");
            assert_eq!(ours.open(rest, bound, &mut expected.clone()), Some(&*plain));
            assert_eq!(ours.open(rest, b"else", &mut expected.clone()), None);
            assert_eq!(ours.open([0; 8], bound, &mut expected.clone()), None);
        }
        assert_eq!(ours.open(rest, bound, &mut [0; 15]), None, "too short for a tag");
    }
}

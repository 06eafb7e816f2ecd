//! The keys that come from a secret, one per purpose, and what they do.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    HolderId, RecordKey, Secret,
    cipher::{Cipher, SEAL_BYTES},
};
use crate::{event::AccessToken, recent::Recent, relations::Sealed};

/// First byte of what [`Keys::seal`] makes: version, nonce (24 bytes), ciphertext, tag (16 bytes).
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
/// Holders in one half of the memory of what was sealed: some 5 MiB in all where tokens are short.
const HALF: usize = 16 * 1024;
/// An entry that is longer than this is not remembered.
const REMEMBERED_BYTES: usize = 512;

/// Keys derived from a [`Secret`]. They do not print, and their memory is wiped when they go.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Keys {
    holder: [u8; 32],
    vault: [u8; 32],
    nonce: [u8; 32],
    record: [u8; 32],
    configuration: [u8; 32],
    fingerprint: String,
    #[zeroize(skip)]
    sealed: SealedBefore,
}

/// What was sealed lately: holders read again and again, and sealing costs more than all else about a read.
struct SealedBefore {
    /// Each with a hash of what was sealed.
    entries: Mutex<Recent<HolderId, (u64, Sealed)>>,
    hasher: RandomState,
}

/// What the vault keeps of a holder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VaultEntry {
    /// The token itself.
    pub token: AccessToken,
    /// Who that is, for people who look.
    pub user_id: Option<Box<str>>,
}

/// Why a vault entry did not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// A later version of decache sealed it, or it is no vault entry.
    #[error("the vault entry is of a version that this one does not know")]
    UnknownVersion,
    /// It is not as it was sealed.
    #[error("the vault entry was altered, or is another holder's, or was sealed under another secret")]
    NotAuthentic,
    /// It opened, and what it holds is no entry.
    #[error("the vault entry is authentic but unreadable")]
    Malformed,
}

impl Keys {
    /// Derives every key. The same secret gives the same keys in every process.
    pub fn derive(secret: &Secret) -> Self {
        let key = |purpose| blake3::derive_key(purpose, &secret.0);
        let fingerprint = key("decache secret fingerprint v1");
        Self {
            holder: key("decache holder id v1"),
            vault: key("decache vault seal v1"),
            nonce: key("decache vault nonce v1"),
            record: key("decache journal record v1"),
            configuration: key("decache configuration v1"),
            fingerprint: hex::encode(&fingerprint[..8]),
            sealed: SealedBefore { entries: Mutex::new(Recent::new(HALF)), hasher: RandomState::new() },
        }
    }

    /// 16 hex digits that tell secrets apart and reveal nothing of them.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What seals the journal's records.
    pub fn record_key(&self) -> RecordKey {
        RecordKey::new(self.record)
    }

    /// What the hash of a configuration is made with: it holds secrets that could be guessed from a plain one.
    pub fn configuration_hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.configuration)
    }

    /// Who stands for this token.
    pub fn holder_id(&self, token: &AccessToken) -> HolderId {
        let mut id = [0; 16];
        let mut hash = blake3::Hasher::new_keyed(&self.holder);
        hash.update(token.expose().as_bytes()).finalize_xof().fill(&mut id);
        HolderId(id)
    }

    /// Seals an entry for its holder. The same entry gives the same bytes, so that writing it again changes nothing;
    /// the nonce is a keyed hash of all that is sealed, so no two entries share one.
    pub fn seal(&self, holder: HolderId, entry: &VaultEntry) -> Sealed {
        let hash = self.sealed.hasher.hash_one((entry.token.expose(), &entry.user_id));
        let entries = || self.sealed.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sealed)) = entries().get(&holder).filter(|(of, _)| *of == hash) {
            return sealed.clone();
        }
        let sealed = self.seal_anew(holder, entry);
        if sealed.0.len() <= REMEMBERED_BYTES {
            entries().keep(holder, (hash, sealed.clone()));
        }
        sealed
    }

    fn seal_anew(&self, holder: HolderId, entry: &VaultEntry) -> Sealed {
        let plain = entry.to_bytes();
        let mut nonce = [0; NONCE_BYTES];
        let mut hash = blake3::Hasher::new_keyed(&self.nonce);
        hash.update(&holder.0).update(&plain).finalize_xof().fill(&mut nonce);
        let mut bytes = Vec::with_capacity(1 + NONCE_BYTES + plain.len() + SEAL_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&nonce);
        let from = bytes.len();
        bytes.extend_from_slice(&plain);
        let (cipher, rest) = self.cipher(&nonce);
        cipher.seal(rest, &bound_to(holder), &mut bytes, from);
        Sealed(bytes)
    }

    /// Opens what [`Keys::seal`] made for the same holder.
    ///
    /// # Errors
    /// [`OpenError`]: it is not what was sealed, for whom it was sealed, under this secret.
    pub fn open(&self, holder: HolderId, sealed: &Sealed) -> Result<VaultEntry, OpenError> {
        let rest = sealed.0.strip_prefix(&[VERSION]).ok_or(OpenError::UnknownVersion)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::NotAuthentic)?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let (cipher, rest) = self.cipher(nonce);
        let plain = cipher.open(rest, &bound_to(holder), &mut bytes).ok_or(OpenError::NotAuthentic)?;
        VaultEntry::from_bytes(plain).ok_or(OpenError::Malformed)
    }

    /// What seals and opens under a nonce, and the part of it that is still to be told.
    fn cipher(&self, nonce: &[u8; NONCE_BYTES]) -> (Cipher, [u8; 8]) {
        let (mut first, mut rest) = ([0; 16], [0; 8]);
        first.copy_from_slice(&nonce[..16]);
        rest.copy_from_slice(&nonce[16..]);
        (Cipher::new(&self.vault, first), rest)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// What an entry is authentic with and for: its version and its holder.
fn bound_to(holder: HolderId) -> [u8; 17] {
    let mut bound = [VERSION; 17];
    bound[1..].copy_from_slice(&holder.0);
    bound
}

impl VaultEntry {
    /// Token length (4 bytes, big endian), token, and where there is a user a byte 1 and the user id.
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let token = self.token.expose().as_bytes();
        let user = self.user_id.as_deref().map(str::as_bytes);
        // Exact, so that growing leaves no copy of the token behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(5 + token.len() + user.map_or(0, <[u8]>::len)));
        bytes.extend_from_slice(&u32::try_from(token.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(token);
        if let Some(user) = user {
            bytes.push(1);
            bytes.extend_from_slice(user);
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (token, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let user_id = match rest {
            [] => None,
            [1, user @ ..] => Some(std::str::from_utf8(user).ok()?.into()),
            _ => return None,
        };
        Some(Self { token: AccessToken::new(std::str::from_utf8(token).ok()?), user_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Keys {
        Keys::derive(&Secret::from_text(text).unwrap())
    }

    fn ours() -> Keys {
        keys("a passphrase of thirty-two bytes")
    }

    fn theirs() -> Keys {
        keys("a passphrase of thirty-three bytes")
    }

    fn entry(token: &str, user: Option<&str>) -> VaultEntry {
        VaultEntry { token: AccessToken::new(token), user_id: user.map(Into::into) }
    }

    fn contains(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_token_has_one_holder_id_under_a_secret_and_another_under_another() {
        let token = AccessToken::new("tok-alice");
        assert_eq!(ours().holder_id(&token), ours().holder_id(&token));
        assert_ne!(ours().holder_id(&token), ours().holder_id(&AccessToken::new("tok-bob")));
        assert_ne!(ours().holder_id(&token), theirs().holder_id(&token));
        assert_ne!(ours().fingerprint(), theirs().fingerprint());
        assert_eq!(ours().fingerprint().len(), 16);
    }

    #[test]
    fn every_entry_opens_as_it_was_sealed() {
        let long = format!("tok-{}", "j".repeat(AccessToken::MAX_BYTES - 4));
        for token in ["t", "tok-&=#\"'\u{202e}🦀", &long] {
            for user in [None, Some(""), Some("alice"), Some("\u{1}x")] {
                let (keys, entry) = (ours(), entry(token, user));
                let holder = keys.holder_id(&entry.token);
                assert_eq!(keys.open(holder, &keys.seal(holder, &entry)), Ok(entry));
            }
        }
    }

    #[test]
    fn sealing_again_gives_the_same_bytes_and_other_entries_other_nonces() {
        let (keys, alice) = (ours(), entry("tok-alice", Some("alice")));
        let holder = keys.holder_id(&alice.token);
        let sealed = keys.seal(holder, &alice);
        assert_eq!(sealed, keys.seal(holder, &alice));
        let nonce = |sealed: &Sealed| sealed.0[1..=NONCE_BYTES].to_vec();
        for other in [
            keys.seal(HolderId([0; 16]), &alice),
            keys.seal(holder, &entry("tok-alice", None)),
            theirs().seal(holder, &alice),
        ] {
            assert_ne!(nonce(&sealed), nonce(&other));
        }
    }

    #[test]
    fn what_is_sealed_holds_neither_token_nor_user() {
        let keys = ours();
        let entry = entry("tok-alice", Some("alice"));
        let sealed = keys.seal(keys.holder_id(&entry.token), &entry);
        assert!(!contains(&sealed.0, b"alice") && !contains(&sealed.0, b"tok-"));
    }

    #[test]
    fn a_changed_byte_another_holder_or_another_secret_does_not_open() {
        let (keys, entry) = (ours(), entry("tok-alice", None));
        let holder = keys.holder_id(&entry.token);
        let sealed = keys.seal(holder, &entry);
        for at in 0..sealed.0.len() {
            let mut altered = sealed.clone();
            altered.0[at] ^= 1;
            let expected = if at == 0 { OpenError::UnknownVersion } else { OpenError::NotAuthentic };
            assert_eq!(keys.open(holder, &altered), Err(expected), "byte {at}");
        }
        for end in 1..sealed.0.len() {
            let cut = Sealed(sealed.0[..end].to_vec());
            assert_eq!(keys.open(holder, &cut), Err(OpenError::NotAuthentic), "cut at {end}");
        }
        assert_eq!(keys.open(holder, &Sealed(Vec::new())), Err(OpenError::UnknownVersion));
        assert_eq!(keys.open(HolderId([0; 16]), &sealed), Err(OpenError::NotAuthentic));
        assert_eq!(theirs().open(holder, &sealed), Err(OpenError::NotAuthentic));
    }

    #[test]
    fn keys_and_entries_do_not_print_what_they_guard() {
        let (keys, entry) = (ours(), entry("tok-alice", None));
        let printed = format!("{keys:?} {entry:?}");
        assert!(!printed.contains("tok-"), "{printed}");
        assert_eq!(printed, format!("Keys {{ fingerprint: {:?}, .. }} {entry:?}", keys.fingerprint()));
    }
}

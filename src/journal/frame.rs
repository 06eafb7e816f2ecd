//! How a segment is laid out: a header, then frames, each with a checksum and a mark to find the next one by.

use crate::secret::{SEAL_BYTES, SegmentKey};

/// What a segment begins with: magic, the secret's fingerprint, a random part of its nonces, a checksum.
const MAGIC: &[u8; 8] = b"decache3";
/// Bytes of a header.
pub(super) const HEADER: usize = 8 + 16 + 16 + 4;
/// What a frame begins with: mark, length of the sealed record, number in the segment, checksum of all but the mark.
const MARK: &[u8; 4] = b"\xdeCJ\x01";
const PREFIX: usize = 4 + 4 + 8 + 4;
/// The largest record that a reader believes in.
pub(super) const LARGEST: usize = 256 << 20;

/// A segment's header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) fingerprint: [u8; 16],
    pub(super) nonce: [u8; 16],
}

impl Header {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.fingerprint);
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// `None` where the bytes begin with no whole header.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (header, crc) = bytes.get(..HEADER)?.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*crc) != crc32fast::hash(header) {
            return None;
        }
        let rest = header.strip_prefix(MAGIC)?;
        let (fingerprint, nonce) = (rest.first_chunk()?, rest.last_chunk()?);
        Some(Self { fingerprint: *fingerprint, nonce: *nonce })
    }
}

/// Adds a record to `out` as a frame.
pub(super) fn put(key: &SegmentKey, number: u64, plain: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    // Writers keep requests far below 4 GiB.
    let length = u32::try_from(plain.len() + SEAL_BYTES).unwrap_or(u32::MAX);
    out.extend_from_slice(MARK);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(plain);
    key.seal(number, out, from + PREFIX);
    let frame = &mut out[from..];
    let mut crc = crc32fast::Hasher::new();
    crc.update(&frame[MARK.len()..PREFIX - 4]);
    crc.update(&frame[PREFIX..]);
    frame[PREFIX - 4..PREFIX].copy_from_slice(&crc.finalize().to_le_bytes());
}

/// What stands at a place in a segment.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// A record, opened, and where it ends.
    Record(Vec<u8>, usize),
    /// Nothing that can be read before this place; the segment's length where there is nothing more.
    Damage(usize),
}

/// Reads what stands at `at`, which is before the end of `segment`.
pub(super) fn read(key: &SegmentKey, segment: &[u8], at: usize) -> Found {
    if let Some((number, sealed)) = frame(&segment[at..])
        && let Some(plain) = key.open(number, sealed)
    {
        return Found::Record(plain, at + PREFIX + sealed.len());
    }
    let next = (at + 1..segment.len())
        .find(|next| segment[*next..].starts_with(MARK) && frame(&segment[*next..]).is_some());
    Found::Damage(next.unwrap_or(segment.len()))
}

/// So many zeros in a row do not stand at the end of a seal.
const ZEROS: usize = 8;

/// How much of these bytes, at the end of a segment, was written to: behind it is room that was not filled.
pub(super) fn written(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Whether bytes that cannot be read, at the end of a segment, are what is left of a write that a crash cut short: the
/// beginning of a header or of a frame, with room behind it or not. Anything else has been altered.
pub(super) fn is_cut_short(bytes: &[u8], at: usize) -> bool {
    let written = &bytes[..written(bytes)];
    let begins = |whole: &[u8]| written.iter().zip(whole).all(|(byte, whole)| byte == whole);
    if at == 0 {
        return written.len() < HEADER && begins(MAGIC);
    }
    let frame = bytes.get(4..8).and_then(|length| length.first_chunk());
    let frame = frame.map_or(usize::MAX, |length| PREFIX + u32::from_le_bytes(*length) as usize);
    let missing = bytes.len() < frame || written.len() + ZEROS <= frame || written.len() < PREFIX;
    begins(MARK) && missing
}

/// The number and the sealed record of a frame that is as it was written.
fn frame(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let rest = bytes.strip_prefix(MARK)?;
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (number, after) = after.split_first_chunk::<8>()?;
    let (crc, after) = after.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if !(SEAL_BYTES..=LARGEST).contains(&length) {
        return None;
    }
    let sealed = after.get(..length)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&rest[..12]);
    hasher.update(sealed);
    (hasher.finalize() == u32::from_le_bytes(*crc)).then_some((u64::from_le_bytes(*number), sealed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Keys, Secret};

    fn key() -> SegmentKey {
        let secret = Secret::from_text("a secret for tests, thirty-two bytes or more").unwrap();
        Keys::derive(&secret).record_key().of_segment([7; 16])
    }

    fn header() -> Header {
        Header { fingerprint: *b"0123456789abcdef", nonce: [7; 16] }
    }

    fn segment(records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = header().to_bytes();
        for (number, record) in records.iter().enumerate() {
            put(&key(), number as u64, record, &mut bytes);
        }
        bytes
    }

    /// All records, and the ranges that could not be read.
    fn scan(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<std::ops::Range<usize>>) {
        let (mut records, mut damaged, mut at) = (Vec::new(), Vec::new(), HEADER);
        while at < bytes.len() {
            match read(&key(), bytes, at) {
                Found::Record(record, end) => {
                    records.push(record);
                    at = end;
                }
                Found::Damage(next) => {
                    damaged.push(at..next);
                    at = next;
                }
            }
        }
        (records, damaged)
    }

    #[test]
    fn a_header_reads_back_and_an_altered_one_does_not() {
        let bytes = header().to_bytes();
        assert_eq!((bytes.len(), Header::read(&bytes)), (HEADER, Some(header())));
        for at in 0..HEADER {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert_eq!(Header::read(&altered), None);
        }
        assert_eq!(Header::read(&bytes[..HEADER - 1]), None);
    }

    #[test]
    fn a_flipped_bit_costs_the_record_that_it_is_in_and_no_other() {
        let records: [&[u8]; 3] = [b"one", b"two, which is longer", b"three"];
        let whole = segment(&records);
        assert_eq!(scan(&whole), (records.map(<[u8]>::to_vec).to_vec(), vec![]));
        for at in HEADER..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            let (read, damaged) = scan(&altered);
            assert_eq!((read.len(), damaged.len()), (2, 1), "byte {at}");
            assert!(damaged[0].contains(&at));
        }
    }

    #[test]
    fn a_torn_end_costs_only_the_last_record() {
        let whole = segment(&[b"one", b"two"]);
        let first = segment(&[b"one"]).len();
        for end in first + 1..whole.len() {
            let (read, damaged) = scan(&whole[..end]);
            assert_eq!(read, [b"one"]);
            assert_eq!((damaged.len(), damaged[0].clone()), (1, first..end));
        }
    }

    #[test]
    fn a_frame_that_was_not_filled_is_cut_short_and_one_that_was_altered_is_not() {
        let whole = segment(&[b"a record of some length"]).split_off(HEADER);
        for end in 1..=whole.len() - ZEROS {
            let mut torn = whole[..end].to_vec();
            assert!(is_cut_short(&torn, HEADER), "at {end}");
            torn.resize(4096, 0);
            assert!(is_cut_short(&torn, HEADER), "at {end}, in room that was made before");
        }
        for at in 8..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            altered.resize(4096, 0);
            assert!(!is_cut_short(&altered, HEADER), "byte {at}");
        }
    }

    #[test]
    fn nothing_of_a_record_stands_in_clear() {
        let bytes = segment(&[b"tok-alice"]);
        assert!(!bytes.windows(9).any(|window| window == b"tok-alice"));
    }
}

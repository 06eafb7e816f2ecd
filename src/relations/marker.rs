//! The marker of an index: a name that it is given when it is made, and that goes with it when it is lost (DESIGN 7,
//! rule 13).

use std::fmt;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::clock::Timestamp;

/// Which index a store holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Marker {
    /// Given once.
    pub id: Box<str>,
    /// When it was made: it knows nothing of copies from before.
    pub made_at: Timestamp,
    /// Where it was made in place of one that was lost: when that was noticed.
    pub floor: Option<Timestamp>,
}

impl Marker {
    /// The marker of a new index, or of one that takes the place of a lost one.
    pub fn new(made_at: Timestamp, floor: Option<Timestamp>) -> Self {
        Self { id: hex::encode(fastrand::u128(..).to_be_bytes()).into(), made_at, floor }
    }

    /// Reads what [`fmt::Display`] has written.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (id, made_at, floor) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let floor = Some(Timestamp(floor)).filter(|floor| floor.0 > 0);
        (!id.is_empty() && words.next().is_none()).then(|| Self {
            id: id.into(),
            made_at: Timestamp(made_at),
            floor,
        })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.made_at.0, self.floor.unwrap_or_default().0)
    }
}

/// A store that has a marker.
pub trait Marked: Send + Sync {
    /// The marker, as text.
    fn marker(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>>;

    /// Writes a marker where there still is what was `expected`. Returns what is there now: of several processes that
    /// do this at once, one is right, and all learn which.
    fn mark<'a>(
        &'a self,
        expected: Option<&'a str>,
        new: &'a str,
    ) -> BoxFuture<'a, Result<String, StoreError>>;

    /// From here on, what is done on a store with another marker does not count ([`StoreError::Lost`]).
    fn expect(&self, marker: &str);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written_and_nothing_else_is() {
        for floor in [None, Some(Timestamp(7))] {
            let marker = Marker::new(Timestamp(5), floor);
            assert_eq!(Marker::parse(&marker.to_string()), Some(marker));
        }
        for text in ["", "a", "a 1", "a b 0", "a 1 0 2", " 1 0"] {
            assert_eq!(Marker::parse(text), None, "{text:?}");
        }
    }
}

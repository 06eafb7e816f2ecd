//! Copies that are to be deleted together.

use super::CopyKey;
use crate::event::{AccessToken, Entity};

/// Keys of copies, and what they were made of where that is known: some caches go by more than keys.
#[derive(Default)]
pub struct CopyList {
    keys: Vec<CopyKey>,
    /// Each with how many of the keys are its, in their order.
    groups: Vec<(Option<CopyOf>, usize)>,
}

/// What copies are copies of, and whose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyOf {
    /// What they show.
    pub entity: Entity,
    /// Whom they were made for; the empty one where they are everybody's.
    pub token: AccessToken,
}

impl CopyList {
    /// Adds copies of one entity for one holder.
    pub fn add(&mut self, of: CopyOf, keys: Vec<CopyKey>) {
        self.add_group(Some(of), keys);
    }

    /// Adds copies of which no more is known than their keys.
    pub fn add_unknown(&mut self, keys: Vec<CopyKey>) {
        self.add_group(None, keys);
    }

    /// All keys.
    pub fn keys(&self) -> &[CopyKey] {
        &self.keys
    }

    /// The keys, with what is known of them.
    pub fn groups(&self) -> impl Iterator<Item = (Option<&CopyOf>, &[CopyKey])> {
        let mut rest = &*self.keys;
        self.groups.iter().map(move |(of, count)| {
            let (keys, others) = rest.split_at(*count);
            rest = others;
            (of.as_ref(), keys)
        })
    }

    fn add_group(&mut self, of: Option<CopyOf>, keys: Vec<CopyKey>) {
        self.groups.push((of, keys.len()));
        self.keys.extend(keys);
    }
}

impl From<Vec<CopyKey>> for CopyList {
    fn from(keys: Vec<CopyKey>) -> Self {
        let mut list = Self::default();
        list.add_unknown(keys);
        list
    }
}

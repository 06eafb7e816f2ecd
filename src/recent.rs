//! A bounded memory of what was used recently.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// At most twice `half` entries in two halves: what is used again moves to the younger one, and where that is full, the older one
/// is dropped as a whole. So nothing has to be ordered, and what comes again often enough stays.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    half: usize,
    younger: HashMap<K, V>,
    older: HashMap<K, V>,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// An empty one, which takes no memory yet.
    pub(crate) fn new(half: usize) -> Self {
        Self { half, younger: HashMap::new(), older: HashMap::new() }
    }

    /// What was kept, if it still is.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        if !self.younger.contains_key(key) {
            let (key, value) = self.older.remove_entry(key)?;
            self.keep(key, value);
        }
        self.younger.get(key)
    }

    /// Keeps a value in the place of what was kept under this key.
    pub(crate) fn keep(&mut self, key: K, value: V) {
        if self.younger.len() >= self.half {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(key, value);
    }

    /// Keeps this no longer.
    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.younger.remove(key);
        self.older.remove(key);
    }

    /// Keeps nothing any more.
    pub(crate) fn clear(&mut self) {
        self.younger.clear();
        self.older.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_comes_again() {
        let mut recent = Recent::new(10);
        for number in 0..1_000 {
            recent.keep(number, number);
            assert_eq!(recent.get(&0), Some(&0), "it is asked for each time");
            assert!(recent.younger.len() + recent.older.len() <= 20);
        }
        assert_eq!(recent.get(&500), None);
        assert_eq!(recent.get(&999), Some(&999));
    }

    #[test]
    fn what_is_kept_anew_takes_the_place_of_what_was_kept() {
        let mut recent = Recent::new(1);
        recent.keep(1, 'a');
        recent.keep(2, 'b');
        recent.keep(1, 'c');
        assert_eq!(recent.get(&1), Some(&'c'));
        recent.remove(&1);
        assert_eq!(recent.get(&1), None, "nor what was there before");
        recent.clear();
        assert_eq!(recent.get(&2), None);
    }
}

//! What was found out about events: of which kind the next one is, is nearly always known.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// Pairs of action and resource type that are remembered. An API has some dozens; who makes up more is answered as well,
/// only not from memory.
const MOST: usize = 1024;

/// The places of a topic and of its enricher, for each job that an event asks for.
pub(super) type Found = Arc<[(usize, usize)]>;

/// The jobs that events ask for, by their action and resource types.
#[derive(Debug, Default)]
pub(super) struct Memo(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    by_types: HashMap<Box<str>, HashMap<Box<str>, Found>>,
    pairs: usize,
}

impl Memo {
    /// What was found out, or what is found out now.
    pub(super) fn get(&self, action_type: &str, resource_type: &str, find: impl FnOnce() -> Found) -> Found {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.by_types.get(action_type).and_then(|types| types.get(resource_type)) {
            return found.clone();
        }
        drop(known);
        let found = find();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.pairs < MOST {
            let types = known.by_types.entry(action_type.into()).or_default();
            let is_new = types.insert(resource_type.into(), found.clone()).is_none();
            known.pairs += usize::from(is_new);
        }
        found
    }
}

/// Whoever changes rules begins anew.
impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_found_out_again_and_no_more_is_kept_than_there_may_be() {
        let memo = Memo::default();
        let found = memo.get("Read", "Posts", || [(1, 2)].into());
        assert_eq!(memo.get("Read", "Posts", || panic!("it is known")), found);
        assert_eq!(memo.get("Posts", "Read", || [].into()), [].into());
        for n in 0..2 * MOST {
            assert_eq!(memo.get("Read", &n.to_string(), || [(n, n)].into()), [(n, n)].into());
        }
        assert_eq!(memo.0.read().unwrap().pairs, MOST);
    }
}

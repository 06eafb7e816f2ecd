//! The caches of a changed configuration, beside those that were there.

use std::{collections::BTreeSet, io, sync::Arc};

use super::{Cache, Caches, Regard, Target};

/// One of the caches that there are to be.
pub enum Successor {
    /// The one of this name, as it is and as it is regarded.
    Same(Arc<str>),
    /// Another one. It is suspect if one of its name was.
    Other(Box<dyn Cache>),
}

impl Caches {
    /// These caches from now on. What is noted of suspect ones is shared with those that were there.
    pub fn succeeded_by(&self, caches: Vec<Successor>) -> Self {
        let target = |successor| match successor {
            Successor::Same(name) => self.targets.iter().find(|target| *target.name() == name).cloned(),
            Successor::Other(cache) => {
                let target = Target::new(cache);
                if self.suspects.has(target.name()) {
                    target.regard(Regard::Suspect);
                }
                Some(Arc::new(target))
            }
        };
        let targets = caches.into_iter().filter_map(target).collect();
        Self { targets, suspects: self.suspects.clone(), metrics: self.metrics.clone() }
    }

    /// Notes of each of these caches that it is suspect, for removals pass it over from now on: should it be configured again,
    /// it is emptied first. Blocks.
    ///
    /// # Errors
    /// It could not be noted of all.
    pub fn pass_over(&self, names: &BTreeSet<Arc<str>>) -> io::Result<()> {
        names.iter().try_for_each(|name| self.suspects.note(name, true))
    }
}

//! What a reload replaces while it is used: whoever begins something takes what is there at that time, and ends with it.

use std::sync::{Arc, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;

/// Something that is replaced as a whole. Its lock is held for a moment.
#[derive(Debug)]
pub struct Current<T>(RwLock<Taken<T>>);

/// What was there when it was taken.
#[derive(Debug)]
pub struct Taken<T> {
    /// The thing itself.
    pub it: Arc<T>,
    /// Told when another takes its place, to those who would hold on to it for long.
    pub replaced: CancellationToken,
}

impl<T> Current<T> {
    /// It is this, to begin with.
    pub fn new(it: T) -> Self {
        Self(RwLock::new(Taken::new(it)))
    }

    /// What is there now.
    pub fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).it.clone()
    }

    /// What is there now, for something that is to begin again with what takes its place.
    pub fn take(&self) -> Taken<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts this in its place. Returns what was there, which is done with when nobody else holds it.
    pub fn replace(&self, it: T) -> Arc<T> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Taken { it, replaced } = std::mem::replace(&mut *current, Taken::new(it));
        drop(current);
        replaced.cancel();
        it
    }
}

impl<T> Taken<T> {
    fn new(it: T) -> Self {
        Self { it: Arc::new(it), replaced: CancellationToken::new() }
    }
}

impl<T> Clone for Taken<T> {
    fn clone(&self) -> Self {
        Self { it: self.it.clone(), replaced: self.replaced.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_taken_the_old_one_keeps_it_and_is_told_and_the_next_takes_the_new_one() {
        let current = Current::new(1);
        let taken = current.take();
        assert!(!taken.replaced.is_cancelled());
        let old = current.replace(2);
        assert_eq!((*taken.it, *old, *current.get()), (1, 1, 2));
        assert!(taken.replaced.is_cancelled() && !current.take().replaced.is_cancelled());
    }
}

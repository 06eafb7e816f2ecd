//! What is known of one cache.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Cache, CacheError, CopyList};

/// How far a cache is relied on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Regard {
    /// What has to be removed from it is waited for.
    #[default]
    Trusted,
    /// It was owed too much: removals leave it out, and nobody knows what in it is stale.
    Suspect,
    /// It answers again and removals ask it again, while everything that was in it before is removed.
    Returning,
}

/// A cache, how far it is relied on, and whether it is known to be away. Then it is not asked to delete anything, which
/// could take a timeout each time, until it has answered a ping: so it holds up none of the others.
pub(super) struct Target {
    name: Arc<str>,
    cache: Box<dyn Cache>,
    standing: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
    away: Option<CacheError>,
    regard: Regard,
}

impl Target {
    pub(super) fn new(cache: Box<dyn Cache>) -> Self {
        Self { name: cache.name().into(), cache, standing: Mutex::default() }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn cache(&self) -> &dyn Cache {
        &*self.cache
    }

    pub(super) fn away(&self) -> Option<CacheError> {
        self.lock().away.clone()
    }

    pub(super) fn regarded(&self) -> Regard {
        self.lock().regard
    }

    pub(super) fn regard(&self, regard: Regard) {
        self.lock().regard = regard;
    }

    pub(super) fn is_left_out(&self) -> bool {
        self.regarded() == Regard::Suspect
    }

    pub(super) async fn ping(&self, time: Duration) -> Option<CacheError> {
        let answer = tokio::time::timeout(time, self.cache.ping()).await;
        let trouble = answer.unwrap_or_else(|_| Err(CacheError("no answer to a ping".to_owned()))).err();
        self.tell(trouble.clone());
        trouble
    }

    pub(super) async fn delete(&self, copies: &CopyList) -> Result<usize, CacheError> {
        if let Some(trouble) = self.away() {
            return Err(trouble);
        }
        self.cache.remove(copies).await.inspect_err(|error| self.tell(Some(error.clone())))
    }

    fn tell(&self, trouble: Option<CacheError>) {
        self.lock().away = trouble;
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The API's database. In memory, so that the example needs none; what it says of commits holds for a real one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::events::EpochMillis;

/// One post.
#[derive(Clone, Serialize)]
pub(crate) struct Post {
    pub(crate) id: u64,
    pub(crate) author_id: String,
    pub(crate) body: String,
    /// 1 at first, one more with each update.
    pub(crate) version: u64,
}

/// What a write did, and when its commit returned.
pub(crate) struct Committed {
    pub(crate) post: Post,
    pub(crate) at: EpochMillis,
}

/// All posts, behind a lock.
pub(crate) struct Posts {
    rows: Mutex<HashMap<u64, Post>>,
}

impl Posts {
    /// A database with `count` posts.
    pub(crate) fn with(count: u64) -> Self {
        let post = |id| Post {
            id,
            author_id: format!("author-{}", id % 7),
            body: format!("This is post {id}."),
            version: 1,
        };
        Self { rows: Mutex::new((1..=count).map(|id| (id, post(id))).collect()) }
    }

    /// The post as it is now.
    pub(crate) fn get(&self, id: u64) -> Option<Post> {
        self.rows().get(&id).cloned()
    }

    /// Creates or changes a post. It stays its author's.
    pub(crate) fn put(&self, id: u64, user: &str, body: String) -> Committed {
        let mut rows = self.rows();
        let (author_id, version) = match rows.get(&id) {
            Some(post) => (post.author_id.clone(), post.version + 1),
            None => (user.to_owned(), 1),
        };
        let post = Post { id, author_id, body, version };
        rows.insert(id, post.clone());
        drop(rows);
        // Taken after the commit returned, never before it: a read that looked in the database in between saw the old
        // post, and has to count as older than this write.
        Committed { post, at: EpochMillis::now() }
    }

    /// Removes a post, where there is one.
    pub(crate) fn delete(&self, id: u64) -> Option<Committed> {
        let post = self.rows().remove(&id)?;
        Some(Committed { post, at: EpochMillis::now() })
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<u64, Post>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

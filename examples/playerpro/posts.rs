//! The API's database: in memory, so that the example needs none, or in a Redis that several processes share. What it
//! says of commits holds for a real one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    database::{Database, DatabaseError},
    events::EpochMillis,
    outbox::Owed,
};

/// One post.
#[derive(Clone, Serialize, Deserialize)]
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
    /// The entry of the outbox that the same commit wrote, where the database has one.
    pub(crate) owed: Option<Owed>,
}

/// All posts.
pub(crate) enum Posts {
    InMemory(Rows),
    Shared(Database),
}

impl Posts {
    /// The post as it is now.
    pub(crate) async fn get(&self, id: u64) -> Result<Option<Post>, DatabaseError> {
        match self {
            Self::InMemory(rows) => Ok(rows.get(id)),
            Self::Shared(database) => database.get(id).await,
        }
    }

    /// Creates or changes a post. It stays its author's.
    pub(crate) async fn put(&self, id: u64, user: &str, body: String) -> Result<Committed, DatabaseError> {
        let (post, owed) = match self {
            Self::InMemory(rows) => (rows.put(id, user, body), None),
            Self::Shared(database) => {
                let (post, owed) = database.put(id, user, body).await?;
                (post, Some(owed))
            }
        };
        // Taken after the commit returned, never before it: a read that looked in the database in between saw the old
        // post, and has to count as older than this write.
        Ok(Committed { post, at: EpochMillis::now(), owed })
    }

    /// Removes a post, where there is one.
    pub(crate) async fn delete(&self, id: u64) -> Result<Option<Committed>, DatabaseError> {
        let deleted = match self {
            Self::InMemory(rows) => rows.delete(id).map(|post| (post, None)),
            Self::Shared(database) => database.delete(id).await?.map(|(post, owed)| (post, Some(owed))),
        };
        Ok(deleted.map(|(post, owed)| Committed { post, at: EpochMillis::now(), owed }))
    }
}

/// All posts, behind a lock.
pub(crate) struct Rows(Mutex<HashMap<u64, Post>>);

impl Rows {
    /// So many posts.
    pub(crate) fn with(count: u64) -> Self {
        Self(Mutex::new((1..=count).map(|id| (id, first(id))).collect()))
    }

    fn get(&self, id: u64) -> Option<Post> {
        self.rows().get(&id).cloned()
    }

    fn put(&self, id: u64, user: &str, body: String) -> Post {
        let mut rows = self.rows();
        let (author_id, version) = match rows.get(&id) {
            Some(post) => (post.author_id.clone(), post.version + 1),
            None => (user.to_owned(), 1),
        };
        let post = Post { id, author_id, body, version };
        rows.insert(id, post.clone());
        post
    }

    fn delete(&self, id: u64) -> Option<Post> {
        self.rows().remove(&id)
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<u64, Post>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A post as it is at the start.
pub(crate) fn first(id: u64) -> Post {
    let (author_id, body) = (format!("author-{}", id % 7), format!("This is post {id}."));
    Post { id, author_id, body, version: 1 }
}

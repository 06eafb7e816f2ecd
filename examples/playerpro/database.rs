//! Posts in a Redis that several processes of the API share, with an outbox that each commit writes along: a process
//! that dies between its commit and decache's 202 leaves the event there, and whoever starts next posts it.

use deadpool_redis::{
    Connection, Manager, Pool, PoolError, Runtime,
    redis::{AsyncConnectionConfig, Pipeline, RedisError, Script, cmd},
};

use crate::{
    copies::TIMEOUT,
    outbox::Owed,
    posts::{Post, first},
};

const POSTS: &str = "playerpro:posts";
const OUTBOX: &str = "playerpro:outbox";

/// One transaction: the post, one version on, and what is owed for it. A post stays its author's.
const PUT: &str = r"
local id, author, body, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local version, known = 1, redis.call('HGET', KEYS[1], id)
if known then
  known = cjson.decode(known)
  author, version = known.author_id, known.version + 1
end
local post = cjson.encode({ id = tonumber(id), author_id = author, body = body, version = version })
redis.call('HSET', KEYS[1], id, post)
redis.call('HSET', KEYS[2], entry, cjson.encode({ action_type = 'Update', post = cjson.decode(post) }))
return post
";

const DELETE: &str = r"
local post = redis.call('HGET', KEYS[1], ARGV[1])
if not post then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[2], cjson.encode({ action_type = 'Delete', post = cjson.decode(post) }))
return post
";

/// The database.
#[derive(Clone)]
pub(crate) struct Database {
    pool: Pool,
}

/// Why it could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("database: {0}")]
pub(crate) struct DatabaseError(pub(crate) String);

impl Database {
    /// The database in the Redis at `url`, with `count` posts where nobody has made any. Asks it at once.
    pub(crate) async fn open(url: &str, count: u64) -> anyhow::Result<Self> {
        let timeouts = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let manager = Manager::new_with_config(url, timeouts)?;
        let pool = Pool::builder(manager).wait_timeout(Some(TIMEOUT)).runtime(Runtime::Tokio1).build()?;
        let database = Self { pool };
        let mut posts = Pipeline::new();
        for id in 1..=count {
            posts.cmd("HSETNX").arg(POSTS).arg(id).arg(serde_json::to_string(&first(id))?).ignore();
        }
        posts.query_async::<()>(&mut database.connection().await?).await?;
        Ok(database)
    }

    pub(crate) async fn get(&self, id: u64) -> Result<Option<Post>, DatabaseError> {
        let mut redis = self.connection().await?;
        let post: Option<String> = cmd("HGET").arg(POSTS).arg(id).query_async(&mut redis).await?;
        post.map(|post| parse(&post)).transpose()
    }

    pub(crate) async fn put(&self, id: u64, user: &str, body: String) -> Result<(Post, Owed), DatabaseError> {
        let (mut redis, owed) = (self.connection().await?, Owed::new());
        let script = Script::new(PUT);
        let mut put = script.key(POSTS);
        put.key(OUTBOX).arg(id).arg(user).arg(body).arg(&owed.0);
        let post: String = put.invoke_async(&mut redis).await?;
        Ok((parse(&post)?, owed))
    }

    pub(crate) async fn delete(&self, id: u64) -> Result<Option<(Post, Owed)>, DatabaseError> {
        let (mut redis, owed) = (self.connection().await?, Owed::new());
        let script = Script::new(DELETE);
        let mut delete = script.key(POSTS);
        delete.key(OUTBOX).arg(id).arg(&owed.0);
        let post: Option<String> = delete.invoke_async(&mut redis).await?;
        post.map(|post| Ok((parse(&post)?, owed))).transpose()
    }

    /// What processes that died have left in the outbox; what others are posting at this moment is among it, which is
    /// harmless.
    pub(crate) async fn owed(&self) -> Result<Vec<(Owed, String, Post)>, DatabaseError> {
        let mut redis = self.connection().await?;
        let entries: Vec<(String, String)> = cmd("HGETALL").arg(OUTBOX).query_async(&mut redis).await?;
        let entry = |(id, entry): (String, String)| {
            let entry: Entry =
                serde_json::from_str(&entry).map_err(|error| DatabaseError(error.to_string()))?;
            Ok((Owed(id), entry.action_type, entry.post))
        };
        entries.into_iter().map(entry).collect()
    }

    /// decache has said its last word on this entry.
    pub(crate) async fn settled(&self, owed: &Owed) -> Result<(), DatabaseError> {
        let mut redis = self.connection().await?;
        Ok(cmd("HDEL").arg(OUTBOX).arg(&owed.0).query_async(&mut redis).await?)
    }

    async fn connection(&self) -> Result<Connection, DatabaseError> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            other => DatabaseError(other.to_string()),
        })
    }
}

#[derive(serde::Deserialize)]
struct Entry {
    action_type: String,
    post: Post,
}

fn parse(post: &str) -> Result<Post, DatabaseError> {
    serde_json::from_str(post).map_err(|error| DatabaseError(error.to_string()))
}

impl From<RedisError> for DatabaseError {
    fn from(error: RedisError) -> Self {
        Self(error.category().to_owned())
    }
}

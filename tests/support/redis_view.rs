//! A Redis, looked at from outside.

use std::{collections::BTreeSet, time::Duration};

use deadpool_redis::redis::{Client, Cmd, FromRedisValue, Value, cmd};

/// A way to look into one server.
pub(crate) struct RedisView {
    client: Client,
}

impl RedisView {
    /// The server at `url`.
    pub(crate) fn of(url: &str) -> Self {
        Self { client: Client::open(url).expect("a Redis URL") }
    }

    /// All keys, as text, but for decache's beats.
    pub(crate) async fn keys(&self) -> BTreeSet<String> {
        let keys = self.raw_keys().await.into_iter().map(|key| String::from_utf8(key).expect("UTF-8"));
        keys.filter(|key| !key.contains("decache:beat:")).collect()
    }

    /// How long a key has yet to live; zero where it is not there or lives for ever.
    pub(crate) async fn ttl(&self, key: &str) -> Duration {
        let millis: i64 = self.ask(cmd("PTTL").arg(key)).await;
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    /// Writes a copy as an API does, for five minutes.
    pub(crate) async fn set(&self, key: &str, value: &str) {
        self.ask::<()>(cmd("SET").arg(key).arg(value).arg("EX").arg(300)).await;
    }

    /// Gives the server a command whose answer is of no interest, in words.
    pub(crate) async fn tell(&self, words: &[&str]) {
        let mut command = cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        self.ask::<Value>(&command).await;
    }

    /// Every key, field, member and value that the server holds.
    pub(crate) async fn everything(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for key in self.raw_keys().await {
            let kind: String = self.ask(cmd("TYPE").arg(&key)).await;
            let content: Value = match kind.as_str() {
                "string" => self.ask(cmd("GET").arg(&key)).await,
                "hash" => self.ask(cmd("HGETALL").arg(&key)).await,
                "set" => self.ask(cmd("SMEMBERS").arg(&key)).await,
                "zset" => self.ask(cmd("ZRANGE").arg(&key).arg(0).arg(-1)).await,
                "list" => self.ask(cmd("LRANGE").arg(&key).arg(0).arg(-1)).await,
                "none" => Value::Nil,
                other => panic!("a key of type {other}"),
            };
            found.push(key);
            collect(content, &mut found);
        }
        found
    }

    async fn raw_keys(&self) -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::new();
        let mut cursor = 0_u64;
        loop {
            let (next, page): (u64, Vec<Vec<u8>>) =
                self.ask(cmd("SCAN").arg(cursor).arg("COUNT").arg(1000)).await;
            keys.extend(page);
            cursor = next;
            if cursor == 0 {
                return keys;
            }
        }
    }

    /// One command on a connection of its own: slow and simple.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let mut connection = self.client.get_multiplexed_async_connection().await.expect("Redis is there");
        command.query_async(&mut connection).await.expect("Redis answers")
    }
}

/// The byte strings in a reply, however deep.
fn collect(reply: Value, found: &mut Vec<Vec<u8>>) {
    match reply {
        Value::BulkString(bytes) => found.push(bytes),
        Value::SimpleString(text) => found.push(text.into_bytes()),
        Value::Array(items) | Value::Set(items) => items.into_iter().for_each(|item| collect(item, found)),
        Value::Map(pairs) => pairs.into_iter().for_each(|(key, value)| {
            collect(key, found);
            collect(value, found);
        }),
        _ => {}
    }
}

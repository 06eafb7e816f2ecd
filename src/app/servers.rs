//! Redis servers, at their own address or as sentinels tell.

use std::time::Duration;

use crate::{
    config::{redis_url::RedisUrl, sentinel::SentinelConfig},
    redis_pool::{BadUrl, RedisPool},
    tls::ClientTls,
};

/// Connections to a server; nothing is connected yet.
pub(super) fn redis_pool(
    (url, sentinel): (&RedisUrl, &Option<SentinelConfig>),
    tls: &ClientTls,
    size: usize,
    timeout: Duration,
) -> Result<RedisPool, BadUrl> {
    match sentinel {
        Some(by) => RedisPool::by_sentinels(by, url.expose(), tls, size, timeout),
        None => RedisPool::with_tls(url.expose(), tls, size, timeout),
    }
}

/// What logs call it.
pub(super) fn server_name(url: &RedisUrl, sentinel: &Option<SentinelConfig>) -> String {
    sentinel.as_ref().map_or_else(|| url.server().to_owned(), SentinelConfig::servers)
}

//! Bodies of requests.

/// Entities and tokens that reads are of.
pub(crate) const ENTITIES: u64 = 100_000;
pub(crate) const TOKENS: u64 = 20_000;

/// The read of a user and an entity that come of `n`, in no order that a store could profit from.
pub(crate) fn read(n: u64, at: u64) -> String {
    let (entity, token) = (mixed(n) % ENTITIES, mixed(n ^ 0x5555) % TOKENS);
    format!(
        r#"{{"action_type":"Read","resource_type":"Posts","entity_id":{entity},"access_token":"tok-{token:05}","user_id":"user-{token}","occurred_at":{at},"expires_in":300,"payload":{{"author_id":{}}}}}"#,
        entity % 1000
    )
}

/// Arrays of `size` reads each, no two reads alike.
pub(crate) fn batches(batches: u64, size: u64, at: u64) -> Vec<String> {
    let array = |batch: u64| {
        let reads: Vec<String> = (batch * size..(batch + 1) * size).map(|n| read(n, at)).collect();
        format!("[{}]", reads.join(","))
    };
    (0..batches).map(array).collect()
}

/// Spreads numbers that follow each other (splitmix64).
pub(crate) fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Now, in epoch milliseconds.
pub(crate) fn now() -> u64 {
    decache::clock::Clock::start().now().0
}

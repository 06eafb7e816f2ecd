//! Reading the vault.

use deadpool_redis::redis;

use super::RedisStore;
use crate::{
    relations::{Sealed, StoreError},
    secret::HolderId,
};

/// Keys that one command reads, so that no other client of the Redis waits long.
const KEYS_PER_MGET: usize = 128;

impl RedisStore {
    pub(super) async fn read_vault(&self, holders: &[HolderId]) -> Result<Vec<Option<Sealed>>, StoreError> {
        if holders.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for chunk in holders.chunks(KEYS_PER_MGET) {
            let keys: Vec<String> = chunk.iter().map(|holder| self.keys.vault(*holder)).collect();
            pipeline.cmd("MGET").arg(keys);
        }
        let entries: Vec<Vec<Option<Vec<u8>>>> = self.query(pipeline).await?;
        let entries: Vec<_> = entries.into_iter().flatten().map(|entry| entry.map(Sealed)).collect();
        self.vault.saw(holders, &entries);
        Ok(entries)
    }

    /// Asks for those only that are not remembered.
    pub(super) async fn read_tokens(&self, holders: &[HolderId]) -> Result<Vec<Option<Sealed>>, StoreError> {
        let mut entries = self.tokens.of(holders);
        let unknown: Vec<usize> = (0..holders.len()).filter(|place| entries[*place].is_none()).collect();
        let asked: Vec<HolderId> = unknown.iter().map(|place| holders[*place]).collect();
        let found = self.read_vault(&asked).await?;
        self.tokens.keep(
            asked.into_iter().zip(&found).filter_map(|(holder, entry)| Some((holder, entry.as_ref()?))),
        );
        for (place, entry) in unknown.into_iter().zip(found) {
            entries[place] = entry;
        }
        Ok(entries)
    }
}

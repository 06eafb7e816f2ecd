//! Two Redis servers behind proxies, a decache that knows them by these, and the ledger of an API.

use std::sync::Arc;

use crate::{
    ledger::Ledger,
    proxy::{Mode, Proxy},
    redis_process::Redis,
    setup::{Setup, Store},
};

/// No Redis says this: what is behind the proxies is away for good, and the log shows why.
pub(crate) const AWAY: Mode = Mode::Answer("LOADING Redis is loading the dataset in memory");

pub(crate) struct World {
    pub(crate) index: Redis,
    pub(crate) cache: Redis,
    pub(crate) to_index: Proxy,
    pub(crate) to_cache: Proxy,
    pub(crate) setup: Setup,
    pub(crate) ledger: Arc<Ledger>,
}

impl World {
    /// With the index in Redis.
    pub(crate) async fn new() -> Self {
        Self::with_index(Redis::start().await).await
    }

    /// With the index in this Redis.
    pub(crate) async fn with_index(index: Redis) -> Self {
        let cache = Redis::start().await;
        let to_index = Proxy::start(Mode::To(index.port)).await;
        let to_cache = Proxy::start(Mode::To(cache.port)).await;
        let setup = Setup::new(Store::Redis(to_index.url()), to_cache.url());
        let ledger = Arc::new(Ledger::new(cache.url()));
        Self { index, cache, to_index, to_cache, setup, ledger }
    }

    /// With the index in decache's own folder.
    pub(crate) async fn embedded() -> Self {
        let mut world = Self::new().await;
        world.setup = Setup::new(Store::Embedded, world.to_cache.url());
        world
    }

    /// Sets what has another value in this test.
    pub(crate) fn set(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.setup = self.setup.set(name, value);
        self
    }

    /// Both servers do this.
    pub(crate) fn both(&self, mode: Mode) {
        self.to_index.set(mode);
        self.to_cache.set(mode);
    }

    /// Both servers can be reached as they are.
    pub(crate) fn heal(&self) {
        self.to_index.set(Mode::To(self.index.port));
        self.to_cache.set(Mode::To(self.cache.port));
    }
}

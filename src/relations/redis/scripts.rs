//! The store's Lua scripts: each is one atomic step whose cost is bounded by its arguments, not by the entity.

use std::sync::LazyLock;

use deadpool_redis::redis::{self, Cmd, Pipeline};

/// A script that the server knows by its hash once [`load_all`] has run there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    Record,
    Vault,
    Invalidate,
    Walk,
    Held,
    Forget,
    Compact,
}

/// In the order of [`Script`].
static SCRIPTS: LazyLock<[(&str, redis::Script); 7]> = LazyLock::new(|| {
    [
        concat!(include_str!("buckets.lua"), include_str!("record.lua")),
        include_str!("vault.lua"),
        concat!(include_str!("buckets.lua"), include_str!("invalidate.lua")),
        concat!(include_str!("buckets.lua"), include_str!("walk.lua")),
        concat!(include_str!("buckets.lua"), include_str!("held.lua")),
        concat!(include_str!("buckets.lua"), include_str!("forget.lua")),
        concat!(include_str!("buckets.lua"), include_str!("compact.lua")),
    ]
    .map(|code| (code, redis::Script::new(code)))
});

impl Script {
    /// The call with its keys; arguments are added to it.
    pub(super) fn call(self, keys: &[String]) -> Cmd {
        let (_, script) = &SCRIPTS[self as usize];
        let mut call = redis::cmd("EVALSHA");
        call.arg(script.get_hash()).arg(keys.len()).arg(keys);
        call
    }
}

/// Makes a server know all the scripts.
pub(super) fn load_all() -> Pipeline {
    let mut pipeline = redis::pipe();
    for (code, _) in SCRIPTS.iter() {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(code).ignore();
    }
    pipeline
}

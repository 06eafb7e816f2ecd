//! The store's Lua scripts: each is one atomic step whose cost is bounded by its arguments, not by the entity.

use std::sync::LazyLock;

use deadpool_redis::redis::{self, Cmd, Pipeline};

/// A script that the server knows by its hash once [`load_all`] has run there. Those that ask no field for its position
/// serve a holder's entries as they serve members.
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    Record,
    Vault,
    Invalidate,
    Walk,
    Held,
    Forget,
    Drop,
    Compact,
    RecordEntities,
    ForgetEntities,
}

/// A script over buckets of members, or of a holder's entries: what they are, how buckets work, what is done.
macro_rules! over {
    ($fields:literal, $script:literal) => {
        concat!(include_str!($fields), include_str!("buckets.lua"), include_str!($script))
    };
}

/// In the order of [`Script`].
static SCRIPTS: LazyLock<[(&str, redis::Script); 10]> = LazyLock::new(|| {
    [
        over!("members.lua", "record.lua"),
        include_str!("vault.lua"),
        over!("members.lua", "invalidate.lua"),
        over!("members.lua", "walk.lua"),
        over!("members.lua", "held.lua"),
        over!("members.lua", "forget.lua"),
        include_str!("drop.lua"),
        over!("members.lua", "compact.lua"),
        over!("entities.lua", "record.lua"),
        over!("entities.lua", "forget.lua"),
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

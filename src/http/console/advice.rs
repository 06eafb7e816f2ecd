//! What to do about what is wrong, in a sentence or two.

use crate::job::Cause;

/// What to do about a component that readiness names.
pub(super) fn of_component(component: &str) -> &'static str {
    match component {
        "service" => {
            "It is going down. Clients get 503 and should ask again; the next process takes over what is in the journal."
        }
        "journal" => {
            "No event is taken while the journal cannot be written or is replayed. Look at the disk (full? read-only? slow?); \
             it goes on by itself when there is room."
        }
        "store" => {
            "Events are still taken and wait in the journal. Look whether Redis runs, can be reached, has memory left and is \
             the primary (docs/redis.md). It goes on by itself."
        }
        "index" => {
            "Copies may live that the index does not know. They are being removed as store.on_loss says; until that is over, \
             what is shown here of holders may be incomplete."
        }
        "eviction" => {
            "Set maxmemory-policy noeviction on the index's Redis: it may drop relationships otherwise."
        }
        "clock" => {
            "Synchronize the clocks of this machine and of the store (NTP). Until then guard may be too small."
        }
        "resources" => {
            "Add these types to resources, or take the rules away that make jobs of them. A reload is enough."
        }
        "invalidations" => {
            "Copies that should be gone may still be served. Jobs, filter \"failing\", shows which and why; mend that, and \
             they are done by themselves: an invalidation never gives up."
        }
        "configuration" => {
            "The page Configuration shows what is wrong or what needs a restart. What ran before runs on."
        }
        "workers" => "No job is run until the store is known to be ours. Look at the store first.",
        cache if cache.starts_with("cache:") => {
            "Copies in this cache stay until it answers. Look whether it runs and can be reached; the others are emptied \
             meanwhile, and this one is seen to when it is back."
        }
        _ => "See the service's log.",
    }
}

/// What it means that jobs failed for a cause, and what to do about it.
pub(super) fn of_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::StoreUnavailable => {
            "The index was not reached, took too long, or takes no writes, as a full or read-only Redis does. When it answers \
             again, retry them."
        }
        Cause::StoreRefused => {
            "The index answered with an error, as a Redis does whose user lacks a right. Mend that, then retry."
        }
        Cause::StoreUnreadable => {
            "The index holds something that cannot be read: another version, or another secret?"
        }
        Cause::IndexLost => {
            "The index was lost, and is being looked at. Wait until the page Health says that it is well, then retry."
        }
        Cause::NoResource => {
            "Nobody knows the keys of copies: add the resource type to resources, then retry."
        }
        Cause::KeyUnreadable => {
            "The cache_key that the event named cannot be read. Mend the API that sends it, then discard."
        }
        Cause::NotByHolder => "Nobody knows what a holder holds: set store.by_holder, and restart.",
        Cause::ResolverFailed => "The resolver did not answer as it should. Look at it, then retry.",
        Cause::CacheUnavailable => {
            "A cache did not answer, or a copy in it could not be named. Look at that cache, then retry."
        }
        Cause::JournalUnwritable => {
            "What follows from the job could not be kept. Look at the journal's disk, then retry."
        }
        Cause::Unknown => "Another version of decache knows why.",
    }
}

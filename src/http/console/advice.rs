//! What to do about what is wrong, in a sentence or two.

use maud::{Markup, html};

use crate::job::Cause;

const FAILING: (&str, &str) = ("/console/jobs?state=failing", "See which jobs fail, and why");
const CONFIGURATION: (&str, &str) = ("/console/configuration", "See the configuration");

/// What to do about a component that readiness names, and where to look.
pub(super) fn of_component(component: &str) -> Markup {
    let (text, link) = advice(component);
    html! { (text) @if let Some((href, label)) = link { " " a href=(href) { (label) } } }
}

fn advice(component: &str) -> (&'static str, Option<(&'static str, &'static str)>) {
    match component {
        "service" => (
            "It is going down. Clients get 503 and should ask again; the next process takes over what is in the journal.",
            None,
        ),
        "journal" => (
            "No event is taken while the journal cannot be written or is replayed. Look at the disk (full? read-only? slow?); \
             it goes on by itself when there is room.",
            None,
        ),
        "store" => (
            "Events are still taken and wait in the journal. Look whether Redis runs, can be reached, has memory left and is \
             the primary (docs/redis.md). It goes on by itself.",
            None,
        ),
        "index" => (
            "Copies may live that the index does not know. They are being removed as store.on_loss says; until that is over, \
             what is shown here of holders may be incomplete.",
            Some(("/console/live", "See what is removed")),
        ),
        "eviction" => (
            "Set maxmemory-policy noeviction on the index's Redis: it may drop relationships otherwise.",
            None,
        ),
        "clock" => (
            "Synchronize the clocks of this machine and of the store (NTP). Until then guard may be too small.",
            None,
        ),
        "resources" => (
            "Add these types to resources, or take the rules away that make jobs of them. A reload is enough.",
            Some(CONFIGURATION),
        ),
        "invalidations" => (
            "Copies that should be gone may still be served. Mend what their last error names, and they are done by \
             themselves: an invalidation never gives up.",
            Some(FAILING),
        ),
        "configuration" => (
            "What ran before runs on. Mend the file, and it is read again; or restart, where that is asked for.",
            Some(("/console/configuration", "See what is wrong")),
        ),
        "workers" => ("No job is run until the store is known to be ours. Look at the store first.", None),
        cache if cache.starts_with("cache:") => (
            "Copies in this cache stay until it answers. Look whether it runs and can be reached; the others are emptied \
             meanwhile, and this one is seen to when it is back.",
            Some(FAILING),
        ),
        _ => ("See the service's log.", None),
    }
}

/// What it means that jobs failed for a cause, and what to mend.
pub(super) fn of_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::StoreUnavailable => {
            "The index was not reached, took too long, or takes no writes, as a full or read-only Redis does. See that it \
             answers again."
        }
        Cause::StoreRefused => {
            "The index answered with an error, as a Redis does whose user lacks a right (docs/redis.md lists them). The last \
             error says which."
        }
        Cause::StoreUnreadable => {
            "The index holds something that cannot be read: was it written by another version, or with another secret?"
        }
        Cause::IndexLost => {
            "The index was lost, and is being looked at. Wait until the page Health says that it is well."
        }
        Cause::NoResource => "Nobody knows the keys of copies: add the resource type to resources.",
        Cause::KeyUnreadable => {
            "The cache_key that the event named cannot be read. Mend the API that sends it."
        }
        Cause::NotByHolder => "Nobody knows what a holder holds: set store.by_holder, and restart.",
        Cause::ResolverFailed => "The resolver did not answer as it should. Look at it.",
        Cause::CacheUnavailable => {
            "A cache did not answer, or a copy in it could not be named. Look at that cache: the last error names it."
        }
        Cause::JournalUnwritable => {
            "What follows from the job could not be kept. Look at the journal's disk."
        }
        Cause::Unknown => "Another version of decache knows why.",
    }
}

/// What to do with dead letters of a cause when that is mended.
pub(super) fn of_letters(cause: Cause) -> &'static str {
    match cause {
        Cause::KeyUnreadable => "Then discard: a retry would fail again.",
        _ => "Then retry.",
    }
}

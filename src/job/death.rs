//! Why a job failed, in a word that stays the same, and how a dead letter became one.

use serde::Serialize;

use crate::clock::Timestamp;

/// Why a job failed. What failed for one cause is retried or discarded together, so the words are few and part of the
/// contract; the sentence beside one says the rest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The index was not reached, or took too long.
    StoreUnavailable,
    /// The index answered with an error.
    StoreRefused,
    /// The index holds something that cannot be read.
    StoreUnreadable,
    /// The index was lost, and is being looked at.
    IndexLost,
    /// The resource type has no entry in `resources`.
    NoResource,
    /// The key of a variant cannot be read.
    KeyUnreadable,
    /// A holder cannot be revoked: the job names none, or nobody knows what they hold.
    NotByHolder,
    /// The resolver did not answer, or not as it should.
    ResolverFailed,
    /// A cache did not answer, or a copy in it could not be named.
    CacheUnavailable,
    /// What follows from the job could not be kept.
    JournalUnwritable,
    /// Another version of decache knows.
    Unknown,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 11] = [
        Self::StoreUnavailable,
        Self::StoreRefused,
        Self::StoreUnreadable,
        Self::IndexLost,
        Self::NoResource,
        Self::KeyUnreadable,
        Self::NotByHolder,
        Self::ResolverFailed,
        Self::CacheUnavailable,
        Self::JournalUnwritable,
        Self::Unknown,
    ];

    /// The word for it in answers, metrics and the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StoreUnavailable => "store_unavailable",
            Self::StoreRefused => "store_refused",
            Self::StoreUnreadable => "store_unreadable",
            Self::IndexLost => "index_lost",
            Self::NoResource => "no_resource",
            Self::KeyUnreadable => "key_unreadable",
            Self::NotByHolder => "not_by_holder",
            Self::ResolverFailed => "resolver_failed",
            Self::CacheUnavailable => "cache_unavailable",
            Self::JournalUnwritable => "journal_unwritable",
            Self::Unknown => "unknown",
        }
    }

    /// What it means and what helps, for people who look at a dead letter. `docs/operations.md` says more.
    pub fn advice(self) -> &'static str {
        match self {
            Self::StoreUnavailable => {
                "the index was not reached, or takes no writes (full, a replica): when readiness names no `store`, retry"
            }
            Self::StoreRefused => {
                "the index answered with an error: look at its user's rights and its version, then retry"
            }
            Self::StoreUnreadable => {
                "the index holds what this version cannot read: another version or secret has written there"
            }
            Self::IndexLost => "the index was lost meanwhile: when readiness names no `index`, retry",
            Self::NoResource => {
                "the resource type has no entry in `resources`: add it, then retry; or discard"
            }
            Self::KeyUnreadable => "the event's `cache_key` fits no template any more: discard",
            Self::NotByHolder => "nobody knows what the holder holds (`store.by_holder`): discard",
            Self::ResolverFailed => "the resolver did not answer as it should: look at it, then retry",
            Self::CacheUnavailable => "a cache did not answer: when readiness names no `cache`, retry",
            Self::JournalUnwritable => {
                "what follows could not be written down: look at the journal's disk, then retry"
            }
            Self::Unknown => "another version of decache has noted it: its log says more",
        }
    }

    /// The cause that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// How a job became a dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Death {
    /// Why it failed last.
    pub cause: Cause,
    /// The same in a sentence.
    pub error: Box<str>,
    /// How often it was started and failed.
    pub attempts: u32,
    /// When it was given up, and its copy was gone.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_read_by_the_word_that_it_is_shown_as() {
        for cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
        assert_eq!(Cause::parse("Store_unavailable"), None);
    }

    #[test]
    fn the_page_for_operators_tells_of_every_cause() {
        let page = include_str!("../../docs/operations.md");
        for cause in Cause::ALL {
            assert!(page.contains(&format!("\n| `{}` |", cause.as_str())), "{}", cause.as_str());
        }
    }
}

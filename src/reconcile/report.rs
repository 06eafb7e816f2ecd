//! What a reconciliation is asked for, and what it has found and done.

use serde::{Deserialize, Serialize};

/// What becomes of a copy that no relationship tracks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Untracked {
    /// It is recorded, unless its entity has been invalidated: for an index that is new and was never lost.
    Record,
    /// It is deleted: after a loss nobody knows what was invalidated meanwhile.
    Evict,
}

/// What is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// No copy and no relationship is changed. (A store that is nobody's yet is tied to the secret.)
    pub dry_run: bool,
    /// `None`: evicted where the index is known to have been lost, else recorded.
    pub untracked: Option<Untracked>,
}

/// How far it has come, or what came of it. In a dry run: what would be done, but for copies that would be recorded and turn
/// out to be stale.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Each cache that tells what it holds.
    pub caches: Vec<CacheReport>,
    /// What the index holds.
    pub relationships: RelationshipReport,
    /// Caches that do not tell what they hold. While there is one, no relationship can be said to have no copy.
    pub unscannable: Vec<String>,
    /// Templates whose keys cannot be read back.
    pub irreversible: Vec<String>,
    /// What is looked at now: a cache's name, or `relationships`.
    pub stage: String,
    /// How much of that is done, from 0 to 1, where it can be told.
    pub share_done: Option<f64>,
}

/// The copies of one cache.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CacheReport {
    /// Its name in the configuration.
    pub name: String,
    /// Keys that the cache told of.
    pub scanned: u64,
    /// Copies: keys that are a template's or match a variant pattern.
    pub matched: u64,
    /// Copies that a relationship tracks for as long as they live.
    pub tracked: u64,
    /// Copies that are tracked from now on.
    pub recorded: u64,
    /// Copies that were deleted.
    pub evicted: u64,
    /// Copies whose key can be read in more than one way. Where recorded, they are under each.
    pub ambiguous: u64,
    /// Copies whose holder or entity their key does not tell. They are evicted, or else left alone.
    pub unreadable: u64,
    /// Copies that do not expire by themselves.
    pub endless: u64,
}

/// The relationships of the index.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RelationshipReport {
    /// Those that were looked at.
    pub walked: u64,
    /// Those whose copy is in no cache.
    pub without_copy: u64,
    /// Those of these that were dropped.
    pub dropped: u64,
    /// Those whose copies cannot be named: no readable vault entry, or no such resource.
    pub unreadable: u64,
    /// Those whose copy a cache that fills late may not have yet: they are left to the next time.
    pub too_young: u64,
    /// Why none were looked at, where that is so.
    pub skipped: Option<String>,
}

impl Report {
    /// The counts for people, a line each, and what was not looked at.
    pub fn lines(&self, dry_run: bool) -> Vec<String> {
        let mut lines: Vec<String> =
            dry_run.then(|| "dry run: nothing was changed".to_owned()).into_iter().collect();
        lines.extend(self.caches.iter().map(CacheReport::line));
        lines.push(self.relationships.line());
        let left = "this cache does not tell what it holds, and was not looked at";
        lines.extend(self.unscannable.iter().map(|name| format!("warning: cache {name}: {left}")));
        let hashed = "its keys hold a hash: whose copies they are cannot be told, so they are evicted, or left alone, and never recorded";
        lines.extend(
            self.irreversible.iter().map(|template| format!("warning: template {template}: {hashed}")),
        );
        lines
    }
}

impl CacheReport {
    fn line(&self) -> String {
        let Self { name, scanned, matched, tracked, recorded, evicted, ambiguous, unreadable, endless } =
            self;
        format!(
            "cache {name}: {scanned} keys scanned, {matched} copies: {tracked} tracked, {recorded} recorded, {evicted} evicted; \
             {ambiguous} ambiguous, {unreadable} unreadable, {endless} without an end"
        )
    }
}

impl RelationshipReport {
    fn line(&self) -> String {
        let Self { walked, without_copy, dropped, unreadable, too_young, skipped } = self;
        match skipped {
            Some(why) => format!("relationships: not looked at: {why}"),
            None => format!(
                "relationships: {walked} walked, {without_copy} without a copy, {dropped} dropped, {unreadable} unreadable, \
                 {too_young} too young"
            ),
        }
    }
}

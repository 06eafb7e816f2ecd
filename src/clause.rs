//! The clauses of the promise (DESIGN 7) that a test can leave out, to see that they are missed.
//!
//! Outside of tests they all hold, and the compiler knows it.

/// Whether this clause holds.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn holds(_: Clause) -> bool {
    true
}

#[cfg(test)]
thread_local! {
    static LEFT_OUT: std::cell::Cell<Option<Clause>> = const { std::cell::Cell::new(None) };
}

/// Whether this clause holds on this thread.
#[cfg(test)]
pub(crate) fn holds(clause: Clause) -> bool {
    LEFT_OUT.get() != Some(clause)
}

/// Leaves a clause out on this thread, until another one is, or none.
#[cfg(test)]
pub(crate) fn leave_out(clause: Option<Clause>) {
    LEFT_OUT.set(clause);
}

macro_rules! clauses {
    ($($(#[doc = $doc:literal])+ $clause:ident,)* test { $($(#[doc = $only:literal])+ $simulated:ident,)* }) => {
        /// One clause. Those that stores, journals and APIs keep are left out in the simulated ones.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Clause {
            $($(#[doc = $doc])+ $clause,)*
            $(#[cfg(test)] $(#[doc = $only])+ $simulated,)*
        }

        #[cfg(test)]
        impl Clause {
            /// Every clause.
            pub(crate) const ALL: &[Self] = &[$(Self::$clause,)* $(Self::$simulated,)*];
        }
    };
}

clauses! {
    /// 1: `stale` is written before the members are read.
    StaleBeforeMembers,
    /// 2: a relationship outlives its copy by `guard`.
    TrackedForGuard,
    /// 3: a read that began within `guard` after the write is evicted.
    Guard,
    /// 3, 6: an eviction deletes the copy first, then drops the relationship.
    EvictionDropsLast,
    /// 3: `stale` lives `horizon` and 2 `guard`.
    StaleOutlivesHorizon,
    /// 3: a read that is older than `horizon` is evicted.
    Horizon,
    /// 3: that is judged after `stale` was read.
    HorizonAfterStale,
    /// 3: a write is never too old.
    WriteNeverTooOld,
    /// 4: a read under another generation is evicted.
    GenerationTested,
    /// 4: where there are replicas, `guard` is tested as well.
    GuardBesideGeneration,
    /// 5: a read with neither time nor generation is evicted if there is any `stale`.
    UndatedEvicted,
    /// 5: or, where there is none, if it arrived half a `horizon` ago.
    UndatedAges,
    /// 6: an eviction drops a relationship only as it was recorded for it.
    EvictedByStamp,
    /// 6: a relationship is dropped after its copy is deleted, not before.
    DroppedAfterDeletion,
    /// 6: it is dropped only where its copy is gone from every cache.
    DroppedIfGoneEverywhere,
    /// 7: a fan-out that could not delete everything goes round again.
    FanOutGoesRoundAgain,
    /// 7: a fan-out that began in the middle goes all the way round.
    LapIsWhole,
    /// 8: a job that expires evicts its copy.
    ExpiredEvicts,
    /// 8: a job that dies evicts its copy.
    DeadEvicts,
    /// 8: an invalidation is retried until it is done.
    InvalidationsNeverDie,
    /// 8: a job that only evicts takes over no recording, and none takes over from it.
    EvictingApart,
    /// 9: of two reads the earliest time counts.
    EarliestRead,
    /// 9: an unknown time is earlier than any.
    UndatedWins,
    /// 9: of two reads the lowest generation counts.
    LowestGeneration,
    /// 9: a read with a generation and one without make one that any `stale` makes stale.
    MixedIsStale,
    /// 3, 9: and are as old as the older of them.
    MixedKeepsItsAge,
    /// 9: a relationship lasts as long as the longest-lived of the copies.
    LatestCopyEnd,
    /// 9: a job is worth doing as long as any whose work it does.
    LatestJobExpiry,
    /// 9: of two writes the latest time counts.
    LatestWrite,
    /// 9: of two writes the highest generation counts.
    HighestGeneration,
    /// 9: of two follow-ups the depth of the deeper counts.
    DeepestFollowUp,
    /// 9: a merge into an invalidation that has begun starts its fan-out again.
    FanOutStartsAgain,
    /// 9: and writes `stale` again.
    StaleMarkedAgain,
    /// 9: what follow-ups take from a payload tells jobs apart.
    FollowedInKey,
    /// 9: follow-ups are kept before their parent is let go.
    FollowUpsBeforeEnd,
    /// 5: a job is kept until it has ended.
    KeptUntilEnded,
    /// 5: what is accepted is kept first.
    AcceptedWhenKept,
    /// 10: the holder's own `stale` is written before what they hold is read.
    RevokedBeforeEntries,
    /// 10: a recording tests it.
    RevocationTested,
    /// 10, 3: a read that began within `guard` after it is evicted.
    RevocationGuard,
    /// 10, 4: a generation counts as the time that it is, and of two times the earlier.
    RevokedByEarlierTime,
    /// 10, 5: a read with neither time nor generation is evicted if there is any.
    UndatedRevoked,
    /// 10, 3: it lives as long as any entity's `stale`.
    RevokedOutlivesHorizon,
    /// 10: of a relationship that is gone the copy is deleted as well.
    LeftOverDeleted,
    /// 10, 6: entries are dropped where their copies are gone from every cache.
    EntriesAfterDeletion,
    /// 10, 11: a revocation is done again where caches fill late.
    RevokedAgain,
    /// 10, 14: entries linger as long as relationships do.
    EntriesLinger,
    /// 11: what is removed is removed again later, where caches fill late.
    Recheck,
    /// 11: until then relationships are kept.
    KeptUntilRecheck,
    /// 11: a relationship outlives a copy that is filled so late.
    LateFillTracked,
    /// 13: what a loss has left behind is evicted.
    LossAnswered,
    /// 13: reads that began before a loss was noticed are evicted.
    Floor,
    /// 14: jobs that are done are held, and run again after a failover.
    Held,
    /// 14: relationships linger as long after their copy is deleted.
    Lingers,
    /// 14: what was begun before a failover is begun again.
    EpochTold,
    test {
        /// 1: the vault entry is written before the member.
        VaultFirst,
        /// 1: the member is written before `stale` is read.
        MemberBeforeStale,
        /// 2: every recording has a stamp of its own.
        NewStamp,
        /// 2: an expiry is never shortened.
        ExpiryNeverShortened,
        /// 2: the members' key lives as long as any of them.
        KeyOutlivesMembers,
        /// 2: a vault entry is only ever extended.
        VaultOnlyExtended,
        /// 3: `stale` never moves back.
        StaleNeverBack,
        /// 3: nor is its life shortened.
        StaleNeverShortened,
        /// 4: a new generation is above the previous one.
        GenerationGrows,
        /// 4: a new generation is not below the store's clock.
        GenerationIsTime,
        /// 4: asking gives no less than the store's clock.
        GenerationNeverReturns,
        /// 6: a relationship is dropped only as it was read.
        DroppedByStamp,
        /// 7: a walk pages by position, not by rank.
        NoPagingByRank,
        /// 9: a job is let go after what took its place is kept, merged.
        SurvivorKeptMerged,
        /// 9: replay merges as superseding does.
        ReplayMerges,
        /// 10: a recording writes the holder's entry.
        EntryWritten,
        /// 10: the member is written before the entry.
        MemberBeforeEntry,
        /// 10: the entry is written before the holder's own `stale` is read.
        EntryBeforeRevoked,
        /// 10, 2: an entry's expiry is never shortened.
        EntryNeverShortened,
        /// 10, 3: the holder's own `stale` never moves back.
        RevokedNeverBack,
        /// 10, 6: an entry is dropped only as it was read.
        EntryDroppedByStamp,
        /// 13: every operation ends with a look at the marker.
        MarkerChecked,
        /// 14: a server that is another one is looked at before it is used.
        LookedBeforeUse,
        /// API 1: it posts after it has filled the cache.
        PostAfterFill,
        /// API 1: it posts until it is accepted.
        PostUntilAccepted,
        /// API 1: a writer that dies before it posts keeps an outbox.
        Outbox,
        /// API 2: a read's time is from before it looked in the database.
        ReadTimeBeforeDatabase,
        /// API 3: `expires_in` is the longest life of the copy.
        LifeIsTold,
        /// API 4: a copy first lives for a short while.
        ProvisionalLife,
        /// API 4: only the same copy is raised.
        RaiseTheSameCopy,
    }
}

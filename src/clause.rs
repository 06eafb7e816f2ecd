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

/// One clause. Those that only stores, journals and APIs keep are left out in the simulated ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clause {
    #[cfg(test)]
    VaultOnlyExtended,
    #[cfg(test)]
    ExpiryNeverShortened,
    #[cfg(test)]
    NewStamp,
    #[cfg(test)]
    KeyOutlivesMembers,
    #[cfg(test)]
    StaleNeverBack,
    #[cfg(test)]
    StaleNeverShortened,
    #[cfg(test)]
    GenerationIsTime,
    #[cfg(test)]
    GenerationGrows,
    #[cfg(test)]
    GenerationNeverReturns,
    #[cfg(test)]
    NoPagingByRank,
    #[cfg(test)]
    DroppedByStamp,
    #[cfg(test)]
    VaultFirst,
    #[cfg(test)]
    MemberBeforeStale,
    #[cfg(test)]
    ReplayMerges,
    #[cfg(test)]
    Outbox,
    #[cfg(test)]
    ReadTimeBeforeDatabase,
    #[cfg(test)]
    ProvisionalLife,
    #[cfg(test)]
    PostAfterFill,
    #[cfg(test)]
    RaiseTheSameCopy,
}

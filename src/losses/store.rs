//! Looks at the store, and says what became of the index.

use tracing::{error, info, warn};

use super::{
    Losses, STORE,
    note::Debt,
    verdict::{IndexIs, ServerIs, of_index, of_server},
};
use crate::{
    clock::Timestamp,
    redis_pool::{Found, Info},
    relations::{Marker, StoreError},
};

/// How much of an index was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Extent {
    /// All of it: every member that is there was recorded, and judged, after the loss was noticed.
    Whole,
    /// It may hold members of before whose `stale` is lost, or whose vault entry, and lack others.
    Part,
}

impl Losses {
    /// Looks at the store. When this has succeeded once, what is done on it counts. Only for a store that is known to be ours.
    ///
    /// # Errors
    /// Where it could not be looked at, or cannot be written to: then it is looked at again before it is used.
    pub async fn look_at_store(&self) -> Result<(), StoreError> {
        let _one = self.one_look.lock().await;
        if self.pulse.is_none() && self.memory().joined {
            // This process alone has it open: nobody else can have taken it away.
            return Ok(());
        }
        let window = &self.window;
        let began = window.now();
        let looked = self.look(began).await;
        if looked.is_ok() {
            window.same(STORE, began);
        }
        looked
    }

    /// Whether the store was looked at in this life.
    pub fn know_the_store(&self) -> bool {
        self.memory().joined
    }

    async fn look(&self, began: Timestamp) -> Result<(), StoreError> {
        let mut found = match &self.pulse {
            Some(pulse) => pulse.look().await?,
            None => Found { marker: self.ground.store.marker().await?, ..Found::default() },
        };
        let is_ahead = self.doubt(&mut found);
        self.heed(&found, began);
        let (marker, same) = self.judge(&found).await?;
        self.ground.store.expect(&marker.to_string());
        let mut is_news = {
            let mut memory = self.memory();
            // What the configuration has changed is noted once.
            let known = memory.note.marker.replace(marker.clone());
            !memory.joined || known.as_ref() != Some(&marker)
        };
        if let Some(pulse) = &self.pulse {
            is_news |= self.accept(STORE, &**pulse, &found, same);
        }
        self.memory().joined = true;
        if is_news {
            // A note that is not written costs an answer too many at the next start, and nothing else.
            let _ = self.save(false).await;
        }
        match &self.pulse {
            Some(pulse) => Ok(self.beat(STORE, &**pulse, is_ahead).await?),
            None => Ok(()),
        }
    }

    /// The index that is there from here on, and whether it and its server are as they were.
    async fn judge(&self, found: &Found) -> Result<(Marker, bool), StoreError> {
        let parse = |text: &str| Marker::parse(text).ok_or(StoreError::Unreadable("marker"));
        let there = found.marker.as_deref().map(parse).transpose()?;
        let known = self.memory().note.marker.clone();
        let marker = match of_index(known.as_ref(), there.clone()) {
            IndexIs::New => return Ok((self.first_index().await?, false)),
            IndexIs::Gone => self.replace(None, found, Extent::Whole, "its marker has gone").await?,
            IndexIs::Joined(marker) => {
                self.join(&marker);
                marker
            }
            IndexIs::Replaced(marker) => {
                self.adopt(&marker);
                marker
            }
            IndexIs::Same => return self.judge_server(found, there).await,
        };
        Ok((marker, false))
    }

    /// The marker is the one that is known. Is all the rest there?
    async fn judge_server(
        &self,
        found: &Found,
        marker: Option<Marker>,
    ) -> Result<(Marker, bool), StoreError> {
        let marker = marker.ok_or(StoreError::Unreadable("marker"))?;
        if !self.memory().joined {
            self.join(&marker);
        }
        let Some(known) = self.known(STORE) else { return Ok((marker, true)) };
        match of_server(&known, found) {
            ServerIs::Same if known.evicted_keys.is_some_and(|before| found.info.evicted_keys > before) => {
                Ok((self.evicting(found, marker).await?, true))
            }
            ServerIs::Same => Ok((marker, true)),
            ServerIs::Other if self.window.covers(STORE, found.beat) => {
                let jobs = self.run_again(STORE);
                warn!(
                    jobs,
                    "the store has failed over or was restarted: what it may have lost is done again"
                );
                Ok((marker, false))
            }
            ServerIs::Other => {
                self.failed_over(STORE);
                let why = "the store has failed over or was restarted, and has lost more than is kept";
                let text = marker.to_string();
                Ok((self.replace(Some(&text), found, Extent::Part, why).await?, false))
            }
        }
    }

    async fn first_index(&self) -> Result<Marker, StoreError> {
        let new = Marker::new(self.window.now(), None);
        let there = self.mark(None, &new).await?;
        if there == new {
            info!("the index is new");
        }
        self.join(&there);
        Ok(there)
    }

    /// An index that this process has no cause to take for lost. Others may have.
    fn join(&self, marker: &Marker) {
        let trust = &self.trust;
        trust.new_index(marker.made_at.after(self.life()));
        if let Some(floor) = marker.floor {
            trust.lost(floor, floor);
        }
    }

    /// Keys were evicted, of whatever kind. While one loss is being answered, another one is not told.
    async fn evicting(&self, found: &Found, marker: Marker) -> Result<Marker, StoreError> {
        if self.memory().note.owed.index.is_none() {
            let text = marker.to_string();
            return self.replace(Some(&text), found, Extent::Part, "the store has evicted keys").await;
        }
        let now = self.now_by_both(found);
        self.trust.lost(now, now.after(self.life()));
        self.memory().note.owed.lost_in_part(now);
        // The floor is higher from here on. Where that is not noted, an earlier one holds after a crash.
        let _ = self.save(false).await;
        Ok(marker)
    }

    /// Puts a new index in the place of a lost one. Of several processes that do so at once, one is right.
    async fn replace(
        &self,
        expected: Option<&str>,
        found: &Found,
        extent: Extent,
        why: &'static str,
    ) -> Result<Marker, StoreError> {
        let now = self.now_by_both(found);
        let new = Marker::new(now, Some(now));
        let there = self.mark(expected, &new).await?;
        if there == new {
            self.lost(now, extent, why);
        } else {
            self.adopt(&there);
        }
        Ok(there)
    }

    fn adopt(&self, marker: &Marker) {
        // One that does not say was made by a process that knew of none before.
        let floor = marker.floor.unwrap_or_else(|| self.window.now());
        // How much of it that process has found, it does not say.
        self.lost(floor, Extent::Part, "another index is in its place");
    }

    async fn mark(&self, expected: Option<&str>, new: &Marker) -> Result<Marker, StoreError> {
        let there = self.ground.store.mark(expected, &new.to_string()).await?;
        Marker::parse(&there).ok_or(StoreError::Unreadable("marker"))
    }

    fn lost(&self, floor: Timestamp, extent: Extent, why: &'static str) {
        let until = floor.after(self.life());
        self.trust.lost(floor, until);
        self.trust.new_epoch();
        self.ground.metrics.index_losses.inc();
        error!(why, since = %floor, "the index was lost: reads that began by then are evicted");
        self.memory().note.owed.partly |= extent == Extent::Part;
        self.owe(&Debt::Index(floor));
        self.observe();
    }

    /// The later of both clocks: a read that began before it, by either, may have begun before the loss.
    fn now_by_both(&self, found: &Found) -> Timestamp {
        self.window.now().max(found.time.unwrap_or_default())
    }

    /// Says what may go wrong with this server, before it does.
    fn heed(&self, found: &Found, began: Timestamp) {
        let Info { evicts, is_bounded, may_lose_the_last, .. } = &found.info;
        if *may_lose_the_last {
            self.window.may_fail_over();
        }
        let policy = evicts.as_deref().map(|policy| {
            format!(
                "maxmemory-policy is {policy}: when the store is full it evicts relationships; set noeviction"
            )
        });
        if let Some(policy) = &policy
            && !std::mem::replace(&mut self.memory().told_of_policy, true)
        {
            warn!("{policy}");
        }
        self.ground.health.report("eviction", policy.filter(|_| *is_bounded));
        if let Some(time) = found.time {
            self.compare_clocks(time, began);
        }
    }

    fn compare_clocks(&self, theirs: Timestamp, began: Timestamp) {
        let ended = self.window.now();
        let skew = began.since(theirs).max(theirs.since(ended));
        self.ground.metrics.clock_skew.set(skew.as_secs_f64());
        let detail = (skew > self.memory().tolerance).then(|| {
            format!(
                "the store's clock and ours are {:.1} s apart: reads are judged wrong by as much",
                skew.as_secs_f64()
            )
        });
        self.ground.health.tell("clock", detail);
    }
}

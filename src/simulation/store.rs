//! The simulated Redis as a client sees it: every command goes over the network and may be lost, late, or done although
//! nobody hears of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    index::Index,
    link::{Link, SimPulse},
    network::{Lost, Network, Outage, Step},
    site::Site,
    trace::note,
};
use crate::{
    clause::{Clause, holds},
    clock::{Clock, Timestamp},
    event::Entity,
    redis_pool::Found,
    relations::{ClaimError, Member, StoreError},
};

/// How much a vault entry outlives its last relationship in a world: short, so that one that is not extended is missed.
const SHORT: Duration = Duration::from_millis(500);

/// What a holder's entries say of something.
pub(super) enum Listed {
    /// There are none.
    Nowhere,
    Until(Option<Timestamp>),
}

/// Cloning shares the server.
#[derive(Clone)]
pub(super) struct SimStore {
    /// Without one, every command is done at once.
    pub(super) network: Option<Network>,
    pub(super) outage: Outage,
    /// The server's.
    pub(super) clock: Clock,
    pub(super) site: Site<Index>,
    /// Of a process that looks after it.
    pub(super) link: Option<Link>,
    /// Members of a page, however many are asked for.
    pub(super) page: usize,
    pub(super) by_holder: bool,
}

impl SimStore {
    pub(super) fn new(network: Option<Network>, clock: Clock, page: usize) -> Self {
        let vault_outlives = if network.is_some() { SHORT } else { Duration::from_secs(60) };
        let site = Site::new(Index::new(vault_outlives));
        let by_holder = network.is_none();
        Self { network, outage: Outage::default(), clock, site, link: None, page, by_holder }
    }

    /// The same, where it knows what each holder holds.
    pub(super) fn by_holder(self) -> Self {
        Self { by_holder: true, ..self }
    }

    /// The same server, as a process reaches it that looks after it.
    pub(super) fn linked(&self, network: Network) -> Self {
        let link = Link::new(network, self.outage.clone(), self.site.machine.clone());
        Self { link: Some(link), ..self.clone() }
    }

    pub(super) fn pulse(&self, process: &str) -> SimPulse {
        let (index, clock) = (self.site.data.clone(), self.clock);
        let question = move || {
            let marker = index.lock().unwrap().marker.clone();
            Found { time: Some(clock.now()), marker, ..Found::default() }
        };
        let link = self.link.clone().unwrap();
        SimPulse { link, process: process.to_owned(), question: Arc::new(question) }
    }

    pub(super) fn is_current(&self) -> bool {
        let marker = self.site.data.lock().unwrap().marker.clone();
        let knows = |link: &Link| link.is_current() && *link.expected.lock().unwrap() == marker;
        self.link.as_ref().is_some_and(knows)
    }

    pub(super) fn stall(&self) -> bool {
        self.site.stall()
    }

    pub(super) fn fail_over(&self) {
        self.site.fail_over(|lost, index| index.after(lost));
    }

    pub(super) fn lose(&self, is_restarted: bool) {
        self.site.lose(is_restarted, Index::lost);
    }

    /// Until when a member is tracked, by the server's clock; looked at from outside.
    pub(super) fn tracked_until(&self, entity: &Entity, member: &Member) -> Option<Timestamp> {
        self.site.data.lock().unwrap().tracked_until(entity, member)
    }

    /// Until when a holder's entry tells of what a copy shows, by the server's clock; looked at from outside.
    pub(super) fn listed_until(&self, entity: &Entity, member: &Member) -> Listed {
        match self.by_holder {
            true => Listed::Until(self.site.data.lock().unwrap().holders.listed_until(entity, member)),
            false => Listed::Nowhere,
        }
    }

    /// How far the server's clock is ahead.
    pub(super) fn ahead_of(&self, clock: &Clock) -> Duration {
        self.clock.now().since(clock.now())
    }

    /// A step in the server.
    pub(super) fn step<T>(
        &self,
        script: impl FnOnce(&mut Index, Timestamp) -> T + Send + 'static,
    ) -> Step<T> {
        let (index, clock) = (self.site.data.clone(), self.clock);
        Box::new(move || script(&mut index.lock().unwrap(), clock.now()))
    }

    pub(super) async fn call<T: Send + 'static>(&self, steps: Vec<Step<T>>) -> Result<Vec<T>, StoreError> {
        match (&self.network, &self.link) {
            (None, _) => Ok(steps.into_iter().map(|step| step()).collect()),
            (Some(_), Some(link)) => self.call_marked(link, steps).await,
            (Some(network), None) => {
                let answers = network.call(&self.outage, steps).await;
                answers.map_err(|Lost| StoreError::Unavailable("no answer".to_owned()))
            }
        }
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        script: impl FnOnce(&mut Index, Timestamp) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let answers = self.call(vec![self.step(script)]).await?;
        answers.into_iter().next().ok_or(StoreError::Unreadable("answer"))
    }

    /// In the end it looks whether it is still the index that it was.
    async fn call_marked<T: Send + 'static>(
        &self,
        link: &Link,
        steps: Vec<Step<T>>,
    ) -> Result<Vec<T>, StoreError> {
        let expected = link.expected.lock().unwrap().clone().filter(|_| holds(Clause::MarkerChecked));
        let seen: Arc<Mutex<Option<String>>> = Arc::default();
        let mut marked: Vec<Step<Option<T>>> = Vec::with_capacity(steps.len() + 1);
        marked.extend(steps.into_iter().map(|step| Box::new(move || Some(step())) as Step<Option<T>>));
        if expected.is_some() {
            let (seen, index) = (seen.clone(), self.site.data.clone());
            marked.push(Box::new(move || {
                *seen.lock().unwrap() = index.lock().unwrap().marker.clone();
                None
            }));
        }
        let answers = link.call(marked).await;
        let answers = answers.map_err(|Lost| StoreError::Unavailable("no answer".to_owned()))?;
        if expected.is_some() && *seen.lock().unwrap() != expected {
            link.suspect();
            return Err(StoreError::Lost);
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Asks whichever server answers.
    pub(super) async fn look<T: Send + 'static>(&self, step: Step<T>) -> Result<T, StoreError> {
        let looked = self.link.as_ref().unwrap().look(step).await;
        looked.map(|(_, answer)| answer).map_err(|Lost| StoreError::Unavailable("no answer".to_owned()))
    }

    pub(super) fn note(&self, what: std::fmt::Arguments<'_>) {
        if let Some(network) = &self.network {
            note!(network.trace, "store: {what}");
        }
    }

    pub(super) async fn claim_for(&self, fingerprint: String) -> Result<(), ClaimError> {
        let ours = fingerprint.clone();
        let theirs = self.ask(move |index, _| index.secret.get_or_insert(fingerprint).clone()).await?;
        if theirs == ours { Ok(()) } else { Err(ClaimError::OtherSecret { theirs, ours }) }
    }
}

mod tests {
    use super::*;
    use crate::contract::Opened;

    async fn open() -> Opened {
        (Box::new(SimStore::new(None, Clock::start(), usize::MAX)), Box::new(()))
    }

    sentences!(open);
}

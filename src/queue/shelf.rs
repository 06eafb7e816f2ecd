//! A bounded number of jobs that have ended, by id; the longest kept make room for new ones.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use super::view::JobView;
use crate::job::JobId;

/// Places that may be left before they are cleared away.
const LEFT: usize = 64;

#[derive(Debug)]
pub(super) struct Shelf<T> {
    keep: usize,
    jobs: BTreeMap<JobId, Kept<T>>,
    /// By when they were put there; of one that has been taken since, or was put there again, the place is left.
    order: VecDeque<(u64, JobId)>,
    next: u64,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Kept<T> {
    view: JobView,
    what: T,
    bytes: usize,
    place: u64,
}

impl<T> Shelf<T> {
    pub(super) fn new(keep: usize, max_bytes: usize) -> Self {
        Self { keep, jobs: BTreeMap::new(), order: VecDeque::new(), next: 0, bytes: 0, max_bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn view(&self, id: JobId) -> Option<&JobView> {
        self.jobs.get(&id).map(|kept| &kept.view)
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<(&JobView, &mut T)> {
        self.jobs.get_mut(&id).map(|kept| (&kept.view, &mut kept.what))
    }

    /// Those with ids after this one, by id.
    pub(super) fn after(&self, after: Option<JobId>) -> impl Iterator<Item = (&JobView, &T)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.jobs.range((from, Bound::Unbounded)).map(|(_, kept)| (&kept.view, &kept.what))
    }

    /// Those with ids before this one, the greatest first.
    pub(super) fn before(&self, before: Option<JobId>) -> impl Iterator<Item = (&JobView, &T)> {
        let to = before.map_or(Bound::Unbounded, Bound::Excluded);
        self.jobs.range((Bound::Unbounded, to)).rev().map(|(_, kept)| (&kept.view, &kept.what))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&JobView, &mut T)> {
        self.jobs.values_mut().map(|kept| (&kept.view, &mut kept.what))
    }

    /// Returns those that have to make room. The last one stays, however large it is.
    pub(super) fn put(&mut self, view: JobView, what: T, bytes: usize) -> Vec<(JobView, T)> {
        let (id, place) = (view.id, self.next);
        let mut gone: Vec<_> = self.take(id).into_iter().collect();
        self.next += 1;
        self.order.push_back((place, id));
        self.bytes += bytes;
        self.jobs.insert(id, Kept { view, what, bytes, place });
        while self.jobs.len() > self.keep || (self.bytes > self.max_bytes && self.jobs.len() > 1) {
            let Some((place, oldest)) = self.order.pop_front() else { break };
            if self.jobs.get(&oldest).is_some_and(|kept| kept.place == place) {
                gone.extend(self.take(oldest));
            }
        }
        if self.order.len() > 2 * self.jobs.len() + LEFT {
            self.order.retain(|(place, id)| self.jobs.get(id).is_some_and(|kept| kept.place == *place));
        }
        gone
    }

    pub(super) fn take(&mut self, id: JobId) -> Option<(JobView, T)> {
        let Kept { view, what, bytes, .. } = self.jobs.remove(&id)?;
        self.bytes -= bytes;
        Some((view, what))
    }
}

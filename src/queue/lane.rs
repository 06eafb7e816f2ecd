//! Places in their order. Nearly all come in it, or a few places late; so most of the work is to look at the last.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::clock::Tick;

/// When a job may start, the number of its place, and its slot; the smallest comes first.
pub(super) type Waiting = (Tick, u64, u32);

/// How far back a place is put in by moving those behind it: requests overtake each other by that much.
const NEAR: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Lane {
    run: VecDeque<Waiting>,
    /// Those that came too late for that.
    strays: BinaryHeap<Reverse<Waiting>>,
}

impl Lane {
    pub(super) fn push(&mut self, waiting: Waiting) {
        let behind = self.run.iter().rev().take(NEAR).take_while(|last| **last > waiting).count();
        if behind < NEAR {
            self.run.insert(self.run.len() - behind, waiting);
        } else {
            self.strays.push(Reverse(waiting));
        }
    }

    pub(super) fn first(&self) -> Option<Waiting> {
        let (front, stray) = (self.run.front(), self.strays.peek().map(|Reverse(stray)| stray));
        front.into_iter().chain(stray).min().copied()
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let stray = self.strays.peek().map(|Reverse(stray)| *stray);
        match (self.run.front().copied(), stray) {
            (Some(front), Some(stray)) if stray < front => self.strays.pop().map(|Reverse(stray)| stray),
            (None, Some(_)) => self.strays.pop().map(|Reverse(stray)| stray),
            _ => self.run.pop_front(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.run.is_empty() && self.strays.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.run.len() + self.strays.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_comes_out_is_in_order_whatever_order_it_came_in(
            ticks in prop::collection::vec(prop::option::of(0_u64..1000), 0..400),
        ) {
            let (mut lane, mut sorted) = (Lane::default(), Vec::new());
            for (n, tick) in ticks.into_iter().enumerate() {
                match tick {
                    Some(tick) => {
                        let waiting = (Tick(tick), n as u64, 0);
                        lane.push(waiting);
                        sorted.push(waiting);
                        sorted.sort_unstable();
                    }
                    None => {
                        prop_assert_eq!(lane.first(), sorted.first().copied());
                        let first = (!sorted.is_empty()).then(|| sorted.remove(0));
                        prop_assert_eq!(lane.pop(), first);
                    }
                }
                prop_assert_eq!((lane.len(), lane.is_empty()), (sorted.len(), sorted.is_empty()));
            }
        }
    }
}

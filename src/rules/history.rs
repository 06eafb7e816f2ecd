//! The rule sets of a process, one after the other: a job keeps the rules that made it, also after a reload (DESIGN 4).

use std::sync::Arc;

use super::RuleSet;
use crate::job::Job;

/// Earlier sets that are kept. What waits for longer than so many reloads is followed by the oldest of them.
const EARLIER: usize = 8;

/// The rules in force, and those that jobs in flight may have been made by.
#[derive(Clone, Debug)]
pub struct History {
    in_force: Arc<RuleSet>,
    /// The oldest first.
    earlier: Vec<Arc<RuleSet>>,
}

impl History {
    /// The first rules of a process. They are also those of what an earlier process has left.
    pub fn new(first: impl Into<Arc<RuleSet>>) -> Self {
        Self { in_force: first.into(), earlier: Vec::new() }
    }

    /// The same with these rules in force from here on.
    pub fn succeeded_by(&self, mut next: RuleSet) -> Self {
        next.number = self.in_force.number + 1;
        let mut earlier = self.earlier.clone();
        earlier.push(self.in_force.clone());
        let excess = earlier.len().saturating_sub(EARLIER);
        earlier.drain(..excess);
        Self { in_force: Arc::new(next), earlier }
    }

    /// What events are judged by.
    pub fn in_force(&self) -> &Arc<RuleSet> {
        &self.in_force
    }

    /// What a job was made by, and is followed by.
    pub fn of(&self, job: &Job) -> &RuleSet {
        self.earlier.iter().find(|set| set.number >= job.rules).unwrap_or(&self.in_force)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Tick, Timestamp},
        config::rules::RulesConfig,
        job::{Accepted, JobId, JobKey, JobType},
        resource::Resources,
    };

    fn set(max_depth: u8) -> RuleSet {
        let config =
            RulesConfig { job_rules: Vec::new(), topics: [].into(), follow_ups: Vec::new(), max_depth };
        RuleSet::compile(&config, &Resources::default()).unwrap()
    }

    fn made_by(rules: u32) -> Job {
        let entity = Job::of_holder(crate::secret::HolderId([0; 16]));
        let key = JobKey::of(JobType::Revoke, "topic", &entity).finish();
        let at = Accepted { now: Timestamp(1), tick: Tick(1) };
        Job {
            id: JobId::new(at.now),
            key,
            job_type: JobType::Revoke,
            topic: "topic".into(),
            entity,
            priority: 0,
            superceedable: true,
            ready_at: at.tick,
            expires_at: None,
            occurred_at: None,
            generation: None,
            accepted_at: at.now,
            copy: None,
            payload: None,
            depth: 0,
            recheck: false,
            rules,
            trace: None,
        }
    }

    #[test]
    fn a_job_keeps_the_rules_that_made_it_for_some_reloads() {
        let mut history = History::new(set(1));
        for depth in 2..=3 {
            history = history.succeeded_by(set(depth));
        }
        assert_eq!([0, 1, 2].map(|number| history.of(&made_by(number)).max_depth), [1, 2, 3]);
        for depth in 4..=40 {
            history = history.succeeded_by(set(depth));
        }
        assert_eq!((history.earlier.len(), history.in_force().max_depth), (EARLIER, 40));
        assert_eq!([0, 38, 39].map(|number| history.of(&made_by(number)).max_depth), [32, 39, 40]);
    }
}

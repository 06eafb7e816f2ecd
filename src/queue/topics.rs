//! The topics of jobs, by numbers: a job in the queue need not hold the name.

use std::{collections::BTreeMap, sync::Arc};

/// Every topic that a job was of. They come from the configuration, so there are few.
#[derive(Debug, Default)]
pub(super) struct Topics(Vec<Topic>);

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    queued: usize,
}

impl Topics {
    pub(super) fn number(&mut self, name: &Arc<str>) -> u32 {
        let known = self.0.iter().position(|topic| Arc::ptr_eq(&topic.name, name));
        let known = known.or_else(|| self.0.iter().position(|topic| topic.name == *name));
        let number = known.unwrap_or_else(|| {
            self.0.push(Topic { name: name.clone(), queued: 0 });
            self.0.len() - 1
        });
        u32::try_from(number).expect("there is no memory for so many topics")
    }

    pub(super) fn name(&self, number: u32) -> &Arc<str> {
        &self.0[number as usize].name
    }

    pub(super) fn add(&mut self, number: u32) {
        self.0[number as usize].queued += 1;
    }

    pub(super) fn subtract(&mut self, number: u32) {
        self.0[number as usize].queued -= 1;
    }

    /// How many jobs wait, by topic; those without any are left out.
    pub(super) fn queued(&self) -> BTreeMap<Arc<str>, usize> {
        let some = self.0.iter().filter(|topic| topic.queued > 0);
        some.map(|topic| (topic.name.clone(), topic.queued)).collect()
    }
}

//! Keeps the journal small: what it holds of very many jobs that have become one, or of a few in a file that could go, is
//! written again as it is now, and only then let go (DESIGN 7, rule 9).

use std::sync::Arc;

use tracing::warn;

use crate::{
    job::Accepted,
    journal::{Journal, Kept, Record},
    queue::{KeepAnew, Queue},
};

/// Jobs of a sparse file that are written again at a time.
const AT_ONCE: usize = 1000;

/// Writes again what had better be; to be called now and then.
pub fn tidy(queue: &Arc<Queue>, journal: &Arc<dyn Journal>, now: Accepted) {
    for anew in queue.to_keep_anew(journal.sparse_segment(), AT_ONCE) {
        keep_anew(queue, journal, anew, now);
    }
}

/// Writes a job as it is now; what was kept of it before is let go when that is safe.
pub fn keep_anew(queue: &Arc<Queue>, journal: &Arc<dyn Journal>, anew: KeepAnew, now: Accepted) {
    let kept = Kept { job: &anew.job, dead: anew.dead.as_deref() };
    let record = match Record::new([kept], Vec::new(), now) {
        Ok(record) => record,
        Err(error) => return warn!(job.id = %anew.job.id, %error, "a job could not be written again"),
    };
    let (queue, again) = (queue.clone(), Arc::downgrade(journal));
    let then = move |written| {
        // Where it could not be written, what was kept before stays.
        if let (Ok(segment), Some(journal)) = (written, again.upgrade()) {
            journal.forget(queue.kept_anew(&anew, segment));
        }
    };
    journal.write(record, Box::new(then));
}

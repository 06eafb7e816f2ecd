//! Reading a journal back at start.

use std::{collections::HashMap, fs, io, path::Path};

use tracing::{info, warn};

use super::{
    Ref,
    frame::{self, Found, HEADER, Header},
    record::{ReadJob, Written},
    segments,
};
use crate::{
    job::{Accepted, JobId},
    secret::RecordKey,
};

/// What the copy of a damaged file's name ends in.
pub(super) const DAMAGED: &str = ".damaged";

/// What was read back.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Every job that has not ended, in the order of acceptance, where it stands, and why it is a dead letter, if so.
    pub jobs: Vec<(ReadJob, Ref)>,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// Bytes that could not be read. The jobs in them, if any, are lost; jobs that ended in them run again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where they begin.
    pub from: usize,
    /// How many they are.
    pub bytes: usize,
    /// Whether they are the end of the last file: what was being written when the process died, and had not been
    /// answered.
    pub torn: bool,
}

/// Reads the files of a folder, in their order.
pub(super) struct Reader<'a> {
    pub(super) folder: &'a Path,
    pub(super) key: &'a RecordKey,
    pub(super) now: Accepted,
}

impl Reader<'_> {
    pub(super) fn replay(&self, files: &[u32]) -> io::Result<Replayed> {
        let mut living = Living::default();
        let mut damage = Vec::new();
        for (index, segment) in files.iter().enumerate() {
            let damaged = self.read(*segment, &mut living)?;
            let is_last = index + 1 == files.len();
            for (range, length) in damaged {
                let torn = is_last && range.end == length;
                let file = segments::path(self.folder, *segment).display().to_string();
                damage.push(Damage { file, from: range.start, bytes: range.len(), torn });
            }
            info!(files = index + 1, of = files.len(), jobs = living.places.len(), "replaying the journal");
        }
        for damage in damage.iter().filter(|damage| !damage.torn) {
            keep_aside(damage);
        }
        Ok(Replayed { jobs: living.in_order(), damage })
    }

    /// Reads a file; returns the ranges that it could not read, and the file's length.
    fn read(&self, segment: u32, living: &mut Living) -> io::Result<Vec<(std::ops::Range<usize>, usize)>> {
        let bytes = fs::read(segments::path(self.folder, segment))?;
        let mut damaged = Vec::new();
        let Some(header) = Header::read(&bytes) else {
            // A file that was made and not begun is no loss.
            if !bytes.is_empty() {
                damaged.push((0..bytes.len(), bytes.len()));
            }
            return Ok(damaged);
        };
        let mut at = HEADER;
        while at < bytes.len() {
            match frame::read(&header, self.key, &bytes, at) {
                Found::Record(plain, end) => {
                    if !living.apply(&plain, segment, self.now) {
                        damaged.push((at..end, bytes.len()));
                    }
                    at = end;
                }
                Found::Damage(next) => {
                    damaged.push((at..next, bytes.len()));
                    at = next;
                }
            }
        }
        Ok(damaged)
    }
}

/// Jobs that have not ended yet.
#[derive(Default)]
struct Living {
    jobs: Vec<Option<(ReadJob, Ref)>>,
    places: HashMap<JobId, usize>,
}

impl Living {
    /// Returns whether the record was understood.
    fn apply(&mut self, plain: &[u8], segment: u32, now: Accepted) -> bool {
        let Ok(record) = postcard::from_bytes::<Written<'_>>(plain) else { return false };
        for ended in &record.ended {
            if let Some(place) = self.places.remove(&JobId::from_u128(*ended)) {
                self.jobs[place] = None;
            }
        }
        let mut understood = true;
        for written in &record.jobs {
            let Some(job) = written.read(now) else {
                understood = false;
                continue;
            };
            // A job that is written again under its own id stands where it was written last.
            if let Some(place) = self.places.insert(written.id(), self.jobs.len()) {
                self.jobs[place] = None;
            }
            self.jobs.push(Some((job, Ref { job: written.id(), segment })));
        }
        understood
    }

    fn in_order(self) -> Vec<(ReadJob, Ref)> {
        self.jobs.into_iter().flatten().collect()
    }
}

/// A damaged file is copied before it can go with the last of its jobs, for whoever wants to look at it.
fn keep_aside(damage: &Damage) {
    let copy = format!("{}{DAMAGED}", damage.file);
    if !Path::new(&copy).exists()
        && let Err(error) = fs::copy(&damage.file, &copy)
    {
        warn!(file = damage.file, %error, "a damaged file of the journal could not be copied");
    }
}

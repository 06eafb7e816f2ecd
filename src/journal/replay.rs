//! Reading a journal back at start.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    ops::Range,
    path::Path,
};

use tracing::{info, warn};

use super::{
    EntryId, Ref,
    frame::{self, Found, HEADER, Header},
    record::{ReadJob, Written, traces},
    segments,
};
use crate::{
    job::{Accepted, Death, Job, JobId},
    secret::RecordKey,
};

/// What the copy of a damaged file's name ends in.
pub(super) const DAMAGED: &str = ".damaged";

/// What is read between two lines of progress: a process that was often killed leaves very many small files.
const PROGRESS_BYTES: usize = 64 << 20;

/// What was read back.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Every job that has not ended, in the order of acceptance, where it stands, and how it became a dead letter, if so.
    pub jobs: Vec<ReplayedJob>,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// A job that was read back, how it became a dead letter, if it is one, and where it stands.
pub type ReplayedJob = ((Job, Option<Death>), Ref);

/// Bytes that could not be read. The jobs in them, if any, are lost; jobs that ended in them run again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where they begin.
    pub from: usize,
    /// How many they are.
    pub bytes: usize,
    /// Whether they are a record at the end of the last file that was not written to its end: it was being written when
    /// the process died, and had not been answered.
    pub torn: bool,
}

/// A range of a file that could not be read.
struct Unread {
    range: Range<usize>,
    /// Whether the file ends in it, in a record that was cut short.
    cut_short: bool,
}

/// A file that was read.
struct Looked {
    bytes: usize,
    unread: Vec<Unread>,
    /// Where room begins that was made and not filled: the process has died.
    room: Option<usize>,
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
        let (mut damage, mut unsaid) = (Vec::new(), 0);
        for (index, segment) in files.iter().enumerate() {
            let is_last = index + 1 == files.len();
            let Looked { bytes, unread, room } = self.read(*segment, &mut living)?;
            let file = segments::path(self.folder, *segment).display().to_string();
            if let Some(room) = room {
                cut_off(&file, room);
            }
            for Unread { range, cut_short } in unread {
                let file = file.clone();
                damage.push(Damage {
                    file,
                    from: range.start,
                    bytes: range.len(),
                    torn: is_last && cut_short,
                });
            }
            unsaid += bytes;
            if unsaid >= PROGRESS_BYTES || is_last {
                info!(
                    files = index + 1,
                    of = files.len(),
                    jobs = living.places.len(),
                    "replaying the journal"
                );
                unsaid = 0;
            }
        }
        for damage in &damage {
            if damage.torn { cut_off(&damage.file, damage.from) } else { keep_aside(damage) }
        }
        Ok(Replayed { jobs: living.in_order(), damage })
    }

    fn read(&self, segment: u32, living: &mut Living) -> io::Result<Looked> {
        let bytes = fs::read(segments::path(self.folder, segment))?;
        let unread = |Range { start, end }: Range<usize>| {
            if end < bytes.len() {
                return Unread { range: start..end, cut_short: false };
            }
            let rest = &bytes[start..];
            Unread { range: start..start + frame::written(rest), cut_short: frame::is_cut_short(rest, start) }
        };
        let mut looked = Looked { bytes: bytes.len(), unread: Vec::new(), room: None };
        let is_room = |at: usize| frame::written(&bytes[at..]) == 0;
        let Some(header) = Header::read(&bytes) else {
            // A file that was made and not begun is no loss.
            looked.unread.extend((!is_room(0)).then(|| unread(0..bytes.len())));
            return Ok(looked);
        };
        let key = self.key.of_segment(header.nonce);
        let mut at = HEADER;
        while at < bytes.len() {
            match frame::read(&key, &bytes, at) {
                Found::Record(plain, end) => {
                    if !living.apply(&plain, segment, self.now) {
                        looked.unread.push(Unread { range: at..end, cut_short: false });
                    }
                    at = end;
                }
                Found::Damage(_) if is_room(at) => {
                    looked.room = Some(at);
                    break;
                }
                Found::Damage(next) => {
                    looked.unread.push(unread(at..next));
                    at = next;
                }
            }
        }
        Ok(looked)
    }
}

/// Jobs that have not ended yet.
#[derive(Default)]
pub(super) struct Living {
    jobs: Vec<Option<(ReadJob, Ref)>>,
    places: HashMap<EntryId, usize>,
}

impl Living {
    /// Returns whether the record was understood.
    pub(super) fn apply(&mut self, plain: &[u8], segment: u32, now: Accepted) -> bool {
        let Ok((record, behind)) = postcard::take_from_bytes::<Written<'_>>(plain) else { return false };
        let mut traces = traces(behind).into_iter();
        for ended in &record.ended {
            if let Some(place) = self.places.remove(&EntryId(*ended)) {
                self.jobs[place] = None;
            }
        }
        let mut understood = true;
        for written in &record.jobs {
            let trace = traces.next().flatten();
            let Some(job) = written.read(trace, now) else {
                understood = false;
                continue;
            };
            let entry = written.entry();
            if let Some(place) = self.places.insert(entry, self.jobs.len()) {
                self.jobs[place] = None;
            }
            self.jobs.push(Some((job, Ref { entry, segment })));
        }
        understood
    }

    /// A job that was written again, and not let go as it was before, is as it was written last.
    pub(super) fn in_order(self) -> Vec<(ReadJob, Ref)> {
        let written_again = |(job, kept): &(ReadJob, Ref)| kept.entry != EntryId::first(job.0.id);
        let all = self.jobs.iter().flatten();
        let last: HashMap<JobId, EntryId> =
            all.filter(|job| written_again(job)).map(|(job, kept)| (job.0.id, kept.entry)).collect();
        let is_last =
            |(job, kept): &(ReadJob, Ref)| last.get(&job.0.id).is_none_or(|last| *last == kept.entry);
        self.jobs.into_iter().flatten().filter(is_last).collect()
    }
}

/// What was cut short goes, once it is told: a later start, for which this is not the last file any more, would take it
/// for damage. So does room that was not filled.
fn cut_off(file: &str, from: usize) {
    let cut = File::options().write(true).open(file);
    let cut = cut.and_then(|file| file.set_len(from as u64).and_then(|()| file.sync_all()));
    if let Err(error) = cut {
        warn!(file, %error, "the end of a file of the journal could not be cut off");
    }
}

/// A damaged file is copied before it can go with the last of its jobs, for whoever wants to look at it.
fn keep_aside(damage: &Damage) {
    let copy = format!("{}{DAMAGED}", damage.file);
    let draft = format!("{copy}.new{DAMAGED}");
    if !Path::new(&copy).exists()
        && let Err(error) = fs::copy(&damage.file, &draft).and_then(|_| fs::rename(&draft, &copy))
    {
        // Half a copy would keep the next start from making a whole one.
        let _ = fs::remove_file(&draft);
        warn!(file = damage.file, %error, "a damaged file of the journal could not be copied");
    }
}

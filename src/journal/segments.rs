//! The files of a journal, and how many living jobs each holds. A file goes when no job in it lives and none before it is
//! left, so that what let a job go never goes before the job.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::Ref;

/// What is known of the files; the last is the one that is written to.
#[derive(Debug, Default)]
pub(super) struct Segments {
    by_number: BTreeMap<u32, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    written: usize,
    living: usize,
}

/// A file of which at most one job in so many lives is sparse.
const SPARSE: usize = 4;
/// Files that may be there before sparse ones are cleared.
const FEW: usize = 4;

impl Segments {
    pub(super) fn add(&mut self, segment: u32) {
        self.by_number.entry(segment).or_default();
    }

    pub(super) fn wrote(&mut self, segment: u32, jobs: usize) {
        let count = self.by_number.entry(segment).or_default();
        count.written += jobs;
        count.living += jobs;
    }

    pub(super) fn ended(&mut self, refs: &[Ref]) {
        for ended in refs {
            if let Some(count) = self.by_number.get_mut(&ended.segment) {
                count.living = count.living.saturating_sub(1);
            }
        }
    }

    /// The oldest files without a living job, but for the last one where it is being written to. They are no longer counted.
    pub(super) fn take_done(&mut self, writes_to_last: bool) -> Vec<u32> {
        let mut done = Vec::new();
        while self.by_number.len() > usize::from(writes_to_last)
            && let Some(oldest) = self.by_number.first_entry()
            && oldest.get().living == 0
        {
            done.push(oldest.remove_entry().0);
        }
        done
    }

    /// The oldest file where it holds few living jobs and keeps others from going.
    pub(super) fn sparse(&self) -> Option<u32> {
        let (segment, count) = self.by_number.first_key_value()?;
        (self.by_number.len() > FEW && count.living * SPARSE <= count.written).then_some(*segment)
    }
}

pub(super) fn path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:08}.journal"))
}

/// The folder of a [`crate::notebook::Notebook`] beside the files.
pub(super) const NOTES: &str = "notes";

/// No file of ours has a number above: it leaves as many for the files to come.
const HIGHEST: u32 = u32::MAX / 2;

/// The files that are there, oldest first, and the names of what is none of ours.
pub(super) fn list(folder: &Path) -> io::Result<(Vec<u32>, Vec<String>)> {
    let (mut segments, mut foreign) = (Vec::new(), Vec::new());
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let number = name.strip_suffix(".journal").and_then(|number| number.parse().ok());
        let number = number.filter(|number| (1..=HIGHEST).contains(number));
        match number {
            Some(segment) if path(folder, segment).ends_with(&name) && file.file_type()?.is_file() => {
                segments.push(segment);
            }
            _ if [super::log::LOCK, NOTES].contains(&&*name) || name.ends_with(super::replay::DAMAGED) => {}
            _ => foreign.push(name),
        }
    }
    segments.sort_unstable();
    foreign.sort_unstable();
    Ok((segments, foreign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, journal::EntryId};

    fn refs(segment: u32, count: usize) -> Vec<Ref> {
        (0..count).map(|_| Ref { entry: EntryId::again(Timestamp(1)), segment }).collect()
    }

    #[test]
    fn files_go_oldest_first_and_only_without_a_living_job() {
        let mut segments = Segments::default();
        for (segment, jobs) in [(1, 2), (2, 1), (3, 1)] {
            segments.wrote(segment, jobs);
        }
        segments.ended(&refs(2, 1));
        assert!(segments.take_done(true).is_empty(), "the first one still holds a living job");
        segments.ended(&refs(1, 2));
        assert_eq!(segments.take_done(true), [1, 2]);
        segments.ended(&refs(3, 1));
        assert!(segments.take_done(true).is_empty(), "the last one is written to");
    }

    #[test]
    fn an_old_file_with_few_living_jobs_is_sparse() {
        let mut segments = Segments::default();
        for segment in 1..=5 {
            segments.wrote(segment, 100);
        }
        assert_eq!(segments.sparse(), None);
        segments.ended(&refs(1, 75));
        assert_eq!(segments.sparse(), Some(1));
    }
}

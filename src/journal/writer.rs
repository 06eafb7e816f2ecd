//! The thread that writes a journal's files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::Ordering, mpsc},
    thread,
    time::Duration,
};

use tracing::warn;

use super::{
    EntryId, JournalError, Record, Ref, Then,
    frame::{self, HEADER, Header},
    log::{Settings, State},
    record::Written,
    segments::{self, Segments},
};
use crate::secret::{Keys, RecordKey, SegmentKey};

/// Bytes that are written together at the most.
const TOGETHER: usize = 8 << 20;
/// Jobs to let go that are written without waiting for a write to go with.
const FORGOTTEN: usize = 10_000;
/// How long they wait for one.
const FLUSH: Duration = Duration::from_millis(100);
/// So many requests that shared a sync are a crowd.
const CROWD: usize = 4;
/// How long a crowd's next sync is put off, so that more share it: a sync takes as much of a core as several requests do, whoever
/// waits for it.
const GATHER: Duration = Duration::from_micros(150);
/// How long to wait before what could not be written is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Bytes at most that are written to see whether it can be.
const PROBE: usize = 64 << 10;
/// Room that is made in a file beyond what is written to it: at least, and at most. To overwrite zeros and to sync that takes a
/// fraction of the time of growing the file, which a file system has to write down as well.
const ROOM: std::ops::RangeInclusive<u64> = 64 << 10..=4 << 20;

/// What the thread is asked for.
pub(super) enum Request {
    /// To write a record.
    Write { record: Record, then: Then },
    /// To let jobs go, in its own time.
    Forget { ended: Vec<Ref> },
    /// To take over earlier files and the jobs that live in them.
    Replayed { files: Vec<u32>, living: Vec<Ref> },
}

pub(super) struct Writer {
    folder: PathBuf,
    key: RecordKey,
    fingerprint: [u8; 16],
    settings: Settings,
    state: Arc<State>,
    segments: Segments,
    /// Earlier files are not counted before they have been replayed, and so do not go.
    replayed: bool,
    current: Current,
    /// Jobs to let go that are not written yet.
    ended: Vec<Ref>,
    /// Bytes that could not be written last, at most [`PROBE`].
    refused: usize,
    /// Whether the last sync was a crowd's.
    is_crowded: bool,
}

/// The file that is written to.
struct Current {
    segment: u32,
    file: Option<File>,
    key: SegmentKey,
    /// Where what is safe ends.
    length: u64,
    /// Where the room ends that was made.
    room: u64,
    next_frame: u64,
}

impl Current {
    fn without_file(segment: u32, key: SegmentKey) -> Self {
        Self { segment, file: None, key, length: 0, room: 0, next_frame: 0 }
    }
}

/// A write that waits for its batch.
struct Waiting {
    jobs: usize,
    ended: Vec<Ref>,
    then: Then,
}

impl Writer {
    pub(super) fn new(
        folder: PathBuf,
        first: u32,
        keys: &Keys,
        settings: Settings,
        state: Arc<State>,
    ) -> Self {
        let mut fingerprint = [0; 16];
        let text = keys.fingerprint().as_bytes();
        fingerprint[..text.len().min(16)].copy_from_slice(&text[..text.len().min(16)]);
        let key = keys.record_key();
        let current = Current::without_file(first, key.of_segment([0; 16]));
        Self {
            folder,
            key,
            fingerprint,
            settings,
            state,
            segments: Segments::default(),
            replayed: false,
            current,
            ended: Vec::new(),
            refused: 0,
            is_crowded: false,
        }
    }

    /// Makes sure that there is a file to write to. What it is called is safe before anything in it is.
    pub(super) fn ensure_file(&mut self) -> io::Result<&File> {
        if self.current.file.is_none() {
            let (file, key) = self.next_free_file()?;
            let segment = self.current.segment;
            self.segments.add(segment);
            let length = HEADER as u64;
            self.current = Current { segment, file: Some(file), key, length, room: length, next_frame: 0 };
        }
        self.current.file.as_ref().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// The file of the current number, or of the next one that is not taken by anything.
    fn next_free_file(&mut self) -> io::Result<(File, SegmentKey)> {
        loop {
            let path = segments::path(&self.folder, self.current.segment);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                // What was not made whole would be read as damage.
                Ok(file) => return self.begin(file).inspect_err(|_| drop(fs::remove_file(&path))),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => self.current.segment += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn begin(&self, file: File) -> io::Result<(File, SegmentKey)> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let header = Header { fingerprint: self.fingerprint, nonce };
        file.write_all_at(&header.to_bytes(), 0)?;
        if self.settings.sync {
            file.sync_all()?;
            File::open(&self.folder)?.sync_all()?;
        }
        Ok((file, self.key.of_segment(nonce)))
    }

    /// Until nobody can ask any more.
    pub(super) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        loop {
            match self.wait(requests) {
                // Nobody waits for these: they go with the next write, or when there are many.
                Ok(Request::Forget { ended }) if self.ended.len() < FORGOTTEN => self.forget(ended),
                Ok(first) => self.serve(Some(first), requests),
                Err(mpsc::RecvTimeoutError::Timeout) => self.serve(None, requests),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        if !self.ended.is_empty() {
            self.serve(None, requests);
        }
        self.close_file();
    }

    /// The next request. While something is owed or wrong, not for ever.
    fn wait(&self, requests: &mpsc::Receiver<Request>) -> Result<Request, mpsc::RecvTimeoutError> {
        match (self.is_well(), self.ended.is_empty()) {
            (true, true) => requests.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            (true, false) => requests.recv_timeout(FLUSH),
            (false, _) => requests.recv_timeout(RETRY),
        }
    }

    /// Writes a request and all that have come meanwhile, and what is to be let go, together.
    fn serve(&mut self, first: Option<Request>, requests: &mpsc::Receiver<Request>) {
        if self.is_crowded {
            // Nobody has to wake it for each that comes.
            thread::sleep(GATHER);
        }
        let ready = self.ensure_file().map(|_| ());
        let (mut buffer, mut waiting) = (Vec::new(), Vec::new());
        let mut next = first;
        while let Some(request) = next {
            self.take(request, &mut buffer, &mut waiting);
            next = if buffer.len() < TOGETHER { requests.try_recv().ok() } else { None };
        }
        let ended = std::mem::take(&mut self.ended);
        self.put_ended(&ended, &mut buffer);
        self.is_crowded = self.settings.sync && waiting.len() >= CROWD;
        let probing = waiting.is_empty() && !self.is_well();
        if probing {
            self.put_probe(&mut buffer);
        }
        // What is let go need not be safe: a job that comes back is done again.
        let sync = self.settings.sync && (probing || !waiting.is_empty());
        match ready.and_then(|()| self.append(&buffer, sync)) {
            Ok(()) => self.wrote(waiting),
            Err(error) => {
                if !waiting.is_empty() {
                    self.refused = buffer.len().min(PROBE);
                }
                self.failed(waiting, ended, &error);
            }
        }
    }

    fn take(&mut self, request: Request, buffer: &mut Vec<u8>, waiting: &mut Vec<Waiting>) {
        match request {
            Request::Write { record: Record { plain, jobs, ended }, then } => {
                self.put(&plain, buffer);
                waiting.push(Waiting { jobs, ended, then });
            }
            Request::Forget { ended } => self.forget(ended),
            Request::Replayed { files, living } => {
                files.into_iter().for_each(|segment| self.segments.add(segment));
                living.iter().for_each(|kept| self.segments.wrote(kept.segment, 1));
                self.replayed = true;
            }
        }
    }

    /// They no longer keep their files, whether or not that they have ended can be written: on a full disk it cannot be before
    /// a file has gone.
    fn forget(&mut self, ended: Vec<Ref>) {
        self.segments.ended(&ended);
        self.ended.extend(ended);
    }

    fn put(&mut self, plain: &[u8], buffer: &mut Vec<u8>) {
        frame::put(&self.current.key, self.current.next_frame, plain, buffer);
        self.current.next_frame += 1;
    }

    fn put_ended(&mut self, ended: &[Ref], buffer: &mut Vec<u8>) {
        let ended: Vec<u128> = ended.iter().map(|kept| kept.entry.0).collect();
        // A list of numbers can always be written.
        if !ended.is_empty()
            && let Ok(plain) = postcard::to_stdvec(&Written { jobs: Vec::new(), ended })
        {
            self.put(&plain, buffer);
        }
    }

    /// As much as could not be written, without a meaning: no entry has this id. Less might find room where a request
    /// still finds none.
    fn put_probe(&mut self, buffer: &mut Vec<u8>) {
        self.put_ended(&vec![Ref { entry: EntryId(0), segment: 0 }; self.refused.max(1)], buffer);
    }

    /// Adds to the current file. After an error the file is cut back and given up for a new one: what an operating
    /// system has failed to sync once, it may report as synced the next time.
    fn append(&mut self, buffer: &[u8], sync: bool) -> io::Result<()> {
        let length = self.current.length;
        let end = length + buffer.len() as u64;
        let file = self.ensure_file()?;
        let written = file.write_all_at(buffer, length);
        self.current.room = self.current.room.max(end);
        if sync && self.current.room == end {
            self.make_room();
        }
        let file = self.ensure_file()?;
        let written = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        if written.is_err() {
            // Where even this fails, what is left over is read as damage and holds nothing that was answered.
            let _ = file.set_len(length);
            self.give_up_file();
        } else {
            self.current.length = end;
        }
        written
    }

    /// Makes room behind what is written, in proportion to it. Where there is none, the file grows as it is written.
    fn make_room(&mut self) {
        let (from, most) = (self.current.room, self.settings.file_bytes);
        let room = from.clamp(*ROOM.start(), *ROOM.end()).min(most.saturating_sub(from));
        if let Some(file) = &self.current.file
            && file.write_all_at(&vec![0; usize::try_from(room).unwrap_or_default()], from).is_ok()
        {
            self.current.room += room;
        }
    }

    /// A file in which nothing was written goes: trying again and again must not fill what room there is.
    fn give_up_file(&mut self) {
        let empty = self.current.length == HEADER as u64;
        if empty && fs::remove_file(segments::path(&self.folder, self.current.segment)).is_ok() {
            self.current.file = None;
        } else {
            self.next_file();
        }
    }

    fn next_file(&mut self) {
        self.close_file();
        self.current.segment += 1;
    }

    /// The file ends where what was written ends.
    fn close_file(&mut self) {
        if let Some(file) = self.current.file.take()
            && self.current.room > self.current.length
        {
            // Where it fails, a start does it.
            let _ = file.set_len(self.current.length);
        }
    }

    fn wrote(&mut self, waiting: Vec<Waiting>) {
        self.tell(None);
        let segment = self.current.segment;
        for Waiting { jobs, ended, then } in waiting {
            self.segments.wrote(segment, jobs);
            self.segments.ended(&ended);
            then(Ok(segment));
        }
        if self.current.length >= self.settings.file_bytes {
            self.next_file();
        }
        self.clean_up();
    }

    fn failed(&mut self, waiting: Vec<Waiting>, ended: Vec<Ref>, error: &io::Error) {
        self.tell(Some(error.to_string()));
        self.ended = ended;
        for waiting in waiting {
            (waiting.then)(Err(JournalError(error.to_string())));
        }
        self.clean_up();
    }

    fn clean_up(&mut self) {
        if !self.replayed {
            return;
        }
        for segment in self.segments.take_done(self.current.file.is_some()) {
            let path = segments::path(&self.folder, segment);
            if let Err(error) = fs::remove_file(&path) {
                warn!(file = %path.display(), %error, "a file of the journal that is done could not be removed");
            }
        }
        self.state.sparse.store(self.segments.sparse().unwrap_or(0), Ordering::Relaxed);
    }

    fn is_well(&self) -> bool {
        self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn tell(&self, trouble: Option<String>) {
        *self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

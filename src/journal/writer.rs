//! The thread that writes a journal's files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::Ordering, mpsc},
    time::Duration,
};

use tracing::warn;

use super::{
    EntryId, JournalError, Record, Ref, Then,
    frame::{HEADER, Header},
    log::{Settings, State},
    record::Written,
    segments::{self, Segments},
};
use crate::secret::{Keys, RecordKey};

/// Bytes that are written together at the most.
const TOGETHER: usize = 8 << 20;
/// Jobs to let go that are written without waiting for a write to go with.
const FORGOTTEN: usize = 10_000;
/// How long they wait for one.
const FLUSH: Duration = Duration::from_millis(100);
/// How long to wait before what could not be written is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Bytes at most that are written to see whether it can be.
const PROBE: usize = 64 << 10;

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
}

/// The file that is written to.
struct Current {
    segment: u32,
    file: Option<File>,
    header: Header,
    /// Where what is safe ends.
    length: u64,
    next_frame: u64,
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
        let header = Header { fingerprint, nonce: [0; 16] };
        Self {
            folder,
            key: keys.record_key(),
            fingerprint,
            settings,
            state,
            segments: Segments::default(),
            replayed: false,
            current: Current { segment: first, file: None, header, length: 0, next_frame: 0 },
            ended: Vec::new(),
            refused: 0,
        }
    }

    /// Makes sure that there is a file to write to. What it is called is safe before anything in it is.
    pub(super) fn ensure_file(&mut self) -> io::Result<&File> {
        if self.current.file.is_none() {
            let (file, header) = self.next_free_file()?;
            let segment = self.current.segment;
            self.segments.add(segment);
            self.current =
                Current { segment, file: Some(file), header, length: HEADER as u64, next_frame: 0 };
        }
        self.current.file.as_ref().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// The file of the current number, or of the next one that is not taken by anything.
    fn next_free_file(&mut self) -> io::Result<(File, Header)> {
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

    fn begin(&self, file: File) -> io::Result<(File, Header)> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let header = Header { fingerprint: self.fingerprint, nonce };
        file.write_all_at(&header.to_bytes(), 0)?;
        if self.settings.sync {
            file.sync_all()?;
            File::open(&self.folder)?.sync_all()?;
        }
        Ok((file, header))
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
        let ready = self.ensure_file().map(|_| ());
        let (mut buffer, mut waiting) = (Vec::new(), Vec::new());
        let mut next = first;
        while let Some(request) = next {
            self.take(request, &mut buffer, &mut waiting);
            next = if buffer.len() < TOGETHER { requests.try_recv().ok() } else { None };
        }
        let ended = std::mem::take(&mut self.ended);
        self.put_ended(&ended, &mut buffer);
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
        self.current.header.put(&self.key, self.current.next_frame, plain, buffer);
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
        let file = self.ensure_file()?;
        let written = file.write_all_at(buffer, length);
        let written = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        if written.is_err() {
            // Where even this fails, what is left over is read as damage and holds nothing that was answered.
            let _ = file.set_len(length);
            self.give_up_file();
        } else {
            self.current.length += buffer.len() as u64;
        }
        written
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
        self.current.segment += 1;
        self.current.file = None;
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

//! A journal in files that are only appended to. One thread writes; requests that come while it does share the next write
//! and the next sync (group commit).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use tracing::warn;

use super::{
    Journal, OpenError, Record, Ref, Replayed, Then,
    frame::Header,
    replay::Reader,
    segments,
    writer::{Request, Writer},
};
use crate::{clock::Clock, job::Accepted, secret::Keys};

/// Held by the process whose journal it is.
pub(super) const LOCK: &str = "lock";

/// A journal that is open for writing. Dropping it writes what is still to be forgotten.
pub struct Log {
    folder: PathBuf,
    keys: Arc<Keys>,
    clock: Clock,
    /// The files that were there, to be replayed.
    earlier: Vec<u32>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    state: Arc<State>,
    _lock: File,
}

/// How a journal writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Whether a record is safe only when it is on stable storage, or already when the operating system has it.
    pub sync: bool,
    /// A file that has grown to so many bytes is the last one no longer.
    pub file_bytes: u64,
}

/// What the writing thread tells.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) trouble: Mutex<Option<String>>,
    /// 0: none.
    pub(super) sparse: AtomicU32,
}

impl Log {
    /// Opens the journal in a folder, makes it where there is none, and begins a new file.
    ///
    /// # Errors
    /// [`OpenError`]: it is another secret's or another process's, or the folder cannot be written.
    pub fn open(folder: &Path, keys: Arc<Keys>, settings: Settings, clock: Clock) -> Result<Self, OpenError> {
        let io = |error| OpenError::io(folder, error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let lock = lock(folder)?;
        let (earlier, foreign) = segments::list(folder).map_err(io)?;
        for name in foreign {
            warn!(folder = %folder.display(), name, "a file that is none of the journal's is left alone");
        }
        check_secret(folder, &earlier, keys.fingerprint())?;
        let state = Arc::new(State::default());
        let first = earlier.last().map_or(1, |last| last + 1);
        let mut writer = Writer::new(folder.to_owned(), first, &keys, settings, state.clone());
        writer.ensure_file().map_err(io)?;
        let (requests, received) = mpsc::channel();
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let writer = thread.spawn(move || writer.run(&received)).map_err(io)?;
        Ok(Self {
            folder: folder.to_owned(),
            keys,
            clock,
            earlier,
            requests: Some(requests),
            writer: Some(writer),
            state,
            _lock: lock,
        })
    }

    /// Reads back what had not ended when the last process did. To be called once, before anything is let go; it
    /// takes about a second for a million jobs, and blocks.
    ///
    /// # Errors
    /// Where a file cannot be read at all.
    pub fn replay(&self) -> std::io::Result<Replayed> {
        let now = self.now();
        let reader = Reader { folder: &self.folder, key: &self.keys.record_key(), now };
        let replayed = reader.replay(&self.earlier)?;
        let refs = replayed.jobs.iter().map(|(_, kept)| *kept).collect();
        self.send(Request::Replayed { files: self.earlier.clone(), living: refs });
        Ok(replayed)
    }

    fn now(&self) -> Accepted {
        Accepted { now: self.clock.now(), tick: self.clock.tick() }
    }

    fn send(&self, request: Request) {
        if let Some(requests) = &self.requests {
            // Fails only where the thread has panicked.
            let _ = requests.send(request);
        }
    }
}

impl Journal for Log {
    fn write(&self, record: Record, then: Then) {
        self.send(Request::Write { record, then });
    }

    fn forget(&self, ended: Vec<Ref>) {
        if !ended.is_empty() {
            self.send(Request::Forget { ended });
        }
    }

    fn sparse_segment(&self) -> Option<u32> {
        Some(self.state.sparse.load(Ordering::Relaxed)).filter(|segment| *segment > 0)
    }

    fn trouble(&self) -> Option<String> {
        self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The thread ends when nothing can be asked of it any more and all is written.
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let io = |error| OpenError::io(folder, error);
    let open =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join(LOCK));
    let file = open.map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(folder.display().to_string())),
        Err(fs::TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Every file that can tell must be of our secret, before anything is served.
fn check_secret(folder: &Path, files: &[u32], ours: &str) -> Result<(), OpenError> {
    for segment in files {
        let path = segments::path(folder, *segment);
        let mut bytes = vec![0; super::frame::HEADER];
        let read = File::open(path).and_then(|file| read_some(&file, &mut bytes));
        let length = read.map_err(|error| OpenError::io(folder, error))?;
        let Some(header) = Header::read(&bytes[..length]) else { continue };
        if header.fingerprint != ours.as_bytes() {
            let theirs = String::from_utf8_lossy(&header.fingerprint).into_owned();
            let folder = folder.display().to_string();
            return Err(OpenError::OtherSecret { folder, theirs, ours: ours.to_owned() });
        }
    }
    Ok(())
}

/// Fills the buffer as far as the file goes.
fn read_some(file: &File, buffer: &mut [u8]) -> std::io::Result<usize> {
    use std::os::unix::fs::FileExt;
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

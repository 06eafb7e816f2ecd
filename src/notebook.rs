//! What a process must remember across restarts beside its jobs: small notes, each a file that is replaced whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// A folder of notes. Without one nothing is remembered. The notes' one writer is the process that holds the journal.
#[derive(Clone, Debug)]
pub struct Notebook {
    folder: Option<PathBuf>,
    /// The notes of a simulated process.
    #[cfg(test)]
    simulated: Option<std::sync::Arc<std::sync::Mutex<Simulated>>>,
}

/// Notes in memory, by name.
#[cfg(test)]
type Simulated = std::collections::BTreeMap<String, Vec<u8>>;

impl Notebook {
    /// Keeps its notes in this folder.
    pub fn in_folder(folder: &Path) -> Self {
        let mut notes = Self::none();
        notes.folder = Some(folder.to_owned());
        notes
    }

    /// Keeps no notes.
    pub fn none() -> Self {
        Self {
            folder: None,
            #[cfg(test)]
            simulated: None,
        }
    }

    /// Keeps its notes in memory, for as long as a copy of it is there.
    #[cfg(test)]
    pub(crate) fn simulated() -> Self {
        Self { simulated: Some(std::sync::Arc::default()), ..Self::none() }
    }

    /// The note of this name; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is not such a note.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        #[cfg(test)]
        if let Some(notes) = &self.simulated {
            let notes = notes.lock().unwrap();
            return Ok(notes.get(name).map(|note| serde_json::from_slice(note)).transpose()?);
        }
        let Some(path) = self.path(name) else { return Ok(None) };
        match fs::read(path) {
            Ok(note) => Ok(Some(serde_json::from_slice(&note)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a note; it is on stable storage afterwards. Blocks.
    ///
    /// # Errors
    /// It cannot be written; the note of before is still there.
    pub fn write<T: Serialize>(&self, name: &str, note: &T) -> io::Result<()> {
        let (Some(folder), Some(path)) = (&self.folder, self.path(name)) else { return Ok(()) };
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let (note, draft) = (serde_json::to_vec(note)?, path.with_extension("new"));
        match write_whole(&draft, &note) {
            Ok(()) => {
                fs::rename(&draft, &path)?;
                File::open(folder)?.sync_all()
            }
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                fs::remove_file(&draft).ok();
                write_over(&path, &note).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    /// [`Notebook::write`], aside.
    ///
    /// # Errors
    /// As there.
    pub async fn keep<T: Serialize + Send + 'static>(&self, name: &'static str, note: T) -> io::Result<()> {
        #[cfg(test)]
        if let Some(notes) = &self.simulated {
            notes.lock().unwrap().insert(name.to_owned(), serde_json::to_vec(&note)?);
            return Ok(());
        }
        let notes = self.clone();
        let written = tokio::task::spawn_blocking(move || notes.write(name, &note)).await;
        written.map_err(io::Error::other)?
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{name}.json")))
    }
}

fn write_whole(path: &Path, note: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(note)?;
    file.sync_all()
}

/// On a full disk: in the room that the note has already. A crash in the middle of it leaves one that cannot be read, which
/// whoever reads notes has to expect.
fn write_over(path: &Path, note: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let before = file.metadata()?.len();
    file.write_all_at(note, 0)?;
    if before > note.len() as u64 {
        file.set_len(note.len() as u64)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notebook::in_folder(&folder.path().join("notes"));
        assert_eq!(notes.read::<Vec<u8>>("caches").unwrap(), None);
        notes.write("caches", &vec![1, 2, 3]).unwrap();
        notes.write("caches", &vec![4]).unwrap();
        assert_eq!(notes.read::<Vec<u8>>("caches").unwrap(), Some(vec![4]));
        assert!(notes.read::<String>("caches").is_err(), "another kind of note is not taken for this one");
    }

    #[test]
    fn without_a_folder_nothing_is_remembered() {
        Notebook::none().write("caches", &1).unwrap();
        assert_eq!(Notebook::none().read::<u8>("caches").unwrap(), None);
    }
}

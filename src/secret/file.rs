//! The secret's file: made whole or not at all, read by its owner only.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use zeroize::Zeroizing;

use super::Secret;

/// Why the secret's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Its mode lets others at it.
    #[error("is open to others (mode {mode:04o}): `chmod 600` it, and think whether the secret is still one")]
    OpenToOthers {
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("does not hold a text")]
    NotText,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// It cannot be made.
    #[error("cannot be made: {0}")]
    Make(io::Error),
}

/// The file's text, at most a little longer than a secret may be. Makes the file first where there is none.
pub(super) fn read_or_make(path: &Path) -> Result<Zeroizing<String>, FileError> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(path).map_err(FileError::Make)?;
            read(&File::open(path).map_err(FileError::Read)?)
        }
        opened => read(&opened.map_err(FileError::Read)?),
    }
}

fn read(file: &File) -> Result<Zeroizing<String>, FileError> {
    let mode = file.metadata().map_err(FileError::Read)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::OpenToOthers { mode });
    }
    let limit = Secret::MAX_BYTES + 2;
    let mut text = Zeroizing::new(String::with_capacity(limit));
    match file.take(limit as u64).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(FileError::NotText),
        Err(error) => Err(FileError::Read(error)),
    }
}

/// Writes a new secret under a name of its own, then links it to `path`, which fails where another process was
/// faster: so nobody ever reads half a secret, and all who start at once get the same one.
fn make(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.new", &*random_hex::<8>()?));
    let draft = folder.join(name);
    let made = write_draft(&draft).and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    std::fs::remove_file(&draft).ok();
    made?;
    File::open(folder)?.sync_all()
}

fn write_draft(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The mode above is cut by the umask, which may take the owner's own bits.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(random_hex::<32>()?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn random_hex<const N: usize>() -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
    Ok(Zeroizing::new(hex::encode(*bytes)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Keys, SecretError, WeakSecret};
    use super::*;

    fn written(text: impl AsRef<[u8]>, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    fn fingerprint(path: &Path) -> String {
        Keys::derive(&Secret::from_file(path).unwrap()).fingerprint().to_owned()
    }

    #[test]
    fn the_first_start_makes_a_secret_that_only_its_owner_reads_and_the_next_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folders/secret");
        let first = fingerprint(&path);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fingerprint(&path), first);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
        let another = folder.path().join("another");
        assert_ne!(fingerprint(&another), first);
    }

    #[test]
    fn a_files_text_is_the_same_secret_as_a_configured_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let from_file = fingerprint(&path);
        let value = fs::read_to_string(&path).unwrap();
        let from_value = Secret::load(Some(&value), Path::new("unused")).unwrap();
        assert_eq!(Keys::derive(&from_value).fingerprint(), from_file);
    }

    #[test]
    fn processes_that_start_at_once_get_the_same_secret() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("data/secret");
            let together = std::sync::Barrier::new(8);
            let found: std::collections::HashSet<String> = std::thread::scope(|scope| {
                let start = || {
                    together.wait();
                    fingerprint(&path)
                };
                let all: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert_eq!(found.len(), 1);
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let good = "0123456789abcdef".repeat(4);
        for mode in [0o640, 0o604, 0o644, 0o660, 0o620] {
            let (_folder, path) = written(&good, mode);
            let refused = Secret::from_file(&path).unwrap_err().to_string();
            assert!(refused.contains(&format!("(mode {mode:04o})")), "{refused}");
            assert!(refused.contains(path.to_str().unwrap()), "{refused}");
        }
        let (_folder, path) = written(&good, 0o400);
        assert!(Secret::from_file(&path).is_ok());
    }

    #[test]
    fn an_empty_a_truncated_and_a_foreign_file_are_refused_and_left_as_they_are() {
        let truncated = "0123456789abcdef".repeat(3);
        for (text, weak) in
            [("", WeakSecret::Empty), (truncated.as_str(), WeakSecret::ShortHex { digits: 48 })]
        {
            let (_folder, path) = written(text, 0o600);
            let refused = Secret::from_file(&path).unwrap_err();
            assert!(
                matches!(refused, SecretError::WeakFile { weak: found, .. } if found == weak),
                "{refused}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let (_folder, path) = written([0xff; 64], 0o600);
        let refused = Secret::from_file(&path).unwrap_err();
        assert!(matches!(refused, SecretError::File { source: FileError::NotText, .. }), "{refused}");
        let (_folder, path) = written("0123456789abcdef".repeat(1000), 0o600);
        let refused = Secret::from_file(&path).unwrap_err();
        assert!(matches!(refused, SecretError::WeakFile { weak: WeakSecret::TooLong, .. }), "{refused}");
    }

    #[test]
    fn a_folder_in_the_files_place_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let refused = Secret::from_file(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("cannot be read"), "{refused}");
    }
}

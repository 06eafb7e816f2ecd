//! Limits and disks that a test gives to a process: how large files may get, and small file systems of their own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Limits the size of the files that a running process may write; `None` takes the limit away.
pub(crate) fn file_size(process: u32, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// A file system in memory. It goes with this value, whoever still uses it.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts one over a folder; `None`, and a line that says so, where this process may not.
    pub(crate) fn over(folder: &Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            println!("skipped: this process may not mount a tmpfs");
        }
        mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

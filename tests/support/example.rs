//! An example of this repository, as a program.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// An example's binary, built and up to date.
///
/// Cargo says nowhere where examples are, and builds them along for a whole `cargo test` or `cargo nextest run` but
/// not for `cargo test --test end_to_end`, which would then find none or an old one. So this asks cargo to build it,
/// with the profile and the target directory that decache's own binary beside it came from: nothing to do, in a moment,
/// where it is fresh. By then neither runner holds the lock on the target directory.
pub(crate) fn example(name: &str) -> PathBuf {
    let beside = crate::process::decache();
    let profile_dir = beside.parent().expect("the binary's directory");
    let target_dir = profile_dir.parent().expect("the target directory");
    let profile = match profile_dir.file_name().and_then(|dir| dir.to_str()) {
        Some("debug") | None => "dev",
        Some(named) => named,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--example", name, "--profile", profile, "--target-dir"])
        .arg(target_dir)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stdin(Stdio::null())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "example {name}: {}", String::from_utf8_lossy(&built.stderr));
    profile_dir.join("examples").join(name)
}

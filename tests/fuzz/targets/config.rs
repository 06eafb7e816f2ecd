//! Configuration texts: read, checked, and their rules and resources compiled.

use std::cell::LazyCell;

use tempfile::TempDir;

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a folder"));
}

/// A configuration that is refused says why and where; one that loads is compiled or refused in the same way.
pub(super) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A fuzzer is not to read whatever files it can name.
    if text.contains("_file") {
        return;
    }
    FOLDER.with(|folder| {
        let path = folder.path().join("decache.yaml");
        std::fs::write(&path, text).expect("the configuration");
        let problems = match decache::config::load(Some(&path), std::iter::empty()) {
            Ok(loaded) => {
                decache::app::check(&loaded).map(|checked| checked.warnings).map_err(|it| it.problems)
            }
            Err(error) => Err(error.problems),
        };
        // To YAML each of these ends a line.
        let lines = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1;
        match problems {
            Ok(warnings) => assert!(warnings.iter().all(|it| it.line.is_none_or(|line| line <= lines + 1))),
            Err(problems) => {
                assert!(!problems.is_empty(), "refused without a reason");
                for problem in problems {
                    assert!(!problem.detail.is_empty());
                    assert!(problem.line.is_none_or(|line| (1..=lines + 1).contains(&line)), "{problem}");
                }
            }
        }
    });
}

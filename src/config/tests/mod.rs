//! Whole files through [`super::load`]: what loads, and what every mistake is answered with.

use std::path::PathBuf;

use tempfile::TempDir;

use super::{ConfigError, Loaded, load};

mod defaults;
mod environment;
mod mistakes;
mod rules_block;
mod secrets;
mod tls;
mod values;

/// A file of its own, so that tests do not meet.
struct File {
    directory: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let file = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("decache.yaml")
    }

    /// Another file beside it.
    fn beside(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(Some(&self.path()), env.into_iter())
    }

    /// What is wrong with it, as it prints, with `F` for the file.
    fn problems(&self, env: &[(&str, &str)]) -> Vec<String> {
        let error = self.load(env).expect_err("expected a problem");
        let file = self.path().display().to_string();
        error.problems.iter().map(|problem| problem.to_string().replace(&file, "F")).collect()
    }
}

fn loaded(text: &str) -> Loaded {
    File::new(text).load(&[]).unwrap_or_else(|error| panic!("{error}"))
}

/// The problems of a text, as they print, with `F` for the file.
fn problems(text: &str) -> Vec<String> {
    File::new(text).problems(&[])
}

fn assert_each(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
        assert!(problems[0].starts_with(expected), "{text}\n     is: {}\nexpected: {expected}", problems[0]);
    }
}

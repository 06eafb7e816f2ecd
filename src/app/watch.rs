//! Notices that the configuration has changed: its file and those that it names are read once a second, which sees a file that
//! is replaced, one behind a symbolic link that leads elsewhere, and one on a disk that tells of no changes. Whoever writes one
//! is let finish: a change counts when two looks in a row have found the same.

use std::{collections::BTreeSet, fs, io::ErrorKind, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::reload::{Reloaded, Reloader};
use crate::{
    config::{ConfigError, Loaded},
    http::Service,
    in_force::{Attempt, Outcome},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Fields that a line of the log names.
const NAMED: usize = 20;
/// What readiness calls it.
const COMPONENT: &str = "configuration";

/// Where a changed configuration comes from, and when it is asked for.
pub struct Reloading {
    /// The file that is looked at; without one it is only read when asked for.
    pub file: Option<PathBuf>,
    /// Reads it whole. Blocks.
    pub read: Read,
    /// Told to read it at once.
    pub asked: Arc<Notify>,
}

/// Reads a configuration.
pub type Read = Arc<dyn Fn() -> Result<Loaded, ConfigError> + Send + Sync>;

/// Has the service run with what is written, until cancelled. `serve` takes what requests are to meet.
pub(super) async fn run(
    reloading: Reloading,
    mut reloader: Reloader,
    serve: impl Fn(Service),
    cancelled: CancellationToken,
) {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looks, mut is_asked) = (Looks::default(), false);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = reloading.asked.notified() => is_asked = true,
            () = cancelled.cancelled() => return,
        }
        // What the journal gives back is given back to what has begun.
        if reloader.parts().health.is_replaying() {
            continue;
        }
        let files = reloading.file.iter().chain(reloader.written().files()).cloned().collect();
        let Ok(seen) = tokio::task::spawn_blocking(move || look(files)).await else { return };
        let settled = looks.saw(seen);
        if settled || is_asked {
            looks.act();
            let attempt = attempt(&reloading, &mut reloader, &serve, std::mem::take(&mut is_asked));
            if cancelled.run_until_cancelled(Box::pin(attempt)).await.is_none() {
                return;
            }
        }
    }
}

/// What a look has found: of each file a hash of its content, or why it cannot be read.
type Look = Vec<(PathBuf, Result<blake3::Hash, ErrorKind>)>;

fn look(files: BTreeSet<PathBuf>) -> Look {
    let content = |file: &PathBuf| fs::read(file).map(|content| blake3::hash(&content));
    let seen = |file: PathBuf| (content(&file).map_err(|error| error.kind()), file);
    files.into_iter().map(seen).map(|(content, file)| (file, content)).collect()
}

/// The last look, and the one that was acted on.
#[derive(Default)]
struct Looks {
    last: Option<Look>,
    acted: Option<Look>,
}

impl Looks {
    /// Whether what is seen is new, and was seen twice.
    fn saw(&mut self, seen: Look) -> bool {
        let seen = Some(seen);
        let settled = seen == self.last && seen != self.acted;
        self.last = seen;
        settled
    }

    /// What was seen last is seen to, whatever comes of it.
    fn act(&mut self) {
        self.acted.clone_from(&self.last);
    }
}

async fn attempt(reloading: &Reloading, reloader: &mut Reloader, serve: impl Fn(Service), is_asked: bool) {
    let read = reloading.read.clone();
    let reloaded = match tokio::task::spawn_blocking(move || read()).await {
        Ok(Ok(loaded)) => reloader.reload(loaded, serve).await,
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    };
    match reloaded {
        Ok(reloaded) => tell(reloader, &reloaded, is_asked),
        Err(error) => tell_refused(reloader, &error),
    }
}

fn tell(reloader: &Reloader, Reloaded { applied, restart }: &Reloaded, is_asked: bool) {
    let parts = reloader.parts();
    match (applied.is_empty(), is_asked) {
        (false, _) => info!(
            generation = reloader.generation(),
            changed = named(applied),
            "a changed configuration is taken over"
        ),
        (true, true) if restart.is_empty() => info!("the configuration is unchanged"),
        (true, _) => {}
    }
    if !restart.is_empty() {
        warn!(changed = named(restart), "the configuration has changed where that needs a restart");
    }
    let sections: BTreeSet<&str> =
        restart.iter().filter_map(|field| field.split(['.', '[']).next()).collect();
    let sections: Vec<&str> = sections.into_iter().collect();
    let detail = format!("a restart is needed: changed in {}", sections.join(", "));
    parts.health.report(COMPONENT, (!restart.is_empty()).then_some(detail));
    let last = parts.console.in_force.told().last;
    if is_asked || !(applied.is_empty() && restart.is_empty()) || is_over(last.as_ref()) {
        let outcome = if applied.is_empty() { Outcome::Unchanged } else { Outcome::Applied };
        note(reloader, outcome, applied, restart);
    }
    let outcome = if applied.is_empty() { "unchanged" } else { "applied" };
    parts.metrics.configuration.reloaded(outcome, !restart.is_empty());
}

/// Whether finding nothing to change tells that something is over: a refused change was undone, or one that needed a restart.
/// That what was taken over is still the same is no news: a file that changes between the look that settles and the reading of
/// it is taken over by that reading, and found to be unchanged by the looks after it.
fn is_over(last: Option<&Attempt>) -> bool {
    last.is_some_and(|last| last.outcome == Outcome::Refused || !last.restart.is_empty())
}

/// Readiness is open to everybody, so it does not repeat what is wrong.
fn tell_refused(reloader: &Reloader, error: &anyhow::Error) {
    let generation = reloader.generation();
    let problems: Vec<String> = match error.downcast_ref::<ConfigError>() {
        Some(ConfigError { problems }) => problems.iter().map(ToString::to_string).collect(),
        None => vec![format!("{error:#}")],
    };
    problems.iter().for_each(|problem| error!(generation, problem, "the changed configuration is refused"));
    note(reloader, Outcome::Refused, &problems, &[]);
    let detail =
        format!("the changed configuration is refused, generation {generation} runs on: the log says why");
    reloader.parts().health.report(COMPONENT, Some(detail));
    reloader.parts().metrics.configuration.refused();
}

/// For whoever looks at the console.
fn note(reloader: &Reloader, outcome: Outcome, details: &[String], restart: &[String]) {
    let parts = reloader.parts();
    let (details, restart) = (details.to_vec(), restart.to_vec());
    parts.console.in_force.attempted(Attempt { at: parts.clock.now(), outcome, details, restart });
}

fn named(fields: &[String]) -> String {
    let more = fields.len().saturating_sub(NAMED);
    let named = fields[..fields.len() - more].join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn seen(content: &str) -> Look {
        let content = match content {
            "" => Err(ErrorKind::NotFound),
            content => Ok(blake3::hash(content.as_bytes())),
        };
        vec![("decache.yaml".into(), content)]
    }

    #[test]
    fn a_change_counts_when_it_was_seen_twice_and_once() {
        let mut looks = Looks::default();
        let mut saw = |content| {
            let settled = looks.saw(seen(content));
            settled.then(|| looks.act());
            settled
        };
        assert!(!saw("a") && saw("a") && !saw("a"));
        assert!(!saw("half") && !saw("whole"), "it is being written");
        assert!(saw("whole") && !saw("whole") && !saw("whole"));
        assert!(!saw("") && saw("") && !saw(""), "that it has gone is a change");
        assert!(!saw("whole") && saw("whole"), "and that it is back");
    }

    #[test]
    fn a_look_sees_through_a_folder_that_is_swapped_by_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["1", "2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("decache.yaml"), version).unwrap();
        }
        std::os::unix::fs::symlink("1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/decache.yaml", at("decache.yaml")).unwrap();
        let files = || BTreeSet::from([at("decache.yaml")]);
        let before = look(files());
        assert!(before == look(files()));
        std::os::unix::fs::symlink("2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert!(before != look(files()));
    }

    #[test]
    fn what_was_taken_over_stays_told_until_something_else_is_to_be_told() {
        let last = |outcome, restart: &[&str]| {
            let restart = restart.iter().map(ToString::to_string).collect();
            Some(Attempt { at: Timestamp::default(), outcome, details: Vec::new(), restart })
        };
        assert!(!is_over(None) && !is_over(last(Outcome::Applied, &[]).as_ref()));
        assert!(!is_over(last(Outcome::Unchanged, &[]).as_ref()));
        assert!(is_over(last(Outcome::Refused, &[]).as_ref()));
        assert!(is_over(last(Outcome::Applied, &["journal.dir"]).as_ref()));
    }

    #[test]
    fn a_line_names_so_many_fields() {
        let fields: Vec<String> = (0..22).map(|n| format!("f{n}")).collect();
        assert_eq!(named(&fields[..2]), "f0, f1");
        assert!(named(&fields).ends_with("f18, f19 and 2 more"));
    }
}

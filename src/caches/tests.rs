use std::sync::Mutex;

use super::*;

struct Recorded {
    name: &'static str,
    up: bool,
    asked: Arc<Mutex<Vec<&'static str>>>,
}

impl Cache for Recorded {
    fn name(&self) -> &str {
        self.name
    }

    fn delete<'a>(&'a self, keys: &'a [CopyKey]) -> BoxFuture<'a, Result<usize, CacheError>> {
        self.asked.lock().unwrap().push(self.name);
        let answer = if self.up { Ok(keys.len()) } else { Err(CacheError("refused".to_owned())) };
        Box::pin(std::future::ready(answer))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), CacheError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn caches(asked: &Arc<Mutex<Vec<&'static str>>>, caches: &[(&'static str, bool)]) -> Caches {
    let cache = |(name, up): &(&'static str, bool)| {
        Box::new(Recorded { name, up: *up, asked: asked.clone() }) as Box<dyn Cache>
    };
    Caches::new(caches.iter().map(cache).collect(), Arc::new(Metrics::new().unwrap()))
}

#[tokio::test]
async fn a_cache_that_fails_holds_up_no_other_and_is_not_asked_again() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let caches = caches(&asked, &[("inner", true), ("down", false), ("outer", true)]);
    let keys = vec![CopyKey("/posts/42".to_owned())].into();
    let mut removal = caches.removal();
    let first = removal.delete(&keys).await;
    let second = caches.removal().delete(&keys).await;
    assert_eq!((first.deleted, first.failed, second.deleted, second.failed), (2, 1, 2, 1));
    assert_eq!(*asked.lock().unwrap(), ["inner", "down", "outer", "inner", "outer"]);
    let failure = removal.failure().unwrap();
    assert_eq!(failure.sentence, "cache down: cache unavailable: refused");
    assert_eq!(*failure.waits_for, [Arc::<str>::from("down")]);
}

#[tokio::test]
async fn a_cache_that_answers_a_ping_is_asked_again() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let caches = caches(&asked, &[("down", false)]);
    let keys = vec![CopyKey("/posts/42".to_owned())].into();
    caches.removal().delete(&keys).await;
    assert!(caches.ping(Duration::from_secs(1)).await[0].1.is_none());
    caches.removal().delete(&keys).await;
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_cache_is_suspect_for_the_next_process_too_until_it_is_trusted_again() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let remembering = || {
        let (caches, trouble) = caches(&asked, &[("inner", true), ("outer", true)])
            .remembering(Notebook::in_folder(folder.path()));
        assert!(trouble.is_none(), "{trouble:?}");
        caches
    };
    remembering().suspect("outer").unwrap();
    let next = remembering();
    assert_eq!(
        (next.regarded("inner"), next.regarded("outer")),
        (Some(Regard::Trusted), Some(Regard::Suspect))
    );
    next.removal().delete(&vec![CopyKey("/posts/42".to_owned())].into()).await;
    assert_eq!(*asked.lock().unwrap(), ["inner"]);
    let (without, _) = caches(&asked, &[("inner", true)]).remembering(Notebook::in_folder(folder.path()));
    assert_eq!(without.unknown_suspects(), ["outer"], "it is not forgotten while it is not configured");
    next.let_return("outer");
    assert_eq!(remembering().regarded("outer"), Some(Regard::Suspect), "it has not been emptied yet");
    next.trust("outer").unwrap();
    assert_eq!(remembering().regarded("outer"), Some(Regard::Trusted));
}

#[test]
fn where_it_cannot_be_read_which_caches_are_suspect_all_are() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("suspect-caches.json"), "torn").unwrap();
    let notes = || Notebook::in_folder(folder.path());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (both, trouble) = caches(&asked, &[("inner", true), ("outer", true)]).remembering(notes());
    assert!(trouble.is_some());
    both.trust("inner").unwrap();
    let (next, trouble) = caches(&asked, &[("inner", true), ("outer", true)]).remembering(notes());
    assert!(trouble.is_none());
    assert_eq!(
        (next.regarded("inner"), next.regarded("outer")),
        (Some(Regard::Trusted), Some(Regard::Suspect))
    );
}

//! The users: they read what is popular and what is not, change a post now and then, and log out sometimes. All chance comes of
//! one seed.

use std::{net::SocketAddr, time::Duration};

use hyper::{HeaderMap, Method, Uri};

use super::tell::client;
use crate::http_client::HttpClient;

/// Between two things that somebody does.
const PAUSE: Duration = Duration::from_millis(120);
/// One in so many is a change, and one in so many a logout.
const CHANGES: u32 = 12;
const LOGOUTS: u32 = 150;
/// Posts that there are.
pub(super) const POSTS: u64 = 40;
/// Who writes them.
pub(super) const AUTHORS: [&str; 6] = ["ada", "bjarne", "grace", "ken", "linus", "margaret"];
/// Who reads them.
const USERS: [&str; 30] = [
    "ada",
    "alan",
    "alice",
    "barbara",
    "bjarne",
    "bob",
    "brian",
    "carol",
    "dennis",
    "donald",
    "edsger",
    "erin",
    "frances",
    "grace",
    "guido",
    "hedy",
    "john",
    "katherine",
    "ken",
    "leslie",
    "linus",
    "margaret",
    "niklaus",
    "radia",
    "rob",
    "shafi",
    "sophie",
    "tim",
    "vint",
    "whitfield",
];

pub(super) struct Users {
    client: HttpClient,
    api: SocketAddr,
    dice: fastrand::Rng,
}

impl Users {
    pub(super) fn new(api: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        Ok(Self { client: client()?, api, dice: fastrand::Rng::with_seed(seed) })
    }

    /// They live until nobody waits for it any more.
    pub(super) async fn live(mut self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let (method, target) = self.next();
            let Ok(uri) = format!("http://{}{target}", self.api).parse::<Uri>() else { continue };
            // The API may be slow or refuse; users try something else then.
            self.client.send(method, uri, &HeaderMap::new()).await.ok();
        }
    }

    /// What is done next, and by whom.
    fn next(&mut self) -> (Method, String) {
        let token = format!("?access_token=tok-{}", self.dice.choice(USERS).unwrap_or("ada"));
        if self.dice.u32(..LOGOUTS) == 0 {
            return (Method::DELETE, format!("/session{token}"));
        }
        // The first posts are read far more often than the last.
        let share = self.dice.f64();
        let post = 1 + (share * share * POSTS as f64) as u64;
        if self.dice.u32(..CHANGES) == 0 {
            return (Method::PUT, format!("/posts/{post}{token}"));
        }
        if self.dice.u32(..4) == 0 {
            let author = self.dice.choice(AUTHORS).unwrap_or("ada");
            return (Method::GET, format!("/feeds/{author}{token}"));
        }
        (Method::GET, format!("/posts/{post}{token}"))
    }
}

/// Whose a token is.
pub(super) fn name_of(token: &str) -> Option<&str> {
    token.strip_prefix("tok-").filter(|name| USERS.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_has_the_same_users_do_the_same_and_they_do_all_that_there_is() {
        let done = |seed| {
            let mut users = Users::new("127.0.0.1:1".parse().unwrap(), seed).unwrap();
            (0..1000).map(|_| users.next()).collect::<Vec<_>>()
        };
        assert_eq!(done(1), done(1));
        assert_ne!(done(1), done(2));
        let done = done(42);
        let count = |method: Method, what: &str| {
            done.iter().filter(|(found, target)| *found == method && target.starts_with(what)).count()
        };
        assert!(count(Method::PUT, "/posts/") > 50 && count(Method::GET, "/feeds/") > 50);
        assert!(count(Method::GET, "/posts/") > 500 && count(Method::DELETE, "/session?") > 0);
        let posts = done
            .iter()
            .filter_map(|(_, target)| target.strip_prefix("/posts/")?.split_once('?')?.0.parse().ok());
        assert!(posts.into_iter().all(|id: u64| (1..=POSTS).contains(&id)));
    }

    #[test]
    fn a_token_names_its_user() {
        assert_eq!([name_of("tok-ada"), name_of("tok-eve"), name_of("ada")], [Some("ada"), None, None]);
    }
}

//! Who has signed in: sessions in memory, bounded in number and in time. Of a session's id only a hash is kept.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{clock::Tick, config::auth::KeyHash};

/// A working day, whatever is done in it.
pub(super) const LIFE: Duration = Duration::from_secs(10 * 60 * 60);
/// Where there are so many, the oldest makes room.
const MOST: usize = 1000;

/// The sessions, by a hash of their ids.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<blake3::Hash, Session>>);

/// One that has signed in.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// By which key. What it may do is asked each time: the key may be gone, or another's.
    pub(super) key: KeyHash,
    /// Stands in every form, so that a form of anybody else's does nothing.
    pub(super) token: String,
    /// Told when the session is over, to what goes on for long.
    pub(super) over: CancellationToken,
    ends: Tick,
}

impl Sessions {
    /// Begins a session. Returns its id, which only the browser keeps.
    pub(super) fn begin(&self, key: KeyHash, now: Tick) -> Result<String, getrandom::Error> {
        let (id, token) = (random()?, random()?);
        let mut sessions = self.lock();
        if sessions.len() >= MOST
            && let Some(oldest) = sessions.iter().min_by_key(|(_, it)| it.ends).map(|(id, _)| *id)
        {
            end(&mut sessions, &oldest);
        }
        let session = Session { key, token, over: CancellationToken::new(), ends: now.after(LIFE) };
        sessions.insert(hash(&id), session);
        Ok(id)
    }

    /// The session of an id, where it is one and is not over.
    pub(super) fn find(&self, id: &str, now: Tick) -> Option<Session> {
        self.lock().get(&hash(id)).filter(|session| now < session.ends).cloned()
    }

    pub(super) fn end(&self, id: &str) {
        end(&mut self.lock(), &hash(id));
    }

    /// Ends those whose time is over.
    pub(super) fn let_go(&self, now: Tick) {
        let mut sessions = self.lock();
        let over: Vec<_> = sessions.iter().filter(|(_, it)| it.ends <= now).map(|(id, _)| *id).collect();
        over.iter().for_each(|id| end(&mut sessions, id));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<blake3::Hash, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(sessions: &mut HashMap<blake3::Hash, Session>, id: &blake3::Hash) {
    if let Some(session) = sessions.remove(id) {
        session.over.cancel();
    }
}

fn hash(id: &str) -> blake3::Hash {
    blake3::hash(id.as_bytes())
}

/// 256 bits that nobody can guess, as text.
pub(super) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> KeyHash {
        KeyHash::of("key-of-an-operator")
    }

    #[test]
    fn a_session_is_known_by_its_id_until_it_is_ended_or_its_time_is_over() {
        let (sessions, now) = (Sessions::default(), Tick::default());
        let [one, other] = [(); 2].map(|()| sessions.begin(key(), now).unwrap());
        let found = sessions.find(&one, now).unwrap();
        assert_ne!(found.token, sessions.find(&other, now).unwrap().token);
        assert!(sessions.find("", now).is_none() && sessions.find(&found.token, now).is_none());
        sessions.end(&one);
        assert!(found.over.is_cancelled() && sessions.find(&one, now).is_none());
        let left = sessions.find(&other, now).unwrap();
        assert!(sessions.find(&other, now.after(LIFE)).is_none());
        sessions.let_go(now.after(LIFE));
        assert!(left.over.is_cancelled() && sessions.lock().is_empty());
    }

    #[test]
    fn where_there_are_too_many_the_oldest_makes_room() {
        let sessions = Sessions::default();
        let at = |n| Tick::default().after(Duration::from_millis(n));
        let ids: Vec<String> = (0..=MOST as u64).map(|n| sessions.begin(key(), at(n)).unwrap()).collect();
        let known = ids.iter().filter(|id| sessions.find(id, at(0)).is_some()).count();
        assert!(known == MOST && sessions.find(&ids[0], at(0)).is_none());
    }
}

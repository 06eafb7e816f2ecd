//! Finding and removing what has expired, a bounded number of rows at a time.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable, Table, Value};

use super::{
    is_dead,
    tables::{self, Result, Tables},
};
use crate::clock::Timestamp;

type Key = Vec<u8>;

/// Where the next sweep goes on. It starts over with the process: nothing depends on it.
#[derive(Clone, Default)]
pub(super) struct Cursor {
    room: Room,
    after: Option<Key>,
}

#[derive(Clone, Copy, Default)]
enum Room {
    #[default]
    Members,
    Holdings,
    Revoked,
    Vault,
    Stale,
}

/// Rows of one table that had expired when they were read.
pub(super) struct Dead {
    room: Room,
    keys: Vec<Key>,
}

impl Cursor {
    /// The expired among the next `limit` rows of one table, and where to go on: there, or in the next table.
    pub(super) fn find_dead(
        &self,
        txn: &ReadTransaction,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Dead, Self)> {
        let (keys, after) = match self.room {
            Room::Members => self.scan(&txn.open_table(tables::MEMBERS)?, limit, |row| is_dead(row.0, now)),
            Room::Holdings => self.scan(&txn.open_table(tables::HOLDINGS)?, limit, |row| is_dead(row.0, now)),
            Room::Revoked => self.scan(&txn.open_table(tables::REVOKED)?, limit, |row| is_dead(row.0, now)),
            Room::Vault => self.scan(&txn.open_table(tables::VAULT)?, limit, |row| is_dead(row.0, now)),
            Room::Stale => self.scan(&txn.open_table(tables::STALE)?, limit, |row| is_dead(row.0, now)),
        }?;
        let room = if after.is_some() { self.room } else { self.room.next() };
        Ok((Dead { room: self.room, keys }, Self { room, after }))
    }

    fn scan<V: Value + 'static>(
        &self,
        table: &impl ReadableTable<&'static [u8], V>,
        limit: usize,
        is_dead: impl for<'v> Fn(V::SelfType<'v>) -> bool,
    ) -> Result<(Vec<Key>, Option<Key>)> {
        let from = self.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut dead, mut last, mut seen) = (Vec::new(), None, 0);
        for row in table.range::<&[u8]>((from, Bound::Unbounded))?.take(limit) {
            let (key, value) = row?;
            if is_dead(value.value()) {
                dead.push(key.value().to_vec());
            }
            (last, seen) = (Some(key), seen + 1);
        }
        let after = last.filter(|_| seen == limit).map(|key| key.value().to_vec());
        Ok((dead, after))
    }
}

impl Room {
    fn next(self) -> Self {
        match self {
            Self::Members => Self::Holdings,
            Self::Holdings => Self::Revoked,
            Self::Revoked => Self::Vault,
            Self::Vault => Self::Stale,
            Self::Stale => Self::Members,
        }
    }
}

impl Dead {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Removes those that are still dead: whatever was recorded again since they were read stays. A `stale` mark
    /// stays as well while its generation is ahead of the clock, or one that is asked for afterwards would go back.
    pub(super) fn remove(&self, tables: &mut Tables<'_>) -> Result<usize> {
        let (now, latest) = (tables.time.now(), tables.time.latest());
        match self.room {
            Room::Members => self.remove_from(&mut tables.members, |row| is_dead(row.0, now)),
            Room::Holdings => self.remove_from(&mut tables.holdings, |row| is_dead(row.0, now)),
            Room::Revoked => self.remove_from(&mut tables.revoked, |row| is_dead(row.0, now)),
            Room::Vault => self.remove_from(&mut tables.vault, |row| is_dead(row.0, now)),
            Room::Stale => self.remove_from(&mut tables.stale, |row| is_dead(row.0, now) && row.2 <= latest),
        }
    }

    fn remove_from<V: Value + 'static>(
        &self,
        table: &mut Table<'_, &'static [u8], V>,
        is_dead: impl for<'v> Fn(V::SelfType<'v>) -> bool,
    ) -> Result<usize> {
        let mut removed = 0;
        for key in &self.keys {
            let dead = table.get(key.as_slice())?.is_some_and(|row| is_dead(row.value()));
            if dead {
                table.remove(key.as_slice())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Embedded;
    use super::*;
    use crate::{
        clock::Clock,
        event::Entity,
        relations::{Member, Position, Recording, Relations, Sealed},
        secret::HolderId,
    };

    #[tokio::test]
    async fn a_member_that_comes_back_between_a_sweeps_look_and_its_removal_stays() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::start());
        let store = Embedded::open(folder.path(), clock).unwrap();
        let hour = Duration::from_secs(3600);
        let mut recording = Recording {
            entity: Entity { resource_type: "Posts".into(), id: "42".into() },
            member: Member { holder: HolderId([7; 16]), variant: None },
            expires_at: clock.now().before(hour),
            vault: Sealed(vec![1]),
            names_holder: true,
        };
        store.record(std::slice::from_ref(&recording)).await.unwrap();

        let now = clock.now();
        let (dead, _) = store.read(move |txn| Cursor::default().find_dead(txn, 10, now)).await.unwrap();
        assert_eq!(dead.keys.len(), 1);
        recording.expires_at = clock.now().after(hour);
        store.record(std::slice::from_ref(&recording)).await.unwrap();

        assert_eq!(store.writer.write(move |tables| dead.remove(tables)).await.unwrap(), 0);
        let page = store.walk(&recording.entity, Position(0), 10).await.unwrap();
        assert_eq!(page.held.len(), 1);
    }
}

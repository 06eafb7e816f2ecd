//! Recording: one pipeline for a batch, however many entities and holders it is about.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use deadpool_redis::redis::{self, Cmd};

use super::{MEMBERS_PER_CALL, RedisStore, scripts::Script, staleness};
use crate::{
    clock::Timestamp,
    relations::{Holding, Recorded, Recording, Stamp, StoreError},
};

/// A vault entry outlives its last relationship by this much.
const VAULT_OUTLIVES: Duration = Duration::from_secs(60);
/// By so much more where it is written, so that it need not be written for each relationship of its holder.
const VAULT_SLACK: Duration = Duration::from_secs(600);

/// What a recording is refused with that was not answered whole.
const UNANSWERED: StoreError = StoreError::Unreadable("answer to a recording");

/// What `record.lua` answers: the store's clock in milliseconds and as a stamp, the stale records of some entities, the values
/// of some members, each with its place, counted from 1.
type Answer = (u64, u32, Vec<(usize, String)>, Vec<(usize, Vec<u8>)>);

/// The two ends of relationships, each of which is recorded.
#[derive(Clone, Copy)]
enum Side {
    /// At their entities.
    Members,
    /// At their holders.
    Entries,
}

impl Side {
    /// The places of a batch's recordings, with those of one entity, or holder, beside each other.
    fn sorted(self, batch: &[Recording]) -> Vec<usize> {
        let hashes: Vec<u64> = batch.iter().map(|recording| self.hash(recording)).collect();
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_unstable_by(|a, b| {
            let (one, other) = (&batch[*a], &batch[*b]);
            let by_hash = hashes[*a].cmp(&hashes[*b]);
            by_hash.then_with(|| self.compare(one, other)).then(a.cmp(b))
        });
        order
    }

    fn hash(self, recording: &Recording) -> u64 {
        let mut hasher = DefaultHasher::new();
        match self {
            Self::Members => recording.entity.hash(&mut hasher),
            Self::Entries => recording.member.holder.hash(&mut hasher),
        }
        hasher.finish()
    }

    fn compare(self, one: &Recording, other: &Recording) -> std::cmp::Ordering {
        match self {
            Self::Members => one.entity.cmp(&other.entity),
            Self::Entries => one.member.holder.cmp(&other.member.holder),
        }
    }

    fn script(self) -> Script {
        match self {
            Self::Members => Script::Record,
            Self::Entries => Script::RecordEntities,
        }
    }
}

/// Some recordings by places in a batch, one call for all, and how many of each entity or holder there are.
struct Call<'a> {
    places: &'a [usize],
    groups: Vec<u8>,
}

impl RedisStore {
    pub(super) async fn record_batch(&self, batch: &[Recording]) -> Result<Vec<Recorded>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let epoch = self.pool.epoch();
        let mut pipeline = redis::pipe();
        let lives_until = |recording: &Recording| recording.expires_at.after(VAULT_OUTLIVES);
        let with_slack = |recording: &Recording| lives_until(recording).after(VAULT_SLACK);
        let vault = self.vault.missing(epoch, batch, lives_until);
        for chunk in vault.chunks(MEMBERS_PER_CALL) {
            pipeline.add_command(self.vault_call(chunk, with_slack)).ignore();
        }
        let by_entity = Side::Members.sorted(batch);
        let members = self.add_calls(Side::Members, batch, &by_entity, &mut pipeline);
        let by_holder = Side::Entries.sorted(if self.by_holder { batch } else { &[] });
        // Behind the members: whoever finds an entry may rely on its member having been there.
        let entries = self.add_calls(Side::Entries, batch, &by_holder, &mut pipeline);
        let answers: Vec<Answer> = self.query(pipeline).await?;
        if answers.len() != members.len() + entries.len() {
            return Err(UNANSWERED);
        }
        if epoch.is_some() && self.pool.epoch() != epoch {
            // What the vault was known to hold was on a server that is gone.
            return Err(StoreError::Unavailable("another server has taken over".to_owned()));
        }
        self.vault.written(epoch, &vault, with_slack);
        self.tokens.keep(vault.iter().map(|recording| (recording.member.holder, &recording.vault)));
        let mut recorded = vec![None; batch.len()];
        let (of_members, of_entries) = answers.split_at(members.len());
        for (call, answer) in members.iter().zip(of_members) {
            read_members(batch, call, answer, &mut recorded)?;
        }
        for (call, answer) in entries.iter().zip(of_entries) {
            read_entries(call, answer, &mut recorded)?;
        }
        recorded.into_iter().collect::<Option<_>>().ok_or(UNANSWERED)
    }

    fn vault_call(&self, batch: &[&Recording], until: impl Fn(&Recording) -> Timestamp) -> Cmd {
        let keys: Vec<String> =
            batch.iter().map(|recording| self.keys.vault(recording.member.holder)).collect();
        let mut call = Script::Vault.call(&keys);
        for recording in batch {
            call.arg(&recording.vault.0).arg(until(recording).0).arg(u8::from(recording.names_holder));
        }
        call
    }

    fn add_calls<'a>(
        &self,
        side: Side,
        batch: &[Recording],
        order: &'a [usize],
        pipeline: &mut redis::Pipeline,
    ) -> Vec<Call<'a>> {
        let add = |places: &'a [usize]| {
            let same = |a: &usize, b: &usize| side.compare(&batch[*a], &batch[*b]).is_eq();
            let groups: Vec<&[usize]> = places.chunk_by(same).collect();
            pipeline.add_command(self.record_call(side, batch, &groups));
            let lengths = groups.iter().filter_map(|group| u8::try_from(group.len()).ok());
            Call { places, groups: lengths.collect() }
        };
        order.chunks(MEMBERS_PER_CALL).map(add).collect()
    }

    /// One call for several entities or holders.
    fn record_call(&self, side: Side, batch: &[Recording], groups: &[&[usize]]) -> Cmd {
        let of_groups = |key: &dyn Fn(&Recording) -> String| -> Vec<String> {
            groups.iter().map(|group| key(&batch[group[0]])).collect()
        };
        let (stale, first) = match side {
            Side::Members => (
                of_groups(&|it| self.keys.stale(&it.entity)),
                of_groups(&|it| self.keys.first_bucket(&it.entity)),
            ),
            Side::Entries => (
                of_groups(&|it| self.keys.stale_of_holder(it.member.holder)),
                of_groups(&|it| self.keys.first_entities_of(it.member.holder)),
            ),
        };
        let mut call = side.script().call(&[stale, first].concat());
        let lengths: Vec<u8> = groups.iter().filter_map(|group| u8::try_from(group.len()).ok()).collect();
        call.arg(&lengths);
        for place in groups.iter().copied().flatten() {
            let recording = &batch[*place];
            match side {
                Side::Members => call.arg(recording.member.to_field()),
                Side::Entries => call.arg(Holding::of(recording).to_field()),
            };
            call.arg(&seconds_of(recording.expires_at).to_be_bytes());
        }
        call
    }
}

/// A time in whole seconds, rounded up: never early.
fn seconds_of(time: Timestamp) -> u32 {
    u32::try_from(time.0.div_ceil(1000)).unwrap_or(u32::MAX)
}

fn read_members(
    batch: &[Recording],
    call: &Call<'_>,
    (now, stamp, records, values): &Answer,
    recorded: &mut [Option<Recorded>],
) -> Result<(), StoreError> {
    let (mut places, mut records) = (call.places.iter(), records.iter().peekable());
    for (number, length) in call.groups.iter().enumerate() {
        let record = records.next_if(|(place, _)| *place == number + 1).map(|(_, record)| &**record);
        let found = staleness(record, *now)?;
        for place in places.by_ref().take(usize::from(*length)) {
            let value = u64::from(seconds_of(batch[*place].expires_at)) << 32 | u64::from(*stamp);
            let (stamp, stale, generation) = (Stamp(value), found.stale, found.generation);
            recorded[*place] = Some(Recorded { stamp, stale, generation, revoked: None });
        }
    }
    for (number, value) in values {
        let value = value.as_slice().try_into().map_err(|_| UNANSWERED)?;
        let place = number.checked_sub(1).and_then(|number| call.places.get(number)).ok_or(UNANSWERED)?;
        recorded[*place].iter_mut().for_each(|found| found.stamp = Stamp(u64::from_be_bytes(value)));
    }
    Ok(())
}

fn read_entries(
    call: &Call<'_>,
    (now, _, records, _): &Answer,
    recorded: &mut [Option<Recorded>],
) -> Result<(), StoreError> {
    let (mut places, mut records) = (call.places.iter(), records.iter().peekable());
    for (number, length) in call.groups.iter().enumerate() {
        let record = records.next_if(|(place, _)| *place == number + 1).map(|(_, record)| &**record);
        let revoked = staleness(record, *now)?.stale.map(|stale| stale.at);
        for place in places.by_ref().take(usize::from(*length)) {
            recorded[*place].iter_mut().for_each(|found| found.revoked = revoked);
        }
    }
    Ok(())
}

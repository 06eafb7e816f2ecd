//! Removing every copy of an entity, and what others see meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use decache::{
    clock::Clock,
    event::{AccessToken, Entity},
    redis_pool::RedisPool,
    relations::{Member, Recording, Relations, redis::RedisStore},
    secret::{HolderId, Keys, Secret, VaultEntry},
};

use crate::{
    Settings,
    ingest::config,
    machine::{Cores, Redis, Server, peak_mib, resident_mib},
    resp::{Pipeline, Raw},
    stats::{Row, median, per_mille},
};

/// The secret of the services that are measured, so that this program can write the index that they find.
const SECRET: &str = "a secret for benchmarks, thirty-two bytes";
/// Fields of a bucket as the raw client has it.
const BUCKET: usize = 100;
/// Keys of one UNLINK, and of one MGET.
const AT_ONCE: usize = 128;
const UNITS_AT_ONCE: usize = 8;
/// Holders whose tokens the service remembers: it does not read them from the vault a second time, so nobody has to.
const REMEMBERED: usize = 32 * 1024;

/// Rows 5 and 6.
pub(crate) async fn rows(settings: &Settings, cores: Cores) -> Vec<Row> {
    let redis = Redis::start(cores);
    let idle = Bystander::watch(redis.server.port);
    tokio::time::sleep(settings.time).await;
    let mut rows = vec![seen(&idle.leave(), "another client's GET, idle", cores, false)];
    drop(redis);
    for holders in settings.holders {
        rows.extend(of_size(settings, cores, *holders).await);
    }
    rows
}

pub(crate) async fn of_size(settings: &Settings, cores: Cores, holders: usize) -> Vec<Row> {
    let redis = Redis::start(cores);
    let config = config(&redis, "pool_size: 16")
        .replace(r#"secret: { file: "FOLDER/secret" }"#, &format!(r#"secret: {{ value: "{SECRET}" }}"#));
    let service = Server::decache(&config, cores).await;
    let before = resident_mib(service.pid());
    let client = reqwest::Client::new();
    // Small ones many times, or nothing could be measured.
    let entities = (20_000 / holders).clamp(1, 100);
    let (mut ours, mut theirs, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = if holders >= 1_000_000 { settings.rounds.min(3) } else { settings.rounds };
    for _ in 0..rounds {
        fill(&redis, holders, entities).await;
        let bystander = Bystander::watch(redis.server.port);
        let began = Instant::now();
        invalidate(&service, &client, entities, holders * entities).await;
        ours.push((holders * entities) as f64 / began.elapsed().as_secs_f64());
        waits.extend(bystander.leave());
        theirs.push(by_hand(&redis, holders, entities));
    }
    waits.sort_unstable();
    let ratio = median(ours.iter().zip(&theirs).map(|(one, other)| one / other));
    let removed = Row {
        number: 5,
        work: format!("fan-out, {holders} holders, copies deleted"),
        pinned: cores != Cores::Free,
        unit: "/s",
        service: median(ours),
        limit: Some(median(theirs)),
        ratio: Some(ratio),
        peak_mib: Some(peak_mib(service.pid()) - before),
        promise: ">= 0.85".to_owned(),
        is_kept: Some(ratio >= 0.85),
        ..Row::default()
    };
    vec![removed, seen(&waits, &format!("another client's GET, {holders} holders"), cores, true)]
}

pub(crate) fn seen(micros: &[u32], work: &str, cores: Cores, promised: bool) -> Row {
    let worst = f64::from(*micros.last().unwrap()) / 1000.0;
    let p99 = per_mille(micros, 990);
    Row {
        number: 6,
        work: work.to_owned(),
        pinned: cores != Cores::Free,
        unit: "ms worst",
        service: worst,
        latency: Some([500, 990, 999].map(|share| per_mille(micros, share))),
        promise: if promised { "p99 <= 2, worst <= 10".to_owned() } else { String::new() },
        is_kept: promised.then_some(p99 <= 2.0 && worst <= 10.0),
        ..Row::default()
    }
}

fn keys() -> Keys {
    Keys::derive(&Secret::from_text(SECRET).unwrap())
}

fn entity(number: usize) -> Entity {
    Entity { resource_type: "Posts".into(), id: number.to_string().into() }
}

/// Holders of entities, in the index and in the cache.
async fn fill(redis: &Redis, holders: usize, entities: usize) {
    let (keys, clock) = (keys(), Clock::start());
    let pool = RedisPool::new(&redis.server.url(), 4, Duration::from_secs(60)).unwrap();
    let store = RedisStore::new(pool, "decache:").by_holder(false);
    let expires_at = clock.now().after(Duration::from_secs(3600));
    let sealed: Vec<_> = (0..holders)
        .map(|n| {
            let token = AccessToken::new(token(n));
            let holder = keys.holder_id(&token);
            (holder, keys.seal(holder, &VaultEntry { token, user_id: None }))
        })
        .collect();
    for number in 0..entities {
        for sealed in sealed.chunks(512) {
            let recording = |(holder, sealed): &(_, _)| Recording {
                entity: entity(number),
                member: Member { holder: *holder, variant: None },
                expires_at,
                vault: Clone::clone(sealed),
                names_holder: false,
            };
            store.record(&sealed.iter().map(recording).collect::<Vec<_>>()).await.unwrap();
        }
        fill_cache(redis, holders, number);
    }
}

fn token(holder: usize) -> String {
    format!("tok-{holder:08}")
}

fn copy(entity: usize, holder: usize) -> Vec<u8> {
    format!("/posts/{entity}?access_token={}", token(holder)).into_bytes()
}

/// A copy of some hundred bytes for each holder.
fn fill_cache(redis: &Redis, holders: usize, entity: usize) {
    let mut raw = Raw::connect(redis.server.port);
    let body = [b'x'; 200];
    for first in (0..holders).step_by(1000) {
        let mut pipeline = Pipeline::default();
        for holder in first..(first + 1000).min(holders) {
            pipeline.add(&[b"SET", &copy(entity, holder), &body]);
        }
        raw.send(&pipeline);
    }
}

async fn invalidate(service: &Server, client: &reqwest::Client, entities: usize, copies: usize) {
    let wanted: Vec<_> = (0..entities)
        .map(|number| serde_json::json!({"resource_type": "Posts", "entity_id": number.to_string()}))
        .collect();
    let request = client
        .post(service.url("/v1/invalidations"))
        .header("prefer", "wait=60")
        .json(&serde_json::json!({"entities": wanted}));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "done in time");
    let answer: serde_json::Value = answer.json().await.unwrap();
    // A deletion whose answer is late is asked for again, and then finds fewer copies.
    assert_eq!((&answer["matched"], &answer["failed"]), (&copies.into(), &0.into()), "{answer}");
}

/// The same by a client that knows every key: read a bucket and the tokens of who is in it, remove the copies, remove the bucket.
/// Holders come in the order of their ids, as in the index, and their tokens are those that the service finds in the vault, where
/// it looks.
fn by_hand(redis: &Redis, holders: usize, entities: usize) -> f64 {
    let mut raw = Raw::connect(redis.server.port);
    let keys = keys();
    let mut ids: Vec<(HolderId, usize)> =
        (0..holders).map(|n| (keys.holder_id(&AccessToken::new(token(n))), n)).collect();
    ids.sort_unstable();
    for number in 0..entities {
        fill_cache(redis, holders, number);
        for first in (0..holders).step_by(BUCKET) {
            let mut words: Vec<Vec<u8>> = vec![b"HSET".to_vec(), bucket(number, first)];
            for holder in first..(first + BUCKET).min(holders) {
                words.extend([(holder as u128).to_be_bytes().to_vec(), b"eeeessss".to_vec()]);
            }
            raw.one(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
    let units: Vec<usize> = (0..holders).step_by(AT_ONCE).collect();
    let pipelines: Vec<Pipeline> = (0..entities)
        .flat_map(|number| units.chunks(UNITS_AT_ONCE).map(move |firsts| (number, firsts)))
        .map(|(number, firsts)| removal(number, firsts, &ids))
        .collect();
    let began = Instant::now();
    raw.send_each(pipelines.iter());
    (holders * entities) as f64 / began.elapsed().as_secs_f64()
}

fn bucket(entity: usize, first: usize) -> Vec<u8> {
    format!("raw:{{Posts:{entity}}}:h:{}", first / BUCKET).into_bytes()
}

fn removal(entity: usize, firsts: &[usize], ids: &[(HolderId, usize)]) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for first in firsts {
        let places = *first..(first + AT_ONCE).min(ids.len());
        let some = &ids[places.clone()];
        let vault = |(id, _): &(HolderId, usize)| format!("decache:{{holder:{id}}}:token").into_bytes();
        let keys = keys_of(b"MGET", some.iter().map(vault));
        let buckets: Vec<Vec<u8>> =
            places.filter(|place| place % BUCKET == 0).map(|place| bucket(entity, place)).collect();
        for bucket in &buckets {
            pipeline.add(&[b"HGETALL", bucket]);
        }
        if ids.len() > REMEMBERED {
            add(&mut pipeline, &keys);
        }
        add(&mut pipeline, &keys_of(b"UNLINK", some.iter().map(|(_, number)| copy(entity, *number))));
        if !buckets.is_empty() {
            add(&mut pipeline, &keys_of(b"UNLINK", buckets.into_iter()));
        }
    }
    pipeline
}

fn keys_of(command: &[u8], keys: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    std::iter::once(command.to_vec()).chain(keys).collect()
}

fn add(pipeline: &mut Pipeline, words: &[Vec<u8>]) {
    pipeline.add(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

/// A client of the same Redis that asks for a key once a millisecond.
pub(crate) struct Bystander {
    leaves: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u32>>,
}

impl Bystander {
    pub(crate) fn watch(port: u16) -> Self {
        let leaves = Arc::new(AtomicBool::new(false));
        let told = leaves.clone();
        let thread = std::thread::spawn(move || {
            let mut raw = Raw::connect(port);
            let mut micros = Vec::new();
            while !told.load(Ordering::Relaxed) || micros.is_empty() {
                let began = Instant::now();
                raw.one(&[b"GET", b"bystander"]);
                micros.push(began.elapsed().as_micros() as u32);
                std::thread::sleep(Duration::from_millis(1));
            }
            micros
        });
        Self { leaves, thread }
    }

    /// What it has waited, sorted, in microseconds.
    pub(crate) fn leave(self) -> Vec<u32> {
        self.leaves.store(true, Ordering::Relaxed);
        let mut micros = self.thread.join().unwrap();
        micros.sort_unstable();
        micros
    }
}

//! PlayerPro, a small API to copy from: it caches each user's response in Redis and tells decache who holds what.
//!
//! What an API owes decache is four things, and each is played in one place:
//! 1. An event is posted after the cache write or the commit, again until it is accepted: `Api::track` for reads,
//!    `outbox.rs` for writes.
//! 2. `occurred_at` of a read is when it began, before it looked in its database, and a hit carries the time of its
//!    copy: `api.rs`. Of a write it is when the commit returned: `posts.rs`.
//! 3. `expires_in` is the longest life of the copy: `Event::read` in `events.rs`, kept by `copies.rs`.
//! 4. A copy is written with a short provisional life and raised to its full one after the 202, if it is still the
//!    same copy: `copies.rs`.
//!
//! With `--channel` each process also keeps copies in its own memory, and drops those that decache names there: what such a
//! cache has to mind is in `memory.rs`.
//!
//! It knows nothing of decache but the URL that it posts to, and the channel; any language could do the same.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Parser;
use tokio::net::TcpListener;

use crate::{
    api::Api,
    copies::{Copies, Lives},
    database::Database,
    events::Decache,
    memory::Memory,
    outbox::Outbox,
    posts::{Posts, Rows},
};

mod api;
mod copies;
mod database;
mod events;
mod memory;
mod outbox;
mod posts;

/// How long a stopping API goes on posting the events of writes that it has committed.
const GRACE: Duration = Duration::from_secs(10);

/// A small API that caches per user and lets decache remove the copies.
#[derive(Parser)]
#[command(name = "playerpro")]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "PLAYERPRO_LISTEN", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// The Redis that copies are cached in.
    #[arg(long, env = "PLAYERPRO_REDIS", default_value = "redis://127.0.0.1:6379", hide_env_values = true)]
    redis: String,
    /// Where decache is.
    #[arg(long, env = "PLAYERPRO_DECACHE", default_value = "http://127.0.0.1:8080")]
    decache: String,
    /// The key that decache knows this API by (scope `ingest`), where it asks for one.
    #[arg(long, env = "PLAYERPRO_DECACHE_KEY", hide_env_values = true)]
    decache_key: Option<String>,
    /// How long a copy lives, in seconds.
    #[arg(long, default_value_t = 300)]
    ttl: u64,
    /// How long a copy lives that decache has not yet accepted, in seconds.
    #[arg(long, default_value_t = 10)]
    provisional_ttl: u64,
    /// A Redis that posts are kept in, for several processes of this API; without one they are in this process's memory.
    #[arg(long, env = "PLAYERPRO_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// The channel of that Redis on which decache tells which copies have to go (a cache of kind `pubsub`). With it, copies
    /// are kept in this process's memory too.
    #[arg(long, env = "PLAYERPRO_CHANNEL")]
    channel: Option<String>,
    /// How many copies are kept in memory.
    #[arg(long, default_value_t = 10_000)]
    memory: usize,
    /// How many posts there are at the start: ids 1 and up.
    #[arg(long, default_value_t = 20)]
    posts: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Standard output is for the address alone; errors and warnings go to standard error.
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).init();
    let args = Args::parse();
    ensure!(
        0 < args.provisional_ttl && args.provisional_ttl < args.ttl,
        "--provisional-ttl must be above 0 and below --ttl"
    );
    let lives =
        Lives { full: Duration::from_secs(args.ttl), provisional: Duration::from_secs(args.provisional_ttl) };
    let memory = match args.channel {
        Some(channel) => {
            let (memory, listening) =
                Memory::listening(args.memory, &args.redis, channel).context("--redis")?;
            tokio_util::task::TaskTracker::new().spawn(listening);
            Some(memory)
        }
        None => None,
    };
    let copies = Copies::connect(&args.redis, lives, memory).context("--redis")?;
    let decache = Decache::new(&args.decache, args.decache_key).context("--decache")?;
    let database = match &args.database {
        Some(url) => Some(Database::open(url, args.posts).await.context("--database")?),
        None => None,
    };
    let (outbox, posting) = Outbox::new(decache.clone(), database.clone());
    let posts = match database {
        Some(database) => {
            outbox.take_over(database.owed().await?);
            Posts::Shared(database)
        }
        None => Posts::InMemory(Rows::with(args.posts)),
    };
    let posting = tokio_util::task::TaskTracker::new().spawn(posting);

    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("bind {}", args.listen))?;
    announce(listener.local_addr()?)?;
    let router = api::router(Arc::new(Api::new(posts, copies, decache, outbox)));
    axum::serve(listener, router).with_graceful_shutdown(stopped()).await?;

    // The router is gone and with it the outbox's only sender, so posting ends when the last write is accepted.
    if tokio::time::timeout(GRACE, posting).await.is_err() {
        tracing::error!(
            "stopped with writes that decache has not accepted: their copies live until they expire"
        );
    }
    Ok(())
}

/// Tells whoever started this process where it listens.
fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()
}

/// Resolves on SIGTERM or Ctrl-C.
async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        interrupt.await.ok();
        return;
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}

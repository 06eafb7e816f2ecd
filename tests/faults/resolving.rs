//! A resolver that names a million holders, in answers as large as they may be: the copies of all of them go, in bounded
//! memory, and others are served meanwhile. `DECACHE_RESOLVED_HOLDERS` (1000000) says how many.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    fan_out::{copies, fewer_than, keys},
    ledger::{events, now, update},
    process::poll,
    service::Service,
    world::World,
};

/// As many as fit in the 4 MiB that an answer may have.
const PAGE: usize = 250_000;
/// Memory that it may take, in KiB, however many pages there are: one in some eightfold, and what the allocator keeps.
const MEMORY: usize = 64 << 10;

/// Knows who holds any post.
struct Resolver {
    pages: Vec<Bytes>,
    /// Its answer has no end.
    floods: AtomicBool,
}

impl Resolver {
    fn of(holders: usize) -> Self {
        let pages = holders.div_ceil(PAGE);
        let page = |page: usize| {
            let tokens = page * PAGE..holders.min((page + 1) * PAGE);
            let tokens: Vec<String> = tokens.map(|holder| format!("tok-{holder}")).collect();
            let next = (page + 1 < pages).then(|| (page + 1).to_string());
            Bytes::from(json!({ "holders": tokens, "next": next }).to_string())
        };
        Self { pages: (0..pages).map(page).collect(), floods: AtomicBool::new(true) }
    }

    /// Its URL, and what it runs in.
    async fn serve(self: &Arc<Self>) -> (String, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/{{resource_type}}/{{entity_id}}?cursor={{cursor}}",
            listener.local_addr().unwrap()
        );
        let router = Router::new().route("/Posts/{post}", get(answer)).with_state(self.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        (url, server)
    }
}

#[derive(serde::Deserialize)]
struct Asked {
    cursor: String,
}

async fn answer(State(resolver): State<Arc<Resolver>>, Query(asked): Query<Asked>) -> Response {
    if resolver.floods.load(Ordering::Relaxed) {
        let spaces = Bytes::from_static(&[b' '; 1 << 16]);
        return Body::from_stream(stream::repeat(spaces).map(Ok::<_, Infallible>)).into_response();
    }
    let page: usize = asked.cursor.parse().unwrap_or_default();
    resolver.pages[page].clone().into_response()
}

async fn fill(world: &World, post: &str, holders: usize) {
    let fill = "for i = ARGV[2], ARGV[3] do redis.call('SET', ARGV[1] .. i, 'x', 'EX', 3000) end";
    let key = format!("/posts/{post}?access_token=tok-");
    for from in (0..holders).step_by(5_000) {
        let until = holders.min(from + 5_000) - 1;
        world.cache.tell(&["EVAL", fill, "0", &key, &from.to_string(), &until.to_string()]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copies_of_a_million_holders_that_a_resolver_names_go_and_hold_up_nobody() {
    let holders: usize =
        std::env::var("DECACHE_RESOLVED_HOLDERS").map_or(1_000_000, |holders| holders.parse().unwrap());
    let resolver = Arc::new(Resolver::of(holders));
    let (url, _server) = resolver.serve().await;
    let world = World::embedded().await.set("RESOLVER", &json!({ "url": url, "timeout": 30 }));
    let service = Service::ready(&world.setup).await;
    let post = "resolved";
    fill(&world, post, holders).await;
    let idle = service.memory("VmRSS:");

    let posted: Value = service.post(&update(post, now())).await.json().await.unwrap();
    let job = format!("/v1/jobs/{}", posted["jobs"][0]["id"].as_str().unwrap());
    poll("an answer without an end is none", async || {
        let error = service.get(&job).await["last_error"].to_string();
        error.contains("more than 4194304 bytes").then_some(())
    })
    .await;
    assert!(keys(&world).await >= holders, "nobody has said yet who holds what");

    resolver.floods.store(false, Ordering::Relaxed);
    fewer_than(&world, holders - holders / 20).await;
    let others = world.ledger.read(&world.ledger.new_post(), 10).await;
    assert_eq!(service.post_and_wait(&events(&others)).await.status(), 200);
    assert_ne!(service.get(&job).await["state"], "done", "others are served meanwhile");
    for tenths in (0..10).rev() {
        fewer_than(&world, holders * tenths / 10 + 100).await;
    }
    service.wait_until_done().await;
    let (highest, named) = (service.memory("VmHWM:"), service.metric("decache_resolved_holders_total").await);
    println!(
        "resolver: {named} of {holders} holders named, {} KiB above {idle}",
        highest.saturating_sub(idle)
    );
    assert!(named >= holders as f64);
    assert_eq!(copies(&world).await, 10, "others' copies are left");
    assert!(highest < idle + MEMORY, "{highest} KiB, {idle} KiB when idle");
}

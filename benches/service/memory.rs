//! What a fan-out over very many holders needs, and what others see of it.

use std::time::Instant;

use crate::{
    Settings,
    fan_out::{Bystander, seen},
    filled::{Filler, config_of, entity},
    machine::{Cores, Redis, Server, Traffic, peak_mib, resident_mib},
    stats::Row,
};

/// Row 9, of the service's memory, and row 6 at that size. Nothing is in the cache: its copies would take many times the
/// memory of the index, and change nothing about the service's.
pub(crate) async fn rows(settings: &Settings) -> Vec<Row> {
    let holders = settings.very_large;
    let redis = Redis::start(Cores::Free);
    let service = Server::decache(&config_of(&redis, "pool_size: 16"), Cores::Free).await;
    Filler::new(&redis, false).hold(&entity("Posts", "1"), holders).await;
    let client = reqwest::Client::new();
    let before = resident_mib(service.pid());
    let traffic = Traffic::of(&redis);
    let (cpu, redis_cpu) = (service.cpu(), redis.cpu());
    let bystander = Bystander::watch(redis.server.port);
    let began = Instant::now();
    let asked = serde_json::json!({"entities": [{"resource_type": "Posts", "entity_id": "1"}]});
    let answer = client.post(service.url("/v1/invalidations")).json(&asked).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    service.idle(&client).await;
    let took = began.elapsed();
    let waits = bystander.leave();
    let more = peak_mib(service.pid()) - before;
    let each = |cpu: std::time::Duration| cpu.as_secs_f64() * 1e6 / holders as f64;
    let (received, sent) = Traffic::of(&redis).since(traffic);
    let what = format!("fan-out of {holders} holders");
    let bytes = |way: &str, bytes: u64| Row {
        number: 14,
        work: format!("{what}, bytes {way} Redis for each"),
        unit: "bytes",
        service: bytes as f64 / holders as f64,
        ..Row::default()
    };
    vec![
        Row {
            number: 9,
            work: format!("{what}, memory above idle"),
            unit: "MiB",
            service: more,
            promise: "<= 32 MiB".to_owned(),
            is_kept: Some(more <= 32.0),
            ..Row::default()
        },
        Row {
            number: 14,
            work: format!("{what}, nothing cached"),
            unit: "/s",
            service: holders as f64 / took.as_secs_f64(),
            cpu: Some(each(service.cpu() - cpu)),
            cpu_of_redis: Some(each(redis.cpu() - redis_cpu)),
            ..Row::default()
        },
        bytes("to", received),
        bytes("from", sent),
        seen(&waits, &format!("another client's GET, {holders} holders, nothing cached"), Cores::Free, true),
    ]
}

//! Reads that are posted no faster than they are recorded, for a while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    http::{Connection, Requests, load},
    machine::{Redis, Server},
};

/// Clients wait while more jobs than this are queued.
const QUEUED: u64 = 20_000;
const CONNECTIONS: u32 = 4;

/// What a while of them has cost.
#[derive(Clone, Copy)]
pub(crate) struct Sustained {
    pub(crate) reads: u64,
    /// Reads recorded a second.
    pub(crate) rate: f64,
    /// CPU time of the service for each, in microseconds.
    pub(crate) cpu: f64,
    pub(crate) cpu_of_redis: f64,
}

/// Posts requests of `size` reads each as fast as they are recorded, and waits until all of them are. `waiting` jobs of
/// others stay queued.
pub(crate) async fn at_most(
    (service, redis): (&Server, &Redis),
    requests: &Arc<Requests>,
    (size, waiting): (u64, u64),
    time: Duration,
) -> Sustained {
    let client = reqwest::Client::new();
    let (began, cpu, redis_cpu) = (Instant::now(), service.cpu(), redis.cpu());
    let mut posted = 0;
    while began.elapsed() < time {
        let load =
            load(&service.address, requests, CONNECTIONS as usize, Duration::from_millis(25), "202").await;
        posted += load.requests as u64 * size;
        while service.queued(&client).await > waiting + QUEUED {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    while service.queued(&client).await > waiting {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = began.elapsed();
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / posted as f64;
    Sustained {
        reads: posted,
        rate: posted as f64 / took.as_secs_f64(),
        cpu: each(service.cpu() - cpu),
        cpu_of_redis: each(redis.cpu() - redis_cpu),
    }
}

/// Goes on posting requests, so many a second, whether or not the last was answered soon. It ends when it is aborted.
pub(crate) fn at_pace(
    service: &Server,
    requests: &Arc<Requests>,
    per_second: f64,
) -> Vec<tokio::task::JoinHandle<()>> {
    let every = Duration::from_secs_f64(f64::from(CONNECTIONS) / per_second);
    (0..CONNECTIONS)
        .map(|first| {
            let (requests, address) = (requests.clone(), service.address.clone());
            tokio::spawn(async move {
                let mut connection = Connection::to(&address).await;
                let mut interval = tokio::time::interval_at(
                    tokio::time::Instant::now() + every * first / CONNECTIONS,
                    every,
                );
                loop {
                    for request in requests.each() {
                        interval.tick().await;
                        connection.ask(request, "HTTP/1.1 202").await;
                    }
                }
            })
        })
        .collect()
}

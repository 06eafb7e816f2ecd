//! Strangers: clients that are slow, silent, greedy or clever, against a real process. Whatever they do, the requests of
//! another client succeed meanwhile: that is what each test asserts, and no time is measured.

#[path = "../support/process.rs"]
mod process;
#[path = "../support/redis_server.rs"]
mod redis_server;

mod config;
mod connections;
mod escaping;
mod framing;
mod heads;
mod logs;
mod payloads;
mod service;

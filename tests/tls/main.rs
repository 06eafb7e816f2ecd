//! TLS with real handshakes: decache as a process, asked by curl, beside a redis-server and an nginx that speak nothing else. All
//! bring OpenSSL, so neither side of a handshake meets its own library.

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/redis_server.rs"]
mod redis_server;

mod http;
mod purge;
mod redis;
mod service;

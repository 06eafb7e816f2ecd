//! decache: per-user cache invalidation as a service.
//!
//! An API posts what its users read and change. [`http`] takes the events and [`event`] parses them; [`ingest`] asks
//! [`rules`] where they go and [`enrich`] what jobs they make, and pushes these to the [`queue`], which knows their order.
//! A [`worker`] takes many at a time and runs each by its hook ([`hooks`]): `cache` records in [`relations`] that a holder has
//! a copy, `invalidate` walks an entity's holders and removes their copies from [`caches`], `revoke` all that one holder holds. A hook answers with an outcome;
//! jobs that follow from it go back to the queue. What would come of an event, and why, is told by [`explain`]. Who holds what is shown by [`lookup`]. [`app`] wires all of this, and
//! [`cli`] starts it.

#[cfg(test)]
extern crate self as decache;

/// The simulated store keeps the contract that the real ones keep.
#[cfg(test)]
#[macro_use]
#[path = "../tests/relations/contract/mod.rs"]
mod contract;

pub mod app;
pub mod caches;
mod clause;
pub mod cli;
pub mod clock;
pub mod config;
pub mod current;
pub mod dead_letters;
pub mod demo;
pub mod enrich;
pub mod event;
pub mod explain;
pub mod fan_out;
pub mod feed;
pub mod health;
pub mod history;
pub mod hooks;
pub mod http;
pub mod http_client;
pub mod in_force;
pub mod ingest;
pub mod job;
pub mod journal;
pub mod judge;
pub mod lookup;
pub mod losses;
pub mod metrics;
pub mod notebook;
pub mod open_files;
pub mod otlp;
pub mod queue;
mod recent;
pub mod reconcile;
pub mod redis_pool;
pub mod relations;
pub mod resolver;
pub mod resource;
pub mod retired;
pub mod rules;
pub mod secret;
#[cfg(test)]
mod simulation;
pub mod telemetry;
pub mod template;
pub mod tls;
pub mod trace;
pub mod trust;
pub mod upkeep;
pub mod window;
pub mod worker;

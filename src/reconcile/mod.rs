//! Index and caches, compared as they are.

mod pace;
mod sweep;

pub use sweep::{Sweep, SweepError, Swept};

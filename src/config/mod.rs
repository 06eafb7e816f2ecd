//! The configuration, a file for each section.

pub mod resources;
pub mod rules;

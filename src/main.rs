//! The decache binary.

fn main() {}

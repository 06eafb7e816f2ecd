//! The targets of `tests/fuzz`, for libFuzzer.

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

/// Runs the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = targets::ALL.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target(data);
}

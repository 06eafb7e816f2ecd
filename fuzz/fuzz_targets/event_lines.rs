#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| decache_fuzz::run("event_lines", data));

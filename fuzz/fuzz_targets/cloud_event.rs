#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| decache_fuzz::run("cloud_event", data));

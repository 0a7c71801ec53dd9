#![no_main]

#[path = "../properties/fast_path.rs"]
mod fast_path;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fast_path::holds(input));

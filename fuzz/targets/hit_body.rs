#![no_main]

#[path = "../properties/hit_body.rs"]
mod hit_body;

libfuzzer_sys::fuzz_target!(|input: &[u8]| hit_body::holds(input));

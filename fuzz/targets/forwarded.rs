#![no_main]

#[path = "../properties/forwarded.rs"]
mod forwarded;

libfuzzer_sys::fuzz_target!(|input: &[u8]| forwarded::holds(input));

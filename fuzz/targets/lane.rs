#![no_main]

#[path = "../properties/lane.rs"]
mod lane;

libfuzzer_sys::fuzz_target!(|input: &[u8]| lane::holds(input));

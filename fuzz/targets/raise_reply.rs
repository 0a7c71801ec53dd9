#![no_main]

#[path = "../properties/raise_reply.rs"]
mod raise_reply;

libfuzzer_sys::fuzz_target!(|input: &[u8]| raise_reply::holds(input));

#![no_main]

#[path = "../properties/page_address.rs"]
mod page_address;

libfuzzer_sys::fuzz_target!(|input: &[u8]| page_address::holds(input));

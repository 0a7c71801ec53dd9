#![no_main]

#[path = "../properties/journal_row.rs"]
mod journal_row;

libfuzzer_sys::fuzz_target!(|input: &[u8]| journal_row::holds(input));

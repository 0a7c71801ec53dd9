#![no_main]

#[path = "../properties/blank_node.rs"]
mod blank_node;
#[path = "../properties/query.rs"]
mod query;

libfuzzer_sys::fuzz_target!(|input: &[u8]| query::holds(input));

//! `cargo bench --bench parts`: the cost of each part by itself.
//!
//! The end-to-end bench shows a hit's cost, this one its shares. `-- commit` measures only names with
//! `commit` in them; criterion compares with its last run.

#[path = "../../fuzz/properties/blank_node.rs"]
mod blank_node;
mod bots;
mod figures;
mod hit;
mod import;
mod ledger;
mod merge_counts;
mod page;
mod reads;
mod recovery;
mod tally;
mod visitors;

#[path = "../drive/mod.rs"]
mod drive;

use criterion::{Criterion, criterion_group, criterion_main};

/// The program's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group! {
    name = parts;
    config = Criterion::default().sample_size(30);
    targets = bots::bench, hit::bench, import::bench, tally::bench, ledger::bench, figures::bench, merge_counts::bench, page::bench, reads::bench, recovery::bench,
        visitors::bench
}
criterion_main!(parts);

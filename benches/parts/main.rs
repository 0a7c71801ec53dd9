//! `cargo bench --bench parts`: what each part costs by itself.
//!
//! The end-to-end bench says what a hit costs, this one where it goes. `-- commit` measures only
//! what has `commit` in its name; criterion compares with its last run.

mod admission;
#[path = "../../fuzz/properties/blank_node.rs"]
mod blank_node;
mod figures;
mod ledger;
mod raise;
mod recovery;
mod tally;
mod visitors;

#[path = "../drive/mod.rs"]
mod drive;

use criterion::{Criterion, criterion_group, criterion_main};

/// As the program allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group! {
    name = parts;
    config = Criterion::default().sample_size(30);
    targets = admission::bench, tally::bench, ledger::bench, figures::bench, raise::bench, recovery::bench,
        visitors::bench
}
criterion_main!(parts);

//! Properties of every parser of untrusted input, for arbitrary bytes.
//!
//! Each stands here once: the targets beside this folder try to break it, and `tests/corpus.rs` replays their
//! findings.

mod blank_node;
pub mod csv_import;
pub mod fast_path;
pub mod forwarded;
pub mod hit_body;
pub mod journal_row;
pub mod page_address;
pub mod query;
pub mod raise_reply;

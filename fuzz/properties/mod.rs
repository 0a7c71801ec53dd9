//! What must hold of every reader of what strangers send, for whatever bytes.
//!
//! Said once: the targets beside this folder try to break it, and `tests/corpus.rs` replays in it
//! what they have found.

mod blank_node;
pub mod csv_import;
pub mod fast_path;
pub mod forwarded;
pub mod hit_body;
pub mod journal_row;
pub mod page_address;
pub mod query;
pub mod raise_reply;

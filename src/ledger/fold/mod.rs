//! Folding: adding the journal to `counts` in small steps.

pub mod entry;
pub mod mark;
pub mod sort;
pub mod unfolded;

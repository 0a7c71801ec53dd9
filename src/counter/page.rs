//! Pages: their address, and the length of lists of them.

pub use crate::page::{PAGE_RULE_VERSION, PageAddress};

/// Most pages in a list of the most read.
pub const TOP_MAX: usize = 100;

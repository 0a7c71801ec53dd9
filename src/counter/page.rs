//! Pages: their address, and the length of lists of them.

pub use crate::page::PageAddress;

/// Most pages in a list of the most read.
pub const TOP_MAX: usize = 100;

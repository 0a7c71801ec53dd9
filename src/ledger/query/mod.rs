//! Reads of the file beside the commits: exports, and the state before an import.

pub mod export;
pub mod import;
pub mod reader;

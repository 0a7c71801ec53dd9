//! Reads of the file beside the commits: pages, exports, and the state before an import.

pub mod export;
pub mod import;
pub mod pages;
pub mod reader;

//! Reads of the file beside the commits: exports, the state before an import, and its lines.

pub mod export;
pub mod import;
pub mod import_file;
pub mod reader;
pub mod sort;

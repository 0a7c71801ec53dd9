//! The write path: workers' batches, the command queue, and the committer, which owns the file.

pub mod batch;
pub mod checkpointer;
pub mod commands;
pub mod commit_future;
pub mod committer;
mod editor_rules;
pub mod failure;
pub mod file_writer;
pub mod folding;
pub mod queue;
pub mod state;
mod tokens;
mod vouch;

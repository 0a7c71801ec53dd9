//! Hits: reading, checking, filtering and counting them.

pub mod bot_filter;
pub mod dedup;
pub mod handler;
pub mod outcome;
pub mod page_url;
pub mod payload;
pub mod rate_limit;
mod rate_table;
pub mod site;
mod text_cache;
mod visitor;

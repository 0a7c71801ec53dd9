//! Hits: reading, checking, filtering and counting them.

mod bot_filter;
pub mod canonical;
pub mod dedup;
pub mod handler;
mod live_hits;
mod outcome;
pub mod page_url;
pub mod parameters;
pub mod payload;
pub mod rate_limit;
mod rate_table;
pub mod site;
mod text_cache;
mod visitor;
pub mod warnings;

pub use canonical::{Canonicals, Claim, Ignored};
pub use dedup::Dedup;
pub use handler::HitHandler;
pub use live_hits::{LiveHit, LiveHits};
pub use outcome::{HitOutcome, ProcessedHit};
pub use page_url::page_of;
pub use parameters::Parameters;
pub use payload::Payload;
pub use rate_limit::{Limit, Per, Rate, RateLimiter, RateLimits, WhenExceeded};
pub use warnings::Warnings;

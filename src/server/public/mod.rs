//! Public listener: hits, figures, pages, history and assets, for pages and their readers.

mod answer;
mod assets;
pub mod chart;
mod closed;
pub mod figures;
mod handler;
#[doc(hidden)]
pub mod history;
#[doc(hidden)]
pub mod history_blocks;
mod home;
mod hot;
pub mod listed_pages;
mod minify;
pub mod names;
#[doc(hidden)]
mod page_history;
pub mod pages;
#[doc(hidden)]
pub mod query;
pub mod question;
#[doc(hidden)]
pub mod ranged_top;
pub mod ranges;
mod read;
mod turns;

use std::sync::Arc;

pub use handler::PublicService;

use super::hit::{Canonicals, Dedup, LiveHits, Parameters, RateLimiter};
use super::net::{ConnectionLimit, Timeouts, TrustedProxies};
use super::refusals::Refusals;

/// Settings of the public listener, and the state that its workers share.
#[derive(Debug, Clone)]
pub struct PublicSettings {
    /// Path under which the listener is served, for example `/tk`; empty for the root.
    pub path_prefix: String,
    /// Serves the demo article page in place of the home page.
    pub demo: bool,
    /// Serves the editors' page too, to which the home page then links.
    pub has_editors_page: bool,
    /// Clients have limits of new pages; benches turn them off.
    pub limits_new_pages: bool,
    pub trusted_proxies: TrustedProxies,
    pub rate_limiter: Arc<RateLimiter>,
    pub dedup: Arc<Dedup>,
    pub canonicals: Arc<Canonicals>,
    pub parameters: Arc<Parameters>,
    pub live_hits: Arc<LiveHits>,
    pub refusals: Arc<Refusals>,
    pub timeouts: Timeouts,
    pub connection_limit: Arc<ConnectionLimit>,
}

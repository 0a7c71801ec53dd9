//! HTTP server: one single-threaded worker per core, each with its own listening socket.
//!
//! ```text
//! ports           what the server needs of the node
//! routes          the listeners' tables of paths
//! net             sockets, connections, their deadlines and limits
//! http            requests, answers, headers, errors
//! hit             a hit: read, checked, filtered, counted
//! refusals        refused requests: summaries for the log, a bounded memory of hits, and what to do
//! session         what a browser keeps after a login
//! hot_endpoints   requests and replies of the most used endpoints
//! fast_path       parses and writes those without hyper
//! public, admin   the listeners' endpoints
//! manage          the editors' pages
//! openapi         their description
//! series          metrics that stand at 0 from the start
//! service         a listener's endpoints, as the driver calls them
//! driver          runs a connection: fast path, then hyper
//! ```
//! Dependencies go from the bottom of this list to its top; a test holds them. Within a worker only
//! the node, the metrics and what the settings name are shared with other threads, so there are few
//! locks. Nothing borrowed is held across an await.
//!
//! Public and hidden items are for `fuzz/properties`, which calls the parsers of strangers' input.

mod admin;
mod driver;
mod fast_path;
pub mod hit;
mod hot_endpoints;
mod http;
mod manage;
mod net;
mod openapi;
pub mod ports;
mod public;
mod refusals;
pub mod routes;
pub mod series;
mod service;
mod session;

use std::future::Future;
use std::sync::Arc;

pub use admin::AdminSettings;
pub use admin::auth::{Token, Tokens};
pub use admin::pages as page_list;
pub use admin::reload::{Order, ReloadOrders, SiteChanges};
pub use admin::sites::ListedSite;
pub use admin::tokens as token_list;
pub use http::ClientIp;
pub use manage::{Dashboard, Entrance, ManageSettings};
pub use net::{ConnectionLimit, ForwardedField, IMPORT_BYTES_MAX, Listener, Timeouts, TrustedProxies, bind, bind_unix};
pub use public::PublicSettings;
pub use public::ranges::SEARCHED_MAX;
pub use refusals::Refusals;
pub use refusals::advice::SitesSource;
pub use refusals::listed as refused_list;
#[doc(hidden)]
pub use {
    driver::protocol,
    fast_path::parse::PlainRequest,
    hot_endpoints::Request,
    http::{Field, HeaderFields},
    public::{history, history_blocks, pages, query, ranged_top},
};

use crate::metrics::Metrics;
use driver::Driver;
use manage::{Door, Manage, Mounted};
use ports::Node;

/// Serves the public listener until `shutdown` resolves and requests in flight are answered.
///
/// Runs on the current thread's local runtime.
pub async fn serve_public<N: Node>(
    listener: Listener,
    node: Arc<N>,
    settings: Arc<PublicSettings>,
    manage: Arc<ManageSettings>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) {
    let (timeouts, limit) = (settings.timeouts, Arc::clone(&settings.connection_limit));
    let is_managed = manage.dashboard.is_on_public();
    let manage = is_managed.then(|| Manage::new(Arc::clone(&node), Door::Public, manage, &metrics));
    let service = Mounted::new(public::PublicService::new(node, settings, metrics), manage);
    net::run(listener, Driver::new(service), timeouts, limit, shutdown).await;
}

/// Serves the admin listener in the same way.
pub async fn serve_admin<N: Node>(
    listener: Listener,
    node: Arc<N>,
    settings: Arc<AdminSettings>,
    manage: Arc<ManageSettings>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) {
    let limit = Arc::clone(&settings.connection_limit);
    let door = Door::Admin { tokens: settings.tokens.clone() };
    let is_managed = manage.dashboard.is_on_admin();
    let manage = is_managed.then(|| Manage::new(Arc::clone(&node), door, manage, &metrics));
    let service = Mounted::new(admin::AdminService::new(node, settings, metrics), manage);
    net::run(listener, Driver::new(service), Timeouts::of_admin(), limit, shutdown).await;
}

//! The HTTP server: one single-threaded worker per core, each with its own listening socket.
//!
//! `listener` accepts, `wire` is a socket that knows how long its client has been slow, `connection`
//! speaks HTTP/1 on it (in the `lane` what is asked most, through hyper all else), and `public` or
//! `admin` answers: each endpoint in its own file, every refusal in `refusal`. Within a worker nothing
//! is shared with another thread but the node and the metrics, so there are no locks, and nothing
//! borrowed is held across an await.
//!
//! What is public and hidden from these pages is so for `fuzz/properties`, which calls the readers of
//! what strangers send.

mod admin;
mod admin_router;
pub mod admission;
mod answer;
mod assets;
mod body;
mod chart;
mod client;

mod connection;
mod cors;
mod credentials;
mod fields;
mod figures;
mod framing;
mod fresh;
#[doc(hidden)]
pub mod history;
pub mod hit;
mod hit_fields;
mod host;
mod lane;
mod latency;
mod limits;
mod listener;
mod most_asked;
pub mod node;
mod occupancy;
mod openapi;
#[doc(hidden)]
pub mod pages;
mod public;
mod rate_table;
mod recent;
mod refusal;
pub mod repeats;
mod request_id;
mod router;
mod screen;
pub mod series;
mod shared;
mod socket;
mod visit;
#[doc(hidden)]
pub mod wanted;
mod wire;

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

pub use client::{ForwardedField, Sender, TrustedProxies};
pub use credentials::{Token, Tokens};
pub use limits::Limits;
pub use listener::{bind, bind_unix};
pub use occupancy::Occupancy;
pub use socket::Listener;
#[doc(hidden)]
pub use {
    client::household,
    connection::protocol,
    fields::{Field, HeaderFields},
    lane::PlainRequest,
    most_asked::Asked,
    router::SCRIPT_VERSIONED,
};

use crate::metrics::Metrics;
use admission::Admission;
use node::Node;

/// How the public listener is set up.
#[derive(Debug, Clone, Default)]
pub struct PublicSettings {
    /// Served under another path, for example `/tk`; empty for the root.
    pub path_prefix: String,
    /// Whether the demo article page is served.
    pub demo: bool,
    /// Clients have limits of their own for new pages; not for benches.
    pub limits_clients: bool,
    pub trusted_proxies: TrustedProxies,
    pub admission: Arc<Admission>,
    pub limits: Limits,
    pub occupancy: Arc<Occupancy>,
}

/// How the admin listener is set up.
#[derive(Debug, Clone, Default)]
pub struct AdminSettings {
    pub tokens: Tokens,
    /// Host names by which operators reach the listener, besides localhost and the address itself.
    pub names: Vec<String>,
    pub limits: Limits,
    pub occupancy: Arc<Occupancy>,
}

/// Serves pages and their readers until `shutdown` resolves and what is in flight has been answered.
///
/// Runs on the current thread's local runtime.
pub async fn serve_public<N: Node>(
    listener: impl Into<Listener>,
    node: Arc<N>,
    settings: Arc<PublicSettings>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) {
    let (limits, occupancy) = (settings.limits, Arc::clone(&settings.occupancy));
    let public = Rc::new(public::Public::new(node, settings, metrics));
    listener::serve(listener.into(), public, limits, occupancy, shutdown).await;
}

/// Serves operators and their tools, likewise.
pub async fn serve_admin<N: Node>(
    listener: impl Into<Listener>,
    node: Arc<N>,
    settings: Arc<AdminSettings>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) {
    let (limits, occupancy) = (settings.limits, Arc::clone(&settings.occupancy));
    let admin = Rc::new(admin::Admin::new(node, settings, metrics));
    listener::serve(listener.into(), admin, limits, occupancy, shutdown).await;
}

//! The HTTP server: one single-threaded worker per core, each with its own listening socket.
//!
//! `listener` accepts, `wire` is a socket that knows how long its client has been slow, `connection`
//! speaks HTTP/1 on it, and `public` or `admin` answers: each endpoint in its own file, every refusal
//! in `refusal`. Within a worker nothing is shared with another thread but the node and the
//! metrics, so there are no locks, and nothing borrowed is held across an await.

mod admin;
mod answer;
mod assets;
mod body;
mod chart;
mod client;
mod clock;
mod connection;
mod cors;
mod durations;
mod figures;
mod framing;
mod fresh;
mod history;
pub mod hit;
mod host;
mod limits;
mod listener;
pub mod node;
mod pages;
mod public;
mod recent;
mod refusal;
pub mod repeats;
mod router;
mod screen;
mod shared;
mod wanted;
mod wire;

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

pub use limits::Limits;
pub use listener::bind;

use crate::metrics::Metrics;
use node::Node;

/// How the public listener is set up.
#[derive(Debug, Clone, Default)]
pub struct PublicSettings {
    /// Served under another path, for example `/tk`; empty for the root.
    pub path_prefix: String,
    /// Whether the demo article page is served.
    pub demo: bool,
    /// Clients have limits of their own; not for benches.
    pub limits_clients: bool,
    pub limits: Limits,
}

/// How the admin listener is set up.
#[derive(Clone, Default)]
pub struct AdminSettings {
    /// What `Authorization: Bearer` must carry, where set.
    pub token: Option<String>,
    /// Host names by which operators reach the listener, besides localhost and the address itself.
    pub names: Vec<String>,
    pub limits: Limits,
}

impl std::fmt::Debug for AdminSettings {
    /// Without the token, which must not get into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminSettings")
            .field("token", &self.token.as_ref().map(|_| "(secret)"))
            .field("names", &self.names)
            .field("limits", &self.limits)
            .finish()
    }
}

/// Serves pages and their readers until `shutdown` resolves and what is in flight has been answered.
///
/// Runs on the current thread's local runtime.
pub async fn serve_public<N: Node>(
    listener: std::net::TcpListener,
    node: Arc<N>,
    settings: Arc<PublicSettings>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) {
    let limits = settings.limits;
    let public = Rc::new(public::Public::new(node, settings, metrics));
    listener::serve(listener, public, limits, shutdown).await;
}

/// Serves operators and their tools, likewise.
pub async fn serve_admin<N: Node>(
    listener: std::net::TcpListener,
    node: Arc<N>,
    settings: Arc<AdminSettings>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) {
    let limits = settings.limits;
    let admin = Rc::new(admin::Admin::new(node, settings, metrics));
    listener::serve(listener, admin, limits, shutdown).await;
}

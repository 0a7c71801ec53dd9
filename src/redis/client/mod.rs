//! Connection to Redis: target, connecting, scripts, replies, and what is wrong with it.

pub mod connect;
pub mod connection;
pub mod health;
pub mod link;
pub mod policy;
pub mod preflight;
pub mod reply;
pub mod server_time;
pub mod suspects;
pub mod target;

pub use self::connection::{Connections, Lease};
pub use self::link::{Link, Scripted};
pub use self::reply::{Fault, connection_lost, fault_of, reason_of, text, unexpected};

/// Redis, as the parts of a node share it.
pub struct Shared {
    pub keys: super::keys::Keys,
    pub connections: Connections,
    pub health: health::Health,
    pub server_time: server_time::ServerTime,
    pub suspects: suspects::Suspects,
}

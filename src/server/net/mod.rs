//! Sockets and connections: binding, accepting, deadlines, and limits on how many there are.

pub mod bind;
pub mod conn_state;
pub mod connection_limit;
pub mod guarded_io;
pub mod limits;
pub mod listener;
pub mod socket;
pub mod trusted_proxies;

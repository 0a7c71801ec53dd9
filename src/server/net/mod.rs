//! Sockets and connections: binding, accepting, deadlines, and limits on how many there are.

mod conn_state;
mod connection_limit;
mod gate;
mod limits;
mod listener;
mod socket;
mod trusted_proxies;

pub use conn_state::{CoarseClock, ConnError, ConnState, GuardedIo, Order, Phase};
pub use connection_limit::ConnectionLimit;
pub use limits::{
    DRAIN, HEAD_BYTES_MAX, HEADER_FIELDS_MAX, HIT_BYTES_MAX, IMPORT_BYTES_MAX, SWEEP, Timeouts, URI_BYTES_MAX,
};
pub use listener::{Serve, run};
pub use socket::{Listener, Stream, bind, bind_unix, socket};
pub use trusted_proxies::{ForwardedField, TrustedProxies};

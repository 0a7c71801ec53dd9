//! How long a client may take for each phase of a request, and how much it may send.

use std::time::Duration;

/// Limits of a listener's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From a connection's start, or from a request's first byte, to the end of its head.
    pub head: Duration,
    /// From the end of the head to the end of the body.
    pub body: Duration,
    /// Until an answer has been taken.
    pub write: Duration,
    /// Each byte that is taken gives the client that time again: for answers that may be long.
    pub write_renews: bool,
    /// Between requests.
    pub idle: Duration,
    /// How long a shutdown waits for what is in flight.
    pub drain: Duration,
    /// How often connections are looked through: a deadline is never early, and at most twice this late.
    pub sweep: Duration,
    /// An import's size; every other body's is fixed.
    pub import_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(5),
            write: Duration::from_secs(10),
            write_renews: false,
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            sweep: Duration::from_millis(500),
            import_bytes: 64 << 20,
        }
    }
}

impl Limits {
    /// An operator's import may be large and his line slow.
    pub fn of_admin() -> Self {
        Self { body: Duration::from_secs(600), write_renews: true, ..Self::default() }
    }
}

/// The request line and all header fields.
pub const HEAD_BYTES_MAX: usize = 8 << 10;

/// A little below the head's size, so that an address that is too long is told from a head that is.
pub const URI_BYTES_MAX: usize = 6 << 10;

pub const HEADER_FIELDS_MAX: usize = 64;

/// The body of a hit.
pub const HIT_BYTES_MAX: usize = 4 << 10;

//! Limits on the time that a client may take and on the bytes that it may send.

use std::time::Duration;

/// Time that a connection may spend in each phase of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From a connection's start, or from a request's first byte, to the end of its head.
    pub head: Duration,
    /// From the end of the head to the end of the body.
    pub body: Duration,
    /// Until the client has taken an answer.
    pub write: Duration,
    /// Each byte that the client takes starts `write` again: for answers that may be long.
    pub write_renews: bool,
    /// Between requests.
    pub idle: Duration,
}

impl Timeouts {
    /// Timeouts of the admin listener: an import may be large and the operator's line slow.
    pub fn of_admin() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(600),
            write: Duration::from_secs(10),
            write_renews: true,
            idle: Duration::from_secs(60),
        }
    }
}

/// Interval at which deadlines are checked. A deadline is never early, and at most twice this late.
pub const SWEEP: Duration = Duration::from_millis(500);

/// Time that a shutdown waits for requests in flight.
pub const DRAIN: Duration = Duration::from_secs(10);

/// The request line and all header fields.
pub const HEAD_BYTES_MAX: usize = 8 << 10;

/// Path and query. Below the head's size, so that a long address differs from a large head.
pub const URI_BYTES_MAX: usize = 6 << 10;

pub const HEADER_FIELDS_MAX: usize = 64;

/// The body of a hit.
pub const HIT_BYTES_MAX: usize = 4 << 10;

/// The body of an import.
pub const IMPORT_BYTES_MAX: usize = 64 << 20;

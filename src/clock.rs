//! The clocks. Nothing else reads them: all other code gets the time as an argument or calls `now`.

mod kernel;

use std::time::Duration;

use chrono::{DateTime, Utc};

pub use kernel::is_synchronised;

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the place that the lint sends all others to")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Time since the machine started, its sleep included. Nobody sets this clock.
pub fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

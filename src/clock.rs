//! The wall clock. Nothing else reads it: all other code gets the time as an argument or calls `now`.

use chrono::{DateTime, Utc};

#[expect(clippy::disallowed_methods, reason = "this is the place that the lint sends all others to")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

//! The one place where the wall clock is read; everything below gets the time as an argument.

use chrono::{DateTime, Utc};

pub fn now() -> DateTime<Utc> {
    Utc::now()
}

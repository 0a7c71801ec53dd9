//! Limits of failed attempts to open the editors' pages, of each address and of all together.
//!
//! Only failures count: editors who share an address don't use up each other's. Once there are too many, also a right token
//! is refused, since an answer would tell that it is right.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use crate::counter::ClientPrefix;
use crate::server::hit::rate_table::RateTable;
use crate::server::http::HttpError;

/// Failures of an address at once, and the time after which it has one more.
const OF_ADDRESS: u32 = 10;
const OF_ADDRESS_INTERVAL: Duration = Duration::from_secs(30);
/// The same of all addresses.
const OF_ALL: u32 = 1_000;
const OF_ALL_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Attempts {
    of_address: RateTable,
    of_all: RateTable,
    secret: RandomState,
    started: Instant,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            of_address: RateTable::new(OF_ADDRESS_INTERVAL, OF_ADDRESS),
            of_all: RateTable::new(OF_ALL_INTERVAL, OF_ALL),
            secret: RandomState::new(),
            started: Instant::now(),
        }
    }
}

impl Attempts {
    /// Refuses an attempt where too many have failed. All clients without an address are one.
    pub fn check(&self, client: Option<ClientPrefix>, now: Instant) -> Result<(), HttpError> {
        let now = now.saturating_duration_since(self.started);
        let of_address = self.of_address.wait(self.secret.hash_one(client), now);
        let Some(wait) = of_address.or_else(|| self.of_all.wait(0, now)) else { return Ok(()) };
        // Whole seconds, rounded up: a retry after them is never too early.
        let seconds = wait.as_millis().div_ceil(1_000).max(1) as u64;
        let detail = format!("too many failed attempts; try again in {seconds} s");
        let error = HttpError::new(StatusCode::TOO_MANY_REQUESTS, "attempts", detail);
        Err(HttpError { retry_after_seconds: Some(seconds), ..error })
    }

    pub fn note_failure(&self, client: Option<ClientPrefix>, now: Instant) {
        let now = now.saturating_duration_since(self.started);
        // Beyond the limit there is nothing left to take.
        let _ = self.of_address.take(self.secret.hash_one(client), now);
        let _ = self.of_all.take(0, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> Option<ClientPrefix> {
        Some(ClientPrefix::of(std::net::Ipv4Addr::from_bits(number).into()))
    }

    #[test]
    fn an_address_that_fails_too_often_waits_and_others_do_not() {
        let attempts = Attempts::default();
        let at = |seconds| attempts.started + Duration::from_secs(seconds);
        for _ in 0..OF_ADDRESS {
            assert!(attempts.check(client(1), at(0)).is_ok());
            attempts.note_failure(client(1), at(0));
        }
        let refused = attempts.check(client(1), at(0)).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.retry_after_seconds), (429, Some(30)));
        assert!(attempts.check(client(2), at(0)).is_ok());
        assert!(attempts.check(client(1), at(29)).is_err() && attempts.check(client(1), at(30)).is_ok());
        // Asking takes nothing.
        assert!((0..100).all(|_| attempts.check(client(1), at(30)).is_ok()));
    }

    #[test]
    fn many_addresses_together_wait_as_well() {
        let attempts = Attempts::default();
        let now = attempts.started;
        (0..OF_ALL).for_each(|number| attempts.note_failure(client(number), now));
        assert_eq!(attempts.check(client(OF_ALL + 1), now).unwrap_err().retry_after_seconds, Some(1));
        assert!(attempts.check(client(OF_ALL + 1), now + OF_ALL_INTERVAL).is_ok());
    }
}

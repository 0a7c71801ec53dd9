//! Rate limits of hits and reads.
//!
//! A client has a budget for all its hits, its network one for each page, and a site one for all its
//! hits. Keys are a client prefix, a network, a page and a site, nothing that the client chooses freely:
//! another User-Agent is no other client.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::rate_table::RateTable;
use crate::counter::{ClientPrefix, SiteNumber};
use crate::server::http::HttpError;

/// A steady rate, and the number of hits that may come at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub hits: NonZeroU32,
    pub per: Per,
    pub burst: NonZeroU32,
}

/// The time of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    Second,
    Minute,
    Hour,
    Day,
}

/// Configured limits; by default none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// All hits of one client.
    pub address: Option<Rate>,
    /// One network's hits on one page.
    pub page: Option<Rate>,
    /// All hits of one site.
    pub site: Option<Rate>,
    /// All reads of one client.
    pub reads: Option<Rate>,
    pub when_exceeded: WhenExceeded,
}

/// Treatment of a hit over the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenExceeded {
    /// 429, so that the client knows when to try again.
    #[default]
    Refuse,
    /// The usual answer, with the figures, but the hit is not counted.
    Ignore,
}

/// An exceeded limit, and the time until it allows another hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    pub limit: Limit,
    pub wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Address,
    Page,
    Site,
    Reads,
}

impl Per {
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

impl Rate {
    /// Time after which one more hit is allowed.
    fn interval(self) -> Duration {
        Duration::from_secs(self.per.seconds().into()) / self.hits.get()
    }
}

impl Limit {
    pub const ALL: [Self; 4] = [Self::Address, Self::Page, Self::Site, Self::Reads];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Page => "page",
            Self::Site => "site",
            Self::Reads => "reads",
        }
    }
}

impl From<Exceeded> for HttpError {
    fn from(exceeded: Exceeded) -> Self {
        let (budget, reason) = match exceeded.limit {
            Limit::Address => ("hits from this client", "limited"),
            Limit::Page => ("hits from this network for this page", "limited"),
            Limit::Site => ("hits from all readers of this site", "limited"),
            Limit::Reads => ("reads from this client", "reads"),
        };
        // Whole seconds, rounded up: a retry after them is never too early.
        let seconds = exceeded.wait.as_millis().div_ceil(1_000).max(1) as u64;
        let detail = format!("too many {budget}; try again in {seconds} s");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, reason, detail);
        Self { retry_after_seconds: Some(seconds), ..error }
    }
}

/// The node's rate limits and their state, shared by the workers.
#[derive(Debug)]
pub struct RateLimiter {
    address: Option<RateTable>,
    page: Option<RateTable>,
    site: Option<RateTable>,
    reads: Option<RateTable>,
    pub when_exceeded: WhenExceeded,
    started: Instant,
    secret: RandomState,
}

impl RateLimiter {
    pub fn new(limits: &RateLimits) -> Self {
        let table = |rate: Option<Rate>| rate.map(|rate| RateTable::new(rate.interval(), rate.burst.get()));
        Self {
            address: table(limits.address),
            page: table(limits.page),
            site: table(limits.site),
            reads: table(limits.reads),
            when_exceeded: limits.when_exceeded,
            started: Instant::now(),
            secret: RandomState::new(),
        }
    }

    /// Takes a hit from the budgets that it falls under. `client` is called only if a limit needs it;
    /// an unknown client, behind an untrusted proxy, falls under the site's limit only. `is_shared` is called only
    /// beyond a page's budget, and lifts it where many readers may have the client's address.
    pub fn take(
        &self,
        client: impl FnOnce() -> Option<ClientPrefix>,
        is_shared: impl FnOnce() -> bool,
        site: SiteNumber,
        page: &str,
        now: Instant,
    ) -> Result<(), Exceeded> {
        let now = now.saturating_duration_since(self.started);
        if (self.address.is_some() || self.page.is_some())
            && let Some(client) = client()
        {
            self.take_one(&self.address, client, now, Limit::Address)?;
            let taken = self.take_one(&self.page, (client.network(), site, page), now, Limit::Page);
            taken.or_else(|exceeded| if is_shared() { Ok(()) } else { Err(exceeded) })?;
        }
        // Last, so that a client's excess is not taken from the site's budget.
        self.take_one(&self.site, site, now, Limit::Site)
    }

    /// Gives the memory of clients back that have their whole budgets again.
    pub fn drop_recovered(&self, now: Instant) {
        let now = now.saturating_duration_since(self.started);
        let tables = [&self.address, &self.page, &self.site, &self.reads];
        tables.into_iter().flatten().for_each(|table| table.drop_recovered(now));
    }

    /// Takes reads from the client's budget. `client`: none where nobody limits it.
    pub fn take_reads(
        &self,
        client: impl FnOnce() -> Option<ClientPrefix>,
        reads: u32,
        now: Instant,
    ) -> Result<(), Exceeded> {
        let Some(table) = self.reads.as_ref().filter(|_| reads > 0) else { return Ok(()) };
        let Some(client) = client() else { return Ok(()) };
        let now = now.saturating_duration_since(self.started);
        let taken = table.take_many(self.secret.hash_one(client), reads, now);
        taken.map_err(|wait| Exceeded { limit: Limit::Reads, wait })
    }

    fn take_one(&self, table: &Option<RateTable>, key: impl Hash, now: Duration, limit: Limit) -> Result<(), Exceeded> {
        let Some(table) = table else { return Ok(()) };
        table.take(self.secret.hash_one(key), now).map_err(|wait| Exceeded { limit, wait })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Option<Rate> {
        let number = |number| NonZeroU32::new(number).unwrap();
        Some(Rate { hits: number(per_second), per: Per::Second, burst: number(burst) })
    }

    fn client(address: &str) -> Option<ClientPrefix> {
        address.parse().ok().map(ClientPrefix::of)
    }

    #[test]
    fn each_limit_is_reported_by_its_name_and_counts_for_itself() {
        let limits = RateLimits { address: rate(1, 4), page: rate(1, 2), site: rate(1, 6), ..RateLimits::default() };
        let limiter = RateLimiter::new(&limits);
        let take = |address: &str, site, page, seconds| {
            let now = limiter.started + Duration::from_secs(seconds);
            limiter.take(|| client(address), || false, SiteNumber(site), page, now).map_err(|exceeded| exceeded.limit)
        };
        let hit = |address, site, page| take(address, site, page, 0);
        assert_eq!([hit("192.0.2.1", 1, "/a"), hit("192.0.2.1", 1, "/a")], [Ok(()), Ok(())]);
        assert_eq!(hit("192.0.2.1", 1, "/a"), Err(Limit::Page));
        assert_eq!(hit("192.0.2.1", 1, "/b"), Ok(()));
        assert_eq!(hit("192.0.2.1", 1, "/c"), Err(Limit::Address));
        // Another client of the network shares its budget of the page.
        assert_eq!([hit("192.0.2.2", 1, "/a"), hit("192.0.2.2", 1, "/b")], [Err(Limit::Page), Ok(())]);
        // Another site's page of that name is another page.
        assert_eq!(hit("192.0.2.2", 2, "/a"), Ok(()));
        assert_eq!([hit("198.51.100.3", 1, "/a"), hit("203.0.113.3", 1, "/a")], [Ok(()), Ok(())]);
        assert_eq!(hit("198.51.100.4", 1, "/a"), Err(Limit::Site));
        assert_eq!(take("198.51.100.4", 1, "/a", 1), Ok(()));
    }

    #[test]
    fn a_rate_of_a_day_gives_its_hits_over_the_day_and_not_at_once() {
        let rate = Rate { per: Per::Day, ..rate(2_000, 500).unwrap() };
        let limiter = RateLimiter::new(&RateLimits { page: Some(rate), ..RateLimits::default() });
        // Ten addresses of one network, a hit a second.
        let take = |second: u64| {
            let now = limiter.started + Duration::from_secs(second);
            limiter.take(|| client(&format!("192.0.2.{}", second % 10)), || false, SiteNumber(1), "/a", now).is_ok()
        };
        assert_eq!((0..500).filter(|_| take(0)).count(), 500);
        assert!(!take(43) && take(44));
        let counted = (45..86_400).filter(|second| take(*second)).count();
        assert!((1_998..=2_000).contains(&counted), "{counted}");
    }

    #[test]
    fn a_pages_limit_is_none_for_an_address_that_many_may_share_and_only_then_is_it_asked() {
        let limits = RateLimits { address: rate(1, 4), page: rate(1, 2), site: rate(1, 3), ..RateLimits::default() };
        let limiter = RateLimiter::new(&limits);
        let asked = std::cell::Cell::new(0);
        let take = |is_shared: bool| {
            let is_shared = || {
                asked.set(asked.get() + 1);
                is_shared
            };
            let taken = limiter.take(|| client("10.0.0.1"), is_shared, SiteNumber(1), "/a", limiter.started);
            taken.map_err(|exceeded| exceeded.limit)
        };
        assert_eq!([take(true), take(true), take(true)], [Ok(()); 3]);
        assert_eq!(asked.get(), 1);
        // The other limits hold all the same.
        assert_eq!([take(true), take(true)], [Err(Limit::Site), Err(Limit::Address)]);
        let limiter = RateLimiter::new(&RateLimits { page: rate(1, 1), ..RateLimits::default() });
        let take = |is_shared| limiter.take(|| client("10.0.0.1"), || is_shared, SiteNumber(1), "/a", limiter.started);
        assert!(take(false).is_ok() && take(false).is_err() && take(true).is_ok());
    }

    #[test]
    fn the_wait_is_until_another_hit_is_allowed_and_is_rounded_up() {
        let limiter = RateLimiter::new(&RateLimits { address: rate(2, 1), ..RateLimits::default() });
        let take = || limiter.take(|| client("192.0.2.1"), || false, SiteNumber(1), "/a", limiter.started);
        assert_eq!(take(), Ok(()));
        let exceeded = Exceeded { limit: Limit::Address, wait: Duration::from_millis(500) };
        assert_eq!(take(), Err(exceeded));
        assert_eq!(HttpError::from(exceeded).to_string(), "too many hits from this client; try again in 1 s");
    }

    #[test]
    fn reads_have_a_budget_of_their_own() {
        let limits = RateLimits { address: rate(1, 1), reads: rate(1, 3), ..RateLimits::default() };
        let limiter = RateLimiter::new(&limits);
        let read = |address: &str, reads| limiter.take_reads(|| client(address), reads, limiter.started);
        assert_eq!([read("192.0.2.1", 1), read("192.0.2.1", 2)], [Ok(()), Ok(())]);
        let refused = read("192.0.2.1", 1).unwrap_err();
        assert_eq!(HttpError::from(refused).to_string(), "too many reads from this client; try again in 1 s");
        assert_eq!(limiter.take(|| client("192.0.2.1"), || false, SiteNumber(1), "/a", limiter.started), Ok(()));
        assert_eq!([read("192.0.2.2", 3), read("192.0.2.2", 0)], [Ok(()), Ok(())]);
        assert_eq!(limiter.take_reads(|| None, 9, limiter.started), Ok(()));
    }

    #[test]
    fn without_limits_nobody_asks_for_the_client() {
        let limiter = RateLimiter::new(&RateLimits::default());
        assert_eq!(limiter.take(|| unreachable!(), || unreachable!(), SiteNumber(1), "/a", Instant::now()), Ok(()));
    }
}

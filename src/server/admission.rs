//! Rate limits of hits: who may count how much.
//!
//! An address has a budget for all that it sends, another for each page, and a site has one for all
//! its hits. Keys are an address's prefix, a page and a site, nothing that the client chooses freely:
//! another User-Agent is no other client.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter};

use crate::counter::SiteNumber;
use crate::metrics::Metrics;

use super::rate_table::RateTable;

/// So many a second for ever, and so many more at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// Which limits there are; by default, none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// What one address (or IPv6 /64) may send in all.
    pub address: Option<Rate>,
    /// What one address may send for one page.
    pub page: Option<Rate>,
    /// What all may send for one site.
    pub site: Option<Rate>,
    pub when_exceeded: WhenExceeded,
}

/// What becomes of a hit over the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenExceeded {
    /// 429, so that the client knows when to come back.
    #[default]
    Refuse,
    /// Answered like any other, with the figures, and not counted.
    Ignore,
}

/// A limit that is exceeded, and how long until there is room for one more.
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
}

impl Limit {
    pub const ALL: [Self; 3] = [Self::Address, Self::Page, Self::Site];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Page => "page",
            Self::Site => "site",
        }
    }
}

type Limiter<C> = RateLimiter<u64, RateTable, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The node's limits and what it remembers for them; the workers share it.
#[derive(Debug)]
pub struct Admission<C: Clock = DefaultClock> {
    address: Option<Limiter<C>>,
    page: Option<Limiter<C>>,
    site: Option<Limiter<C>>,
    when_exceeded: WhenExceeded,
    clock: C,
    secret: RandomState,
}

impl Admission {
    pub fn new(limits: &RateLimits) -> Self {
        Self::with_clock(limits, DefaultClock::default())
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(&RateLimits::default())
    }
}

impl<C: Clock + Clone> Admission<C> {
    fn with_clock(limits: &RateLimits, clock: C) -> Self {
        let limiter = |rate: Option<Rate>| {
            let Rate { per_second, burst } = rate?;
            let quota = Quota::per_second(per_second).allow_burst(burst);
            Some(RateLimiter::new(quota, RateTable::default(), clock.clone()))
        };
        Self {
            address: limiter(limits.address),
            page: limiter(limits.page),
            site: limiter(limits.site),
            when_exceeded: limits.when_exceeded,
            clock,
            secret: RandomState::new(),
        }
    }

    pub fn when_exceeded(&self) -> WhenExceeded {
        self.when_exceeded
    }

    /// Takes a hit from the budgets that it falls under. `client` is asked for if that matters; a
    /// client without an address, behind a proxy that is not believed, falls under the site's only.
    pub fn admit(&self, client: impl FnOnce() -> Option<IpAddr>, site: SiteNumber, page: &str) -> Result<(), Exceeded> {
        if (self.address.is_some() || self.page.is_some())
            && let Some(client) = client()
        {
            self.take(&self.address, client, Limit::Address)?;
            self.take(&self.page, (client, site, page), Limit::Page)?;
        }
        // The last, so that what an address has in excess is not taken from the site.
        self.take(&self.site, site, Limit::Site)
    }

    fn take(&self, limiter: &Option<Limiter<C>>, key: impl Hash, limit: Limit) -> Result<(), Exceeded> {
        let Some(limiter) = limiter else { return Ok(()) };
        limiter
            .check_key(&self.secret.hash_one(key))
            .map_err(|until| Exceeded { limit, wait: until.wait_time_from(self.clock.now()) })
    }

    /// Counts it.
    pub fn note(&self, exceeded: Exceeded, metrics: &Metrics) {
        metrics.limited_total.with_label_values(&[exceeded.limit.as_str()]).inc();
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Option<Rate> {
        let number = |number| NonZeroU32::new(number).unwrap();
        Some(Rate { per_second: number(per_second), burst: number(burst) })
    }

    /// Who asks for which page of which site.
    fn ask(admission: &Admission<FakeRelativeClock>, client: &str, site: u32, page: &str) -> Result<(), Limit> {
        let admitted = admission.admit(|| client.parse().ok(), SiteNumber(site), page);
        admitted.map_err(|exceeded| exceeded.limit)
    }

    #[test]
    fn each_limit_is_told_by_its_name_and_counts_for_itself() {
        let clock = FakeRelativeClock::default();
        let limits = RateLimits { address: rate(1, 4), page: rate(1, 2), site: rate(1, 6), ..RateLimits::default() };
        let admission = Admission::with_clock(&limits, clock.clone());
        let ask = |client, site, page| ask(&admission, client, site, page);
        assert_eq!([ask("192.0.2.1", 1, "/a"), ask("192.0.2.1", 1, "/a")], [Ok(()), Ok(())]);
        assert_eq!(ask("192.0.2.1", 1, "/a"), Err(Limit::Page));
        assert_eq!(ask("192.0.2.1", 1, "/b"), Ok(()));
        assert_eq!(ask("192.0.2.1", 1, "/c"), Err(Limit::Address));
        assert_eq!([ask("192.0.2.2", 1, "/a"), ask("192.0.2.2", 1, "/b")], [Ok(()), Ok(())]);
        // Another site's page of that name is another page.
        assert_eq!(ask("192.0.2.2", 2, "/a"), Ok(()));
        assert_eq!(ask("192.0.2.3", 1, "/a"), Ok(()));
        assert_eq!(ask("192.0.2.4", 1, "/a"), Err(Limit::Site));
        clock.advance(Duration::from_secs(1));
        assert_eq!(ask("192.0.2.4", 1, "/a"), Ok(()));
    }

    #[test]
    fn the_wait_is_until_one_more_has_room() {
        let limits = RateLimits { address: rate(2, 1), ..RateLimits::default() };
        let admission = Admission::with_clock(&limits, FakeRelativeClock::default());
        let admit = || admission.admit(|| "192.0.2.1".parse().ok(), SiteNumber(1), "/a");
        assert_eq!(admit(), Ok(()));
        assert_eq!(admit(), Err(Exceeded { limit: Limit::Address, wait: Duration::from_millis(500) }));
    }

    #[test]
    fn without_limits_nobody_asks_for_the_client() {
        let admission = Admission::new(&RateLimits::default());
        assert_eq!(admission.admit(|| unreachable!(), SiteNumber(1), "/a"), Ok(()));
    }
}

//! `[limits]`: how much a client may send, and how long it may take.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use serde::de::MapAccess;

use super::problem::Faults;
use super::value::{Field, Value, Whole, read_table};
use crate::server::Timeouts;
use crate::server::hit::{Rate, RateLimits, WhenExceeded};

#[derive(Deserialize)]
pub struct RawLimits {
    enabled: Option<Field<bool>>,
    address_rate: Option<Field<RawRate>>,
    address_burst: Option<Field<Amount>>,
    page_rate: Option<Field<RawRate>>,
    page_burst: Option<Field<Amount>>,
    site_rate: Option<Field<RawRate>>,
    site_burst: Option<Field<Amount>>,
    read_rate: Option<Field<RawRate>>,
    read_burst: Option<Field<Amount>>,
    when_exceeded: Option<Field<WhenExceeded>>,
    connections: Option<Field<Amount>>,
    connections_per_address: Option<Field<Amount>>,
    header_timeout: Option<Field<Timeout>>,
    body_timeout: Option<Field<Timeout>>,
    write_timeout: Option<Field<Timeout>>,
    idle_timeout: Option<Field<Timeout>>,
}

const AMOUNT_MAX: u32 = 1_000_000;
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

type Amount = Whole<1, AMOUNT_MAX>;
/// Zero is no limit.
type RawRate = Whole<0, AMOUNT_MAX>;

struct Timeout(Duration);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub rates: RateLimits,
    /// A client may bring only a part of a day's new pages.
    pub new_pages: bool,
    pub connections: u32,
    pub connections_per_address: u32,
    pub timeouts: Timeouts,
}

impl Limits {
    /// Lifts the limits of how much a client may send; the time-outs stay.
    pub fn turn_off_rates(&mut self) {
        self.rates = RateLimits { when_exceeded: self.rates.when_exceeded, ..RateLimits::default() };
        self.new_pages = false;
    }
}

/// None if one of the numbers is zero.
pub const fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
        (Some(per_second), Some(burst)) => Some(Rate { per_second, burst }),
        _ => None,
    }
}

impl RawLimits {
    pub fn check(self, faults: &mut Faults) -> Limits {
        let mut limits = Limits::default();
        let Limits { rates, timeouts, .. } = &mut limits;
        for (rate, per_second, burst) in [
            (&mut rates.address, self.address_rate, self.address_burst),
            (&mut rates.page, self.page_rate, self.page_burst),
            (&mut rates.site, self.site_rate, self.site_burst),
            (&mut rates.reads, self.read_rate, self.read_burst),
        ] {
            configure(rate, faults.take(per_second), faults.take(burst));
        }
        rates.when_exceeded = faults.take(self.when_exceeded).unwrap_or_default();
        for (timeout, field) in [
            (&mut timeouts.head, self.header_timeout),
            (&mut timeouts.body, self.body_timeout),
            (&mut timeouts.write, self.write_timeout),
            (&mut timeouts.idle, self.idle_timeout),
        ] {
            *timeout = faults.take(field).map_or(*timeout, |Timeout(duration)| duration);
        }
        for (limit, field) in [
            (&mut limits.connections, self.connections),
            (&mut limits.connections_per_address, self.connections_per_address),
        ] {
            *limit = faults.take(field).map_or(*limit, |Whole(amount)| amount);
        }
        if faults.take(self.enabled) == Some(false) {
            limits.turn_off_rates();
        }
        limits
    }
}

fn configure(limit: &mut Option<Rate>, per_second: Option<RawRate>, burst: Option<Amount>) {
    let Some(default) = *limit else { return };
    let per_second = per_second.map_or(default.per_second.get(), |Whole(per_second)| per_second);
    // A rate that is raised alone must not leave a burst behind that is shorter than a second.
    let burst = burst.map_or(default.burst.get().max(per_second), |Whole(burst)| burst);
    *limit = rate(per_second, burst);
}

impl Value for RawLimits {
    const EXAMPLE: &'static str = "{ enabled = true }";

    fn expected() -> String {
        format!("a table such as `{}`", Self::EXAMPLE)
    }

    fn from_table<'de, A: MapAccess<'de>>(entries: A) -> Result<Result<Self, String>, A::Error> {
        read_table(entries)
    }
}

impl Value for WhenExceeded {
    const EXAMPLE: &'static str = r#""refuse""#;

    fn expected() -> String {
        "`\"refuse\"` (answer 429) or `\"ignore\"` (answer as usual, don't count)".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "ignore" => Ok(Self::Ignore),
            _ => Err(format!("expected {}, found \"{text}\"", Self::expected())),
        }
    }
}

impl Value for Timeout {
    const EXAMPLE: &'static str = r#""5s""#;

    fn from_text(text: &str) -> Result<Self, String> {
        let read = humantime::parse_duration(text).ok().filter(|duration| TIMEOUTS.contains(duration));
        read.map(Self).ok_or_else(|| format!("expected a duration from `1s` to `1h`, such as `5s`; found `{text}`"))
    }
}

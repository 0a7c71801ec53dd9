//! `[limits]`: how much a client may send, and how long it may take.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use serde::de::MapAccess;

use super::problem::Faults;
use super::suggest;
use super::value::{Field, Value, Whole, read_table};
use crate::server::Timeouts;
use crate::server::hit::{Per, Rate, RateLimits, WhenExceeded};

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

/// Hits a second, or a text that names the time. Zero is no limit.
struct RawRate {
    hits: u32,
    per: Per,
}

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
pub const fn rate(hits: u32, per: Per, burst: u32) -> Option<Rate> {
    match (NonZeroU32::new(hits), NonZeroU32::new(burst)) {
        (Some(hits), Some(burst)) => Some(Rate { hits, per, burst }),
        _ => None,
    }
}

impl RawLimits {
    pub fn check(self, faults: &mut Faults) -> Limits {
        let mut limits = Limits::default();
        let Limits { rates, timeouts, .. } = &mut limits;
        for (limit, rate, burst) in [
            (&mut rates.address, self.address_rate, self.address_burst),
            (&mut rates.page, self.page_rate, self.page_burst),
            (&mut rates.site, self.site_rate, self.site_burst),
            (&mut rates.reads, self.read_rate, self.read_burst),
        ] {
            configure(limit, faults.take(rate), faults.take(burst));
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

fn configure(limit: &mut Option<Rate>, configured: Option<RawRate>, burst: Option<Amount>) {
    let Some(default) = *limit else { return };
    let RawRate { hits, per } = configured.unwrap_or(RawRate { hits: default.hits.get(), per: default.per });
    // A rate that is raised alone must not leave a burst behind that is shorter than a second.
    let burst = burst.map_or(default.burst.get().max(hits.div_ceil(per.seconds())), |Whole(burst)| burst);
    *limit = rate(hits, per, burst);
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

impl Value for RawRate {
    const EXAMPLE: &'static str = r#""2000/day""#;

    fn expected() -> String {
        format!("a whole number of hits a second from 0 to {AMOUNT_MAX}, or a text such as `{}`", Self::EXAMPLE)
    }

    fn from_integer(number: i128) -> Result<Self, String> {
        let hits = u32::try_from(number).ok().filter(|hits| *hits <= AMOUNT_MAX);
        hits.map(|hits| Self { hits, per: Per::Second })
            .ok_or_else(|| format!("expected {}, found {number}", Self::expected()))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let unclear = || format!("expected {}, found \"{text}\"", Self::expected());
        let many = || {
            format!(
                "expected a whole number from 0 to {AMOUNT_MAX} and a time, such as `{}`, found \"{text}\"",
                Self::EXAMPLE
            )
        };
        let (number, time) = text.split_once('/').ok_or_else(unclear)?;
        let (number, time) = (number.trim(), time.trim());
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let hits = number.parse::<u32>().ok().filter(|hits| digits && *hits <= AMOUNT_MAX).ok_or_else(many)?;
        let per = Per::ALL.into_iter().find(|per| per.as_str() == time).ok_or_else(|| {
            let known = Per::ALL.map(Per::as_str);
            format!("`{time}` is no time of a rate; {}", suggest::nearest_or_all(time, &known))
        })?;
        Ok(Self { hits, per })
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

//! `[limits]`: how much a client may send, and how long it may take.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use serde::de::MapAccess;

use super::problem::Faults;
use super::value::{Field, Value, Whole, read_table};

#[derive(Deserialize)]
pub struct RawLimits {
    enabled: Option<Field<bool>>,
    address_rate: Option<Field<RawRate>>,
    address_burst: Option<Field<Amount>>,
    page_rate: Option<Field<RawRate>>,
    page_burst: Option<Field<Amount>>,
    site_rate: Option<Field<RawRate>>,
    site_burst: Option<Field<Amount>>,
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

enum WhenExceeded {
    Refuse,
    Ignore,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Hits of one address (or IPv6 /64); None is no limit.
    pub address: Option<Rate>,
    /// Hits of one address for one page.
    pub page: Option<Rate>,
    /// Hits of all addresses for one site.
    pub site: Option<Rate>,
    /// A client may bring only a part of a day's new pages.
    pub new_pages: bool,
    /// A hit over a limit is answered as usual and not counted, instead of with 429.
    pub ignores_excess: bool,
    pub connections: u32,
    pub connections_per_address: u32,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub write_timeout: Duration,
    pub idle_timeout: Duration,
}

impl Limits {
    /// Lifts the limits of how much a client may send; the time-outs stay.
    pub fn turn_off_rates(&mut self) {
        (self.address, self.page, self.site) = (None, None, None);
        self.new_pages = false;
    }
}

/// A lasting rate, and the number that may come at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

impl Rate {
    const fn new(per_second: u32, burst: u32) -> Option<Self> {
        match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
            (Some(per_second), Some(burst)) => Some(Self { per_second, burst }),
            _ => None,
        }
    }
}

impl Default for Limits {
    /// Wide enough for a school or a ministry behind one address, even if all open one page.
    fn default() -> Self {
        Self {
            address: Rate::new(100, 1_000),
            page: Rate::new(50, 500),
            site: Rate::new(5_000, 50_000),
            new_pages: true,
            ignores_excess: false,
            connections: 16_384,
            connections_per_address: 4_096,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

impl RawLimits {
    pub fn check(self, faults: &mut Faults) -> Limits {
        let mut limits = Limits::default();
        rate(&mut limits.address, self.address_rate, self.address_burst, faults);
        rate(&mut limits.page, self.page_rate, self.page_burst, faults);
        rate(&mut limits.site, self.site_rate, self.site_burst, faults);
        if faults.take(self.enabled) == Some(false) {
            limits.turn_off_rates();
        }
        limits.ignores_excess = matches!(faults.take(self.when_exceeded), Some(WhenExceeded::Ignore));
        for (limit, field) in [
            (&mut limits.connections, self.connections),
            (&mut limits.connections_per_address, self.connections_per_address),
        ] {
            *limit = faults.take(field).map_or(*limit, |Whole(amount)| amount);
        }
        for (timeout, field) in [
            (&mut limits.header_timeout, self.header_timeout),
            (&mut limits.body_timeout, self.body_timeout),
            (&mut limits.write_timeout, self.write_timeout),
            (&mut limits.idle_timeout, self.idle_timeout),
        ] {
            *timeout = faults.take(field).map_or(*timeout, |Timeout(duration)| duration);
        }
        limits
    }
}

fn rate(
    rate: &mut Option<Rate>,
    per_second: Option<Field<RawRate>>,
    burst: Option<Field<Amount>>,
    faults: &mut Faults,
) {
    let (per_second, burst) = (faults.take(per_second), faults.take(burst));
    let Some(default) = *rate else { return };
    let per_second = per_second.map_or(default.per_second.get(), |Whole(per_second)| per_second);
    // A rate that is raised alone must not leave a burst behind that is shorter than a second.
    let burst = burst.map_or(default.burst.get().max(per_second), |Whole(burst)| burst);
    *rate = Rate::new(per_second, burst);
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

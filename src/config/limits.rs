//! `[limits]`: how much a client may send, and how long it may take.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::{Reader, Text};
use super::suggest;

const KEYS: [&str; 14] = [
    "enabled",
    "address_rate",
    "address_burst",
    "page_rate",
    "page_burst",
    "site_rate",
    "site_burst",
    "when_exceeded",
    "connections",
    "connections_per_address",
    "header_timeout",
    "body_timeout",
    "write_timeout",
    "idle_timeout",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Hits of one address (or IPv6 /64), of one address for one page, of all for one site; none
    /// where there is no such limit.
    pub address: Option<Rate>,
    pub page: Option<Rate>,
    pub site: Option<Rate>,
    /// A client may bring only its part of a day's new pages.
    pub new_pages: bool,
    /// A hit over a limit is answered like any other, though not counted, rather than with 429.
    pub ignores_excess: bool,
    pub connections: u32,
    pub connections_per_address: u32,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub write_timeout: Duration,
    pub idle_timeout: Duration,
}

impl Limits {
    /// No limits of how much a client may send; those of how long it may take stay.
    pub fn turn_off_rates(&mut self) {
        (self.address, self.page, self.site) = (None, None, None);
        self.new_pages = false;
    }
}

/// So many a second for ever, and so many more at once after a rest.
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
    /// A school or a ministry behind one address comes through, be it all on one page.
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

const RATE_MAX: u32 = 1_000_000;
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

pub fn read(reader: &mut Reader<'_, '_, '_>) -> Limits {
    let mut limits = Limits::default();
    let Some((table, _)) = reader.table("limits", "{ enabled = true }") else { return limits };
    let mut reader = Reader::new(table, reader.findings());
    reader.refuse_unknown(&KEYS, |key, _| suggest::nearest_or_all(key, &KEYS));
    rate(&mut reader, "address_rate", "address_burst", &mut limits.address);
    rate(&mut reader, "page_rate", "page_burst", &mut limits.page);
    rate(&mut reader, "site_rate", "site_burst", &mut limits.site);
    if reader.boolean("enabled") == Some(false) {
        limits.turn_off_rates();
    }
    if let Some(Text { text, span }) = reader.string("when_exceeded", r#""refuse""#) {
        match text {
            "refuse" => limits.ignores_excess = false,
            "ignore" => limits.ignores_excess = true,
            _ => reader.findings().wrong(
                &span,
                format!(
                    "when_exceeded is `{text}`; expected `refuse` (429) or `ignore` (answered like any other, not counted)"
                ),
            ),
        }
    }
    for (key, value) in
        [("connections", &mut limits.connections), ("connections_per_address", &mut limits.connections_per_address)]
    {
        *value = reader.whole_number(key, 1..=RATE_MAX, "4096").unwrap_or(*value);
    }
    for (key, value) in [
        ("header_timeout", &mut limits.header_timeout),
        ("body_timeout", &mut limits.body_timeout),
        ("write_timeout", &mut limits.write_timeout),
        ("idle_timeout", &mut limits.idle_timeout),
    ] {
        *value = timeout(&mut reader, key).unwrap_or(*value);
    }
    limits
}

/// Changes what is set of a rate; a rate of 0 is none.
fn rate(reader: &mut Reader<'_, '_, '_>, rate_key: &str, burst_key: &str, rate: &mut Option<Rate>) {
    let per_second = reader.whole_number(rate_key, 0..=RATE_MAX, "100");
    let burst = reader.whole_number(burst_key, 1..=RATE_MAX, "1000");
    let Some(Rate { per_second: usual, burst: usual_burst }) = *rate else { return };
    let per_second = per_second.unwrap_or(usual.get());
    // A rate that is raised alone must not leave a burst behind that is shorter than a second.
    *rate = Rate::new(per_second, burst.unwrap_or(usual_burst.get().max(per_second)));
}

fn timeout(reader: &mut Reader<'_, '_, '_>, key: &str) -> Option<Duration> {
    let Text { text, span } = reader.string(key, r#""5s""#)?;
    match humantime::parse_duration(text) {
        Ok(duration) if TIMEOUTS.contains(&duration) => Some(duration),
        _ => {
            let reason = format!("{key} is `{text}`; expected a duration from `1s` to `1h`, such as `5s`");
            reader.findings().wrong(&span, reason);
            None
        }
    }
}

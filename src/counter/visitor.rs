//! Visitors, counted without knowing them.
//!
//! A visitor's key is a keyed hash of site, network and User-Agent. Its key is a random salt of the
//! site's own day, which is deleted after that day: then nobody can tell any more which key an
//! address would have had. The visitor's key leaves this module only as a [`Trace`], which very
//! many visitors share; that is what is journalled and published.
//!
//! Readers online are counted by the minute. Around midnight a visit is noted under the salt of each day in
//! which a window of [`ONLINE_MINUTES`] that holds the visit can begin. A window counts the visits noted
//! under the day in which it begins. So nobody counts twice, and a salt is needed for one window past its day.

use std::fmt;
use std::hash::Hasher as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use siphasher::sip::SipHasher24;

use super::hyperloglog::Trace;
use super::{ClientPrefix, Day, FigureKey, Site, SiteId};

/// Online: seen in this minute or the four before it.
pub const ONLINE_MINUTES: u32 = 5;

/// Bytes of a User-Agent that are read: more than any browser's has.
pub const USER_AGENT_BYTES_MAX: usize = 512;

/// Extra lifetime of keys in Redis, for nodes whose clocks differ.
const EXPIRY_SLACK_S: i64 = 60;

/// The key of a day's visitor keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; 16]);

/// A minute, counted from 1970-01-01T00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Minute(u32);

/// A group of visitors counted together: those of a day, or of a minute under a day's salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    pub day: Day,
    pub minute: Option<Minute>,
}

/// A hit's marks of its visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    pub trace: Trace,
    pub minute: Minute,
    /// In the first minutes of a day: the day before, and the trace under its salt.
    pub earlier: Option<(Day, Trace)>,
}

/// Distinct visitors, about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VisitorCounts {
    pub online: u64,
    pub today: u64,
    pub yesterday: u64,
}

impl VisitorCounts {
    /// The value of a figure; none if it is not of visitors.
    pub fn of(self, key: FigureKey) -> Option<i64> {
        let count = match key {
            FigureKey::Online => self.online,
            FigureKey::VisitorsToday => self.today,
            FigureKey::VisitorsYesterday => self.yesterday,
            _ => return None,
        };
        Some(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl Salt {
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    pub fn from_hex(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
        Some(Self(number.to_be_bytes()))
    }

    /// The trace of the visitor `client` with the program `user_agent`.
    pub fn trace(&self, site: &SiteId, client: ClientPrefix, user_agent: &[u8]) -> Trace {
        Trace::of(&self.visitor_key(site, client, user_agent).to_le_bytes())
    }

    fn visitor_key(&self, site: &SiteId, client: ClientPrefix, user_agent: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(site.as_str().as_bytes());
        // A site id has no such byte, and a prefix is of fixed length: no two visitors read alike.
        hasher.write_u8(0xff);
        hasher.write(&client.number().to_be_bytes());
        hasher.write(&user_agent[..user_agent.len().min(USER_AGENT_BYTES_MAX)]);
        hasher.finish()
    }
}

/// A salt is nothing to show.
impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

impl Minute {
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(u32::try_from(now.timestamp().div_euclid(60)).unwrap_or(0))
    }

    pub fn number(self) -> u32 {
        self.0
    }

    pub fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The day that a window which ends with this minute begins in.
    fn window_day(self, zone: Tz) -> Day {
        Day::at(self.window_start().time(), zone)
    }

    /// The first minute of the window that ends with this one.
    pub fn window_start(self) -> Self {
        Self(self.0.saturating_sub(ONLINE_MINUTES - 1))
    }

    fn time(self) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(self.0) * 60, 0).unwrap_or_default()
    }
}

impl Window {
    pub fn of_day(day: Day) -> Self {
        Self { day, minute: None }
    }

    pub fn of_minute(day: Day, minute: Minute) -> Self {
        Self { day, minute: Some(minute) }
    }

    /// The minutes of those who are online at `now`.
    pub fn online(now: DateTime<Utc>, zone: Tz) -> [Self; ONLINE_MINUTES as usize] {
        let last = Minute::at(now);
        let day = last.window_day(zone);
        let mut minute = last.window_start();
        [(); _].map(|()| {
            let window = Self::of_minute(day, minute);
            minute = Minute(minute.0 + 1);
            window
        })
    }

    /// A minute noted under the salt of the day before its own.
    pub fn is_earlier(self, zone: Tz) -> bool {
        self.minute.is_some_and(|minute| self.day != Day::at(minute.time(), zone))
    }

    /// The Unix second at which its sketch expires in Redis: the same whoever sets it.
    pub fn expiry(self, zone: Tz) -> i64 {
        match self.minute {
            Some(minute) => i64::from(minute.0 + ONLINE_MINUTES) * 60 + EXPIRY_SLACK_S,
            // It is yesterday's until the end of the next day; another for nodes that were away.
            None => self.day.next().next().ends_at(zone).timestamp(),
        }
    }
}

/// A day's number by itself, a minute's with the day of its salt.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minute {
            None => write!(f, "{}", self.day),
            Some(minute) => write!(f, "{} under {}", minute.0, self.day),
        }
    }
}

impl Visit {
    /// The windows that count it, with the trace it leaves there; `day` is its hit's.
    pub fn windows(&self, day: Day) -> impl Iterator<Item = (Window, Trace)> + use<> {
        let minute = self.minute;
        let earlier = self.earlier.map(|(day, trace)| (Window::of_minute(day, minute), trace));
        [(Window::of_day(day), self.trace), (Window::of_minute(day, minute), self.trace)].into_iter().chain(earlier)
    }

    /// The day before, if a visit at `now` is to be noted under its salt too.
    pub fn earlier_day(now: DateTime<Utc>, zone: Tz) -> Option<Day> {
        let day = Minute::at(now).window_day(zone);
        (day != Day::at(now, zone)).then_some(day)
    }
}

/// Windows that make up a site's visitor figures at `now`.
pub fn shown_windows(site: &Site, now: DateTime<Utc>) -> Vec<Window> {
    let today = Day::at(now, site.time_zone);
    let days = [today, today.previous()].map(Window::of_day);
    days.into_iter().chain(Window::online(now, site.time_zone)).collect()
}

/// True if a salt of `day` is no longer needed at `now`.
pub fn is_salt_over(day: Day, now: DateTime<Utc>, site: &Site) -> bool {
    day < Minute::at(now).window_day(site.time_zone)
}

/// The Unix second at which a day's salt expires in Redis.
pub fn salt_expiry(day: Day, zone: Tz) -> i64 {
    day.ends_at(zone).timestamp() + i64::from(ONLINE_MINUTES) * 60 + EXPIRY_SLACK_S
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chrono::TimeDelta;

    use super::*;

    const ZONE: Tz = chrono_tz::Asia::Ho_Chi_Minh;

    fn key(salt: u8, site: &str, address: &str, user_agent: &str) -> u64 {
        let site = site.parse().unwrap();
        Salt::new([salt; 16]).visitor_key(&site, ClientPrefix::of(address.parse().unwrap()), user_agent.as_bytes())
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn visitors_differ_by_salt_site_network_and_program() {
        let keys = [
            key(1, "demo", "10.0.0.1", "Firefox"),
            key(2, "demo", "10.0.0.1", "Firefox"),
            key(1, "other", "10.0.0.1", "Firefox"),
            key(1, "demo", "10.0.0.2", "Firefox"),
            key(1, "demo", "10.0.0.1", "Chrome"),
            key(1, "demo", "::1", "Firefox"),
            key(1, "demo", "2001:db8::1", "Firefox"),
            key(1, "demo", "2001:db8:0:1::1", "Firefox"),
        ];
        assert_eq!(HashSet::from(keys).len(), keys.len());
    }

    #[test]
    fn an_address_within_a_network_and_its_other_notation_are_the_same_visitor() {
        assert_eq!(key(1, "demo", "2001:db8::1", "a"), key(1, "demo", "2001:db8::ffff:2", "a"));
        assert_eq!(key(1, "demo", "::ffff:10.0.0.1", "a"), key(1, "demo", "10.0.0.1", "a"));
        let long = "x".repeat(600);
        assert_eq!(key(1, "demo", "10.0.0.1", &long), key(1, "demo", "10.0.0.1", &long[..512]));
    }

    #[test]
    fn a_salt_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", Salt::new(*b"0123456789abcdef")), "Salt(…)");
    }

    /// Anyone seen within the last five minutes, before midnight or after, is in the window
    /// once, under one salt.
    #[test]
    fn a_window_over_midnight_finds_every_visit_under_one_salt() {
        let midnight = at("2024-06-17T17:00:00Z");
        let salts = |day: Day| Salt::new([day.number() as u8; 16]);
        let site: SiteId = "demo".parse().unwrap();
        let seen = |now: DateTime<Utc>| {
            let trace = |day| salts(day).trace(&site, ClientPrefix::of("10.0.0.1".parse().unwrap()), b"Firefox");
            let day = Day::at(now, ZONE);
            let earlier = Visit::earlier_day(now, ZONE).map(|day| (day, trace(day)));
            let visit = Visit { trace: trace(day), minute: Minute::at(now), earlier };
            visit.windows(day).collect::<Vec<_>>()
        };
        for look in (-600..900).step_by(7) {
            let now = midnight + TimeDelta::seconds(look);
            let window = Window::online(now, ZONE);
            assert_eq!(window.len(), 5);
            let mut traces = HashSet::new();
            for ago in (0..=240).step_by(5) {
                let noted = seen(now - TimeDelta::seconds(ago));
                let found: Vec<_> = noted.iter().filter(|(noted, _)| window.contains(noted)).collect();
                assert_eq!(found.len(), 1, "{look} {ago}");
                traces.extend(found.iter().map(|(_, trace)| *trace));
            }
            assert_eq!(traces.len(), 1, "{look}");
            assert!(seen(now - TimeDelta::seconds(301)).iter().all(|(noted, _)| !window.contains(noted)), "{look}");
        }
    }

    #[test]
    fn a_salt_is_over_one_window_past_its_day() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let is_over = |time| is_salt_over(day, at(time), &site);
        assert!(!is_over("2024-06-17T16:59:59Z") && !is_over("2024-06-17T17:03:59Z"));
        assert!(is_over("2024-06-17T17:04:00Z"));
        assert_eq!(salt_expiry(day, ZONE), at("2024-06-17T17:06:00Z").timestamp());
        assert_eq!(Window::of_day(day).expiry(ZONE), at("2024-06-19T17:00:00Z").timestamp());
    }

    #[test]
    fn each_figure_of_visitors_has_its_count_and_hits_have_none() {
        let counts = VisitorCounts { online: 1, today: 2, yesterday: 3 };
        let keys = [FigureKey::Online, FigureKey::VisitorsToday, FigureKey::VisitorsYesterday, FigureKey::Total];
        assert_eq!(keys.map(|key| counts.of(key)), [Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn a_salt_is_32_hexadecimal_digits() {
        let salt = Salt::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(salt.to_hex(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(Salt::from_hex(&salt.to_hex()), Some(salt));
        assert_eq!(salt.bytes()[15], 255);
        for text in ["", "000102030405060708090a0b0c0d0ef", "+00102030405060708090a0b0c0d0eff"] {
            assert_eq!(Salt::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_minute_expires_after_its_window_and_may_stand_under_the_day_before() {
        let minute = Minute::at(at("2024-06-17T17:02:00Z"));
        let (day, next) = (Day::from_ymd(2024, 6, 17).unwrap(), Day::from_ymd(2024, 6, 18).unwrap());
        assert_eq!(Window::of_minute(day, minute).expiry(ZONE), at("2024-06-17T17:08:00Z").timestamp());
        assert!(Window::of_minute(day, minute).is_earlier(ZONE));
        assert!(!Window::of_minute(next, minute).is_earlier(ZONE) && !Window::of_day(day).is_earlier(ZONE));
    }

    #[test]
    fn today_yesterday_and_the_last_minutes_are_shown() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let now = at("2024-06-17T10:00:00Z");
        let windows = shown_windows(&site, now);
        assert_eq!(windows[..2], [17, 16].map(|day| Window::of_day(Day::from_ymd(2024, 6, day).unwrap())));
        assert_eq!(windows[2..], Window::online(now, ZONE));
    }
}

//! Summary of refused requests for the log: a flood must not fill a disk, and must not pass in silence.
//!
//! Each reason has a number and one example: the site that is named and the page's origin, never a client's address.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::{Host, Url};

use crate::counter::SiteId;
use crate::server::http::{Field, HeaderFields, REASONS, headers};

/// Shortest time between two lines about one reason.
const INTERVAL: Duration = Duration::from_secs(60);

/// Longest name of a host in a line.
const HOST_BYTES_MAX: usize = 253;

/// Refused requests since the last line, by reason. Shared by all workers.
#[derive(Debug, Default)]
pub struct Summary([OfReason; REASONS.len()]);

#[derive(Debug, Default)]
struct OfReason {
    number: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    example: Option<Example>,
    at: Option<Instant>,
}

/// A refused request's site, if its id is well-formed, and the host of its `Origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Example {
    site: Option<SiteId>,
    origin: Option<String>,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    reason: &'static str,
    number: u64,
    example: Example,
}

impl Summary {
    /// Counts a refused request.
    pub fn count(&self, reason: &'static str) {
        if let Some(of_reason) = self.of(reason) {
            of_reason.number.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps a request that is about to be counted as the example, if it is the first since the last line. `site`: the
    /// request's own word for it, where it is known.
    pub fn show(&self, reason: &'static str, site: Option<&str>, headers: &impl HeaderFields) {
        if let Some(of_reason) = self.of(reason)
            && of_reason.number.load(Ordering::Relaxed) == 0
        {
            let mut told = of_reason.told();
            let parsed = || Example { site: site.and_then(|site| site.parse().ok()), origin: origin(headers) };
            told.example.get_or_insert_with(parsed);
        }
    }

    fn of(&self, reason: &'static str) -> Option<&OfReason> {
        self.0.get(REASONS.iter().position(|known| *known == reason)?)
    }

    /// Logs what has been refused, at most one line a minute and reason.
    pub fn report(&self, now: Instant) {
        log(self.take(|at| now.saturating_duration_since(at) >= INTERVAL, now));
    }

    /// Logs the rest at the end.
    pub fn report_last(&self) {
        log(self.take(|_| true, Instant::now()));
    }

    fn take(&self, is_due: impl Fn(Instant) -> bool, now: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        for (reason, of_reason) in REASONS.into_iter().zip(&self.0) {
            let mut told = of_reason.told();
            if !told.at.is_none_or(&is_due) || of_reason.number.load(Ordering::Relaxed) == 0 {
                continue;
            }
            told.at = Some(now);
            let example = told.example.take().unwrap_or(Example { site: None, origin: None });
            // Last: the next request then leaves the next example.
            let number = of_reason.number.swap(0, Ordering::Relaxed);
            lines.push(Line { reason, number, example });
        }
        lines
    }
}

impl OfReason {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(lines: Vec<Line>) {
    for Line { reason, number, example } in lines {
        let site = example.site.as_ref().map_or("-", SiteId::as_str);
        let origin = example.origin.as_deref().unwrap_or("-");
        tracing::info!(reason, requests = number, site, origin, "requests refused; site and origin are one example");
    }
}

/// The host of an `Origin`. An address may be the client's own, so it is none.
fn origin(headers: &impl HeaderFields) -> Option<String> {
    let url = headers.first(Field::Origin).and_then(headers::text).and_then(|text| Url::parse(text).ok())?;
    match url.host()? {
        Host::Domain(name) if name.len() <= HOST_BYTES_MAX && name.parse::<IpAddr>().is_err() => Some(name.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, ORIGIN};

    use super::*;

    fn from(origin: &str) -> HeaderMap {
        [(ORIGIN, origin.parse().unwrap())].into_iter().collect()
    }

    fn note(refusals: &Summary, reason: &'static str, site: Option<&str>, headers: &HeaderMap) {
        refusals.show(reason, site, headers);
        refusals.count(reason);
    }

    fn lines(refusals: &Summary, now: Instant) -> Vec<String> {
        let lines = refusals.take(|at| now.saturating_duration_since(at) >= INTERVAL, now);
        let words = |Line { reason, number, example }| {
            let site = example.site.map_or("-".to_owned(), |site| site.to_string());
            format!("{reason} {number} {site} {}", example.origin.as_deref().unwrap_or("-"))
        };
        lines.into_iter().map(words).collect()
    }

    #[test]
    fn a_flood_leaves_one_line_a_minute_and_reason() {
        let (refusals, start) = (Summary::default(), Instant::now());
        assert!(lines(&refusals, start).is_empty());
        for site in ["portal", "other"] {
            (0..385).for_each(|_| note(&refusals, "limited", Some(site), &from("https://portal.gov.vn")));
        }
        // Nothing of it could be read.
        refusals.count("size");
        assert_eq!(lines(&refusals, start), ["size 1 - -", "limited 770 portal portal.gov.vn"]);
        note(&refusals, "limited", Some("other"), &from("https://b.vn:8443"));
        note(&refusals, "limited", None, &HeaderMap::new());
        assert!(lines(&refusals, start + INTERVAL / 2).is_empty());
        assert_eq!(lines(&refusals, start + INTERVAL), ["limited 2 other b.vn"]);
        assert!(lines(&refusals, start + 3 * INTERVAL).is_empty());
    }

    #[test]
    fn an_example_holds_neither_an_address_nor_a_strangers_text() {
        for (origin, shown) in [
            ("http://203.0.113.7", "-"),
            ("http://[2001:db8::1]:80", "-"),
            ("http://0xcb007107", "-"),
            ("null", "-"),
            ("https://a.vn\u{7f}", "-"),
            ("https://user:secret@a.vn/x", "a.vn"),
            ("https://Báo.vn", "xn--bo-jia.vn"),
        ] {
            let refusals = Summary::default();
            let Ok(value) = hyper::header::HeaderValue::from_bytes(origin.as_bytes()) else { continue };
            note(&refusals, "limited", Some("a\nb \u{1b}[31m"), &[(ORIGIN, value)].into_iter().collect::<HeaderMap>());
            let expected = if origin.is_ascii() { shown } else { "-" };
            assert_eq!(lines(&refusals, Instant::now()), [format!("limited 1 - {expected}")], "{origin}");
        }
        let refusals = Summary::default();
        note(&refusals, "limited", None, &from(&format!("https://{}.vn", "a.".repeat(200))));
        assert_eq!(lines(&refusals, Instant::now()), ["limited 1 - -"]);
    }
}

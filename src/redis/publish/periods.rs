//! Periods whose pages may still be published.

use std::iter::{once, successors};

use chrono::{DateTime, Utc};

use crate::counter::{Day, Period, Site};
use crate::redis::keys;

/// A key of pages that expires sooner is left alone: it could vanish under a late call, or be made
/// again and never expire.
const EXPIRY_MARGIN_SECONDS: i64 = 24 * 60 * 60;

/// True if the period's key of pages doesn't expire within a day.
pub fn may_publish(site: &Site, period: Period, now: DateTime<Utc>) -> bool {
    keys::expiry(site, period).is_none_or(|expiry| expiry > now.timestamp() + EXPIRY_MARGIN_SECONDS)
}

/// Periods whose keys of pages may exist and be published.
pub fn page_periods(site: &Site, now: DateTime<Utc>) -> Vec<Period> {
    let today = Day::at(now, site.time_zone);
    let days = successors(Some(today), |day| Some(day.previous())).map(Period::Day);
    let months = successors(Some(today.month()), |month| month.previous());
    let days = (0..=site.page_retention.days).zip(days).map(|(_, day)| day);
    let months = (0..=site.page_retention.months).zip(months).map(|(_, month)| month);
    let periods = once(Period::Total).chain(days).chain(months);
    periods.filter(|period| may_publish(site, *period, now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site::with_defaults("demo".parse().unwrap(), Vec::new())
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_may_be_published_until_a_day_before_its_key_expires() {
        let day: Period = "2024-06-17".parse().unwrap();
        let expiry = DateTime::from_timestamp(keys::expiry(&site(), day).unwrap(), 0).unwrap();
        let margin = chrono::TimeDelta::days(1);
        let second = chrono::TimeDelta::seconds(1);
        assert!(may_publish(&site(), day, expiry - margin - second));
        assert!(!may_publish(&site(), day, expiry - margin));
        assert!(may_publish(&site(), Period::Total, expiry));
    }

    #[test]
    fn pages_are_published_for_the_days_and_months_that_are_kept_and_the_total() {
        let site = site();
        let now = at("2024-03-30T20:00:00Z");
        let periods = page_periods(&site, now);
        assert_eq!(periods[0], Period::Total);
        // In Vietnam it is the 31st already.
        assert_eq!(periods[1].to_string(), "2024-03-31");
        assert!(periods.iter().all(|period| may_publish(&site, *period, now)));
        let has = |text: &str| periods.contains(&text.parse().unwrap());
        // Months of 31, 29 and 31 days: none is left out, none comes twice.
        assert!(has("2024-03") && has("2024-02") && has("2024-01"), "{periods:?}");
        let mut once = periods.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), periods.len());
        assert!(!has("2024-04-01") && !has("2024-04"));
    }
}

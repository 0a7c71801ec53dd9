//! Lists of the most read pages of a range of days, or of a folder.

use std::sync::Arc;

use super::answer;
use super::history::days_named;
use super::listed_pages::ListedPages;
use super::pages::{TOP_DEFAULT, TopList, period};
use super::query::count;
use super::ranges::{self, PageFilter, RangedPages};
use crate::clock;
use crate::counter::page::TOP_MAX;
use crate::counter::{Day, DayRange, RegisteredSite, Site};
use crate::server::http::{HttpError, Rendered, form};
use crate::server::ports::{Available, Node};

/// Longest folder, in bytes.
const FOLDER_BYTES_MAX: usize = 1_024;

/// The canonical form of a question for such a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RangedTop {
    days: DayRange,
    today: Day,
    filter: PageFilter,
    limit: usize,
    /// Work of the answer, in histories.
    weight: u32,
}

impl RangedTop {
    /// None if the query asks for the list of a period.
    pub fn of(query: &str, site: &Site, today: Day) -> Result<Option<Self>, HttpError> {
        let (from, to) = (days_named(query, "from")?, days_named(query, "to")?);
        let under = form::field(query, "under")?.unwrap_or_default();
        if under.len() > FOLDER_BYTES_MAX {
            return Err(HttpError::field("under", format!("`under` is longer than {FOLDER_BYTES_MAX} bytes")));
        }
        let filter = PageFilter::new(&under, "", &site.page_rules);
        if from.is_none() && to.is_none() && filter.is_all() {
            return Ok(None);
        }
        let (field, days) = match (from, to) {
            (None, None) => {
                let period = period(query, today)?;
                let endless = "`under` needs days; send `from` and `to`, or a day or month as `period`";
                ("period", DayRange::of(period).ok_or_else(|| HttpError::field("under", endless))?)
            }
            _ if form::field(query, "period")?.is_some() => {
                let detail = "`period` excludes `from` and `to`; send one or the other";
                return Err(HttpError::field("period", detail));
            }
            (None, Some(_)) => return Err(HttpError::field("from", "`to` needs a `from`: the first day of the range")),
            (Some((first, _)), to) => {
                let last = to.map_or(today, |(_, last)| last);
                let backwards = || HttpError::field("from", format!("`from` ({first}) is after `to` ({last})"));
                ("from", DayRange::new(first, last).ok_or_else(backwards)?)
            }
        };
        let days = days.up_to(today);
        let to_come = || HttpError::field(field, format!("this range begins after today, {today}"));
        let days = days.ok_or_else(to_come)?;
        let (parts, kept_from) = ranges::parts(days, today, site.page_retention);
        if let Some(kept_from) = kept_from {
            let kept = site.page_retention;
            let advice = if kept_from <= days.last() { format!("; begin with {kept_from}") } else { String::new() };
            let detail = format!(
                "views of single pages are kept by day for {} days and by month for {} months, so they are not known for \
                 all of this range{advice}",
                kept.days, kept.months
            );
            return Err(HttpError::field(field, detail));
        }
        let weight = ranges::weight(&parts, &filter);
        let limit = count(query, "limit", TOP_DEFAULT, TOP_MAX)?;
        Ok(Some(Self { days, today, filter, limit, weight }))
    }

    pub fn weight(&self) -> u32 {
        self.weight
    }

    pub async fn read<N: Node>(
        &self,
        node: &Arc<N>,
        lists: &ListedPages,
        site: &Arc<RegisteredSite>,
    ) -> Available<RangedPages> {
        ranges::most_read(node, lists, site, (self.days, self.today), &self.filter, self.limit).await
    }

    pub fn render(&self, site: &Site, read: &RangedPages) -> Rendered {
        let mut list = TopList::of(site, None, &read.pages, self.limit);
        list.from = Some(self.days.first().to_string());
        list.to = Some(self.days.last().to_string());
        list.under = Some(self.filter.under()).filter(|under| !under.is_empty());
        answer::render(site, clock::now(), &list, read.stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Period;

    fn today() -> Day {
        Day::from_ymd(2026, 11, 30).unwrap()
    }

    fn of(query: &str) -> Result<Option<RangedTop>, HttpError> {
        RangedTop::of(query, &Site::with_defaults("demo".parse().unwrap(), Vec::new()), today())
    }

    #[test]
    fn one_list_has_one_canonical_form_whatever_its_spelling() {
        let canonical = of("from=2026-11-23&to=2026-11-30&under=/tin-tuc").unwrap().unwrap();
        for spelling in [
            "under=tin-tuc/&to=2026-11-30&from=2026-11-23",
            "from=2026-11-23&under=%2Ftin-tuc%2F&limit=10",
            "from=2026-W48&to=2026-12&under=/tin-tuc&x=1",
        ] {
            let asked = of(spelling).unwrap().unwrap();
            assert_eq!(asked, canonical, "{spelling}");
        }
        for other in ["from=2026-11-23", "from=2026-11-24&under=/tin-tuc", "from=2026-11-23&under=/tin-tuc&limit=9"] {
            assert_ne!(of(other).unwrap().unwrap(), canonical, "{other}");
        }
        assert_eq!(of("under=/a").unwrap(), of("under=/a&period=2026-11").unwrap());
        for plain in ["", "period=2026-11", "period=total&limit=3", "under=", "under=/"] {
            assert_eq!(of(plain).unwrap(), None, "{plain}");
        }
    }

    #[test]
    fn a_list_that_is_not_known_is_refused_with_the_reason() {
        for (query, field, said) in [
            ("period=2026-11&from=2026-11-01", "period", "excludes"),
            ("to=2026-11-01", "from", "needs a `from`"),
            ("from=2026-11-02&to=2026-11-01", "from", "is after `to`"),
            ("from=2026-12-01&to=2026-12-02", "from", "after today"),
            ("from=2026-11-x", "from", "is not a period"),
            ("from=total", "from", "neither beginning nor end"),
            ("under=/a&period=total", "under", "needs days"),
            ("from=2020-01-01", "from", "begin with 2024-12-01"),
            ("from=2026-09-29&to=2026-11-02", "from", "begin with 2026-10-01"),
            ("period=2026-08-17&under=/a", "period", "not known for all of this range"),
            ("from=2026-11-01&limit=0", "limit", "from 1 to 100"),
            ("from=2026-11-01&from=2026-11-02", "from", "more than once"),
        ] {
            let error = of(query).unwrap_err();
            assert_eq!((error.status.as_u16(), error.field), (400, Some(field)), "{query}: {error}");
            assert!(error.to_string().contains(said), "{query}: {error}");
        }
    }

    #[test]
    fn a_list_weighs_by_its_parts() {
        let weight = |query: &str| of(query).unwrap().unwrap().weight();
        assert!(weight("from=2026-11-24") < weight("from=2026-11-03&to=2026-11-29"));
        assert!(weight("from=2026-11-01") < weight("from=2026-11-01&under=/a"));
        assert!(weight("from=2024-12&under=/a") < 500);
        assert!(matches!(today().month(), Period::Month { .. }));
    }
}

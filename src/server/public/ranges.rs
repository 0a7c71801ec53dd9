//! Most read pages of a range of days: of a folder, or those with a text.
//!
//! Pages have counters of days and months. The candidates are the most read of each part of the range; their hits in
//! all of it are then read exactly. So the list is exact but for a page that is among the most read of no part.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::listed_pages::ListedPages;
use crate::counter::page::TOP_MAX;
use crate::counter::site::PageRetention;
use crate::counter::{Day, DayRange, Listing, PageAddress, Period, RegisteredSite};
use crate::page::PageRules;
use crate::server::ports::{Available, Node, TopPage};

/// Counters of one page that are read at most: a month of days on either side of two years of months.
const PARTS_MAX: usize = 90;
/// Days whose lists are read one by one; of more, the lists of their months are.
const DAY_LISTS_MAX: usize = 8;
/// Candidates whose hits are read, those with most hits in the lists.
const CANDIDATES_MAX: usize = 200;
/// Length of the lists in which pages of a folder or with a text are looked for.
pub const SEARCHED_MAX: usize = 1_000;
/// Lists that are searched.
const SEARCHED_LISTS_MAX: usize = 12;

/// Pages that a list is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PageFilter {
    /// Path of a folder; empty for all.
    under: String,
    /// Part of an address or title, in lower case; empty for all.
    text: String,
}

/// Most read pages of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangedPages {
    /// The most read first.
    pub pages: Vec<TopPage>,
    /// Redis is away: other nodes' newest hits are missing.
    pub stale: bool,
    /// The first day of the range from which on pages' counts are kept; none if they are of all its days.
    pub kept_from: Option<Day>,
}

impl PageFilter {
    /// `under`: a path such as `/tin-tuc`, in any spelling that a page's address may have.
    pub fn new(under: &str, text: &str, rules: &PageRules) -> Self {
        let path = format!("/{}", under.trim().trim_matches('/'));
        let folder = PageAddress::from_import(&path, rules).map_or(path, |page| page.as_str().to_owned());
        let under = if folder == "/" { String::new() } else { folder };
        Self { under, text: text.trim().to_lowercase() }
    }

    pub fn under(&self) -> &str {
        &self.under
    }

    pub fn is_all(&self) -> bool {
        self.under.is_empty() && self.text.is_empty()
    }

    fn takes(&self, TopPage { page, title, .. }: &TopPage) -> bool {
        let is_under = || {
            let rest = page.as_str().strip_prefix(self.under.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        };
        let has_text = || {
            let title = title.as_ref().map(|title| title.as_str().to_lowercase());
            page.as_str().to_lowercase().contains(&self.text) || title.is_some_and(|title| title.contains(&self.text))
        };
        (self.under.is_empty() || is_under()) && (self.text.is_empty() || has_text())
    }
}

/// The counters of a range that pages have, and the first day of it with them, if that is not its own first.
pub fn parts(range: DayRange, today: Day, retention: PageRetention) -> (Vec<Period>, Option<Day>) {
    let is_kept = |period: &Period| match period {
        Period::Day(day) => today.number().saturating_sub(day.number()) < retention.days,
        Period::Month { year, month } => {
            let months = |year: u16, month: u8| 12 * u32::from(year) + u32::from(month);
            months(today.year_number(), today.month_number()).saturating_sub(months(*year, *month)) < retention.months
        }
        Period::Year(_) | Period::Total => false,
    };
    let all = range.counters(today, false);
    // Those before a gap would leave a hole in the range.
    let kept_count = all.iter().rev().take(PARTS_MAX).take_while(|period| is_kept(period)).count();
    let kept = all[all.len() - kept_count..].to_vec();
    let first = kept.first().and_then(|period| period.first_day());
    let from = first.unwrap_or(range.last().next());
    (kept, (from > range.first()).then_some(from))
}

/// The periods whose lists have the candidates.
fn listed(parts: &[Period], filter: &PageFilter) -> Vec<Period> {
    let is_day = |period: &&Period| matches!(period, Period::Day(_));
    let days_are_few = filter.is_all() && parts.iter().filter(is_day).count() <= DAY_LISTS_MAX;
    let mut listed: Vec<_> = parts
        .iter()
        .map(|part| match part {
            Period::Day(day) if !days_are_few => day.month(),
            part => *part,
        })
        .collect();
    listed.dedup();
    let more = if filter.is_all() { 0 } else { listed.len().saturating_sub(SEARCHED_LISTS_MAX) };
    listed.split_off(more)
}

/// Work of a read, in histories: its lists, the searched ones of them longer, and the counters of the candidates.
pub fn weight(parts: &[Period], filter: &PageFilter) -> u32 {
    let lists = listed(parts, filter).len() * if filter.is_all() { 5 } else { 10 };
    u32::try_from(lists + (parts.len() * CANDIDATES_MAX).div_ceil(100)).unwrap_or(u32::MAX)
}

/// Reads the most read pages of a range.
pub async fn most_read<N: Node>(
    node: &Arc<N>,
    lists: &ListedPages,
    site: &Arc<RegisteredSite>,
    (range, today): (DayRange, Day),
    filter: &PageFilter,
    limit: usize,
) -> Available<RangedPages> {
    let (parts, kept_from) = parts(range, today, site.site.page_retention);
    let _turn = if filter.is_all() { None } else { lists.search_turn().await };
    let list = async |period| match filter.is_all() {
        true => lists.list(node, site, period).await,
        false => node.top_pages(site, period, SEARCHED_MAX, Listing::Public).await.map(std::rc::Rc::new),
    };
    let read = try_join_all(listed(&parts, filter).into_iter().map(list)).await?;
    let mut stale = read.iter().any(|list| list.stale);
    let mut found: HashMap<&PageAddress, TopPage> = HashMap::new();
    for page in read.iter().flat_map(|list| &list.values).filter(|page| filter.takes(page)) {
        match found.get_mut(&page.page) {
            Some(known) => {
                known.hits += page.hits;
                known.title = known.title.take().or_else(|| page.title.clone());
            }
            None => {
                found.insert(&page.page, page.clone());
            }
        }
    }
    let mut candidates: Vec<_> = found.into_values().collect();
    sort(&mut candidates);
    candidates.truncate(CANDIDATES_MAX.max(2 * limit));
    let addresses: Vec<_> = candidates.iter().map(|page| page.page.clone()).collect();
    let hits = node.page_hits(site, &addresses, &parts).await?;
    stale |= hits.stale;
    let mut of_pages = hits.values.chunks(parts.len().max(1));
    for page in &mut candidates {
        page.hits = of_pages.next().map_or(0, |hits| hits.iter().sum());
    }
    candidates.retain(|page| page.hits > 0);
    sort(&mut candidates);
    candidates.truncate(limit.min(TOP_MAX));
    Ok(RangedPages { pages: candidates, stale, kept_from })
}

/// By hits, then by address.
fn sort(pages: &mut [TopPage]) {
    pages.sort_by(|page, other| (other.hits, &page.page).cmp(&(page.hits, &other.page)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::PageTitle;
    use crate::counter::site::PAGE_RETENTION_DEFAULT;
    use crate::page::PageCase;

    fn day(text: &str) -> Day {
        text.parse::<Period>().unwrap().first_day().unwrap()
    }

    fn of(first: &str, last: &str) -> (Vec<Period>, Option<Day>) {
        parts(DayRange::new(day(first), day(last)).unwrap(), day("2026-11-30"), PAGE_RETENTION_DEFAULT)
    }

    #[test]
    fn a_range_has_the_parts_that_are_kept_up_to_its_end() {
        let (parts, from) = of("2026-09-29", "2026-11-02");
        assert_eq!(parts.iter().map(Period::to_string).collect::<Vec<_>>(), ["2026-10", "2026-11-01", "2026-11-02"]);
        assert_eq!(from, Some(day("2026-10-01")), "the days of September are not kept any more");
        assert_eq!(of("2026-10-01", "2026-11-30").0.len(), 2);
        assert_eq!(of("2026-10-01", "2026-11-30").1, None);
        let (parts, from) = of("2020-01-01", "2026-11-30");
        assert_eq!((parts.len(), from), (24, Some(day("2024-12-01"))));
        let (parts, from) = of("2026-09-02", "2026-09-10");
        assert_eq!((parts.len(), from), (0, Some(day("2026-09-11"))), "nothing is kept");
    }

    #[test]
    fn candidates_come_from_few_lists() {
        let lists = |first, last, filter: &PageFilter| listed(&of(first, last).0, filter).len();
        let (all, some) = (PageFilter::default(), PageFilter::new("", "x", &PageRules::with_defaults("vi")));
        assert_eq!((lists("2026-11-24", "2026-11-30", &all), lists("2026-11-24", "2026-11-30", &some)), (7, 1));
        assert_eq!(lists("2026-10-29", "2026-11-25", &all), 2);
        assert_eq!((lists("2024-12-01", "2026-11-30", &all), lists("2024-12-01", "2026-11-30", &some)), (24, 12));
    }

    #[test]
    fn a_folder_holds_what_is_in_it_and_a_text_is_found_in_address_and_title() {
        let page = |address: &str, title: &str| TopPage {
            page: PageAddress::from_stored(address),
            hits: 1,
            title: PageTitle::of(title),
        };
        let (news, other) = (page("/tin-tuc/a", "Lũ quét"), page("/tin-tuc-khac", "B"));
        let takes =
            |under, text, page: &TopPage| PageFilter::new(under, text, &PageRules::with_defaults("vi")).takes(page);
        for under in ["/tin-tuc", "tin-tuc/", "/tin-tuc/a"] {
            assert!(takes(under, "", &news) && !takes(under, "", &other), "{under}");
        }
        assert!(takes("/", "", &other) && takes("/tin-tuc", "", &page("/tin-tuc", "")));
        assert!(takes("", "lŨ", &news) && takes("", "-TUC/", &news) && !takes("", "lũ", &other));
        assert!(!takes("/tin-tuc", "b", &news));
    }

    #[test]
    fn a_folder_is_found_in_any_spelling_of_its_address() {
        let rules = |case| PageRules { case, ..PageRules::with_defaults("vi") };
        let under = |text: &str, case| PageFilter::new(text, "", &rules(case)).under().to_owned();
        for spelling in ["/tin tức", "/tin%20t%E1%BB%A9c/", "//tin%20tu\u{31b}\u{301}c", "/a/../tin tức"] {
            assert_eq!(under(spelling, PageCase::Auto), "/tin%20tức", "{spelling}");
        }
        assert_eq!((&*under("/Tin", PageCase::Fold), &*under("/Tin", PageCase::Auto)), ("/tin", "/Tin"));
        assert_eq!(under("/tin?id=5", PageCase::Auto), "/tin?id=5");
        for all in ["", "/", " // ", "/index.html"] {
            assert!(PageFilter::new(all, "", &rules(PageCase::Auto)).is_all(), "{all}");
        }
    }
}

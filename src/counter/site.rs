//! Sites: their settings, and the set of all of them.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;
use rustc_hash::FxHashSet;
use smol_str::SmolStr;
use url::Url;

use super::figure_key::{FigureKey, Labels};
use super::language::{LabelStyle, Language};
use super::{BySite, Day, EditorRules, Origin, PageAddress, PlainUrl, PublicParts, SiteNumber, SitePaths};
use crate::page::PageRules;

/// A site's name in URLs, keys and the configuration: `[a-z0-9][a-z0-9-]{0,62}`; as a rule so short that
/// it lies in place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(SmolStr);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a site id: expected 1 to 63 of a-z, 0-9 and `-`, the first a letter or digit")]
pub struct SiteIdError(String);

/// A site as configured.
///
/// Fields of the hit path come first, in few cache lines: with 100,000 sites, each line is a cache miss.
#[derive(Debug, Clone, PartialEq)]
#[repr(C)]
pub struct Site {
    pub id: SiteId,
    pub origins: Vec<Origin>,
    pub figures: Arc<[FigureKey]>,
    /// Time within which a visitor's reload of a page isn't counted again; zero counts each.
    pub repeat_window: Duration,
    /// Most distinct pages a day that a node counts under their own addresses.
    pub page_cap: u32,
    /// Networks that must read a page before it is listed, named and kept.
    pub vouching_networks: u8,
    pub public: PublicParts,
    pub time_zone: Tz,
    pub filtered_bots: FilteredBots,
    /// Clients whose hits aren't counted; nearly no site has any.
    pub excluded_addresses: Option<Arc<[IpNet]>>,
    /// Count visitors even if no figure shown is of them: see [`Site::counts_visitors`].
    pub visitors: bool,
    /// Take and show the titles that readers' browsers send.
    pub titles: bool,
    pub language: Language,
    pub label_style: LabelStyle,
    pub page_retention: PageRetention,
    /// The site's own settings of its pages' addresses.
    pub page_rules: Arc<PageRules>,
    /// Name for people; may be empty.
    pub name: String,
    pub labels: Labels,
    /// The box's heading, if the site has its own.
    pub own_title: Option<String>,
    /// The id under which file and Redis keep its counts: its own, or that of the site before it was renamed.
    pub counted_as: SiteId,
    /// Other ids whose hits and reads are the site's; that of its counts is one of them.
    pub aliases: Box<[SiteId]>,
    /// Paths under which its pages lie, where it shares its host; nearly no site has any.
    pub paths: Option<Arc<SitePaths>>,
}

/// Bots whose hits are kept out of the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilteredBots {
    /// None: the bot lists are not even loaded.
    None,
    /// Bots that name themselves, but not developers' tools: libraries, command-line clients, steered
    /// browsers.
    ExceptTools,
    /// Bots and tools: public figures are of readers only.
    All,
}

pub const PAGE_CAP_DEFAULT: u32 = 100_000;

pub const VOUCHING_NETWORKS_DEFAULT: u8 = 3;

/// Retention of a page's figures; the site's own are kept for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRetention {
    pub days: u32,
    pub months: u32,
}

pub const PAGE_RETENTION_DEFAULT: PageRetention = PageRetention { days: 40, months: 24 };

/// Default rules of pages' addresses by language, shared by a hundred thousand sites.
static SHARED_PAGE_RULES: LazyLock<[Arc<PageRules>; Language::ALL.len()]> =
    LazyLock::new(|| Language::ALL.map(|language| Arc::new(PageRules::with_defaults(language.tag()))));

/// Default figures, one shared list.
static SHARED_FIGURES: LazyLock<Arc<[FigureKey]>> =
    LazyLock::new(|| [FigureKey::Today, FigureKey::Yesterday, FigureKey::Month, FigureKey::Year].into());

/// A configured site together with its number in the node's file, which stands beside the id.
#[derive(Debug, Clone, PartialEq)]
#[repr(C)]
pub struct RegisteredSite {
    pub number: SiteNumber,
    pub site: Site,
    /// Editors' rules of its pages. Other rules make another object, by which caches know their entries.
    pub editor_rules: Option<Arc<EditorRules>>,
}

/// All configured sites; replaced as a whole when the configuration is read again.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    by_id: FxHashSet<ById>,
    by_number: BySite<Arc<RegisteredSite>>,
    /// Without aliases.
    count: usize,
}

/// Entry of the table of sites, under the site's id or an alias. It is little more than a pointer, so that a table of a
/// hundred thousand stays small.
#[derive(Debug, Clone)]
struct ById {
    site: Arc<RegisteredSite>,
    /// Number of the alias, from 1 on; 0 is the id.
    alias: u32,
}

impl ById {
    /// A site under each of its ids.
    fn all(site: &Arc<RegisteredSite>) -> impl Iterator<Item = Self> {
        (0..).take(1 + site.site.aliases.len()).map(|alias| Self { site: Arc::clone(site), alias })
    }
}

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        let site = &self.site.site;
        match self.alias {
            0 => site.id.as_str(),
            alias => site.aliases[alias as usize - 1].as_str(),
        }
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<str>::borrow(self).hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        Borrow::<str>::borrow(self) == Borrow::<str>::borrow(other)
    }
}

impl Eq for ById {}

impl Sites {
    /// The site of an id or an alias.
    pub fn get(&self, id: &str) -> Option<&Arc<RegisteredSite>> {
        self.by_id.get(id).map(|ById { site, .. }| site)
    }

    pub fn by_number(&self, number: SiteNumber) -> Option<&Arc<RegisteredSite>> {
        self.by_number.get(number)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<RegisteredSite>> {
        self.by_id.iter().filter(|ById { alias, .. }| *alias == 0).map(|ById { site, .. }| site)
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Gives each of these sites its editors' rules.
    pub fn set_rules(&mut self, rules: impl IntoIterator<Item = (SiteNumber, Arc<EditorRules>)>) {
        for (number, rules) in rules {
            let Some(known) = self.by_number.get_mut(number) else { continue };
            let is_same = |same: &Arc<EditorRules>| Arc::ptr_eq(same, &rules);
            if !known.editor_rules.as_ref().is_some_and(is_same) {
                *known = Arc::new(RegisteredSite { editor_rules: Some(rules), ..RegisteredSite::clone(known) });
                for of_site in ById::all(known) {
                    // An alias may be another site's id.
                    let found = self.by_id.get(&of_site);
                    if found.is_some_and(|found| found.site.number == number) {
                        self.by_id.replace(of_site);
                    }
                }
            }
        }
    }
}

impl RegisteredSite {
    /// A site of whose pages no editor has ruled anything.
    pub fn new(number: SiteNumber, site: Site) -> Self {
        Self { number, site, editor_rules: None }
    }

    /// The page under which a hit of `page` counts, where editors say that it is another.
    pub fn counts_under(&self, page: &PageAddress) -> Option<PageAddress> {
        self.editor_rules.as_ref()?.counts_under(page)
    }
}

impl FromIterator<RegisteredSite> for Sites {
    fn from_iter<I: IntoIterator<Item = RegisteredSite>>(registered: I) -> Self {
        let mut sites = Self::default();
        for site in registered.into_iter().map(Arc::new) {
            sites.by_number.get_or_insert_with(site.number, || Arc::clone(&site));
            for of_site in ById::all(&site) {
                // An id is stronger than another site's alias.
                match of_site.alias {
                    0 => sites.count += usize::from(sites.by_id.replace(of_site).is_none_or(|before| before.alias > 0)),
                    _ => _ = sites.by_id.insert(of_site),
                }
            }
        }
        sites
    }
}

impl SiteId {
    /// Id of the demo site.
    pub fn demo() -> Self {
        Self(SmolStr::new_static("demo"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Site {
    /// A site with defaults for everything that has one.
    pub fn with_defaults(id: SiteId, origins: Vec<Origin>) -> Self {
        Self {
            counted_as: id.clone(),
            aliases: Box::default(),
            paths: None,
            id,
            name: String::new(),
            origins,
            time_zone: chrono_tz::Asia::Ho_Chi_Minh,
            language: Language::Vietnamese,
            figures: Arc::clone(&SHARED_FIGURES),
            label_style: LabelStyle::default(),
            labels: Labels::new(),
            own_title: None,
            page_rules: Self::default_page_rules(Language::Vietnamese),
            page_retention: PAGE_RETENTION_DEFAULT,
            filtered_bots: FilteredBots::All,
            excluded_addresses: None,
            repeat_window: Duration::ZERO,
            page_cap: PAGE_CAP_DEFAULT,
            vouching_networks: VOUCHING_NETWORKS_DEFAULT,
            public: PublicParts::default(),
            visitors: false,
            titles: true,
        }
    }

    /// Rules of a site in `language` that sets none of its own.
    pub fn default_page_rules(language: Language) -> Arc<PageRules> {
        Arc::clone(&SHARED_PAGE_RULES[language as usize])
    }

    /// True if hits of a client aren't counted. `address` is asked for only where the site excludes some.
    pub fn excludes(&self, address: impl FnOnce() -> Option<IpAddr>) -> bool {
        self.excluded_addresses.as_ref().is_some_and(|networks| {
            let address = address().map(|address| address.to_canonical());
            address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
        })
    }

    /// True if the site counts visitors.
    pub fn counts_visitors(&self) -> bool {
        self.visitors || self.figures.iter().any(|key| key.is_of_visitors())
    }

    /// The box's heading.
    pub fn title(&self) -> String {
        self.own_title.clone().unwrap_or_else(|| self.language.title(self.label_style).to_owned())
    }

    /// True if `url` lies on one of the site's origins.
    pub fn covers(&self, url: &Url) -> bool {
        self.origins.iter().any(|origin| origin.covers(url))
    }

    pub fn covers_plain(&self, url: PlainUrl<'_>) -> bool {
        self.origins.iter().any(|origin| origin.covers_plain(url))
    }

    /// True if a page of its origins lies under one of its paths.
    pub fn holds(&self, page: &PageAddress) -> bool {
        self.paths.as_ref().is_none_or(|paths| paths.hold(page))
    }

    /// True if `id` is its id or an alias.
    pub fn is_named(&self, id: &SiteId) -> bool {
        self.id == *id || self.aliases.contains(id)
    }
}

impl PageRetention {
    /// The first day and the first month whose page figures are kept on `today`.
    pub fn oldest_kept(self, today: Day) -> (super::Period, super::Period) {
        let date = today.date();
        let day = date.checked_sub_days(chrono::Days::new(u64::from(self.days))).unwrap_or(date);
        let month = date.checked_sub_months(chrono::Months::new(self.months)).unwrap_or(date);
        (super::Period::Day(Day::from_date(day)), Day::from_date(month).month())
    }

    /// The last day on which a page's figure of `period` is kept; none if it is kept for ever.
    pub fn last_day_kept(self, period: super::Period) -> Option<Day> {
        let last_day = period.last_day()?.date();
        let kept_until = match period {
            super::Period::Day(_) => last_day.checked_add_days(chrono::Days::new(u64::from(self.days))),
            _ => last_day.checked_add_months(chrono::Months::new(self.months)),
        };
        kept_until.and_then(|date| {
            use chrono::Datelike as _;
            Day::from_ymd(date.year(), date.month(), date.day())
        })
    }
}

impl FromStr for SiteId {
    type Err = SiteIdError;

    fn from_str(text: &str) -> Result<Self, SiteIdError> {
        let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let first_is_right = text.bytes().next().is_some_and(is_alphanumeric);
        if first_is_right && text.len() <= 63 && text.bytes().all(|b| is_alphanumeric(b) || b == b'-') {
            Ok(Self(text.into()))
        } else {
            Err(SiteIdError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Period;
    use super::*;

    #[test]
    fn a_site_id_is_short_lower_case_and_plain() {
        for text in ["demo", "vi-xuyen", "1", &"a".repeat(63)] {
            assert!(text.parse::<SiteId>().is_ok(), "{text}");
        }
        for text in ["", "Demo", "-a", "a_b", "a.b", "vị", "a}b", &"a".repeat(64)] {
            assert!(text.parse::<SiteId>().is_err(), "{text}");
        }
    }

    #[test]
    fn page_figures_are_kept_for_their_time_past_the_period() {
        let kept = |text: &str| {
            PAGE_RETENTION_DEFAULT.last_day_kept(text.parse::<Period>().unwrap()).map(|day| day.to_string())
        };
        assert_eq!(kept("2024-06-17").as_deref(), Some("2024-07-27"));
        assert_eq!(kept("2024-06").as_deref(), Some("2026-06-30"));
        assert_eq!(kept("total"), None);
    }

    #[test]
    fn what_is_kept_is_what_is_not_past_its_last_day() {
        for today in ["2024-03-31", "2024-02-29", "2025-01-01", "2024-07-27"] {
            let Ok(Period::Day(today)) = today.parse() else { panic!("{today}") };
            let (day, month) = PAGE_RETENTION_DEFAULT.oldest_kept(today);
            let is_kept = |period: Period| PAGE_RETENTION_DEFAULT.last_day_kept(period).unwrap() >= today;
            assert!(is_kept(day) && !is_kept(day.previous().unwrap()), "{day}");
            assert!(!is_kept(month.previous().unwrap()), "{month}");
        }
    }

    #[test]
    fn a_site_is_found_by_its_id_and_by_its_number() {
        let registered = |number, id: &str| {
            RegisteredSite::new(SiteNumber(number), Site::with_defaults(id.parse().unwrap(), Vec::new()))
        };
        assert!(Sites::default().is_empty());
        let sites: Sites = [registered(1, "a"), registered(2, "b"), registered(3, "c")].into_iter().collect();
        assert_eq!((sites.len(), sites.is_empty(), sites.iter().count()), (3, false, 3));
        for (number, id) in [(1, "a"), (2, "b"), (3, "c")] {
            assert_eq!(sites.get(id).unwrap().number, SiteNumber(number));
            assert_eq!(sites.by_number(SiteNumber(number)).unwrap().site.id.as_str(), id);
        }
        assert!(sites.get("d").is_none() && sites.by_number(SiteNumber(4)).is_none());
    }

    #[test]
    fn a_site_is_found_by_its_aliases_and_is_one_site() {
        use crate::counter::EditorRule;
        let registered = |number, id: &str, aliases: &[&str]| {
            let aliases = aliases.iter().map(|id| id.parse().unwrap()).collect();
            let site = Site { aliases, ..Site::with_defaults(id.parse().unwrap(), Vec::new()) };
            RegisteredSite::new(SiteNumber(number), site)
        };
        // The first alias is another site's id, which no configuration has.
        let mut sites: Sites =
            [registered(1, "a", &["b", "old", "older"]), registered(2, "b", &[])].into_iter().collect();
        assert_eq!((sites.len(), sites.iter().count()), (2, 2));
        let number = |sites: &Sites, id| sites.get(id).map(|site| site.number.0);
        for (id, expected) in [("a", 1), ("old", 1), ("older", 1), ("b", 2)] {
            assert_eq!(number(&sites, id), Some(expected), "{id}");
        }
        assert_eq!(number(&sites, "oldest"), None);
        let rule = EditorRule::stored("/a", "merge", Some("/b"), 1).unwrap();
        sites.set_rules([(SiteNumber(1), Arc::new(EditorRules::of([rule])))]);
        assert!(["a", "old", "older"].iter().all(|id| sites.get(id).unwrap().editor_rules.is_some()));
        assert!(sites.get("b").unwrap().editor_rules.is_none());
    }

    #[test]
    fn other_rules_make_another_object_of_their_site_alone() {
        use crate::counter::EditorRule;
        let registered = |number, id: &str| {
            RegisteredSite::new(SiteNumber(number), Site::with_defaults(id.parse().unwrap(), Vec::new()))
        };
        let mut sites: Sites = [registered(1, "a"), registered(2, "b")].into_iter().collect();
        let before = sites.clone();
        let rule = EditorRule::stored("/a", "merge", Some("/b"), 1).unwrap();
        let rules = Arc::new(EditorRules::of([rule]));
        // Of a site that isn't configured, too.
        sites.set_rules([(SiteNumber(2), Arc::clone(&rules)), (SiteNumber(9), Arc::clone(&rules))]);
        let is_same = |sites: &Sites, before: &Sites, id| Arc::ptr_eq(sites.get(id).unwrap(), before.get(id).unwrap());
        assert!(is_same(&sites, &before, "a") && !is_same(&sites, &before, "b"));
        assert!(Arc::ptr_eq(sites.get("b").unwrap(), sites.by_number(SiteNumber(2)).unwrap()));
        let counts_under = |id, page| sites.get(id).unwrap().counts_under(&PageAddress::from_stored(page));
        assert_eq!(counts_under("b", "/a"), Some(PageAddress::from_stored("/b")));
        assert_eq!((counts_under("b", "/b"), counts_under("a", "/a")), (None, None));
        let again = sites.clone();
        sites.set_rules([(SiteNumber(2), rules)]);
        assert!(is_same(&sites, &again, "b"));
    }

    #[test]
    fn visitors_are_counted_if_that_is_set_or_a_figure_shows_them() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        assert!(!site.counts_visitors());
        assert!(Site { visitors: true, ..site.clone() }.counts_visitors());
        assert!(Site { figures: [FigureKey::Total, FigureKey::Online].into(), ..site }.counts_visitors());
    }

    #[test]
    fn a_site_covers_what_lies_on_one_of_its_origins() {
        let origins = ["https://a.vn", "https://b.vn"].map(|origin| origin.parse().unwrap());
        let site = Site::with_defaults("demo".parse().unwrap(), origins.to_vec());
        for (url, is_covered) in [("https://a.vn/x", true), ("https://b.vn/x", true), ("https://c.vn/x", false)] {
            assert_eq!(site.covers(&Url::parse(url).unwrap()), is_covered, "{url}");
            assert_eq!(site.covers_plain(PlainUrl::of(url).unwrap()), is_covered, "{url}");
        }
    }
}

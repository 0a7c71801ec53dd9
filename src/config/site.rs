//! A site's table in the file.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::MapAccess;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Faults;
use super::suggest;
use super::value::{Field, List, Value, Whole, keys_of, read_table};
use crate::counter::Language;
use crate::counter::site::{FilteredBots, PageRetention};
use crate::counter::vouching::NETWORKS_MAX;
use crate::counter::{FigureKey, LabelStyle, Origin, PublicPart, Site, SiteId, SitePath, SitePathError, SitePaths};
use crate::page::{PageCase, PageCaseError, PageParams, PageRules, Pattern, PatternError};

/// Longest keeping of page figures, in days and months: a hundred years.
const PAGE_DAYS_MAX: u32 = 36_525;
const PAGE_MONTHS_MAX: u32 = 1_200;
/// A visitor's key lives for a day; beyond it nobody is recognised.
const REPEAT_WINDOW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The heading's key among the labels.
const TITLE: &str = "title";

#[derive(Deserialize)]
pub struct RawSite {
    name: Option<Field<String>>,
    origins: Option<Field<List<Origin>>>,
    time_zone: Option<Field<Tz>>,
    language: Option<Field<Language>>,
    figures: Option<Field<List<FigureKey>>>,
    label_style: Option<Field<LabelStyle>>,
    labels: Option<Field<RawLabels>>,
    page_params: Option<Field<List<Pattern>>>,
    page_params_ignored: Option<Field<List<Pattern>>>,
    page_case: Option<Field<PageCase>>,
    page_cap: Option<Field<Whole<1, { u32::MAX }>>>,
    vouching_networks: Option<Field<Whole<1, { NETWORKS_MAX as u32 }>>>,
    public: Option<Field<List<PublicPart>>>,
    page_days: Option<Field<Whole<1, PAGE_DAYS_MAX>>>,
    page_months: Option<Field<Whole<1, PAGE_MONTHS_MAX>>>,
    bots: Option<Field<FilteredBots>>,
    exclude_addresses: Option<Field<List<IpNet>>>,
    repeat_window: Option<Field<RepeatWindow>>,
    visitors: Option<Field<bool>>,
    titles: Option<Field<bool>>,
    aliases: Option<Field<List<SiteId>>>,
    counted_as: Option<Field<SiteId>>,
    paths: Option<Field<List<SitePath>>>,
}

/// A checked site, with the places of its id and of its aliases as bytes of the file.
pub struct ReadSite {
    pub site: Site,
    pub at: usize,
    pub aliases: Vec<(SiteId, usize)>,
}

/// All sites. Each is checked as it is read: a hundred thousand raw ones would take much memory.
pub struct RawSites {
    sites: Vec<ReadSite>,
    faults: Faults,
    is_empty: bool,
}

struct RawLabels(Vec<(Spanned<String>, Field<String>)>);

struct RepeatWindow(Duration);

/// The checked sites. `end`: where one would be added; none if there may be none.
pub fn check(field: Option<Field<RawSites>>, end: Option<usize>, faults: &mut Faults) -> Vec<ReadSite> {
    let lacks = "there is no site; add one as `[sites.my-portal]` with its `origins`";
    let Some(field) = field else {
        if let Some(end) = end {
            faults.missing(&(end..end), lacks);
        }
        return Vec::new();
    };
    let Some(raw) = faults.spanned(Some(field)) else { return Vec::new() };
    if raw.get_ref().is_empty && end.is_some() {
        faults.missing(&raw.span(), lacks);
    }
    let RawSites { sites, faults: found, .. } = raw.into_inner();
    faults.extend(found);
    sites
}

/// Notes each key of a site's table that nothing reads. `of_others`: why a key stands elsewhere.
pub fn unknown_keys(
    id: &str,
    table: &DeTable<'_>,
    of_others: &dyn Fn(&str) -> Option<&'static str>,
    faults: &mut Faults,
) {
    let known = keys_of::<RawSite>();
    for (key, value) in table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
        let reason = match value.get_ref() {
            _ if let Some(reason) = of_others(key.get_ref()) => reason.to_owned(),
            DeValue::Table(_) if suggest::nearest(key.get_ref(), known.iter().copied()).is_none() => {
                let joined = suggest::site_id(&format!("{id}-{}", key.get_ref())).unwrap_or_default();
                format!("a site id has no dots: `[sites.{joined}]`?")
            }
            _ => suggest::nearest_or_all(key.get_ref(), known),
        };
        let shown: String = key.get_ref().chars().take(80).collect();
        faults.wrong(&key.span(), format!("unknown key `{shown}`; {reason}"));
    }
}

impl RawSite {
    pub fn check(self, id: &Spanned<String>, faults: &mut Faults) -> Option<ReadSite> {
        let site_id = id.get_ref().parse::<SiteId>().map_err(|error| {
            faults.wrong(&id.span(), with_hint(error, suggest::site_id(id.get_ref())));
        });
        // With a wrong id the rest is checked all the same; the site is then not used.
        let mut site = Site::with_defaults(site_id.clone().unwrap_or_else(|()| SiteId::demo()), Vec::new());
        site.origins = origins(self.origins, id, faults);
        set(&mut site.name, faults.take(self.name));
        set(&mut site.time_zone, faults.take(self.time_zone));
        set(&mut site.language, faults.take(self.language));
        if let Some(figures) = faults.list(self.figures) {
            if figures.get_ref().is_empty() {
                // The script takes an answer without figures for none, and leaves the page as it was.
                faults.wrong(&figures.span(), r#"it is empty; name the box's figures, such as `["today", "month"]`"#);
            }
            site.figures = distinct(figures, |key| key.as_str().to_owned(), faults).into();
        }
        set(&mut site.label_style, faults.take(self.label_style));
        if let Some(labels) = faults.take(self.labels) {
            labels.check(&mut site, faults);
        }
        site.page_rules = page_rules(self.page_params, self.page_params_ignored, self.page_case, site.language, faults);
        let PageRetention { days, months } = &mut site.page_retention;
        set(days, faults.take(self.page_days).map(|Whole(days)| days));
        set(months, faults.take(self.page_months).map(|Whole(months)| months));
        set(&mut site.page_cap, faults.take(self.page_cap).map(|Whole(cap)| cap));
        set(&mut site.vouching_networks, faults.take(self.vouching_networks).map(|Whole(networks)| networks as u8));
        if let Some(parts) = faults.list(self.public) {
            site.public = distinct(parts, PublicPart::to_string, faults).into_iter().collect();
        }
        set(&mut site.filtered_bots, faults.take(self.bots));
        if let Some(networks) = faults.list(self.exclude_addresses) {
            let networks = distinct(networks, IpNet::to_string, faults);
            site.excluded_addresses = (!networks.is_empty()).then(|| networks.into());
        }
        set(&mut site.repeat_window, faults.take(self.repeat_window).map(|RepeatWindow(window)| window));
        set(&mut site.titles, faults.take(self.titles));
        if let Some(visitors) = faults.spanned(self.visitors) {
            site.visitors = *visitors.get_ref();
            if let Some(figure) = site.figures.iter().find(|key| !site.visitors && key.is_of_visitors()) {
                let figure = figure.as_str();
                let reason =
                    format!("false, but `figures` names `{figure}`, a number of visitors: leave one of them out");
                faults.wrong(&visitors.span(), reason);
            }
        }
        site.paths = faults.list(self.paths).and_then(|paths| {
            let paths = distinct(paths, SitePath::to_string, faults);
            SitePaths::of(&paths, site.page_rules.case).map(Arc::new)
        });
        let mut aliases = Vec::new();
        if let Some(list) = faults.list(self.aliases) {
            aliases = places(&list);
            site.aliases = distinct(list, SiteId::to_string, faults).into();
        }
        if let Some(id) = faults.spanned(self.counted_as)
            && *id.get_ref() != site.id
        {
            site.counted_as = id.get_ref().clone();
            if !site.aliases.contains(id.get_ref()) {
                aliases.push((id.get_ref().clone(), id.span().start));
                site.aliases = site.aliases.iter().cloned().chain([id.into_inner()]).collect();
            }
        }
        site_id.ok().map(|_| ReadSite { site, at: id.span().start, aliases })
    }
}

fn places(ids: &Spanned<Vec<Spanned<SiteId>>>) -> Vec<(SiteId, usize)> {
    ids.get_ref().iter().map(|id| (id.get_ref().clone(), id.span().start)).collect()
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

fn origins(field: Option<Field<List<Origin>>>, id: &Spanned<String>, faults: &mut Faults) -> Vec<Origin> {
    let lacks = format!(
        "site `{}` has no origins; name those of its pages, for example `origins = [{}]`",
        id.get_ref(),
        Origin::EXAMPLE
    );
    let Some(read) = field else {
        faults.missing(&id.span(), lacks);
        return Vec::new();
    };
    if read.get_ref().0.as_ref().is_ok_and(|List(items)| items.is_empty()) {
        faults.wrong(&read.span(), lacks);
    }
    let read = faults.list(Some(read)).map(Spanned::into_inner).unwrap_or_default();
    let mut origins: Vec<_> = read.into_iter().map(Spanned::into_inner).collect();
    // They stay for as long as the node runs.
    origins.shrink_to_fit();
    origins
}

/// The rules of a site's pages; those of sites that set none are shared.
fn page_rules(
    params: Option<Field<List<Pattern>>>,
    ignored: Option<Field<List<Pattern>>>,
    case: Option<Field<PageCase>>,
    language: Language,
    faults: &mut Faults,
) -> Arc<PageRules> {
    let shared = Site::default_page_rules(language);
    let mut patterns = |field| {
        let list = faults.list(field)?;
        Some(distinct(list, Pattern::to_string, faults).into_iter().collect::<Arc<[Pattern]>>())
    };
    let (params, ignored) = (patterns(params), patterns(ignored));
    let case = faults.take(case);
    if params.is_none() && ignored.is_none() && case.is_none() {
        return shared;
    }
    let mut rules = PageRules::clone(&shared);
    set(&mut rules.params, params.map(PageParams::Only));
    set(&mut rules.ignored, ignored);
    set(&mut rules.case, case);
    Arc::new(rules)
}

fn distinct<T>(list: Spanned<Vec<Spanned<T>>>, name: impl Fn(&T) -> String, faults: &mut Faults) -> Vec<T> {
    let items = list.into_inner();
    let mut seen = HashSet::new();
    for item in &items {
        if !seen.insert(name(item.get_ref())) {
            faults.wrong(&item.span(), format!("`{}` is named twice; once is enough", name(item.get_ref())));
        }
    }
    items.into_iter().map(Spanned::into_inner).collect()
}

impl RawLabels {
    fn check(self, site: &mut Site, faults: &mut Faults) {
        for (key, label) in self.0 {
            if key.get_ref() == TITLE {
                site.own_title = faults.take(Some(label));
                continue;
            }
            match FigureKey::from_text(key.get_ref()) {
                Ok(figure) => {
                    if let Some(label) = faults.take(Some(label)) {
                        site.labels.insert(figure, label);
                    }
                }
                Err(reason) => faults.wrong(&key.span(), reason),
            }
        }
    }
}

impl Value for RawSites {
    const EXAMPLE: &'static str = "[sites.my-portal]";

    fn expected() -> String {
        format!("tables such as `{}`", Self::EXAMPLE)
    }

    fn from_table<'de, A: MapAccess<'de>>(mut entries: A) -> Result<Result<Self, String>, A::Error> {
        let mut read = Self { sites: Vec::new(), faults: Faults::default(), is_empty: true };
        while let Some((id, site)) = entries.next_entry::<Spanned<String>, Field<RawSite>>()? {
            read.is_empty = false;
            if let Some(site) = read.faults.take(Some(site)) {
                read.sites.extend(site.check(&id, &mut read.faults));
            }
        }
        Ok(Ok(read))
    }
}

impl Value for RawSite {
    const EXAMPLE: &'static str = "[sites.my-portal]";

    fn expected() -> String {
        format!("a table that begins with a line such as `{}`", Self::EXAMPLE)
    }

    fn from_table<'de, A: MapAccess<'de>>(entries: A) -> Result<Result<Self, String>, A::Error> {
        read_table(entries)
    }
}

impl Value for RawLabels {
    const EXAMPLE: &'static str = r#"{ month = "Tháng này" }"#;

    fn expected() -> String {
        format!("a table such as `{}`", Self::EXAMPLE)
    }

    fn from_table<'de, A: MapAccess<'de>>(mut entries: A) -> Result<Result<Self, String>, A::Error> {
        let mut labels = Vec::new();
        while let Some(label) = entries.next_entry()? {
            labels.push(label);
        }
        Ok(Ok(Self(labels)))
    }
}

impl Value for SiteId {
    const EXAMPLE: &'static str = r#""my-portal""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| with_hint(error, suggest::site_id(text)))
    }
}

impl Value for SitePath {
    const EXAMPLE: &'static str = r#""/xa-a""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: SitePathError| error.to_string())
    }
}

impl Value for Origin {
    const EXAMPLE: &'static str = r#""https://portal.example.vn""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| with_hint(error, meant_origin(text)))
    }
}

/// The origin in an address, or of a bare host.
fn meant_origin(text: &str) -> Option<String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let (scheme, rest) = with_scheme.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let meant = format!("{scheme}://{host}");
    (meant != text && meant.parse::<Origin>().is_ok()).then_some(meant)
}

impl Value for Pattern {
    const EXAMPLE: &'static str = r#""id""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: PatternError| error.to_string())
    }
}

impl Value for PageCase {
    const EXAMPLE: &'static str = r#""auto""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: PageCaseError| error.to_string())
    }
}

impl Value for Tz {
    const EXAMPLE: &'static str = r#""Asia/Ho_Chi_Minh""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            with_hint(format!("`{text}` is not an IANA time zone"), Some(suggest::time_zone(text).to_owned()))
        })
    }
}

impl Value for Language {
    const EXAMPLE: &'static str = r#""vi""#;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| {
            let lower = text.to_lowercase();
            let meant = Language::ALL.map(Language::tag).into_iter().find(|tag| lower.starts_with(tag));
            with_hint(error, meant.map(str::to_owned))
        })
    }
}

impl Value for FigureKey {
    const EXAMPLE: &'static str = r#""today", "month""#;

    fn from_text(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::as_str);
        text.parse().map_err(|error| with_hint(error, suggest::nearest(text, known).map(str::to_owned)))
    }
}

impl Value for PublicPart {
    const EXAMPLE: &'static str = r#""figures", "page""#;

    fn from_text(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::as_str);
        text.parse().map_err(|error| with_hint(error, suggest::nearest(text, known).map(str::to_owned)))
    }
}

impl Value for LabelStyle {
    const EXAMPLE: &'static str = r#""dated""#;

    fn from_text(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::as_str);
        text.parse().map_err(|error| with_hint(error, suggest::nearest(text, known).map(str::to_owned)))
    }
}

fn with_hint(error: impl std::fmt::Display, meant: Option<String>) -> String {
    match meant {
        Some(meant) => format!("{error}; did you mean `{meant}`?"),
        None => error.to_string(),
    }
}

impl Value for FilteredBots {
    const EXAMPLE: &'static str = r#""all""#;

    fn expected() -> String {
        "\"all\" (counts readers only), \"crawlers\" (counts tools such as curl as well) or \"none\" (counts bots too)"
            .to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "crawlers" => Ok(Self::ExceptTools),
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            _ => Err(format!("expected {}, found \"{text}\"", Self::expected())),
        }
    }

    fn from_boolean(all: bool) -> Result<Self, String> {
        Ok(if all { Self::All } else { Self::None })
    }
}

impl Value for RepeatWindow {
    const EXAMPLE: &'static str = r#""30m""#;

    fn from_text(text: &str) -> Result<Self, String> {
        let reason = match humantime::parse_duration(text) {
            Ok(duration) if duration <= REPEAT_WINDOW_MAX => return Ok(Self(duration)),
            Ok(_) => "is longer than a day, for which a visitor is known; expected at most `24h`".to_owned(),
            Err(_) if text.trim().parse::<u32>().is_ok() => {
                format!("has no unit; did you mean `{0}s` (seconds) or `{0}m` (minutes)?", text.trim())
            }
            Err(_) => "is not a duration; expected one such as `30m`, `12h`, or `0s` for none".to_owned(),
        };
        Err(format!("`{text}` {reason}"))
    }
}

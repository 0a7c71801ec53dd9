//! A site's table in the file.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::problem::Findings;
use super::reader::{Reader, Text, a_kind_of};
use super::suggest;
use crate::counter::site::{PageRetention, Screening};
use crate::counter::{FigureKey, LabelStyle, Origin, Site, SiteId};

pub const KEYS: [&str; 14] = [
    "name",
    "origins",
    "time_zone",
    "language",
    "figures",
    "label_style",
    "labels",
    "page_params",
    "page_cap",
    "page_days",
    "page_months",
    "bots",
    "repeat_window",
    "visitors",
];

/// Longest keeping of page figures, in days and months: a hundred years.
const PAGE_DAYS_MAX: u32 = 36_525;
const PAGE_MONTHS_MAX: u32 = 1_200;
/// Beyond it a visitor is another one: their key lives for a day.
const REPEAT_WINDOW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Among the labels, the heading's.
const TITLE: &str = "title";

const ORIGINS: &str = r#"["https://portal.example.vn"]"#;

/// Reads all sites.
pub fn read_all(sites: &DeTable<'_>, root_keys: &[&str], findings: &mut Findings<'_>) -> Vec<Site> {
    let mut read = Vec::with_capacity(sites.len());
    for (id, value) in sites.iter() {
        if findings.is_full() {
            break;
        }
        let id = Text { text: id.get_ref(), span: id.span() };
        match value.get_ref() {
            DeValue::Table(table) => read.extend(read_site(&id, table, root_keys, findings)),
            other => {
                let reason = format!(
                    "site `{}` is {}; expected a table that begins with `[sites.{0}]`",
                    id.text,
                    a_kind_of(other)
                );
                findings.wrong(&id.span, reason);
            }
        }
    }
    read
}

fn read_site(id: &Text<'_>, table: &DeTable<'_>, root_keys: &[&str], findings: &mut Findings<'_>) -> Option<Site> {
    let site_id = id.read::<SiteId>(findings, suggest::site_id);
    let mut reader = Reader::new(table, findings);
    reader.refuse_unknown(&KEYS, |key, value| match value {
        DeValue::Table(_) if !KEYS.iter().any(|known| suggest::nearest(key, [*known]).is_some()) => {
            let joined = suggest::site_id(&format!("{}-{key}", id.text)).unwrap_or_default();
            format!("a site id has no dots: `[sites.{joined}]`?")
        }
        _ if root_keys.contains(&key) => {
            "it is not a site's: put it at the top of the file, above the first line in brackets".to_owned()
        }
        _ => suggest::nearest_or_all(key, &KEYS),
    });
    // With a wrong id the rest is checked all the same; the site is then not used.
    let mut site = Site::with_defaults(site_id.clone().unwrap_or_else(SiteId::demo), Vec::new());
    if let Some(name) = reader.string("name", r#""Huyện Vị Xuyên""#) {
        name.text.clone_into(&mut site.name);
    }
    site.origins = origins(&mut reader, table, id);
    if let Some(zone) = reader.string("time_zone", r#""Asia/Ho_Chi_Minh""#) {
        match zone.text.parse() {
            Ok(read) => site.time_zone = read,
            Err(_) => {
                let meant = suggest::time_zone(zone.text);
                let reason = format!("`{}` is not an IANA time zone; did you mean `{meant}`?", zone.text);
                reader.findings().wrong(&zone.span, reason);
            }
        }
    }
    if let Some(language) = reader.string("language", r#""vi""#) {
        let read = language.read(reader.findings(), |text| {
            let text = text.to_lowercase();
            ["vi", "en"].into_iter().find(|language| text.starts_with(language)).map(str::to_owned)
        });
        site.language = read.unwrap_or(site.language);
    }
    if let Some(figures) = reader.strings("figures", r#"["today", "month"]"#) {
        refuse_repeats("figures", &figures.texts, reader.findings());
        if figures.texts.is_empty() {
            // The script takes an answer without figures for none, and leaves the page as it was.
            let lacks =
                r#"`figures` is empty; name those that the box shows, for example `figures = ["today", "month"]`"#;
            reader.findings().missing(&figures.span, lacks);
        }
        site.figures = figures.texts.iter().filter_map(|key| figure(key, reader.findings())).collect();
    }
    if let Some(style) = reader.string("label_style", r#""dated""#) {
        let read = style.read::<LabelStyle>(reader.findings(), |text| {
            suggest::nearest(text, LabelStyle::ALL.map(LabelStyle::as_str)).map(str::to_owned)
        });
        site.label_style = read.unwrap_or(site.label_style);
    }
    labels(&mut reader, &mut site);
    if let Some(params) = reader.strings("page_params", r#"["id"]"#) {
        refuse_repeats("page_params", &params.texts, reader.findings());
        for param in params.texts.iter().filter(|param| param.text.is_empty()) {
            reader.findings().wrong(&param.span, "`page_params` holds an empty name; expected names such as `\"id\"`");
        }
        site.page_params = params.texts.iter().map(|param| param.text.to_owned()).collect::<Arc<[String]>>();
    }
    let PageRetention { days, months } = site.page_retention;
    site.page_retention = PageRetention {
        days: reader.whole_number("page_days", 1..=PAGE_DAYS_MAX, "40").unwrap_or(days),
        months: reader.whole_number("page_months", 1..=PAGE_MONTHS_MAX, "24").unwrap_or(months),
    };
    if let Some(visitors) = reader.boolean("visitors") {
        site.visitors = visitors;
        if let Some(figure) = site.figures.iter().find(|key| !visitors && key.is_of_visitors())
            && let Some(value) = table.get("visitors")
        {
            let figure = figure.as_str();
            let reason = format!(
                "`visitors` is false, but `figures` names `{figure}`, a number of visitors: leave one of them out"
            );
            reader.findings().wrong(&value.span(), reason);
        }
    }
    site.page_cap = reader.whole_number("page_cap", 1..=u32::MAX, "100000").unwrap_or(site.page_cap);
    site.screening = screening(&mut reader, table).unwrap_or(site.screening);
    if let Some(window) = reader.string("repeat_window", r#""30m""#) {
        site.repeat_window = repeat_window(&window, reader.findings()).unwrap_or(site.repeat_window);
    }
    site_id.map(|_| site)
}

fn screening(reader: &mut Reader<'_, '_, '_>, table: &DeTable<'_>) -> Option<Screening> {
    if table.get("bots")?.get_ref().as_bool().is_some() {
        return reader.boolean("bots").map(|all| if all { Screening::All } else { Screening::None });
    }
    let word = reader.string("bots", r#""all""#)?;
    match word.text {
        "crawlers" => Some(Screening::ButTools),
        "all" => Some(Screening::All),
        "none" => Some(Screening::None),
        _ => {
            let reason = format!(
                "`bots` is \"{}\"; expected \"all\" (whatever is no reader is not counted), \"crawlers\" (but tools such as curl and steered browsers are) or \"none\"",
                word.text
            );
            reader.findings().wrong(&word.span, reason);
            None
        }
    }
}

fn origins(reader: &mut Reader<'_, '_, '_>, table: &DeTable<'_>, id: &Text<'_>) -> Vec<Origin> {
    let lacks =
        format!("site `{}` has no origins; name those of its pages, for example `origins = {ORIGINS}`", id.text);
    let Some(origins) = reader.strings("origins", ORIGINS) else {
        // A misspelt one is told already.
        let is_misspelt = table.keys().any(|key| suggest::nearest(key.get_ref(), KEYS) == Some("origins"));
        if !is_misspelt {
            reader.findings().missing(&id.span, lacks);
        }
        return Vec::new();
    };
    if origins.texts.is_empty() {
        reader.findings().missing(&origins.span, lacks);
    }
    let mut read: Vec<_> =
        origins.texts.iter().filter_map(|origin| origin.read(reader.findings(), meant_origin)).collect();
    // They stay for as long as the node runs.
    read.shrink_to_fit();
    read
}

/// The origin in an address, or of a bare host.
fn meant_origin(text: &str) -> Option<String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let (scheme, rest) = with_scheme.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let meant = format!("{scheme}://{host}");
    (meant != text && meant.parse::<Origin>().is_ok()).then_some(meant)
}

fn labels(reader: &mut Reader<'_, '_, '_>, site: &mut Site) {
    let Some((table, _)) = reader.table("labels", r#"{ month = "Tháng này" }"#) else { return };
    let mut labels = Reader::new(table, reader.findings());
    for (key, _) in table.iter() {
        let key = Text { text: key.get_ref(), span: key.span() };
        if key.text == TITLE {
            site.own_title = labels.string(TITLE, r#""Thống kê truy cập""#).map(|title| title.text.to_owned());
        } else if let Some(figure) = figure(&key, labels.findings())
            && let Some(label) = labels.string(key.text, r#""Tháng này""#)
        {
            site.labels.insert(figure, label.text.to_owned());
        }
    }
}

fn figure(key: &Text<'_>, findings: &mut Findings<'_>) -> Option<FigureKey> {
    let known = FigureKey::ALL.map(FigureKey::as_str);
    key.read(findings, |text| suggest::nearest(text, known).map(str::to_owned))
}

fn refuse_repeats(key: &str, texts: &[Text<'_>], findings: &mut Findings<'_>) {
    let mut seen = HashSet::new();
    for Text { text, span } in texts {
        if !seen.insert(*text) {
            findings.wrong(span, format!("`{key}` names `{text}` twice; once is enough"));
        }
    }
}

fn repeat_window(window: &Text<'_>, findings: &mut Findings<'_>) -> Option<Duration> {
    let reason = match humantime::parse_duration(window.text) {
        Ok(duration) if duration <= REPEAT_WINDOW_MAX => return Some(duration),
        Ok(_) => "is longer than a day, for which a visitor is known; expected at most `24h`".to_owned(),
        Err(_) if window.text.trim().parse::<u32>().is_ok() => {
            format!("has no unit; did you mean `{}s` (seconds) or `{0}m` (minutes)?", window.text.trim())
        }
        Err(_) => "is not a duration; expected one such as `30m`, `12h`, or `0s` for none".to_owned(),
    };
    let shown: Range<usize> = window.span.clone();
    findings.wrong(&shown, format!("repeat_window `{}` {reason}", window.text));
    None
}

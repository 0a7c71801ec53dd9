//! "Does it count?": a site's hits as they come, each with its page and its verdict, and no reader.

use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use chrono::{DateTime, Timelike as _};
use serde::Serialize;

use super::frame::Frame;
use super::locale::Locale;
use super::site_head::{SiteHead, Tab};
use super::site_page;
use super::words::{Words, kind_label};
use crate::bots::Kind;
use crate::counter::RegisteredSite;
use crate::server::hit::{HitOutcome, LiveHit, LiveHits};
use crate::server::refusals::{ORIGIN_HEADER, PREFIX, Refused};

#[derive(Template)]
#[template(path = "manage/live.html")]
pub struct LivePage {
    frame: Frame,
    head: SiteHead,
    /// Address of the rows alone.
    rows_href: String,
    rows: Vec<Row>,
    is_full: bool,
    refused: Vec<RefusedRow>,
    origins: Vec<String>,
}

/// A hit, in words.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Row {
    time: String,
    page: String,
    verdict: String,
    /// `yes` or `no`: it counts, or not.
    counts: &'static str,
}

/// Refused hits of one origin and reason.
struct RefusedRow {
    last: String,
    from: String,
    times: String,
    why: &'static str,
}

impl RefusedRow {
    fn of(locale: Locale, site: &RegisteredSite, refused: &Refused) -> Self {
        let (zone, words) = (site.site.time_zone, locale.words());
        let last = DateTime::parse_from_rfc3339(&refused.last).map(|last| last.with_timezone(&zone));
        let origin = refused.origin.as_deref().unwrap_or(words.unknown_origin);
        Self {
            last: last.map_or_else(|_| String::new(), |last| locale.moment(last, site_page::today(site))),
            from: format!("{origin}{}", refused.path.as_deref().unwrap_or_default()),
            times: locale.number(i64::try_from(refused.requests).unwrap_or(i64::MAX)),
            why: why(words, &refused.reason),
        }
    }
}

/// The reason, and what an editor can do. Another site's name stays out of it.
fn why(words: &Words, reason: &str) -> &'static str {
    match reason {
        "origin" => words.why_origin,
        ORIGIN_HEADER => words.why_header,
        "site" => words.why_site,
        PREFIX => words.why_prefix,
        "limited" => words.why_limited,
        "unavailable" => words.why_unavailable,
        _ => words.why_malformed,
    }
}

pub fn page(frame: Frame, site: &Arc<RegisteredSite>, live: &LiveHits, refused: &[Refused]) -> LivePage {
    let path = format!("/sites/{}/live", site.site.id);
    let frame = frame.at(&path, &[]);
    let rows = rows(frame.locale, site, live);
    LivePage {
        head: SiteHead::of(&frame, site, Tab::Live),
        rows_href: frame.href(&format!("{path}.json"), &[]),
        is_full: rows.is_none(),
        refused: refused.iter().map(|refused| RefusedRow::of(frame.locale, site, refused)).collect(),
        rows: rows.unwrap_or_default(),
        origins: site.site.origins.iter().map(ToString::to_string).collect(),
        frame,
    }
}

/// The site's last hits. None where too many sites are watched.
pub fn rows(locale: Locale, site: &RegisteredSite, live: &LiveHits) -> Option<Vec<Row>> {
    let hits = live.look(site.number, Instant::now())?;
    let words = locale.words();
    let row = |hit: &LiveHit| {
        let at = hit.at.with_timezone(&site.site.time_zone);
        Row {
            time: format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()),
            page: hit.page.to_string(),
            verdict: verdict(locale, words, hit),
            counts: if hit.outcome == HitOutcome::COUNTED { "yes" } else { "no" },
        }
    };
    Some(hits.iter().map(row).collect())
}

fn verdict(locale: Locale, words: &Words, hit: &LiveHit) -> String {
    let HitOutcome { result, kind } = hit.outcome;
    if hit.outcome == HitOutcome::COUNTED {
        return if hit.is_other { words.counted_under_other.to_owned() } else { words.counted.to_owned() };
    }
    if hit.outcome == HitOutcome::LIMITED {
        return format!("{}: {}", words.not_counted, words.limited);
    }
    let why = Kind::named(kind.unwrap_or(result)).map_or(result, |kind| kind_label(kind, locale.language));
    format!("{}: {why}", words.not_counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Language, PageAddress, Site, SiteNumber};

    #[test]
    fn a_row_says_when_which_page_and_why() {
        let site = RegisteredSite::new(SiteNumber(1), Site::with_defaults("a".parse().unwrap(), Vec::new()));
        let (live, now) = (LiveHits::default(), Instant::now());
        live.look(site.number, now);
        let outcomes = [
            (HitOutcome::COUNTED, false),
            (HitOutcome::COUNTED, true),
            (HitOutcome::LIMITED, false),
            (HitOutcome::filtered(Kind::Seo), false),
            (HitOutcome::filtered(Kind::Repeat), false),
        ];
        for (outcome, is_other) in outcomes {
            let (at, page) = ("2026-11-30T16:59:07Z".parse().unwrap(), PageAddress::from_stored("/a"));
            live.note(site.number, LiveHit { at, page, outcome, is_other }, now);
        }
        let rows = rows(Locale { language: Language::English, is_chosen: false }, &site, &live).unwrap();
        assert_eq!((&*rows[0].time, &*rows[0].page), ("23:59:07", "/a"));
        let verdicts: Vec<_> = rows.iter().rev().map(|row| (&*row.verdict, row.counts)).collect();
        let expected = [
            ("Counted", "yes"),
            ("Counted under (other pages): too few networks have read it yet", "yes"),
            ("Not counted: more than the limits allow", "no"),
            ("Not counted: Search marketing", "no"),
            ("Not counted: Reloads", "no"),
        ];
        assert_eq!(verdicts, expected);
    }
}

//! Language of a request, and numbers and dates in it.

use chrono::{DateTime, Datelike as _, Timelike as _};
use chrono_tz::Tz;
use hyper::header::{ACCEPT_LANGUAGE, HeaderMap};

use super::words::{EN, VI, Words};
use crate::counter::{Day, Language};
use crate::server::http::form;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locale {
    pub language: Language,
    /// The address names it, and so do its links.
    pub is_chosen: bool,
}

impl Locale {
    /// The language that the query names, or that the browser prefers, or Vietnamese.
    pub fn of(query: &str, headers: &HeaderMap) -> Self {
        let chosen = form::values(query, "lang").next().and_then(|tag| tag.parse().ok());
        let preferred = || headers.get(ACCEPT_LANGUAGE).and_then(|value| preferred(value.to_str().ok()?));
        let language = chosen.or_else(preferred).unwrap_or(Language::Vietnamese);
        Self { language, is_chosen: chosen.is_some() }
    }

    pub fn words(self) -> &'static Words {
        match self.language {
            Language::Vietnamese => &VI,
            Language::English => &EN,
        }
    }

    pub fn other(self) -> Language {
        match self.language {
            Language::Vietnamese => Language::English,
            Language::English => Language::Vietnamese,
        }
    }

    pub fn tag(self) -> &'static str {
        self.language.tag()
    }

    pub fn number(self, value: i64) -> String {
        self.language.number(value)
    }

    /// `30/11/2026`, `30 Nov 2026`.
    pub fn day(self, day: Day) -> String {
        let date = day.date();
        match self.language {
            Language::Vietnamese => format!("{:02}/{:02}/{}", date.day(), date.month(), date.year()),
            Language::English => date.format("%-d %b %Y").to_string(),
        }
    }

    /// `14:05` today, else the day.
    pub fn moment(self, at: DateTime<Tz>, today: Day) -> String {
        let day = Day::from_date(at.date_naive());
        let time = format!("{:02}:{:02}", at.hour(), at.minute());
        if day == today { time } else { format!("{} {time}", self.day(day)) }
    }
}

/// The language of the two that the list prefers.
fn preferred(list: &str) -> Option<Language> {
    let mut best: Option<(f32, Language)> = None;
    for part in list.split(',') {
        let (tag, weight) = part.split_once(';').unwrap_or((part, ""));
        let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
        let Ok(language) = primary.parse::<Language>() else { continue };
        let weight = weight.trim().strip_prefix("q=").map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        if weight > 0.0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str, accepted: &str) -> (&'static str, bool) {
        let headers = [(ACCEPT_LANGUAGE, accepted.parse().unwrap())].into_iter().collect();
        let Locale { language, is_chosen } = Locale::of(query, &headers);
        (language.tag(), is_chosen)
    }

    #[test]
    fn the_address_chooses_the_language_then_the_browser_and_vietnamese_comes_first() {
        assert_eq!(of("", ""), ("vi", false));
        assert_eq!(of("", "fr-FR, de;q=0.5"), ("vi", false));
        assert_eq!(of("", "en-GB,en;q=0.9,vi;q=0.8"), ("en", false));
        assert_eq!(of("", "fr, en;q=0.5, VI;q=0.7"), ("vi", false));
        assert_eq!(of("", "en;q=0"), ("vi", false));
        assert_eq!(of("a=b&lang=en", "vi"), ("en", true));
        assert_eq!(of("lang=fr", "en"), ("en", false));
    }
}

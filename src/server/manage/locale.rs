//! Language of a request, and numbers and dates in it.

use chrono::{DateTime, Datelike as _, Timelike as _};
use chrono_tz::Tz;
use hyper::header::{ACCEPT_LANGUAGE, HeaderMap};

use super::words::{EN, VI, Words};
use crate::counter::{Day, DayRange, Language};
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

    /// `Tháng 11/2026`, `November 2026`.
    pub fn month(self, day: Day) -> String {
        match self.language {
            Language::Vietnamese => format!("Tháng {}/{}", day.month_number(), day.year_number()),
            Language::English => day.date().format("%B %Y").to_string(),
        }
    }

    /// `Quý IV/2026`, `Q4 2026`.
    pub fn quarter(self, day: Day) -> String {
        let quarter = usize::from(day.month_number().saturating_sub(1) / 3);
        match self.language {
            Language::Vietnamese => format!("Quý {}/{}", ["I", "II", "III", "IV"][quarter.min(3)], day.year_number()),
            Language::English => format!("Q{} {}", quarter + 1, day.year_number()),
        }
    }

    /// Below a bar: `30/11`, `30 Nov`.
    pub fn short_day(self, day: Day) -> String {
        match self.language {
            Language::Vietnamese => format!("{}/{}", day.date().day(), day.month_number()),
            Language::English => day.date().format("%-d %b").to_string(),
        }
    }

    /// Below a bar: `11/2026`, `Nov 2026`.
    pub fn short_month(self, day: Day) -> String {
        match self.language {
            Language::Vietnamese => format!("{}/{}", day.month_number(), day.year_number()),
            Language::English => day.date().format("%b %Y").to_string(),
        }
    }

    /// `Thứ hai, 30/11/2026`, `Mon, 30 Nov 2026`.
    pub fn weekday_and_day(self, day: Day) -> String {
        const VIETNAMESE: [&str; 7] = ["Thứ hai", "Thứ ba", "Thứ tư", "Thứ năm", "Thứ sáu", "Thứ bảy", "Chủ nhật"];
        let weekday = day.date().weekday();
        match self.language {
            Language::Vietnamese => {
                format!("{}, {}", VIETNAMESE[weekday.num_days_from_monday() as usize], self.day(day))
            }
            Language::English => format!("{weekday}, {}", self.day(day)),
        }
    }

    /// `24/11/2026 – 30/11/2026`.
    pub fn days(self, days: DayRange) -> String {
        match days.length() {
            1 => self.day(days.first()),
            _ => format!("{} – {}", self.day(days.first()), self.day(days.last())),
        }
    }

    /// The part of the whole, in percent.
    pub fn share(self, part: i64, whole: i64) -> String {
        if whole <= 0 || part <= 0 {
            return "0%".to_owned();
        }
        let tenths = (part as f64 * 1000.0 / whole as f64).round() as i64;
        match tenths {
            0 => "<0,1%".replace(',', self.decimal_mark()),
            100.. => format!("{}%", (part as f64 * 100.0 / whole as f64).round() as i64),
            _ => format!("{}{}{}%", tenths / 10, self.decimal_mark(), tenths % 10),
        }
    }

    fn decimal_mark(self) -> &'static str {
        match self.language {
            Language::Vietnamese => ",",
            Language::English => ".",
        }
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

    #[test]
    fn dates_are_written_as_the_language_does() {
        let day = Day::from_ymd(2026, 11, 1).unwrap();
        let written = |language| {
            let locale = Locale { language, is_chosen: false };
            [
                locale.day(day),
                locale.month(day),
                locale.quarter(day),
                locale.short_day(day),
                locale.weekday_and_day(day),
            ]
            .join("; ")
        };
        assert_eq!(written(Language::Vietnamese), "01/11/2026; Tháng 11/2026; Quý IV/2026; 1/11; Chủ nhật, 01/11/2026");
        assert_eq!(written(Language::English), "1 Nov 2026; November 2026; Q4 2026; 1 Nov; Sun, 1 Nov 2026");
    }

    #[test]
    fn a_share_is_short_and_never_says_nothing_of_something() {
        let shares = |language| {
            let locale = Locale { language, is_chosen: false };
            [(0, 10), (1, 100_000), (5, 1_000), (123, 1_000), (995, 1_000), (7, 0)]
                .map(|(part, whole)| locale.share(part, whole))
        };
        assert_eq!(shares(Language::Vietnamese), ["0%", "<0,1%", "0,5%", "12%", "100%", "0%"]);
        assert_eq!(shares(Language::English)[2], "0.5%");
    }
}

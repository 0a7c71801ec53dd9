//! The words beside the figures, and how numbers are written in a site's language.

use std::collections::BTreeMap;
use std::str::FromStr;

use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;
use icu_locale_core::locale;

use super::{Day, Period};

/// A figure that a box can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FigureKey {
    Today,
    Yesterday,
    Month,
    Year,
    Total,
    Online,
    VisitorsToday,
    VisitorsYesterday,
}

/// The language of labels and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    Vietnamese,
    English,
}

/// A site's own words for some figures; the rest are the language's.
pub type Labels = BTreeMap<FigureKey, String>;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a figure: expected one of {known}", known = FigureKey::ALL.map(FigureKey::as_str).join(", "))]
pub struct FigureKeyError(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a language: expected vi or en")]
pub struct LanguageError(String);

impl FigureKey {
    pub const ALL: [Self; 8] = [
        Self::Today,
        Self::Yesterday,
        Self::Month,
        Self::Year,
        Self::Total,
        Self::Online,
        Self::VisitorsToday,
        Self::VisitorsYesterday,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Yesterday => "yesterday",
            Self::Month => "month",
            Self::Year => "year",
            Self::Total => "total",
            Self::Online => "online",
            Self::VisitorsToday => "visitors_today",
            Self::VisitorsYesterday => "visitors_yesterday",
        }
    }

    /// What the figure counts over, seen on `today`.
    pub fn period(self, today: Day) -> Period {
        match self {
            Self::Today | Self::VisitorsToday => Period::Day(today),
            Self::Yesterday | Self::VisitorsYesterday => Period::Day(today.previous()),
            Self::Month => today.month(),
            Self::Year => today.year(),
            Self::Total | Self::Online => Period::Total,
        }
    }

    /// Whether it is a number of visitors, not of hits.
    pub fn is_of_visitors(self) -> bool {
        matches!(self, Self::Online | Self::VisitorsToday | Self::VisitorsYesterday)
    }

    /// The label in `language`, seen on `today`.
    pub fn label(self, language: Language, today: Day) -> String {
        let date = today.date();
        let text = match (language, self) {
            (Language::Vietnamese, Self::Today) => "Hôm nay",
            (Language::Vietnamese, Self::Yesterday) => "Hôm qua",
            (Language::Vietnamese, Self::Month) => return date.format("Tháng %m").to_string(),
            (Language::Vietnamese, Self::Year) => return date.format("Năm %Y").to_string(),
            (Language::Vietnamese, Self::Total) => "Tổng lượt truy cập",
            (Language::Vietnamese, Self::Online) => "Đang truy cập",
            (Language::Vietnamese, Self::VisitorsToday) => "Khách hôm nay",
            (Language::Vietnamese, Self::VisitorsYesterday) => "Khách hôm qua",
            (Language::English, Self::Online) => "Online",
            (Language::English, Self::VisitorsToday) => "Visitors today",
            (Language::English, Self::VisitorsYesterday) => "Visitors yesterday",
            (Language::English, Self::Today) => "Today",
            (Language::English, Self::Yesterday) => "Yesterday",
            (Language::English, Self::Month) => return date.format("%B").to_string(),
            (Language::English, Self::Year) => return date.format("Year %Y").to_string(),
            (Language::English, Self::Total) => "Total",
        };
        text.to_owned()
    }
}

impl Language {
    /// The box's heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Vietnamese => "Thống kê truy cập",
            Self::English => "Visit statistics",
        }
    }

    /// The number as the language writes it: 2455 is `2.455` in Vietnamese and `2,455` in English.
    pub fn number(self, value: i64) -> String {
        thread_local! {
            static FORMATTERS: [Option<DecimalFormatter>; 2] =
                [locale!("vi"), locale!("en")].map(|locale| DecimalFormatter::try_new(locale.into(), Default::default()).ok());
        }
        FORMATTERS.with(|formatters| match &formatters[self as usize] {
            Some(formatter) => formatter.format(&Decimal::from(value)).to_string(),
            // Both languages are compiled in, so this is never taken; a bare number is still true.
            None => value.to_string(),
        })
    }
}

impl FromStr for FigureKey {
    type Err = FigureKeyError;

    fn from_str(text: &str) -> Result<Self, FigureKeyError> {
        Self::ALL
            .into_iter()
            .find(|key| key.as_str() == text)
            .ok_or_else(|| FigureKeyError(text.chars().take(40).collect()))
    }
}

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(text: &str) -> Result<Self, LanguageError> {
        match text {
            "vi" => Ok(Self::Vietnamese),
            "en" => Ok(Self::English),
            _ => Err(LanguageError(text.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_as_the_language_does() {
        assert_eq!(Language::Vietnamese.number(2455), "2.455");
        assert_eq!(Language::English.number(2455), "2,455");
        assert_eq!(Language::Vietnamese.number(462_203), "462.203");
        assert_eq!(Language::Vietnamese.number(851), "851");
        assert_eq!(Language::English.number(-1_000_000), "-1,000,000");
    }

    #[test]
    fn labels_say_the_period_in_the_language() {
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let labels = |language| FigureKey::ALL.map(|key| key.label(language, day));
        assert_eq!(
            labels(Language::Vietnamese),
            [
                "Hôm nay",
                "Hôm qua",
                "Tháng 06",
                "Năm 2024",
                "Tổng lượt truy cập",
                "Đang truy cập",
                "Khách hôm nay",
                "Khách hôm qua"
            ]
        );
        assert_eq!(
            labels(Language::English),
            ["Today", "Yesterday", "June", "Year 2024", "Total", "Online", "Visitors today", "Visitors yesterday"]
        );
    }
}

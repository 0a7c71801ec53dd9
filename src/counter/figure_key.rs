//! Figure keys: their names, their spans, and their labels in each language and style.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::language::{LabelStyle, Language, named};
use super::{Day, Period, Span, Week};

/// A figure that a box can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FigureKey {
    Today,
    Yesterday,
    Week,
    LastWeek,
    Month,
    LastMonth,
    Year,
    LastYear,
    Total,
    Online,
    VisitorsToday,
    VisitorsYesterday,
}

/// A site's own words for some figures; the rest are the language's.
pub type Labels = BTreeMap<FigureKey, String>;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a figure: expected one of {known}", known = FigureKey::ALL.map(FigureKey::as_str).join(", "))]
pub struct FigureKeyError(String);

/// A figure's name in the configuration, and its labels in each language by style. `%` begins a part of the date.
type Names = (FigureKey, &'static str, [[&'static str; 3]; 2]);

/// In the order of the keys and of the styles. Weeks go without their number, which nobody knows.
const NAMES: [Names; 12] = [
    (FigureKey::Today, "today", [["Hôm nay"; 3], ["Today"; 3]]),
    (FigureKey::Yesterday, "yesterday", [["Hôm qua"; 3], ["Yesterday"; 3]]),
    (FigureKey::Week, "week", [["Tuần này", "Tuần này", "Tuần hiện tại"], ["This week", "This week", "Current week"]]),
    (FigureKey::LastWeek, "last_week", [["Tuần trước"; 3], ["Last week", "Last week", "Previous week"]]),
    (FigureKey::Month, "month", [["Tháng %m", "Tháng này", "Tháng hiện tại"], ["%B", "This month", "Current month"]]),
    (
        FigureKey::LastMonth,
        "last_month",
        [["Tháng %m", "Tháng trước", "Tháng trước"], ["%B", "Last month", "Previous month"]],
    ),
    (FigureKey::Year, "year", [["Năm %Y", "Năm nay", "Năm hiện tại"], ["Year %Y", "This year", "Current year"]]),
    (
        FigureKey::LastYear,
        "last_year",
        [["Năm %Y", "Năm trước", "Năm trước"], ["Year %Y", "Last year", "Previous year"]],
    ),
    (
        FigureKey::Total,
        "total",
        [["Tổng lượt truy cập", "Tổng truy cập", "Tổng lượt truy cập"], ["Total", "All visits", "Total"]],
    ),
    (FigureKey::Online, "online", [["Đang truy cập", "Đang online", "Trực tuyến"], ["Online now"; 3]]),
    (FigureKey::VisitorsToday, "visitors_today", [["Khách hôm nay"; 3], ["Visitors today"; 3]]),
    (FigureKey::VisitorsYesterday, "visitors_yesterday", [["Khách hôm qua"; 3], ["Visitors yesterday"; 3]]),
];

impl FigureKey {
    pub const ALL: [Self; 12] = {
        let mut all = [Self::Today; 12];
        let mut at = 0;
        while at < all.len() {
            all[at] = NAMES[at].0;
            at += 1;
        }
        all
    };

    pub fn as_str(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// The time that the figure covers, seen on `today`.
    pub fn span(self, today: Day) -> Span {
        let before = |period: Period| Span::Period(period.previous().unwrap_or(period));
        match self {
            Self::Today | Self::VisitorsToday => Span::Period(Period::Day(today)),
            Self::Yesterday | Self::VisitorsYesterday => Span::Period(Period::Day(today.previous())),
            Self::Week => Span::Week(Week::of(today)),
            Self::LastWeek => Span::Week(Week::of(today).previous()),
            Self::Month => Span::Period(today.month()),
            Self::LastMonth => before(today.month()),
            Self::Year => Span::Period(today.year()),
            Self::LastYear => before(today.year()),
            Self::Total | Self::Online => Span::Period(Period::Total),
        }
    }

    /// True for a number of visitors, false for one of hits.
    pub fn is_of_visitors(self) -> bool {
        matches!(self, Self::Online | Self::VisitorsToday | Self::VisitorsYesterday)
    }

    /// The label in `language`, seen on `today`.
    pub fn label(self, language: Language, style: LabelStyle, today: Day) -> String {
        let (_, _, labels) = NAMES[self as usize];
        let text = labels[language as usize][style as usize];
        match self.span(today).days() {
            // Only labels that name the date have anything to fill in.
            Some((first_day, _)) if text.contains('%') => first_day.date().format(text).to_string(),
            _ => text.to_owned(),
        }
    }
}

impl FromStr for FigureKey {
    type Err = FigureKeyError;

    fn from_str(text: &str) -> Result<Self, FigureKeyError> {
        named(&Self::ALL, Self::as_str, text).map_err(FigureKeyError)
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
    fn labels_say_the_period_in_the_language_and_style() {
        let day = Day::from_ymd(2024, 1, 7).unwrap();
        let labels = |language, style| FigureKey::ALL.map(|key| key.label(language, style, day)).join(", ");
        let vietnamese = |style| labels(Language::Vietnamese, style);
        assert_eq!(
            vietnamese(LabelStyle::Dated),
            "Hôm nay, Hôm qua, Tuần này, Tuần trước, Tháng 01, Tháng 12, Năm 2024, Năm 2023, Tổng lượt truy cập, Đang truy cập, Khách hôm nay, Khách hôm qua"
        );
        assert_eq!(
            vietnamese(LabelStyle::Relative),
            "Hôm nay, Hôm qua, Tuần này, Tuần trước, Tháng này, Tháng trước, Năm nay, Năm trước, Tổng truy cập, Đang online, Khách hôm nay, Khách hôm qua"
        );
        assert_eq!(
            vietnamese(LabelStyle::Current),
            "Hôm nay, Hôm qua, Tuần hiện tại, Tuần trước, Tháng hiện tại, Tháng trước, Năm hiện tại, Năm trước, Tổng lượt truy cập, Trực tuyến, Khách hôm nay, Khách hôm qua"
        );
        assert_eq!(
            labels(Language::English, LabelStyle::Dated),
            "Today, Yesterday, This week, Last week, January, December, Year 2024, Year 2023, Total, Online now, Visitors today, Visitors yesterday"
        );
    }

    #[test]
    fn figures_count_over_the_calendars_spans() {
        let day = Day::from_ymd(2024, 1, 7).unwrap();
        let spans = FigureKey::ALL.map(|key| key.span(day).to_string()).join(" ");
        assert_eq!(
            spans,
            "2024-01-07 2024-01-06 2024-W01 2023-W52 2024-01 2023-12 2024 2023 total total 2024-01-07 2024-01-06"
        );
    }

    #[test]
    fn an_unknown_figure_is_told_the_known_ones() {
        let error = "tomorrow".parse::<FigureKey>().unwrap_err().to_string();
        for key in FigureKey::ALL {
            assert!(error.contains(key.as_str()), "{error}");
        }
    }

    #[test]
    fn styles_and_languages_read_as_they_are_written() {
        assert_eq!(LabelStyle::ALL.map(LabelStyle::as_str), ["dated", "relative", "current"]);
        for style in LabelStyle::ALL {
            assert_eq!(style.as_str().parse(), Ok(style));
        }
        for (language, tag, page_label) in
            [(Language::Vietnamese, "vi", "Lượt xem"), (Language::English, "en", "Views")]
        {
            assert_eq!((language.tag(), language.page_label(), tag.parse()), (tag, page_label, Ok(language)));
        }
        assert!("fr".parse::<Language>().is_err() && "plain".parse::<LabelStyle>().is_err());
    }

    #[test]
    fn three_figures_are_of_visitors() {
        let of_visitors: Vec<_> = FigureKey::ALL.into_iter().filter(|key| key.is_of_visitors()).collect();
        assert_eq!(of_visitors, [FigureKey::Online, FigureKey::VisitorsToday, FigureKey::VisitorsYesterday]);
    }
}

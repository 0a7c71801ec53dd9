//! A site's figures as they are shown: the JSON that pages embed.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::{Day, FigureKey, Period, Site, Span, VisitorCounts};

/// The answer to "how many": each figure with its label, its period, its value and its text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub site: String,
    pub title: String,
    pub time_zone: &'static str,
    /// When these figures were true, RFC 3339 in the site's zone.
    pub as_of: String,
    pub figures: Vec<Figure>,
    /// Redis is away: other nodes' newest hits are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    pub key: &'static str,
    pub label: String,
    /// None (null) for the total, and for those who are online.
    pub period: Option<String>,
    pub value: i64,
    /// The value as the site's language writes it.
    pub text: String,
}

/// The counters of which the figures `keys` are made on `today`.
pub fn periods(keys: &[FigureKey], today: Day) -> Vec<Period> {
    let mut periods = Vec::with_capacity(keys.len());
    for key in keys.iter().filter(|key| !key.is_of_visitors()) {
        match key.span(today) {
            Span::Period(period) => periods.push(period),
            Span::Week(week) => periods.extend(week.days().map(Period::Day)),
        }
    }
    periods
}

/// A sum of counters as everyone may see it. Below 0 after a reset, where an import that it took in is corrected.
pub fn shown(sum: i64) -> i64 {
    sum.max(0)
}

impl Figures {
    /// The figures `keys` of `site` at `now`, where `hits` knows the count of a period.
    pub fn compose(
        site: &Site,
        keys: &[FigureKey],
        now: DateTime<Utc>,
        stale: bool,
        hits: impl Fn(Period) -> i64,
        visitors: VisitorCounts,
    ) -> Self {
        let today = Day::at(now, site.time_zone);
        let figure = |key: FigureKey| {
            let span = key.span(today);
            let value = visitors.of(key).unwrap_or_else(|| shown(span.periods().map(&hits).sum()));
            Figure {
                key: key.as_str(),
                label: site
                    .labels
                    .get(&key)
                    .cloned()
                    .unwrap_or_else(|| key.label(site.language, site.label_style, today)),
                period: (span != Span::Period(Period::Total)).then(|| span.to_string()),
                value,
                text: site.language.number(value),
            }
        };
        Self {
            site: site.id.to_string(),
            title: site.title(),
            time_zone: site.time_zone.name(),
            as_of: now.with_timezone(&site.time_zone).to_rfc3339_opts(SecondsFormat::Secs, false),
            figures: keys.iter().copied().map(figure).collect(),
            stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn the_json_is_the_contracts_example() {
        let site = Site::with_defaults("vixuyen".parse().unwrap(), Vec::new());
        let now = Utc.with_ymd_and_hms(2024, 6, 17, 3, 15, 0).unwrap();
        let hits = |period: Period| match period.to_string().as_str() {
            "2024-06-17" => 851,
            "2024-06-16" => 2455,
            "2024-06" => 49_817,
            "2024" => 462_203,
            _ => 0,
        };
        let figures = Figures::compose(&site, &site.figures, now, false, hits, VisitorCounts::default());
        assert_eq!(
            serde_json::to_string(&figures).unwrap(),
            concat!(
                r#"{"site":"vixuyen","title":"Thống kê truy cập","time_zone":"Asia/Ho_Chi_Minh","as_of":"2024-06-17T10:15:00+07:00","#,
                r#""figures":[{"key":"today","label":"Hôm nay","period":"2024-06-17","value":851,"text":"851"},"#,
                r#"{"key":"yesterday","label":"Hôm qua","period":"2024-06-16","value":2455,"text":"2.455"},"#,
                r#"{"key":"month","label":"Tháng 06","period":"2024-06","value":49817,"text":"49.817"},"#,
                r#"{"key":"year","label":"Năm 2024","period":"2024","value":462203,"text":"462.203"}]}"#
            )
        );
    }

    #[test]
    fn a_week_is_the_sum_of_its_days_and_labels_may_be_the_sites_own() {
        let mut site = Site::with_defaults("vixuyen".parse().unwrap(), Vec::new());
        site.labels.insert(FigureKey::Week, "Trong tuần".to_owned());
        site.own_title = Some("Lượt xem".to_owned());
        let now = Utc.with_ymd_and_hms(2024, 6, 19, 3, 15, 0).unwrap();
        let keys = [FigureKey::Total, FigureKey::Week];
        let figures = Figures::compose(
            &site,
            &keys,
            now,
            false,
            |period| match period {
                Period::Day(day) => i64::from(day.number() % 7) + 1,
                _ => 100,
            },
            VisitorCounts { online: 7, ..VisitorCounts::default() },
        );
        assert_eq!(figures.title, "Lượt xem");
        let [total, week] = figures.figures.as_slice() else { panic!("{figures:?}") };
        assert_eq!((total.value, &total.period), (100, &None));
        assert_eq!((week.value, week.period.as_deref(), week.label.as_str()), (28, Some("2024-W25"), "Trong tuần"));
    }

    #[test]
    fn no_figure_is_below_zero_and_a_week_is_the_sum_of_all_its_days() {
        let site = Site::with_defaults("vixuyen".parse().unwrap(), Vec::new());
        let now = Utc.with_ymd_and_hms(2024, 6, 19, 3, 15, 0).unwrap();
        let of = |today: i64, before: i64| {
            let hits = |period: Period| match period {
                Period::Day(day) if day == Day::at(now, site.time_zone) => today,
                Period::Day(_) => before,
                _ => -59,
            };
            let keys = [FigureKey::Total, FigureKey::Today, FigureKey::Week];
            let figures = Figures::compose(&site, &keys, now, false, hits, VisitorCounts::default()).figures;
            figures.into_iter().map(|figure| (figure.value, figure.text)).collect::<Vec<_>>()
        };
        let shown = |value: i64| (value, value.to_string());
        assert_eq!(of(-9, 2), [shown(0), shown(0), shown(3)]);
        assert_eq!(of(9, -3), [shown(0), shown(9), shown(0)]);
    }

    #[test]
    fn figures_are_made_of_counters_and_those_of_visitors_of_none() {
        let today = Day::from_ymd(2024, 6, 17).unwrap();
        let keys = [FigureKey::Total, FigureKey::Online, FigureKey::Today];
        assert_eq!(periods(&keys, today), [Period::Total, Period::Day(today)]);
        assert_eq!(periods(&[FigureKey::Week], today).len(), 7);
    }
}

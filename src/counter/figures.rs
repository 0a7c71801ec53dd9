//! A site's figures as they are shown: the JSON that pages embed.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::{Day, FigureKey, Period, Site, VisitorCounts};

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
            let period = key.period(today);
            let value = visitors.of(key).unwrap_or_else(|| hits(period));
            Figure {
                key: key.as_str(),
                label: site.labels.get(&key).cloned().unwrap_or_else(|| key.label(site.language, today)),
                period: (period != Period::Total).then(|| period.to_string()),
                value,
                text: site.language.number(value),
            }
        };
        Self {
            site: site.id.to_string(),
            title: site.language.title().to_owned(),
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

    use super::super::label::{Labels, Language};
    use super::super::site::{PAGE_RETENTION_DEFAULT, Site};
    use super::*;

    #[test]
    fn the_json_is_the_contracts_example() {
        let site = Site {
            id: "vixuyen".parse().unwrap(),
            name: String::new(),
            origins: Vec::new(),
            time_zone: chrono_tz::Asia::Ho_Chi_Minh,
            language: Language::Vietnamese,
            figures: vec![FigureKey::Today, FigureKey::Yesterday, FigureKey::Month, FigureKey::Year],
            labels: Labels::new(),
            page_params: [].into(),
            page_retention: PAGE_RETENTION_DEFAULT,
            ..Site::with_defaults(crate::counter::SiteId::demo(), Vec::new())
        };
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
}

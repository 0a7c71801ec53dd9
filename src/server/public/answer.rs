//! JSON answers about a site, as of a time.

use std::hash::Hash as _;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::counter::Site;
use crate::server::http::{Rendered, conditional};

#[derive(Serialize)]
struct About<'a> {
    site: &'a str,
    time_zone: &'a str,
    as_of: String,
}

/// Renders the answer: an object of these values, which has some, and of what they are about. Its tag is of the
/// values and the language, whatever the time at which they were read.
pub fn render(site: &Site, now: DateTime<Utc>, values: &impl Serialize, stale: bool) -> Rendered {
    let as_of = now.with_timezone(&site.time_zone).to_rfc3339_opts(SecondsFormat::Secs, false);
    let about = About { site: site.id.as_str(), time_zone: site.time_zone.name(), as_of };
    // Structs of strings and numbers always serialise.
    let (about, values) =
        (serde_json::to_vec(&about).unwrap_or_default(), serde_json::to_vec(values).unwrap_or_default());
    let etag = conditional::etag(|hasher| (&values, stale, site.language).hash(hasher));
    // The values are written once: a history has a thousand of them.
    let stale: &[u8] = if stale { b",\"stale\":true}" } else { b"}" };
    let body = [&b"{"[..], inner(&about), &b","[..], inner(&values), stale].concat();
    Rendered { body: body.into(), etag }
}

/// An object without its braces.
fn inner(object: &[u8]) -> &[u8] {
    object.get(1..object.len().saturating_sub(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_object_and_its_tag_is_of_its_values() {
        #[derive(Serialize)]
        struct Values {
            by: &'static str,
        }
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let rendered =
            |second, by, stale| render(&site, DateTime::from_timestamp(second, 0).unwrap(), &Values { by }, stale);
        let day = rendered(0, "day", false);
        let text = r#"{"site":"demo","time_zone":"Asia/Ho_Chi_Minh","as_of":"1970-01-01T08:00:00+08:00","by":"day"}"#;
        assert_eq!(day.body, text);
        assert!(rendered(0, "day", true).body.ends_with(br#""by":"day","stale":true}"#));
        assert_eq!(rendered(9, "day", false).etag, day.etag);
        for other in [rendered(0, "day", true), rendered(0, "month", false)] {
            assert_ne!(other.etag, day.etag);
        }
    }
}

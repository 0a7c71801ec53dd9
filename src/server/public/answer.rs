//! JSON answers about a site, as of a time.

use std::hash::{DefaultHasher, Hash as _};

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
    // Structs of strings and numbers always serialise.
    let values = serde_json::to_string(values).unwrap_or_default();
    written(site, now, stale, |hasher| values.hash(hasher), |body| body.push_str(inner(&values)))
}

/// An answer as `render`'s, where `write` writes the values as members of the object, and the tag is of what `tag` hashes.
/// For answers with a thousand values.
pub fn written(
    site: &Site,
    now: DateTime<Utc>,
    stale: bool,
    tag: impl FnOnce(&mut DefaultHasher),
    write: impl FnOnce(&mut String),
) -> Rendered {
    let as_of = now.with_timezone(&site.time_zone).to_rfc3339_opts(SecondsFormat::Secs, false);
    let about = About { site: site.id.as_str(), time_zone: site.time_zone.name(), as_of };
    let etag = conditional::etag(|hasher| {
        tag(hasher);
        (stale, site.language).hash(hasher);
    });
    let mut body = serde_json::to_string(&about).unwrap_or_default();
    body.pop();
    body.push(',');
    write(&mut body);
    body.push_str(if stale { ",\"stale\":true}" } else { "}" });
    Rendered { body: body.into(), etag }
}

/// The members of an object, as they stand in another one.
pub fn members(object: &serde_json::Value) -> String {
    inner(&object.to_string()).to_owned()
}

/// An object without its braces.
fn inner(object: &str) -> &str {
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

//! JSON answers about a site, as of a time.

use std::hash::Hash as _;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::counter::Site;
use crate::server::http::{Rendered, conditional};

#[derive(Serialize)]
struct Answer<'a, T> {
    site: &'a str,
    time_zone: &'a str,
    as_of: String,
    #[serde(flatten)]
    values: &'a T,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// Renders the answer. Its tag is of the values and the language, whatever the time at which they were read.
pub fn render(site: &Site, now: DateTime<Utc>, values: &impl Serialize, stale: bool) -> Rendered {
    let as_of = now.with_timezone(&site.time_zone).to_rfc3339_opts(SecondsFormat::Secs, false);
    let answer = Answer { site: site.id.as_str(), time_zone: site.time_zone.name(), as_of, values, stale };
    // Structs of strings and numbers always serialise.
    let state = (serde_json::to_vec(values).unwrap_or_default(), stale, site.language);
    let etag = conditional::etag(|hasher| state.hash(hasher));
    Rendered { body: serde_json::to_vec(&answer).unwrap_or_default().into(), etag }
}

//! Visitor of a hit, where the site counts them.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::counter::{Day, Minute, RegisteredSite, Visit};

use crate::server::http::{ClientIp, Field, HeaderFields};
use crate::server::ports::Node;

/// The visit of a hit; none if the visitor opts out, or has no known address.
pub async fn visit_of<N: Node, H: HeaderFields>(
    node: &N,
    site: &Arc<RegisteredSite>,
    now: DateTime<Utc>,
    headers: &H,
    client: &ClientIp<'_, H>,
) -> Option<Visit> {
    if opts_out(headers) {
        return None;
    }
    let zone = site.site.time_zone;
    let day = Day::at(now, zone);
    let salt = match node.salt(site, day) {
        Some(salt) => salt,
        None => node.draw_salt(site, day).await?,
    };
    let client = client.prefix()?;
    let user_agent = headers.first(Field::UserAgent).unwrap_or_default();
    let trace = salt.trace(&site.site.counted_as, client, user_agent);
    let earlier = Visit::earlier_day(now, zone).map(|day| {
        // Without a salt of the day before, no visitor was online then.
        let earlier = node.salt(site, day).map(|salt| salt.trace(&site.site.counted_as, client, user_agent));
        (day, earlier.unwrap_or(trace))
    });
    Some(Visit { trace, minute: Minute::at(now), earlier })
}

/// True if the visitor asks by Do Not Track or Global Privacy Control not to be recognised.
pub fn opts_out(headers: &impl HeaderFields) -> bool {
    [Field::Dnt, Field::SecGpc].iter().any(|field| headers.values(*field).any(|value| value == b"1"))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn do_not_track_and_global_privacy_control_are_heeded_when_they_say_1() {
        for (name, value, is_heeded) in [
            ("dnt", "1", true),
            ("sec-gpc", "1", true),
            ("dnt", "0", false),
            ("sec-gpc", "0", false),
            ("dnt", "unspecified", false),
            ("user-agent", "1", false),
        ] {
            let name: HeaderName = name.parse().unwrap();
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(value))]);
            assert_eq!(opts_out(&headers), is_heeded, "{name}: {value}");
        }
    }
}

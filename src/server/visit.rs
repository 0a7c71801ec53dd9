//! What a hit says of its visitor, where the site counts them.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::counter::{Day, Minute, RegisteredSite, Visit};

use super::client::Sender;
use super::fields::{Field, HeaderFields};
use super::node::Node;

/// None: the visitor asks not to be told apart, or there is nothing to tell one by.
pub async fn of<N: Node, H: HeaderFields>(
    node: &N,
    site: &Arc<RegisteredSite>,
    now: DateTime<Utc>,
    headers: &H,
    sender: &Sender<'_, H>,
) -> Option<Visit> {
    if asks_not_to_be_told_apart(headers) {
        return None;
    }
    let zone = site.site.time_zone;
    let day = Day::at(now, zone);
    let salt = match node.salt(site, day) {
        Some(salt) => salt,
        None => node.draw_salt(site, day).await?,
    };
    let address = sender.address()?;
    let user_agent = headers.first(Field::UserAgent).unwrap_or_default();
    let trace = salt.trace(&site.site.id, address, user_agent);
    let earlier = Visit::earlier_day(now, zone).map(|day| {
        // Without a salt of the day before, nobody was online then.
        let earlier = node.salt(site, day).map(|salt| salt.trace(&site.site.id, address, user_agent));
        (day, earlier.unwrap_or(trace))
    });
    Some(Visit { trace, minute: Minute::at(now), earlier })
}

/// By Do Not Track or Global Privacy Control.
pub fn asks_not_to_be_told_apart(headers: &impl HeaderFields) -> bool {
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
            assert_eq!(asks_not_to_be_told_apart(&headers), is_heeded, "{name}: {value}");
        }
    }
}

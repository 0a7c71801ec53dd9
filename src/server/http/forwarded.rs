//! Scheme of a request by RFC 7239's field, as trusted proxies write it.

use hyper::header::{FORWARDED, HeaderMap, HeaderValue};

use super::client_ip::{FromTheRight, address_for};
use crate::server::net::TrustedProxies;

/// The scheme of the element that names the client, walked to as for the client's address.
pub fn scheme<'h>(proxies: &TrustedProxies, headers: &'h HeaderMap) -> Option<&'h str> {
    let mut scheme = None;
    for line in headers.get_all(FORWARDED).iter().rev().map(HeaderValue::to_str) {
        let Ok(line) = line else { break };
        for element in FromTheRight(Some(line)).map(str::trim).filter(|element| !element.is_empty()) {
            let Some(address) = address_for(element) else { return scheme };
            scheme = proto(element);
            if !proxies.is_trusted(Some(address)) {
                return scheme;
            }
        }
    }
    scheme
}

fn proto(element: &str) -> Option<&str> {
    let mut values = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = values.find(|(name, _)| name.eq_ignore_ascii_case("proto"))?;
    Some(value.trim_matches('"'))
}

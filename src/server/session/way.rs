//! The way of a request: by TLS, from this machine, or neither, so that others may have read it.

use std::net::IpAddr;

use hyper::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, VIA};

use crate::server::http::forwarded;
use crate::server::net::{ForwardedField, TrustedProxies};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the nearest trusted proxy at least.
    Https,
    Loopback,
    /// Readable on its way.
    Plain,
}

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Fields that proxies add, each of which shows that this machine's request is somebody else's.
const OF_PROXIES: [HeaderName; 6] = [
    HeaderName::from_static("x-forwarded-for"),
    X_FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
    FORWARDED,
    VIA,
];

impl Way {
    /// A trusted proxy names the scheme; from anybody else the word counts for nothing.
    pub fn of(proxies: &TrustedProxies, peer: Option<IpAddr>, headers: &HeaderMap) -> Self {
        if proxies.is_trusted(peer) && is_https(proxies, headers) {
            return Self::Https;
        }
        let is_forwarded = OF_PROXIES.iter().any(|name| headers.contains_key(name));
        let is_loopback = peer.is_some_and(|peer| peer.to_canonical().is_loopback());
        if is_loopback && !is_forwarded { Self::Loopback } else { Self::Plain }
    }
}

fn is_https(proxies: &TrustedProxies, headers: &HeaderMap) -> bool {
    let https = |scheme: &str| scheme.eq_ignore_ascii_case("https");
    match proxies.field {
        // The nearest proxy's word stands last: a proxy that adds to the line leaves a stranger's before it.
        ForwardedField::XForwardedFor => {
            let last = headers.get_all(X_FORWARDED_PROTO).iter().next_back().map(HeaderValue::to_str);
            last.and_then(Result::ok)
                .and_then(|line| line.rsplit(',').next())
                .is_some_and(|scheme| https(scheme.trim()))
        }
        ForwardedField::Forwarded => forwarded::scheme(proxies, headers).is_some_and(https),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(field: ForwardedField, peer: &str, lines: &[(&str, &str)]) -> Way {
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()];
        let proxies = TrustedProxies { networks, unix_socket: false, field };
        let headers = lines
            .iter()
            .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        Way::of(&proxies, peer.parse().ok(), &headers)
    }

    #[test]
    fn a_trusted_proxy_says_that_it_was_tls_and_nobody_else() {
        let by = |peer: &str, lines: &[(&str, &str)]| way(ForwardedField::XForwardedFor, peer, lines);
        let proto = |scheme| [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", scheme)];
        assert_eq!(by("10.0.0.1", &proto("https")), Way::Https);
        assert_eq!(by("127.0.0.1", &proto("HTTPS")), Way::Https);
        assert_eq!(by("192.0.2.7", &proto("https")), Way::Plain);
        assert_eq!(by("10.0.0.1", &proto("http")), Way::Plain);
        assert_eq!(by("10.0.0.1", &proto("https, http")), Way::Plain, "the stranger's word stands first");
        assert_eq!(by("10.0.0.1", &proto("http, https")), Way::Https);
        assert_eq!(by("10.0.0.1", &[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")]), Way::Plain);
        assert_eq!(
            by("10.0.0.1", &[("forwarded", "for=192.0.2.1;proto=https")]),
            Way::Plain,
            "not the field of this proxy"
        );
    }

    #[test]
    fn the_element_that_names_the_client_names_its_scheme() {
        let by = |value| way(ForwardedField::Forwarded, "10.0.0.1", &[("forwarded", value)]);
        assert_eq!(by("for=192.0.2.1;proto=https"), Way::Https);
        assert_eq!(by("for=192.0.2.1;proto=https, for=10.0.0.2;proto=http"), Way::Https);
        assert_eq!(by("proto=https;for=192.0.2.9, for=192.0.2.1;proto=http"), Way::Plain);
        assert_eq!(by("for=192.0.2.1"), Way::Plain);
        assert_eq!(by("for=unknown;proto=https"), Way::Plain);
    }

    #[test]
    fn this_machine_is_itself_unless_somebody_stands_behind_it() {
        let by = |peer: &str, lines: &[(&str, &str)]| way(ForwardedField::XForwardedFor, peer, lines);
        for peer in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(by(peer, &[]), Way::Loopback, "{peer}");
        }
        assert_eq!(by("192.0.2.1", &[]), Way::Plain);
        assert_eq!(by("not on a socket with addresses", &[]), Way::Plain);
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded", "via"] {
            assert_eq!(by("127.0.0.1", &[(name, "192.0.2.1")]), Way::Plain, "{name}");
        }
    }
}

//! Which pages may count for a site.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;
use url::{Host, Url};

use super::PlainUrl;

/// A pattern for web origins: `https://portal.example`, `https://*.portal.example:8443`, or
/// `http://localhost:*` for any port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    host: HostPattern,
    port: PortPattern,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    /// Only for the built-in demo, whose page may be opened either way.
    Either,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Exact(SmolStr),
    /// Any name below this one, not itself.
    Below(SmolStr),
    /// localhost and the loopback addresses.
    Loopback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PortPattern {
    Exact(u16),
    Any,
}

/// Difference of a page's origin from one that is allowed: a likely gap in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Near {
    /// `http` in place of `https`, or the other way round.
    Scheme,
    /// The same name with `www.` or without it.
    Www,
    Port,
    /// A name below the allowed one.
    Below,
    /// The name above the allowed one.
    Above,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an origin: {reason}; expected for example `https://portal.example.vn`, `https://*.example.vn` or `http://localhost:8080`"
)]
pub struct OriginError {
    text: String,
    reason: &'static str,
}

/// Second levels of `.vn` under which names are given out, beside the provinces'.
const VN_SUFFIXES: [&str; 15] =
    ["ac", "ai", "biz", "com", "edu", "gov", "health", "id", "info", "int", "io", "name", "net", "org", "pro"];

impl Origin {
    /// Pages that the webmaster's own machine serves.
    pub fn any_localhost() -> Self {
        Self { scheme: Scheme::Either, host: HostPattern::Loopback, port: PortPattern::Any }
    }

    /// The one origin that it covers; none where it covers several.
    pub fn exact(&self) -> Option<String> {
        let is_one = matches!(self.host, HostPattern::Exact(_)) && matches!(self.port, PortPattern::Exact(_));
        (is_one && self.scheme != Scheme::Either).then(|| self.to_string())
    }

    /// True if its pages come unencrypted over a network.
    pub fn is_unencrypted(&self) -> bool {
        self.scheme == Scheme::Http && !self.is_of_this_machine()
    }

    /// True if only this machine's own browsers see its pages.
    pub fn is_of_this_machine(&self) -> bool {
        match &self.host {
            HostPattern::Loopback => true,
            HostPattern::Exact(host) | HostPattern::Below(host) => {
                host == "localhost"
                    || host.ends_with(".localhost")
                    || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }

    /// True if strangers can have pages of it: it covers all names below a suffix under which anyone gets one.
    pub fn is_of_strangers(&self) -> bool {
        let HostPattern::Below(parent) = &self.host else { return false };
        !self.is_of_this_machine() && (!parent.contains('.') || is_suffix_of_vietnam(parent))
    }

    /// True if a page at `url`, or one whose `Origin` header parses as `url`, belongs to it.
    pub fn covers(&self, url: &Url) -> bool {
        self.is_reached_by(url.scheme(), url.port_or_known_default()) && self.host.covers(url)
    }

    /// The same of a url that was not parsed.
    pub fn covers_plain(&self, url: PlainUrl<'_>) -> bool {
        self.is_reached_by(url.scheme, Some(url.port())) && self.host.covers_name(url.host)
    }

    /// The difference of a page at `url` from this origin; none if they have little in common.
    pub fn near(&self, url: &Url) -> Option<Near> {
        let (HostPattern::Exact(own) | HostPattern::Below(own)) = &self.host else { return None };
        let seen = url.host_str()?;
        let is_below = |name: &str, parent: &str| name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
        let plain = |name: &'_ str| name.strip_prefix("www.").unwrap_or(name).to_owned();
        if self.host.covers_name(seen) {
            let is_same_scheme = self.scheme_name().is_none_or(|own| own == url.scheme());
            return Some(if is_same_scheme { Near::Port } else { Near::Scheme });
        }
        match (plain(own), plain(seen)) {
            (own, seen) if own == seen => Some(Near::Www),
            (own, seen) if is_below(&seen, &own) => Some(Near::Below),
            // Not a suffix under which anyone has a name.
            (own, seen) if is_below(&own, &seen) && seen.contains('.') && !is_suffix_of_vietnam(&seen) => {
                Some(Near::Above)
            }
            _ => None,
        }
    }

    fn scheme_name(&self) -> Option<&'static str> {
        match self.scheme {
            Scheme::Http => Some("http"),
            Scheme::Https => Some("https"),
            Scheme::Either => None,
        }
    }

    fn is_reached_by(&self, scheme: &str, port: Option<u16>) -> bool {
        let scheme_is_right = match self.scheme {
            Scheme::Http => scheme == "http",
            Scheme::Https => scheme == "https",
            Scheme::Either => matches!(scheme, "http" | "https"),
        };
        let port_is_right = match self.port {
            PortPattern::Any => true,
            PortPattern::Exact(wanted) => port == Some(wanted),
        };
        scheme_is_right && port_is_right
    }
}

fn is_suffix_of_vietnam(name: &str) -> bool {
    name.strip_suffix(".vn").is_some_and(|second| VN_SUFFIXES.contains(&second))
}

impl HostPattern {
    fn covers(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Self::Loopback, Some(Host::Ipv4(address))) => address.is_loopback(),
            (Self::Loopback, Some(Host::Ipv6(address))) => address.is_loopback(),
            _ => url.host_str().is_some_and(|name| self.covers_name(name)),
        }
    }

    /// True if a host, written as in the URL standard, is covered.
    fn covers_name(&self, name: &str) -> bool {
        match self {
            Self::Exact(host) => name == host,
            Self::Below(parent) => {
                name.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            Self::Loopback => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let error = |reason| OriginError { text: text.to_owned(), reason };
        let (scheme_text, rest) = text.split_once("://").ok_or(error("it has no scheme"))?;
        let scheme = match scheme_text.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(error("its scheme is neither http nor https")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (rest, any_port) = match rest.strip_suffix(":*") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (host_text, below) = match rest.strip_prefix("*.") {
            Some(parent) => (parent, true),
            None => (rest, false),
        };
        if host_text.contains('*') {
            return Err(error("`*` may only stand as the first label of the host or as the port"));
        }
        // The same parser that reads a hit's url, so that both spell a host alike (case, punycode).
        let url = Url::parse(&format!("{scheme_text}://{host_text}"))
            .map_err(|_| error("it is not a scheme, a host and perhaps a port"))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(error("it has more than scheme, host and port"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(error("it has credentials"));
        }
        let host = url.host_str().ok_or(error("it has no host"))?.to_owned();
        let port = url.port_or_known_default().ok_or(error("it has no port"))?;
        Ok(Self {
            scheme,
            host: if below { HostPattern::Below(host.into()) } else { HostPattern::Exact(host.into()) },
            port: if any_port { PortPattern::Any } else { PortPattern::Exact(port) },
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default_port) = match self.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
            Scheme::Either => ("http(s)", 0),
        };
        match &self.host {
            HostPattern::Exact(host) => write!(f, "{scheme}://{host}")?,
            HostPattern::Below(host) => write!(f, "{scheme}://*.{host}")?,
            HostPattern::Loopback => write!(f, "{scheme}://localhost")?,
        }
        match self.port {
            PortPattern::Any => f.write_str(":*"),
            PortPattern::Exact(port) if port == default_port => Ok(()),
            PortPattern::Exact(port) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_origin_without_patterns_is_one() {
        let exact = |text: &str| text.parse::<Origin>().unwrap().exact();
        assert_eq!(exact("https://A.vn:443/"), Some("https://a.vn".to_owned()));
        assert_eq!(exact("http://a.vn:8080"), Some("http://a.vn:8080".to_owned()));
        assert_eq!((exact("https://*.a.vn"), exact("http://localhost:*")), (None, None));
        assert_eq!(Origin::any_localhost().exact(), None);
    }

    fn covers(origin: &str, url: &str) -> bool {
        origin.parse::<Origin>().unwrap().covers(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_wildcard_below_a_public_suffix_lets_strangers_in() {
        let is_of_strangers = |text: &str| text.parse::<Origin>().unwrap().is_of_strangers();
        for text in ["https://*.vn", "https://*.com", "https://*.gov.vn", "https://*.COM.vn:8443"] {
            assert!(is_of_strangers(text), "{text}");
        }
        for text in ["https://a.vn", "https://*.a.vn", "https://*.a.gov.vn", "http://localhost:*", "http://*.localhost"]
        {
            assert!(!is_of_strangers(text), "{text}");
        }
    }

    #[test]
    fn a_likely_gap_is_told_from_a_foreign_page() {
        let near = |origin: &str, url: &str| origin.parse::<Origin>().unwrap().near(&Url::parse(url).unwrap());
        for (origin, url, expected) in [
            ("https://a.gov.vn", "https://www.a.gov.vn/x", Some(Near::Www)),
            ("https://www.a.gov.vn", "https://a.gov.vn/", Some(Near::Www)),
            ("https://www.a.gov.vn", "http://a.gov.vn/", Some(Near::Www)),
            ("https://a.gov.vn", "http://a.gov.vn/", Some(Near::Scheme)),
            ("https://a.gov.vn", "https://a.gov.vn:8443/", Some(Near::Port)),
            ("https://www.a.gov.vn", "https://m.a.gov.vn/", Some(Near::Below)),
            ("https://m.a.gov.vn", "https://a.gov.vn/", Some(Near::Above)),
            ("https://*.a.gov.vn", "https://a.gov.vn/", Some(Near::Www)),
            ("https://a.gov.vn", "https://gov.vn/", None),
            ("https://a.gov.vn", "https://b.gov.vn/", None),
            ("https://a.gov.vn", "https://eva.gov.vn/", None),
            ("https://a.gov.vn", "https://a.gov.vn.evil.example/", None),
        ] {
            assert_eq!(near(origin, url), expected, "{origin} {url}");
        }
        assert_eq!(Origin::any_localhost().near(&Url::parse("https://a.vn/").unwrap()), None);
    }

    #[test]
    fn an_origin_covers_its_own_pages_only() {
        assert!(covers("https://a.vn", "https://a.vn/x?y"));
        assert!(covers("https://A.vn/", "https://a.VN:443/"));
        assert!(covers("https://báo.vn", "https://BÁO.vn/"));
        assert!(covers("http://localhost:8080", "http://localhost:8080/"));
        assert!(covers("http://localhost:*", "http://localhost:3000/"));
        assert!(!covers("https://a.vn", "http://a.vn/"));
        assert!(!covers("https://a.vn", "https://a.vn:8443/"));
        assert!(!covers("https://a.vn", "https://b.a.vn/"));
        assert!(!covers("https://a.vn", "https://a.vn.evil.example/"));
        assert!(!covers("https://a.vn", "https://eviла.vn/"));
    }

    #[test]
    fn a_star_covers_names_below_and_not_itself() {
        assert!(covers("https://*.a.vn", "https://b.a.vn/"));
        assert!(covers("https://*.a.vn", "https://c.b.a.vn/"));
        assert!(!covers("https://*.a.vn", "https://a.vn/"));
        assert!(!covers("https://*.a.vn", "https://eva.vn/"));
        assert!(!covers("https://*.a.vn", "https://.a.vn/"));
    }

    #[test]
    fn the_demo_takes_pages_of_this_machine_only() {
        let covers = |url| Origin::any_localhost().covers(&Url::parse(url).unwrap());
        assert!(covers("http://localhost:8080/") && covers("http://127.0.0.1/") && covers("https://[::1]:9/"));
        assert!(!covers("http://localhost.evil.example/") && !covers("http://10.0.0.1/"));
    }

    #[test]
    fn pages_of_this_machine_need_no_encryption() {
        let is_unencrypted = |origin: &str| origin.parse::<Origin>().unwrap().is_unencrypted();
        for origin in
            ["https://a.vn", "http://localhost:*", "http://127.0.0.1:8080", "http://[::1]", "http://x.localhost"]
        {
            assert!(!is_unencrypted(origin), "{origin}");
        }
        for origin in ["http://a.vn", "http://*.a.vn", "http://10.0.0.1", "http://localhost.a.vn"] {
            assert!(is_unencrypted(origin), "{origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "a.vn",
            "ftp://a.vn",
            "https://",
            "https://a.vn/tin",
            "https://u:p@a.vn",
            "https://a*.vn",
            "https://a.vn?x",
            "https://*",
            "https://a.vn:99999",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}

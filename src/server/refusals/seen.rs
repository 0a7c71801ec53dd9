//! Visible part of a refused hit: site, origin and path, cut and made harmless, since strangers write them.

use std::net::IpAddr;

use smol_str::SmolStr;
use url::{Host, Url};

use super::memory::{Group, Seen};
use crate::counter::Sites;
use crate::server::http::{Field, HeaderFields, headers};

/// An origin whose host is an address: it may be the client's own, so it is not kept.
pub const ADDRESS: &str = "(an address)";
/// An opaque origin, such as a sandboxed frame's or a local file's.
pub const OPAQUE: &str = "null";
/// No origin of a web page.
pub const OTHER: &str = "(none)";

/// Reason of a hit whose page is the site's while its `Origin` header is not.
pub const ORIGIN_HEADER: &str = "origin_header";
/// Reason of a hit beside the path prefix.
pub const PREFIX: &str = "prefix";

const HOST_BYTES_MAX: usize = 253;
const PATH_BYTES_MAX: usize = 120;
const ID_CHARS_MAX: usize = 63;

/// A refused hit in its own words.
#[derive(Debug, Clone, Copy)]
pub struct RefusedHit<'a> {
    pub reason: &'static str,
    /// The wrong field, where one is.
    pub field: Option<&'static str>,
    pub site: Option<&'a str>,
    pub url: Option<&'a str>,
}

impl RefusedHit<'_> {
    pub(super) fn seen(&self, headers: &impl HeaderFields, sites: &Sites) -> Seen {
        let url = self.url.and_then(|url| Url::parse(url).ok());
        let of_header = || {
            let text = headers.first(Field::Origin).and_then(headers::text)?;
            if text == OPAQUE {
                return Some(SmolStr::new_static(OPAQUE));
            }
            Url::parse(text).ok().map(|url| origin_of(&url))
        };
        let of_page = || url.as_ref().map(origin_of);
        let is_of_header = self.reason == "origin" && self.field.is_none();
        let origin = if is_of_header { of_header() } else { of_page().or_else(of_header) };
        let site = self.site.and_then(|id| sites.get(id)).map(|site| site.number);
        let unknown_id = match site {
            None => self.site.map(shown_id).unwrap_or_default(),
            Some(_) => SmolStr::default(),
        };
        Seen {
            group: Group { site, reason: if is_of_header { ORIGIN_HEADER } else { self.reason } },
            unknown_id,
            origin: origin.unwrap_or(SmolStr::new_static(OTHER)),
            field: self.field,
            path: url.filter(|url| matches!(url.scheme(), "http" | "https")).map(|url| cut(url.path())),
        }
    }
}

/// A hit that came to a path beside the prefix.
pub(super) fn beside_prefix(path: &str, headers: &impl HeaderFields) -> Seen {
    let hit = RefusedHit { reason: PREFIX, field: None, site: None, url: None };
    let path = path.bytes().all(|byte| byte.is_ascii_graphic()).then(|| cut(path));
    Seen { path, ..hit.seen(headers, &Sites::default()) }
}

/// `https://host:port`. A host of other signs than a name's could do harm where a line is copied into a shell.
fn origin_of(url: &Url) -> SmolStr {
    if !matches!(url.scheme(), "http" | "https") {
        return SmolStr::new_static(OTHER);
    }
    match url.host() {
        Some(Host::Domain(name)) if name.len() <= HOST_BYTES_MAX && is_name(name) => {
            if name.parse::<IpAddr>().is_ok() {
                ADDRESS.into()
            } else {
                url.origin().ascii_serialization().into()
            }
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => SmolStr::new_static(ADDRESS),
        _ => SmolStr::new_static(OTHER),
    }
}

fn is_name(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_'))
        && !host.starts_with('-')
}

/// The beginning of a path, which is ASCII.
fn cut(path: &str) -> Box<str> {
    path.get(..PATH_BYTES_MAX).unwrap_or(path).into()
}

/// An id that no site has, in letters, digits and few signs.
fn shown_id(id: &str) -> SmolStr {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ') { c } else { '?' };
    id.chars().take(ID_CHARS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, ORIGIN};

    use super::*;
    use crate::counter::{RegisteredSite, Site, SiteNumber};

    fn seen(reason: &'static str, field: Option<&'static str>, site: &str, url: &str, origin: Option<&str>) -> Seen {
        let site_a = Site::with_defaults("a".parse().unwrap(), vec!["https://a.vn".parse().unwrap()]);
        let sites: Sites = [RegisteredSite::new(SiteNumber(7), site_a)].into_iter().collect();
        let headers: HeaderMap = origin.iter().map(|origin| (ORIGIN, origin.parse().unwrap())).collect();
        RefusedHit { reason, field, site: Some(site), url: Some(url) }.seen(&headers, &sites)
    }

    #[test]
    fn a_foreign_page_is_seen_by_its_origin_and_path_alone() {
        let seen = seen("origin", Some("url"), "a", "https://u:p@WWW.a.vn:8443/tin/b%C3%A0i?sid=1#x", None);
        assert_eq!(seen.group, Group { site: Some(SiteNumber(7)), reason: "origin" });
        assert_eq!((seen.origin.as_str(), seen.path.as_deref()), ("https://www.a.vn:8443", Some("/tin/b%C3%A0i")));
        assert_eq!(seen.unknown_id, "");
    }

    #[test]
    fn a_header_that_disagrees_is_seen_in_place_of_the_page() {
        for (header, shown) in [("https://b.vn", "https://b.vn"), ("null", OPAQUE), ("nonsense", OTHER)] {
            let seen = seen("origin", None, "a", "https://a.vn/x", Some(header));
            assert_eq!((seen.group.reason, seen.origin.as_str()), (ORIGIN_HEADER, shown));
            assert_eq!(seen.path.as_deref(), Some("/x"));
        }
    }

    #[test]
    fn neither_an_address_nor_signs_of_a_shell_or_a_terminal_are_kept() {
        for (url, shown) in [
            ("http://203.0.113.7/x", ADDRESS),
            ("http://[2001:db8::1]/", ADDRESS),
            ("http://0xcb007107/", ADDRESS),
            ("https://$(reboot).a.vn/", OTHER),
            ("https://a;reboot.vn/", OTHER),
            ("https://a`x`.vn/", OTHER),
            ("https://-config.vn/", OTHER),
            ("file:///C:/a.html", OTHER),
            ("https://Báo.vn/", "https://xn--bo-mia.vn"),
        ] {
            assert_eq!(seen("origin", Some("url"), "a", url, None).origin, shown, "{url}");
        }
        let long = format!("https://a.vn/{}\u{1b}[31m", "x".repeat(500));
        assert_eq!(seen("limited", None, "a", &long, None).path.unwrap().len(), PATH_BYTES_MAX);
        let unknown = seen("site", Some("site"), &format!("Vị\u{1b}\u{202e}{}", "x".repeat(99)), "", None);
        assert!(unknown.unknown_id.starts_with("Vị??x") && unknown.unknown_id.chars().count() == ID_CHARS_MAX);
    }
}

//! A page's url as nearly all are written, read without a parser.

use crate::page::is_safe_byte;

/// `https://name/path`, all of it in characters that the URL standard leaves as they are.
///
/// Result equal to that of [`url::Url`], at a fraction of the cost. URLs that are not plain need `Url`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainUrl<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// A name in small letters, not an address of numbers, and not an encoded one.
    pub host: &'a str,
    /// From its first slash, without anything encoded and without `.` and `..`.
    pub path: &'a str,
}

impl<'a> PlainUrl<'a> {
    pub fn of(text: &'a str) -> Option<Self> {
        let (scheme, rest) = match text.strip_prefix("https://") {
            Some(rest) => ("https", rest),
            None => ("http", text.strip_prefix("http://")?),
        };
        let (host, path) = rest.split_at(rest.bytes().position(|byte| byte == b'/')?);
        (is_plain_host(host) && is_plain_path(path)).then_some(Self { scheme, host, path })
    }

    /// Its scheme's, since it names none.
    pub fn port(&self) -> u16 {
        if self.scheme == "https" { 443 } else { 80 }
    }
}

fn is_plain_host(host: &str) -> bool {
    let is_right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label =
        |label: &[u8]| !label.is_empty() && !label.starts_with(b"xn--") && label.iter().all(|b| is_right(*b));
    let mut labels = host.as_bytes().split(|byte| *byte == b'.');
    // A host whose last label is a number is an address of IPv4.
    let is_name = |label: &[u8]| label.first().is_some_and(u8::is_ascii_lowercase);
    labels.clone().next_back().is_some_and(is_name) && labels.all(is_label)
}

fn is_plain_path(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let begins_with_dot = (before, byte) == (b'/', b'.');
        before = byte;
        (byte == b'/' || is_safe_byte(byte)) && !begins_with_dot
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::super::{Origin, PageAddress};
    use super::*;
    use crate::page::PageRules;

    #[test]
    fn a_plain_url_is_one_of_which_nothing_is_changed() {
        let plain = |text| PlainUrl::of(text).map(|url| (url.scheme, url.host, url.path));
        assert_eq!(plain("https://a.example.vn/tin-tuc/1.html"), Some(("https", "a.example.vn", "/tin-tuc/1.html")));
        assert_eq!(plain("http://localhost/"), Some(("http", "localhost", "/")));
        for other in [
            "",
            "https://",
            "https://a.vn",
            "https:///a",
            "ftp://a.vn/",
            "HTTPS://a.vn/",
            "https://A.vn/",
            "https://a.vn:8080/",
            "https://u@a.vn/",
            "https://báo.vn/",
            "https://xn--bo-jia.vn/",
            "https://b.xn--bo-jia/",
            "https://a..vn/",
            "https://.vn/",
            "https://a.vn./",
            "https://127.0.0.1/",
            "https://1/",
            "https://a.0x1/",
            "https://[::1]/",
            "https://a.vn/?id=1",
            "https://a.vn/#a",
            "https://a.vn/b%20c",
            "https://a.vn/bài",
            "https://a.vn/b\\c",
            "https://a.vn/a b",
            "https://a.vn/a\n",
            " https://a.vn/",
            "https://a.vn/./b",
            "https://a.vn/b/..",
        ] {
            assert_eq!(plain(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn the_parser_reads_it_alike(
            text in "https?://[a-z0-9.-]{0,9}(\\.|xn--|0x|)[a-z0-9-]{0,4}/[a-zA-Z0-9/._~!$&'()*+,;=:@%?#-]{0,12}"
        ) {
            if let Some(plain) = PlainUrl::of(&text) {
                let rules = PageRules::with_defaults("vi");
                let url = Url::parse(&text).unwrap();
                prop_assert_eq!((url.scheme(), url.host_str(), url.path()), (plain.scheme, Some(plain.host), plain.path));
                prop_assert_eq!((url.port(), url.query(), url.fragment(), url.username()), (None, None, None, ""));
                prop_assert_eq!(PageAddress::of_plain_path(plain.path, &rules).unwrap_or_else(|| PageAddress::of(&url, &rules)), PageAddress::of(&url, &rules));
                for origin in [&format!("https://{}", plain.host), "https://*.vn", "http://a.vn", "http://*.a:*", "https://a.vn:80"] {
                    let origin: Origin = origin.parse().unwrap();
                    prop_assert_eq!(origin.covers_plain(plain), origin.covers(&url));
                }
                prop_assert_eq!(Origin::any_localhost().covers_plain(plain), Origin::any_localhost().covers(&url));
            }
        }
    }
}

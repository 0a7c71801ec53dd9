//! The `Host` header: required, single and well-formed, which hyper does not check.

use hyper::StatusCode;

use super::{ByteSet, Field, HeaderFields, HttpError};

/// A valid `Host`, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// A name or an address; an IPv6 address in its brackets.
    pub name: &'a str,
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    pub fn of(headers: &'a impl HeaderFields) -> Result<Self, HttpError> {
        let wrong = |problem| {
            let detail =
                format!("the `Host` header {problem}; send exactly one, for example `Host: counter.example.vn`");
            HttpError::new(StatusCode::BAD_REQUEST, "host", detail).closing()
        };
        let mut values = headers.values(Field::Host);
        let value = values.next().ok_or_else(|| wrong("is missing"))?;
        if values.next().is_some() {
            return Err(wrong("is given more than once"));
        }
        let text = std::str::from_utf8(value).map_err(|_| wrong("is not a host"))?;
        Self::parse(text).ok_or_else(|| wrong("is not a host, or a host and a port"))
    }

    /// Parses a host, and its port if it has one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let end = rest.find(']')?;
                let (address, rest) = (&rest[..end], &rest[end + 1..]);
                if !address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) {
                    return None;
                }
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
                (&text[..end + 2], port)
            }
            None => match text.bytes().position(|byte| byte == b':') {
                Some(at) => (&text[..at], Some(&text[at + 1..])),
                None => (text, None),
            },
        };
        let name_is_right = !name.is_empty() && (text.starts_with('[') || NAME.holds(name));
        let port = match port {
            // `host:` is allowed, and means the default port.
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        name_is_right.then_some(Self { name, port })
    }
}

/// RFC 3986's reg-name.
static NAME: ByteSet = ByteSet::alphanumeric_and(b"-._~%!$&'()*+,;=");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_may_have_a_port() {
        for (text, name, port) in [
            ("a.vn", "a.vn", None),
            ("a.vn:8080", "a.vn", Some(8080)),
            ("127.0.0.1:", "127.0.0.1", None),
            ("[::1]:80", "[::1]", Some(80)),
            ("[::1]", "[::1]", None),
        ] {
            assert_eq!(Host::parse(text), Some(Host { name, port }), "{text}");
        }
        for text in
            ["", ":80", "a b", "a/b", "u@a.vn", "a:b", "a:80:80", "a:99999", "[::1", "[::1]x", "[g]", "a\"b", "::1"]
        {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }
}

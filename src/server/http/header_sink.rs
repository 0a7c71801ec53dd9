//! Header sink: an answer's header fields, written once for hyper's map and for the fast path's bytes.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// A header field that is always the same, with its line ready to copy.
pub struct FixedField {
    pub name: HeaderName,
    pub value: HeaderValue,
    pub line: &'static [u8],
}

/// Makes a [`FixedField`] of two literals.
macro_rules! fixed {
    ($name:literal, $value:literal) => {
        $crate::server::http::FixedField {
            name: hyper::header::HeaderName::from_static($name),
            value: hyper::header::HeaderValue::from_static($value),
            line: concat!($name, ": ", $value, "\r\n").as_bytes(),
        }
    };
}

pub(crate) use fixed;

/// Takes an answer's header fields.
pub trait HeaderSink {
    fn fixed(&mut self, field: &'static FixedField);

    fn put<V: AsRef<[u8]> + TryInto<HeaderValue>>(&mut self, name: &HeaderName, value: V);
}

impl HeaderSink for HeaderMap {
    fn fixed(&mut self, field: &'static FixedField) {
        self.insert(&field.name, field.value.clone());
    }

    fn put<V: AsRef<[u8]> + TryInto<HeaderValue>>(&mut self, name: &HeaderName, value: V) {
        if let Ok(value) = value.try_into() {
            self.insert(name, value);
        }
    }
}

impl HeaderSink for Vec<u8> {
    fn fixed(&mut self, field: &'static FixedField) {
        self.extend_from_slice(field.line);
    }

    fn put<V: AsRef<[u8]> + TryInto<HeaderValue>>(&mut self, name: &HeaderName, value: V) {
        self.extend_from_slice(name.as_str().as_bytes());
        self.extend_from_slice(b": ");
        self.extend_from_slice(value.as_ref());
        self.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::ETAG;

    use super::*;

    #[test]
    fn both_sinks_get_the_same_fields() {
        static VARY: FixedField = fixed!("vary", "origin");
        let (mut map, mut bytes) = (HeaderMap::new(), Vec::new());
        fn fill(sink: &mut impl HeaderSink) {
            sink.fixed(&VARY);
            sink.put(&ETAG, "W/\"1\"");
        }
        fill(&mut map);
        fill(&mut bytes);
        assert_eq!((&map["vary"], &map["etag"]), (&"origin".parse().unwrap(), &"W/\"1\"".parse().unwrap()));
        assert_eq!(bytes, b"vary: origin\r\netag: W/\"1\"\r\n");
    }
}

//! Header sink: an answer's header fields, written once for hyper's map and for the fast path's bytes.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Header fields that are always the same, with their lines ready to copy at once.
pub struct FixedFields {
    pub fields: &'static [(HeaderName, HeaderValue)],
    pub lines: &'static [u8],
}

/// Makes [`FixedFields`] of literals.
macro_rules! fixed {
    ($($name:literal: $value:literal),+ $(,)?) => {{
        use hyper::header::{HeaderName, HeaderValue};
        static FIELDS: [(HeaderName, HeaderValue); [$($name),+].len()] =
            [$((HeaderName::from_static($name), HeaderValue::from_static($value))),+];
        $crate::server::http::FixedFields {
            fields: &FIELDS,
            lines: concat!($($name, ": ", $value, "\r\n"),+).as_bytes(),
        }
    }};
}

pub(crate) use fixed;

/// Takes an answer's header fields.
pub trait HeaderSink {
    fn fixed(&mut self, fixed: &'static FixedFields);

    fn put<V: AsRef<[u8]> + TryInto<HeaderValue>>(&mut self, name: &HeaderName, value: V);
}

impl HeaderSink for HeaderMap {
    fn fixed(&mut self, fixed: &'static FixedFields) {
        for (name, value) in fixed.fields {
            self.insert(name, value.clone());
        }
    }

    fn put<V: AsRef<[u8]> + TryInto<HeaderValue>>(&mut self, name: &HeaderName, value: V) {
        if let Ok(value) = value.try_into() {
            self.insert(name, value);
        }
    }
}

impl HeaderSink for Vec<u8> {
    fn fixed(&mut self, fixed: &'static FixedFields) {
        self.extend_from_slice(fixed.lines);
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
        static FIXED: FixedFields = fixed!("vary": "origin", "cache-control": "no-store");
        let (mut map, mut bytes) = (HeaderMap::new(), Vec::new());
        fn fill(sink: &mut impl HeaderSink) {
            sink.fixed(&FIXED);
            sink.put(&ETAG, "W/\"1\"");
        }
        fill(&mut map);
        fill(&mut bytes);
        let values = ["vary", "cache-control", "etag"].map(|name| map[name].to_str().unwrap());
        assert_eq!(values, ["origin", "no-store", "W/\"1\""]);
        assert_eq!(bytes, b"vary: origin\r\ncache-control: no-store\r\netag: W/\"1\"\r\n");
    }
}

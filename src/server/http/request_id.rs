//! Request id: on an answer and on the log lines about its request.

use std::fmt;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Field, HeaderFields};

const X_REQUEST_ID: HeaderName = Field::XRequestId.name();

/// A longer id, or one with other bytes than visible ASCII, is not taken over.
const BYTES_MAX: usize = 128;

/// A trusted proxy's id, so that its log and this one can be read together, or else a random one.
pub struct RequestId(HeaderValue);

impl RequestId {
    pub fn new() -> Self {
        let drawn = format!("{:016x}", rand::random::<u64>());
        // Hexadecimal digits are a header's value.
        Self(HeaderValue::from_str(&drawn).unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    /// The id that the request has, if its peer is trusted, or else a new one.
    pub fn of(headers: &impl HeaderFields, is_trusted: bool) -> Self {
        let is_sane = |id: &&[u8]| (1..=BYTES_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        let theirs = headers.first(Field::XRequestId).filter(|_| is_trusted).filter(is_sane);
        theirs.and_then(|id| HeaderValue::from_bytes(id).ok()).map_or_else(Self::new, Self)
    }

    pub fn put(self, headers: &mut HeaderMap) {
        headers.insert(X_REQUEST_ID, self.0);
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_only_from_a_trusted_peer_and_only_if_it_is_sane() {
        let of = |id: &'static [u8], is_trusted| {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_bytes(id).unwrap())]);
            RequestId::of(&headers, is_trusted).to_string()
        };
        assert_eq!(of(b"proxy-7f3a/1", true), "proxy-7f3a/1");
        assert_ne!(of(b"proxy-7f3a/1", false), "proxy-7f3a/1");
        for strange in [&b""[..], b"two words", "m\u{e3}".as_bytes(), &[b'a'; 129]] {
            assert_eq!(of(strange, true).len(), 16);
        }
        assert_ne!(RequestId::new().to_string(), RequestId::new().to_string());
    }
}

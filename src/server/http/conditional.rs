//! Conditional answers: valid for a second, and not sent to a client that has them (`If-None-Match`).

use std::hash::{DefaultHasher, Hasher as _};

use bytes::Bytes;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ETAG, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::response::SAME_ORIGIN;
use super::{AnswerBody, ContentType, Field, FixedFields, HeaderFields, HeaderSink, fixed, headers, response};

/// Any page may read the answer, for a second.
static FOR_ANY_PAGE: FixedFields = fixed!(
    "cross-origin-resource-policy": "cross-origin",
    "access-control-allow-origin": "*",
    "cache-control": "public, max-age=1",
);

static FOR_ITS_CLIENT: FixedFields = fixed!("cache-control": "private, no-cache");

/// A rendered answer and its entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub body: Bytes,
    pub etag: HeaderValue,
}

/// Makes a tag of the values that `write` hashes. The hasher's keys are fixed, so that nodes and
/// restarts agree.
pub fn etag(write: impl FnOnce(&mut DefaultHasher)) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    write(&mut hasher);
    HeaderValue::from_str(&format!("W/\"{:016x}\"", hasher.finish())).unwrap_or(HeaderValue::from_static("W/\"0\""))
}

/// True if the client has the answer of this tag.
pub fn is_known(request: &impl HeaderFields, etag: &HeaderValue) -> bool {
    let mut tags = request.values(Field::IfNoneMatch).filter_map(headers::text).flat_map(|list| list.split(','));
    tags.any(|tag| tag.trim() == "*" || tag.trim().as_bytes() == etag.as_bytes())
}

pub fn status(is_known: bool) -> StatusCode {
    if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK }
}

/// Puts the header fields of an answer that any page may read.
pub fn put_headers(sink: &mut impl HeaderSink, is_known: bool, content_type: &'static ContentType, etag: &HeaderValue) {
    if !is_known {
        response::put_type(sink, content_type);
    }
    sink.fixed(&FOR_ANY_PAGE);
    sink.put(&ETAG, etag);
}

/// An answer with the body, or 304. It reuses the map of the request's headers, which hyper keeps for
/// the connection's next request.
pub fn answer(
    mut headers: HeaderMap,
    is_known: bool,
    content_type: &'static ContentType,
    rendered: &Rendered,
) -> Response<AnswerBody> {
    headers.clear();
    put_headers(&mut headers, is_known, content_type, &rendered.etag);
    response::with_body(status(is_known), headers, if is_known { Bytes::new() } else { rendered.body.clone() })
}

/// Keeps an answer from other origins' pages and from shared caches.
pub fn make_private(headers: &mut HeaderMap) {
    headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
    headers.fixed(&SAME_ORIGIN);
    headers.fixed(&FOR_ITS_CLIENT);
}

#[cfg(test)]
mod tests {
    use hyper::header::IF_NONE_MATCH;

    use super::*;

    #[test]
    fn a_client_has_what_it_names_by_its_tag() {
        let tag = etag(|hasher| hasher.write_u8(1));
        assert_eq!(tag, etag(|hasher| hasher.write_u8(1)));
        assert_ne!(tag, etag(|hasher| hasher.write_u8(2)));
        let text = tag.to_str().unwrap();
        for (names, knows) in [
            (text.to_owned(), true),
            (format!("\"a\", {text}"), true),
            ("*".to_owned(), true),
            ("\"a\"".to_owned(), false),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, names.parse().unwrap())]);
            assert_eq!(is_known(&headers, &tag), knows, "{names}");
        }
        assert!(!is_known(&HeaderMap::new(), &tag));
    }
}

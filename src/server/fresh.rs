//! Answers that stay true for a second, and are not sent to those who have them.

use std::hash::{DefaultHasher, Hasher as _};

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Response, StatusCode};

use super::answer::{self, AnswerBody, CORP, CROSS_ORIGIN};
use super::cors;

const FOR_A_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// A tag over whatever `write` hashes. The hasher's keys are fixed, so that nodes and restarts agree.
pub fn etag(write: impl FnOnce(&mut DefaultHasher)) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    write(&mut hasher);
    HeaderValue::from_str(&format!("W/\"{:016x}\"", hasher.finish())).unwrap_or(HeaderValue::from_static("W/\"0\""))
}

/// The body, or that the client has it; any page may read it.
pub fn answer(request: &HeaderMap, content_type: HeaderValue, body: Bytes, etag: HeaderValue) -> Response<AnswerBody> {
    let is_known = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|tag| tag.trim() == "*" || tag.trim().as_bytes() == etag.as_bytes());
    let mut response = if is_known {
        answer::with_body(StatusCode::NOT_MODIFIED, HeaderMap::with_capacity(8), Bytes::new())
    } else {
        answer::typed(StatusCode::OK, content_type, body)
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(CACHE_CONTROL, FOR_A_SECOND);
    headers.insert(CORP, CROSS_ORIGIN);
    cors::allow_any(headers);
    response
}

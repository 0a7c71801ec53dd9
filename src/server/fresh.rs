//! Answers that stay true for a second, and are not sent to those who have them.

use std::hash::{DefaultHasher, Hasher as _};

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::{self, AnswerBody, CORP, CROSS_ORIGIN};
use super::cors;
use super::fields::{self, Field, HeaderFields};

const FOR_A_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// A tag over whatever `write` hashes. The hasher's keys are fixed, so that nodes and restarts agree.
pub fn etag(write: impl FnOnce(&mut DefaultHasher)) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    write(&mut hasher);
    HeaderValue::from_str(&format!("W/\"{:016x}\"", hasher.finish())).unwrap_or(HeaderValue::from_static("W/\"0\""))
}

/// Whether the client has what the tag stands for.
pub fn is_known(request: &impl HeaderFields, etag: &HeaderValue) -> bool {
    let mut tags = request.values(Field::IfNoneMatch).filter_map(fields::text).flat_map(|list| list.split(','));
    tags.any(|tag| tag.trim() == "*" || tag.trim().as_bytes() == etag.as_bytes())
}

/// The body, or that the client has it; any page may read it. The answer's header fields take the
/// place of the request's, whose map hyper keeps for the connection's next request.
pub fn answer(
    mut headers: HeaderMap,
    is_known: bool,
    content_type: HeaderValue,
    body: Bytes,
    etag: HeaderValue,
) -> Response<AnswerBody> {
    headers.clear();
    headers.insert(ETAG, etag);
    headers.insert(CACHE_CONTROL, FOR_A_SECOND);
    headers.insert(CORP, CROSS_ORIGIN);
    cors::allow_any(&mut headers);
    if is_known {
        return answer::with_body(StatusCode::NOT_MODIFIED, headers, Bytes::new());
    }
    answer::put_type(&mut headers, content_type);
    answer::with_body(StatusCode::OK, headers, body)
}

//! Which pages may read which answers. Never with credentials: there are none.

use bytes::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::{Response, StatusCode};

use super::answer::{self, AnswerBody};

const EXPOSED: HeaderValue = HeaderValue::from_static("Thongke-Hit, Thongke-Hit-Kind");

const EXPOSED_OF_REFUSAL: HeaderValue =
    HeaderValue::from_static("Thongke-Hit, Thongke-Hit-Kind, X-Request-Id, Retry-After");

/// Any page may read this: figures and scripts.
pub fn allow_any(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// The page whose hit this answers may read it.
pub fn allow_origin(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    headers.insert(VARY, HeaderValue::from_name(ORIGIN));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Any page may read why its request was refused, when to come again, and by what the log knows it.
pub fn allow_any_for_refusal(headers: &mut HeaderMap) {
    allow_any(headers);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_OF_REFUSAL);
}

/// The answer to OPTIONS, which a browser may ask before it sends the request itself. Whether a
/// hit's page belongs to the site is for the hit to say.
pub fn preflight(allow: &'static str) -> Response<AnswerBody> {
    let mut headers = HeaderMap::with_capacity(8);
    allow_any(&mut headers);
    headers.insert(ALLOW, HeaderValue::from_static(allow));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allow));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    answer::with_body(StatusCode::NO_CONTENT, headers, Bytes::new())
}

//! CORS: the pages that may read an answer. Never with credentials, since there are none.

use bytes::Bytes;
use hyper::header::{ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::{AnswerBody, FixedFields, HeaderSink, fixed, response};

pub static ALLOW_ANY: FixedFields = fixed!("access-control-allow-origin": "*");
static FOR_THE_ORIGIN: FixedFields = fixed!(
    "vary": "origin",
    "access-control-expose-headers": "Thongke-Hit, Thongke-Hit-Kind",
);
static EXPOSE_ERROR: FixedFields =
    fixed!("access-control-expose-headers": "Thongke-Hit, Thongke-Hit-Kind, X-Request-Id, Retry-After");
static ALLOW_CONTENT_TYPE: FixedFields = fixed!("access-control-allow-headers": "content-type");
static FOR_A_DAY: FixedFields = fixed!("access-control-max-age": "86400");

/// Lets the page that sent a hit read the answer.
pub fn allow_origin<V: AsRef<[u8]> + TryInto<HeaderValue>>(sink: &mut impl HeaderSink, origin: Option<V>) {
    if let Some(origin) = origin {
        sink.put(&ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    sink.fixed(&FOR_THE_ORIGIN);
}

/// Lets any page read an error: its reason, when to try again, and its id in the log.
pub fn allow_any_for_error(sink: &mut impl HeaderSink) {
    sink.fixed(&ALLOW_ANY);
    sink.fixed(&EXPOSE_ERROR);
}

/// The answer to OPTIONS, which a browser may send before the request itself. The request itself is
/// checked against the site's origins.
pub fn preflight(methods: &'static str) -> Response<AnswerBody> {
    let mut headers = HeaderMap::with_capacity(8);
    headers.fixed(&ALLOW_ANY);
    headers.put(&ALLOW, HeaderValue::from_static(methods));
    headers.put(&ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.fixed(&ALLOW_CONTENT_TYPE);
    headers.fixed(&FOR_A_DAY);
    response::with_body(StatusCode::NO_CONTENT, headers, Bytes::new())
}

//! Answers: their bodies, content types, and the header fields that go with a type.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::{FixedFields, HeaderSink, date, fixed};

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>>>>;

/// A broken-off answer. Its end never reaches the client, who so learns that it is incomplete.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct StreamError(pub String);

/// An answer's body: whole, or chunks that are still being made.
pub enum AnswerBody {
    Whole(Bytes),
    Stream(Chunks),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(chunks) => {
                chunks.as_mut().poll_next(context).map(|next| next.map(|chunk| chunk.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

pub const THONGKE_HIT: HeaderName = HeaderName::from_static("thongke-hit");
pub const THONGKE_HIT_KIND: HeaderName = HeaderName::from_static("thongke-hit-kind");

const THONGKE_IGNORED: HeaderName = HeaderName::from_static("thongke-ignored");
static EXPOSE_IGNORED: FixedFields = fixed!("access-control-expose-headers": "Thongke-Ignored");

pub static NO_STORE: FixedFields = fixed!("cache-control": "no-store");
pub static CLOSE: FixedFields = fixed!("connection": "close");
pub static CROSS_ORIGIN: FixedFields = fixed!("cross-origin-resource-policy": "cross-origin");
pub static SAME_ORIGIN: FixedFields = fixed!("cross-origin-resource-policy": "same-origin");

/// A body's type, and the policy under which a browser may open it.
pub struct ContentType(FixedFields);

/// Opened by itself, as a document, an answer of a type without a policy of its own loads and runs nothing.
macro_rules! content_type {
    ($value:literal) => {
        content_type!($value, "default-src 'none'; frame-ancestors 'none'; sandbox")
    };
    ($value:literal, $policy:literal) => {
        ContentType(fixed!(
            "content-type": $value,
            "x-content-type-options": "nosniff",
            "content-security-policy": $policy,
            "referrer-policy": "no-referrer",
        ))
    };
}

pub static JSON: ContentType = content_type!("application/json");
pub static PROBLEM_JSON: ContentType = content_type!("application/problem+json");
pub static CSV: ContentType = content_type!("text/csv; charset=utf-8");
pub static TEXT: ContentType = content_type!("text/plain; charset=utf-8");
pub static XLSX: ContentType = content_type!("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet");
/// A picture brings its colours along, and may be framed.
pub static SVG: ContentType = content_type!("image/svg+xml", "default-src 'none'; style-src 'unsafe-inline'; sandbox");
pub static GIF: ContentType = content_type!("image/gif");
pub static HTML: ContentType = content_type!("text/html; charset=utf-8");
pub static CSS: ContentType = content_type!("text/css; charset=utf-8");
pub static JAVASCRIPT: ContentType = content_type!("text/javascript; charset=utf-8");
pub static PROMETHEUS_TEXT: ContentType = content_type!("text/plain; version=0.0.4; charset=utf-8");

/// Reports names of a query that nothing reads, to pages of other origins too.
pub fn put_ignored(sink: &mut impl HeaderSink, names: Option<&HeaderValue>) {
    if let Some(names) = names {
        sink.put(&THONGKE_IGNORED, names);
        sink.fixed(&EXPOSE_IGNORED);
    }
}

/// Puts the header fields of a body's type.
pub fn put_type(sink: &mut impl HeaderSink, content_type: &'static ContentType) {
    sink.fixed(&content_type.0);
}

pub fn with_body(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Whole(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An answer with a body of a type, which only pages of the same origin may load.
pub fn typed(status: StatusCode, content_type: &'static ContentType, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut headers = HeaderMap::with_capacity(16);
    put_type(&mut headers, content_type);
    headers.fixed(&SAME_ORIGIN);
    with_body(status, headers, body.into())
}

/// A JSON answer of a value that always serialises: of strings and numbers.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<AnswerBody> {
    typed(status, &JSON, serde_json::to_vec(value).unwrap_or_default())
}

pub fn stream(
    content_type: &'static ContentType,
    chunks: impl Stream<Item = Result<Bytes, StreamError>> + 'static,
) -> Response<AnswerBody> {
    let mut response = typed(StatusCode::OK, content_type, Bytes::new());
    *response.body_mut() = AnswerBody::Stream(Box::pin(chunks));
    response
}

/// A whole answer as bytes, where hyper does not write it.
pub fn to_bytes(response: Response<AnswerBody>) -> Vec<u8> {
    let (head, body) = response.into_parts();
    let body = match body {
        AnswerBody::Whole(bytes) => bytes,
        AnswerBody::Stream(_) => Bytes::new(),
    };
    let mut text = format!("HTTP/1.1 {}\r\ncontent-length: {}\r\n", head.status, body.len()).into_bytes();
    date::put(&mut text);
    for (name, value) in &head.headers {
        text.put(name, value);
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    text
}

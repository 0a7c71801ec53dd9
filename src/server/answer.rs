//! What an answer is made of.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::lane;

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>>>>;

/// Why an answer broke off: its end never reaches the client, who so learns that it is incomplete.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct StreamError(pub String);

/// An answer's body: bytes that are there, or chunks that are still being made.
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
pub const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8");
pub const SVG: HeaderValue = HeaderValue::from_static("image/svg+xml");
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
pub const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
pub const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");

pub fn with_body(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Whole(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A body whose type the client is to believe.
pub fn typed(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut headers = HeaderMap::with_capacity(16);
    put_type(&mut headers, content_type);
    headers.insert(CORP, HeaderValue::from_static("same-origin"));
    with_body(status, headers, body.into())
}

/// What a body is, and that it loads and runs nothing where it is opened by itself, as a document.
/// Only the demo has pages.
pub fn put_type(headers: &mut HeaderMap, content_type: HeaderValue) {
    let policy = HeaderValue::from_static(match content_type {
        // A picture brings its colours along.
        _ if content_type == SVG => "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        _ => "default-src 'none'; frame-ancestors 'none'; sandbox",
    });
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// A whole answer as the client reads it, where it is not hyper that writes it.
pub fn on_the_wire(response: Response<AnswerBody>) -> Vec<u8> {
    let (head, body) = response.into_parts();
    let body = match body {
        AnswerBody::Whole(bytes) => bytes,
        AnswerBody::Stream(_) => Bytes::new(),
    };
    let mut text = format!("HTTP/1.1 {}\r\ncontent-length: {}\r\n", head.status, body.len()).into_bytes();
    lane::put_date(&mut text);
    for (name, value) in &head.headers {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    text
}

pub fn stream(
    content_type: HeaderValue,
    chunks: impl Stream<Item = Result<Bytes, StreamError>> + 'static,
) -> Response<AnswerBody> {
    let mut response = typed(StatusCode::OK, content_type, Bytes::new());
    *response.body_mut() = AnswerBody::Stream(Box::pin(chunks));
    response
}

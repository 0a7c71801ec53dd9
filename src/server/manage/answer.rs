//! Answers of the editors' pages: never kept, never framed, and without a script or style of their own.

use std::io::Write as _;
use std::ptr;

use askama::Template;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{CONTENT_DISPOSITION, HeaderMap, HeaderValue, LOCATION, REFERRER_POLICY};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::server::http::{
    AnswerBody, ContentType, Field, FixedFields, HTML, HeaderFields as _, HeaderSink as _, HttpError, JSON, XLSX,
    fixed, headers, response,
};

pub type Outcome = Result<Response<AnswerBody>, HttpError>;

/// Smaller pages are sent as they are.
const GZIP_BYTES_MIN: usize = 4 << 10;

static PRIVATE: FixedFields = fixed!(
    "content-security-policy":
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "vary": "accept-language, accept-encoding",
);
const NOT_MADE: HttpError =
    HttpError::fixed(StatusCode::INTERNAL_SERVER_ERROR, "unavailable", "the page could not be made; load it again");
pub static GZIP: FixedFields = fixed!("content-encoding": "gzip");

/// Answers with a page. It is rendered in a thread of its own: one of a thousand sites would hold up hits.
pub async fn page(page: impl Template + Send + 'static, request: &HeaderMap) -> Outcome {
    let takes_gzip = takes_gzip(request);
    let make = move || {
        // Writing to a string can't fail.
        let text = page.render().unwrap_or_default();
        let zipped = if takes_gzip && text.len() >= GZIP_BYTES_MIN { gzip(text.as_bytes()) } else { None };
        (Bytes::from(text), zipped)
    };
    let (text, zipped) = tokio::task::spawn_blocking(make).await.map_err(|_| NOT_MADE)?;
    Ok(html(StatusCode::OK, text, zipped))
}

/// Answers with a file to be saved, which is made in a thread of its own.
pub async fn file(
    content_type: &'static ContentType,
    name: &str,
    request: &HeaderMap,
    make: impl FnOnce() -> Option<Vec<u8>> + Send + 'static,
) -> Outcome {
    let zips = takes_gzip(request) && !ptr::eq(content_type, &XLSX);
    let made = tokio::task::spawn_blocking(move || {
        let bytes = make()?;
        let zipped = if zips && bytes.len() >= GZIP_BYTES_MIN { gzip(&bytes) } else { None };
        Some((bytes, zipped))
    });
    let (bytes, zipped) = made.await.ok().flatten().ok_or(NOT_MADE)?;
    let is_zipped = zipped.is_some();
    let mut response = private(response::typed(StatusCode::OK, content_type, zipped.unwrap_or(bytes.into())));
    let headers = response.headers_mut();
    if is_zipped {
        headers.fixed(&GZIP);
    }
    // Ids of sites and names of tables are plain ASCII.
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// An answer of a page that is rendered already.
pub fn html(status: StatusCode, text: Bytes, zipped: Option<Bytes>) -> Response<AnswerBody> {
    let is_zipped = zipped.is_some();
    let mut response = private(response::typed(status, &HTML, zipped.unwrap_or(text)));
    if is_zipped {
        response.headers_mut().fixed(&GZIP);
    }
    response
}

pub fn json(value: &impl Serialize) -> Response<AnswerBody> {
    private(response::typed(StatusCode::OK, &JSON, serde_json::to_vec(value).unwrap_or_default()))
}

/// Lets the browser name this page to no other.
pub fn hide_address(headers: &mut HeaderMap) {
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Sends the browser elsewhere, for good.
pub fn moved(path: &str) -> Response<AnswerBody> {
    to(StatusCode::PERMANENT_REDIRECT, path)
}

/// Sends the browser to a page that shows what a form has done.
pub fn see(path: &str) -> Response<AnswerBody> {
    to(StatusCode::SEE_OTHER, path)
}

fn to(status: StatusCode, path: &str) -> Response<AnswerBody> {
    let mut headers = HeaderMap::with_capacity(16);
    if let Ok(location) = HeaderValue::from_str(path) {
        headers.insert(LOCATION, location);
    }
    private(response::with_body(status, headers, Bytes::new()))
}

fn private(mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    response.headers_mut().fixed(&PRIVATE);
    response
}

pub fn takes_gzip(request: &HeaderMap) -> bool {
    request.first(Field::AcceptEncoding).and_then(headers::text).is_some_and(|list| list.contains("gzip"))
}

pub fn gzip(text: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 6), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

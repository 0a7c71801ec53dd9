//! Errors as answers: RFC 9457 `application/problem+json`.

use std::borrow::Cow;

use hyper::header::{ALLOW, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::response::{self, PROBLEM_JSON};
use super::{AnswerBody, CLOSE, HeaderSink as _, NO_STORE, THONGKE_HIT};
use crate::counter::PublicPart;
use crate::server::net::{ConnError, HEAD_BYTES_MAX, URI_BYTES_MAX};
use crate::server::ports::Unavailable;

/// An error answer. Its text says what was wrong and what to send instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct HttpError {
    pub status: StatusCode,
    /// One of [`REASONS`]: the metric's label, and a hit's `Thongke-Hit`.
    pub reason: &'static str,
    pub detail: Cow<'static, str>,
    /// The wrong field of the request.
    pub field: Option<&'static str>,
    /// The wrong line of an import.
    pub line: Option<u64>,
    /// Methods that the path allows.
    pub allow: Option<&'static str>,
    /// The part of the site that is closed to everyone but its operators.
    pub closed: Option<PublicPart>,
    pub retry_after_seconds: Option<u64>,
    /// The connection must end: the next request's beginning is in doubt, or nobody will read the body.
    pub closes: bool,
}

/// Wait before a retry: a full disk or a restart takes a while.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Every value of [`HttpError::reason`].
pub const REASONS: [&str; 17] = [
    "host",
    "framing",
    "size",
    "slow",
    "origin",
    "site",
    "path",
    "method",
    "connections",
    "limited",
    "reads",
    "unavailable",
    "token",
    "attempts",
    "https",
    "closed",
    "malformed",
];

/// The body of an error answer.
#[derive(Debug, Serialize)]
pub struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<&'static str>,
}

impl HttpError {
    pub const BODY_BROKEN: Self =
        Self::framing("the body broke off or is malformed; its length must match Content-Length or its chunks");
    pub const PATH_UNKNOWN: Self =
        Self::fixed(StatusCode::NOT_FOUND, "path", "there is nothing at this path; `/openapi.json` lists all paths");

    /// An error whose text is always the same.
    pub const fn fixed(status: StatusCode, reason: &'static str, detail: &'static str) -> Self {
        Self {
            status,
            reason,
            detail: Cow::Borrowed(detail),
            field: None,
            line: None,
            allow: None,
            closed: None,
            retry_after_seconds: None,
            closes: false,
        }
    }

    /// A request whose end is in doubt.
    pub const fn framing(detail: &'static str) -> Self {
        let mut error = Self::fixed(StatusCode::BAD_REQUEST, "framing", detail);
        error.closes = true;
        error
    }

    pub fn new(status: StatusCode, reason: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..Self::fixed(status, reason, "") }
    }

    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// A wrong field of a hit or of a query.
    pub fn field(field: &'static str, detail: impl ToString) -> Self {
        Self::malformed(detail.to_string()).at(field)
    }

    /// The error with the field that it is about.
    pub fn at(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    /// The error as the connection's last answer.
    pub fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// A part of the request with more than `max` bytes or fields.
    pub fn size(status: StatusCode, detail: String) -> Self {
        Self::new(status, "size", detail).closing()
    }

    pub fn uri_long() -> Self {
        Self::size(StatusCode::URI_TOO_LONG, format!("the address is longer than {URI_BYTES_MAX} bytes"))
    }

    pub fn method(allow: &'static str) -> Self {
        let detail = format!("method not allowed here; use {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail) }
    }

    pub fn unavailable(reason: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after_seconds = Some(RETRY_AFTER_SECONDS);
        Self { retry_after_seconds, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, detail) }
    }

    /// Puts the header fields that go with the status, whatever the body.
    pub fn put_headers(&self, headers: &mut HeaderMap) {
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        match self.status {
            StatusCode::TOO_MANY_REQUESTS if self.reason == "limited" => {
                headers.insert(THONGKE_HIT, HeaderValue::from_static(self.reason));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        if self.closes {
            headers.fixed(&CLOSE);
        }
    }

    pub fn problem(&self) -> Problem {
        Problem {
            status: self.status.as_u16(),
            title: self.status.canonical_reason().unwrap_or("Error"),
            detail: self.to_string(),
            field: self.field,
            line: self.line,
            closed: self.closed.map(PublicPart::as_str),
        }
    }

    pub fn response(&self) -> Response<AnswerBody> {
        let mut response = response::json(self.status, &self.problem());
        let headers = response.headers_mut();
        response::put_type(headers, &PROBLEM_JSON);
        headers.fixed(&NO_STORE);
        self.put_headers(headers);
        response
    }
}

impl From<Unavailable> for HttpError {
    fn from(unavailable: Unavailable) -> Self {
        Self::unavailable("unavailable", unavailable.reason)
    }
}

impl From<ConnError> for HttpError {
    fn from(error: ConnError) -> Self {
        match error {
            ConnError::TooSlow => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "slow", "the request did not arrive in time").closing()
            }
            ConnError::UriTooLong => Self::uri_long(),
            ConnError::HeadTooLarge => Self::size(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                format!(
                    "the request's head is larger than {HEAD_BYTES_MAX} bytes; send fewer or shorter header fields"
                ),
            ),
            ConnError::NotHttp => {
                Self::malformed("this is not an HTTP/1.1 request; expected for example `GET /thongke.js HTTP/1.1`")
                    .closing()
            }
            ConnError::TooManyConnections => {
                Self::unavailable("connections", "too many connections from this client; reuse or close some").closing()
            }
        }
    }
}

/// The start of a stranger's text, which is all that an answer repeats.
pub fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use hyper::header::CONNECTION;

    use super::*;

    fn body(error: &HttpError) -> serde_json::Value {
        match error.response().into_body() {
            AnswerBody::Whole(bytes) => serde_json::from_slice(&bytes).unwrap(),
            AnswerBody::Stream(_) => panic!("a problem is never streamed"),
        }
    }

    #[test]
    fn a_problem_says_its_status_title_detail_and_field() {
        let error = HttpError::field("site", "`site` is a number; expected a string");
        let problem = body(&error);
        assert_eq!(problem["status"], 400);
        assert_eq!(problem["title"], "Bad Request");
        assert_eq!(problem["detail"], "`site` is a number; expected a string");
        assert_eq!(problem["field"], "site");
    }

    #[test]
    fn a_strangers_text_is_escaped_in_the_problem() {
        let problem = body(&HttpError::malformed("there is no `\"},{\"<script>\n`"));
        assert_eq!(problem["detail"], "there is no `\"},{\"<script>\n`");
    }

    #[test]
    fn headers_say_what_the_client_may_do_next() {
        let headers = |error: &HttpError| error.response().headers().clone();
        assert_eq!(headers(&HttpError::method("POST, OPTIONS"))[ALLOW], "POST, OPTIONS");
        assert_eq!(headers(&HttpError::unavailable("unavailable", "the disk is full"))[RETRY_AFTER], "5");
        assert_eq!(headers(&HttpError::uri_long())[CONNECTION], "close");
        assert!(!headers(&HttpError::PATH_UNKNOWN).contains_key(CONNECTION));
    }
}

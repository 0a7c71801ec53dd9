//! Errors as answers: RFC 9457 `application/problem+json`.

use hyper::header::{ALLOW, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::header_sink::HeaderSink as _;
use super::response::{self, AnswerBody, CLOSE, NO_STORE, PROBLEM_JSON, THONGKE_HIT};
use crate::counter::csv::CsvError;
use crate::counter::label::FigureKeyError;
use crate::counter::source::SourceError;
use crate::server::net::conn_state::ConnError;
use crate::server::net::limits::{HEAD_BYTES_MAX, URI_BYTES_MAX};
use crate::server::ports::Unavailable;

/// An error answer. Its text says what was wrong and what to send instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("the body is empty; expected for example {EXAMPLE}")]
    BodyEmpty,
    #[error("the body is not valid UTF-8 (first wrong byte at {at})")]
    BodyNotUtf8 { at: usize },
    #[error("the body is not JSON: {reason}; expected for example {EXAMPLE}")]
    NotJson { reason: String },
    #[error("the body is neither a JSON object nor a form; expected for example {EXAMPLE}")]
    NeitherObjectNorForm,
    #[error("`{field}` is missing; `site` and `url` are required")]
    FieldMissing { field: &'static str },
    #[error("`{field}` is empty")]
    FieldEmpty { field: &'static str },
    #[error("`{field}` is {found}; expected a string")]
    FieldType { field: &'static str, found: &'static str },
    #[error("`{field}` is given more than once; send it once")]
    FieldTwice { field: &'static str },
    #[error("`{field}` is not well percent-encoded; expected `%` and two hexadecimal digits, decoding to UTF-8")]
    FieldEncoding { field: &'static str },
    #[error("`url` is not an address ({reason}); expected for example https://portal.example.vn/tin-tuc/bai-1")]
    UrlMalformed { reason: String },
    #[error("`url` is not an http or https address")]
    UrlScheme,
    #[error("`url` has a user name or password; send it without")]
    UrlCredentials,
    #[error("{0}")]
    Figure(FigureKeyError),
    #[error("{reason}")]
    Query { field: &'static str, reason: String },
    #[error("`figures` names `{key}` twice; name it once")]
    FigureTwice { key: &'static str },
    #[error(
        "site `{site}` counts no visitors, so it has no `{key}`; set `visitors = true`, or name a visitor figure in its `figures`"
    )]
    VisitorsUncounted { key: &'static str, site: String },
    #[error("`figures=0` is only for hits; name figures, or leave it out for the figures that the site shows")]
    FiguresNone,
    #[error("the `Host` header {problem}; send exactly one, for example `Host: counter.example.vn`")]
    Host { problem: &'static str },
    #[error("the request's length is ambiguous: {problem}")]
    Framing { problem: &'static str },
    #[error("a body on a reused connection needs a Content-Length")]
    LengthRequired,
    #[error("the body broke off or is malformed; its length must match Content-Length or its chunks")]
    BodyBroken,
    #[error("the request has more than {max} header fields")]
    FieldsMany { max: usize },
    #[error("the address is longer than {max} bytes")]
    UriLong { max: usize },
    #[error("the request's head is larger than {max} bytes; send fewer or shorter header fields")]
    HeadLarge { max: usize },
    #[error("this is not an HTTP/1.1 request; expected for example `GET /thongke.js HTTP/1.1`")]
    NotHttp,
    #[error("the request did not arrive in time")]
    TooSlow,
    #[error("the body is larger than {max} bytes")]
    BodyLarge { max: usize },
    #[error("origin `{origin}` of the page is not allowed for site `{site}`; add it to `origins`")]
    PageForeign { origin: String, site: String },
    #[error("origin `{origin}` is not allowed for site `{site}`; add it to `origins`")]
    OriginForeign { origin: String, site: String },
    #[error("there is no site `{site}`; use an id from the node's configuration")]
    SiteUnknown { site: String },
    #[error("there is no site `{site}`; did you mean `{suggestion}`?")]
    SiteMisspelt { site: String, suggestion: String },
    #[error("there is nothing at this path; `/openapi.json` lists all paths")]
    PathUnknown,
    #[error("method not allowed here; use {allow}")]
    Method { allow: &'static str },
    #[error("too many connections from this client; reuse or close some")]
    ConnectionsMany,
    #[error("too many hits from {budget}; try again in {seconds} s")]
    Limited { budget: &'static str, seconds: u64 },
    #[error("{0}")]
    Unavailable(String),
    #[error("an import needs `Content-Type: text/csv`")]
    NotCsv,
    #[error("{0}; nothing of the file was taken")]
    Csv(CsvError),
    #[error("the import has no name; add `source=NAME` to the query")]
    ImportUnnamed,
    #[error("{0}")]
    ImportName(SourceError),
    #[error("only imports can be forgotten; expected `import:NAME`")]
    NotAnImport,
    #[error("site `{site}` has no import `{name}`")]
    ImportUnknown { site: String, name: String },
    #[error("admin token missing or wrong; send it as `Authorization: Bearer TOKEN`")]
    Unauthorized,
    #[error("this token may only read; use the token of `admin_token_file` to change anything")]
    ReadOnly,
    #[error("the `Host` header is not a name of this listener; use `localhost` or the listener's address")]
    HostForeign,
}

const EXAMPLE: &str = r#"{"site":"demo","url":"https://portal.example.vn/tin-tuc/bai-1"}"#;

/// Wait before a retry: a full disk or a restart takes a while.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Every value of [`HttpError::reason`].
pub const REASONS: [&str; 13] = [
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
    "unavailable",
    "token",
    "malformed",
];

/// The body of an error answer.
#[derive(Debug, Serialize, Hash)]
pub struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

impl HttpError {
    pub fn query(field: &'static str, reason: impl ToString) -> Self {
        Self::Query { field, reason: reason.to_string() }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::BodyEmpty
            | Self::BodyNotUtf8 { .. }
            | Self::NotJson { .. }
            | Self::NeitherObjectNorForm
            | Self::FieldMissing { .. }
            | Self::FieldEmpty { .. }
            | Self::FieldType { .. }
            | Self::FieldTwice { .. }
            | Self::FieldEncoding { .. }
            | Self::UrlMalformed { .. }
            | Self::UrlScheme
            | Self::UrlCredentials
            | Self::Figure(_)
            | Self::Query { .. }
            | Self::FigureTwice { .. }
            | Self::VisitorsUncounted { .. }
            | Self::FiguresNone
            | Self::Host { .. }
            | Self::Framing { .. }
            | Self::BodyBroken
            | Self::NotHttp
            | Self::Csv(_)
            | Self::ImportUnnamed
            | Self::ImportName(_)
            | Self::NotAnImport => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::PageForeign { .. } | Self::OriginForeign { .. } | Self::HostForeign | Self::ReadOnly => {
                StatusCode::FORBIDDEN
            }
            Self::SiteUnknown { .. } | Self::SiteMisspelt { .. } | Self::PathUnknown | Self::ImportUnknown { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::BodyLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriLong { .. } => StatusCode::URI_TOO_LONG,
            Self::NotCsv => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::FieldsMany { .. } | Self::HeadLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::ConnectionsMany | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One of [`REASONS`]: the metric's label, and the value of `Thongke-Hit`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Host { .. } | Self::HostForeign => "host",
            Self::Framing { .. } | Self::LengthRequired | Self::BodyBroken => "framing",
            Self::FieldsMany { .. } | Self::HeadLarge { .. } | Self::UriLong { .. } | Self::BodyLarge { .. } => "size",
            Self::TooSlow => "slow",
            Self::PageForeign { .. } | Self::OriginForeign { .. } => "origin",
            Self::SiteUnknown { .. } | Self::SiteMisspelt { .. } => "site",
            Self::PathUnknown | Self::ImportUnknown { .. } => "path",
            Self::Method { .. } => "method",
            Self::ConnectionsMany => "connections",
            Self::Limited { .. } => "limited",
            Self::Unavailable(_) => "unavailable",
            Self::Unauthorized | Self::ReadOnly => "token",
            _ => "malformed",
        }
    }

    /// True if the connection must end: the next request's beginning is in doubt, or nobody will read
    /// the body.
    fn closes(&self) -> bool {
        matches!(
            self,
            Self::Host { .. }
                | Self::Framing { .. }
                | Self::LengthRequired
                | Self::BodyBroken
                | Self::BodyLarge { .. }
                | Self::FieldsMany { .. }
                | Self::HeadLarge { .. }
                | Self::UriLong { .. }
                | Self::NotHttp
                | Self::TooSlow
                | Self::ConnectionsMany
        )
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::FieldMissing { field }
            | Self::FieldEmpty { field }
            | Self::FieldType { field, .. }
            | Self::FieldTwice { field }
            | Self::FieldEncoding { field }
            | Self::Query { field, .. } => Some(field),
            Self::UrlMalformed { .. } | Self::UrlScheme | Self::UrlCredentials | Self::PageForeign { .. } => {
                Some("url")
            }
            Self::SiteUnknown { .. } | Self::SiteMisspelt { .. } => Some("site"),
            Self::Figure(_) | Self::FigureTwice { .. } | Self::VisitorsUncounted { .. } | Self::FiguresNone => {
                Some("figures")
            }
            _ => None,
        }
    }

    /// Puts the header fields that go with the status, whatever the body.
    pub fn put_headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::Method { allow } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::Limited { seconds, .. } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
                headers.insert(THONGKE_HIT, HeaderValue::from_static(self.reason()));
            }
            Self::ConnectionsMany | Self::Unavailable(_) => {
                headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            Self::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        if self.closes() {
            headers.fixed(&CLOSE);
        }
    }

    pub fn problem(&self) -> Problem {
        let status = self.status();
        let line = match self {
            Self::Csv(error) => Some(error.line),
            _ => None,
        };
        Problem {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            detail: self.to_string(),
            field: self.field(),
            line,
        }
    }

    pub fn response(&self) -> Response<AnswerBody> {
        // A struct of strings and numbers always serialises.
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default();
        let mut response = response::typed(self.status(), &PROBLEM_JSON, body);
        response.headers_mut().fixed(&NO_STORE);
        self.put_headers(response.headers_mut());
        response
    }
}

impl From<Unavailable> for HttpError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable.reason)
    }
}

impl From<ConnError> for HttpError {
    fn from(error: ConnError) -> Self {
        match error {
            ConnError::TooSlow => Self::TooSlow,
            ConnError::UriTooLong => Self::UriLong { max: URI_BYTES_MAX },
            ConnError::HeadTooLarge => Self::HeadLarge { max: HEAD_BYTES_MAX },
            ConnError::NotHttp => Self::NotHttp,
            ConnError::TooManyConnections => Self::ConnectionsMany,
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
        let error = HttpError::FieldType { field: "site", found: "a number" };
        let problem = body(&error);
        assert_eq!(problem["status"], 400);
        assert_eq!(problem["title"], "Bad Request");
        assert_eq!(problem["detail"], "`site` is a number; expected a string");
        assert_eq!(problem["field"], "site");
    }

    #[test]
    fn a_strangers_text_is_escaped_in_the_problem() {
        let problem = body(&HttpError::SiteUnknown { site: "\"},{\"<script>\n".to_owned() });
        assert_eq!(problem["detail"], "there is no site `\"},{\"<script>\n`; use an id from the node's configuration");
    }

    #[test]
    fn headers_say_what_the_client_may_do_next() {
        let headers = |error: &HttpError| error.response().headers().clone();
        assert_eq!(headers(&HttpError::Method { allow: "POST, OPTIONS" })[ALLOW], "POST, OPTIONS");
        assert_eq!(headers(&HttpError::Unavailable("the disk is full".to_owned()))[RETRY_AFTER], "5");
        assert_eq!(headers(&HttpError::BodyLarge { max: 1 })[CONNECTION], "close");
        assert!(!headers(&HttpError::PathUnknown).contains_key(CONNECTION));
    }

    #[test]
    fn every_reason_is_of_the_fixed_set() {
        for error in [
            HttpError::BodyEmpty,
            HttpError::NotHttp,
            HttpError::LengthRequired,
            HttpError::BodyLarge { max: 1 },
            HttpError::TooSlow,
            HttpError::PageForeign { origin: "a".to_owned(), site: "b".to_owned() },
            HttpError::SiteUnknown { site: "a".to_owned() },
            HttpError::PathUnknown,
            HttpError::Method { allow: "GET" },
            HttpError::ConnectionsMany,
            HttpError::Limited { budget: "a", seconds: 1 },
            HttpError::Unavailable("a".to_owned()),
            HttpError::ReadOnly,
            HttpError::HostForeign,
        ] {
            assert!(REASONS.contains(&error.reason()), "{error}");
        }
    }
}

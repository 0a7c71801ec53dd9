//! Why a request is refused, and what that is in HTTP: RFC 9457 `application/problem+json`.

use hyper::header::{ALLOW, CONNECTION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::admission::{Exceeded, Limit};
use super::answer::{self, AnswerBody, THONGKE_HIT};
use super::node::Unavailable;
use crate::counter::csv::CsvError;
use crate::counter::label::FigureKeyError;
use crate::counter::source::SourceError;

/// Every reason to refuse a request. The words say what was wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
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
    #[error("`{field}` stands there more than once")]
    FieldTwice { field: &'static str },
    #[error("`{field}` is not well percent-encoded: `%` must be followed by two hexadecimal digits, together UTF-8")]
    FieldEncoding { field: &'static str },
    #[error("`url` is not an address ({reason}); expected for example https://portal.example.vn/tin-tuc/bai-1")]
    UrlMalformed { reason: String },
    #[error("`url` is not an http or https address")]
    UrlScheme,
    #[error("`url` carries a user name or password; send it without")]
    UrlCredentials,
    #[error("{0}")]
    Figure(FigureKeyError),
    #[error("{reason}")]
    Query { field: &'static str, reason: String },
    #[error("`figures` names `{key}` twice; once is enough")]
    FigureTwice { key: &'static str },
    #[error(
        "site `{site}` counts no visitors, so it has no `{key}`; its configuration would need `visitors = true`, or a figure of visitors among its `figures`"
    )]
    VisitorsUncounted { key: &'static str, site: String },
    #[error("`figures=0` is for hits; name figures, or leave it out for those that the site shows")]
    FiguresNone,
    #[error("the `Host` field {problem}; HTTP requires exactly one, for example `Host: counter.example.vn`")]
    Host { problem: &'static str },
    #[error("the request's length is ambiguous: {problem}")]
    Framing { problem: &'static str },
    #[error("on a connection used before, a body needs a Content-Length")]
    LengthRequired,
    #[error("the body broke off or is malformed: its length must be what Content-Length or its chunks say")]
    BodyBroken,
    #[error("the request has more than {max} header fields")]
    FieldsMany { max: usize },
    #[error("the address is longer than {max} bytes")]
    UriLong { max: usize },
    #[error("the request's head is larger than {max} bytes: fewer or shorter header fields, please")]
    HeadLarge { max: usize },
    #[error("this is not an HTTP/1.1 request; expected for example `GET /thongke.js HTTP/1.1`")]
    NotHttp,
    #[error("the request did not arrive whole in time")]
    TooSlow,
    #[error("the body is larger than {max} bytes")]
    BodyLarge { max: usize },
    #[error("the page does not lie on an origin of site `{site}`; its `origins` say which pages may count")]
    PageForeign { site: String },
    #[error("the `Origin` field is not an origin of site `{site}`; its `origins` say which pages may count")]
    OriginForeign { site: String },
    #[error("there is no site `{site}`")]
    SiteUnknown { site: String },
    #[error("there is no site `{site}`; did you mean `{suggestion}`?")]
    SiteMisspelt { site: String, suggestion: String },
    #[error("there is nothing at this address")]
    PathUnknown,
    #[error("this address does not know that method; it knows {allow}")]
    Method { allow: &'static str },
    #[error("this address has too many connections open; use those that it has, or close some")]
    ConnectionsMany,
    #[error("more hits have come than {budget} may send; try again in {seconds} s")]
    Limited { budget: &'static str, seconds: u64 },
    #[error("{0}")]
    Unavailable(String),
    #[error("an import's `Content-Type` must be text/csv")]
    NotCsv,
    #[error("{0}; nothing of the file was taken")]
    Csv(CsvError),
    #[error("the query needs `source=NAME`, the import's name")]
    ImportUnnamed,
    #[error("{0}")]
    ImportName(SourceError),
    #[error("only imports can be forgotten: expected `import:NAME`")]
    NotAnImport,
    #[error("site `{site}` has no import `{name}`")]
    ImportUnknown { site: String, name: String },
    #[error("this needs `Authorization: Bearer` with the admin token")]
    Unauthorized,
    #[error("this token may only read; to change anything, use the one of `admin_token_file`")]
    ReadOnly,
    #[error("the `Host` field is not one of this listener's own names")]
    HostForeign,
}

const EXAMPLE: &str = r#"{"site":"demo","url":"https://portal.example.vn/tin-tuc/bai-1"}"#;

/// How long a client should wait before it tries again: a full disk or a restart takes a while.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

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

impl Refusal {
    /// All that [`Self::reason`] says.
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

    /// One word of a fixed set: the metric's label, and what `Thongke-Hit` says.
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

    /// Whether the connection must end: where one request ends and the next begins is in doubt, or
    /// a body is on its way that nobody will read.
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

    /// The fields that go with the status, whatever the body.
    pub fn put_headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::Method { allow } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::Limited { seconds, .. } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
                headers.insert(THONGKE_HIT, HeaderValue::from_static("limited"));
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
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
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
            title: status.canonical_reason().unwrap_or("Refused"),
            detail: self.to_string(),
            field: self.field(),
            line,
        }
    }

    pub fn answer(&self) -> Response<AnswerBody> {
        // A struct of strings and numbers always serialises.
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default();
        let mut response = answer::typed(self.status(), PROBLEM_JSON, body);
        response.headers_mut().insert(hyper::header::CACHE_CONTROL, answer::NO_STORE);
        self.put_headers(response.headers_mut());
        response
    }
}

impl From<Unavailable> for Refusal {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable.reason)
    }
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        let budget = match exceeded.limit {
            Limit::Address => "this address",
            Limit::Page => "this address for this page",
            Limit::Site => "all readers of this site",
        };
        // A whole number, and never one that is too early.
        Self::Limited { budget, seconds: exceeded.wait.as_millis().div_ceil(1_000).max(1) as u64 }
    }
}

/// As much of a stranger's text as an answer repeats.
pub fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(refusal: &Refusal) -> serde_json::Value {
        match refusal.answer().into_body() {
            AnswerBody::Whole(bytes) => serde_json::from_slice(&bytes).unwrap(),
            AnswerBody::Stream(_) => panic!("a problem is never streamed"),
        }
    }

    #[test]
    fn a_problem_says_its_status_title_detail_and_field() {
        let refusal = Refusal::FieldType { field: "site", found: "a number" };
        let problem = body(&refusal);
        assert_eq!(problem["status"], 400);
        assert_eq!(problem["title"], "Bad Request");
        assert_eq!(problem["detail"], "`site` is a number; expected a string");
        assert_eq!(problem["field"], "site");
    }

    #[test]
    fn the_list_of_reasons_is_what_a_reason_can_be() {
        let body = include_str!("refusal.rs").split("fn reason(").nth(1).unwrap().split("fn ").next().unwrap();
        let said: std::collections::BTreeSet<_> = body.split('"').skip(1).step_by(2).collect();
        assert_eq!(said, Refusal::REASONS.into());
    }

    #[test]
    fn what_a_stranger_wrote_is_text_in_the_problem() {
        let problem = body(&Refusal::SiteUnknown { site: "\"},{\"<script>\n".to_owned() });
        assert_eq!(problem["detail"], "there is no site `\"},{\"<script>\n`");
    }

    #[test]
    fn what_the_client_may_do_next_stands_in_the_header() {
        let headers = |refusal: &Refusal| refusal.answer().headers().clone();
        assert_eq!(headers(&Refusal::Method { allow: "POST, OPTIONS" })[ALLOW], "POST, OPTIONS");
        assert_eq!(headers(&Refusal::Unavailable("the disk is full".to_owned()))[RETRY_AFTER], "5");
        assert_eq!(headers(&Refusal::BodyLarge { max: 1 })[CONNECTION], "close");
        assert!(!headers(&Refusal::PathUnknown).contains_key(CONNECTION));
    }
}

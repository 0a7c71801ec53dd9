//! Authorization at the admin listener: tokens, the `Host` header, and what pages of other origins may not send.

use std::net::SocketAddr;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::counter::TokenHash;
use crate::counter::tokens::secret::TokenKey;
use crate::server::http::{Host, HttpError};
use crate::server::net::ConnState;
use crate::server::routes::Admin;

/// Configured tokens; with neither, every request is allowed.
#[derive(Clone, Default)]
pub struct Tokens {
    /// For everything.
    pub write: Option<Token>,
    pub read: Option<Token>,
}

/// A token's hash. Comparing two takes the same time whatever the tokens.
#[derive(Clone)]
pub struct Token {
    hash: [u8; 32],
    /// The hash by which sessions are checked that begin with the token.
    of_sessions: Option<TokenHash>,
}

impl Token {
    pub fn new(text: &str) -> Self {
        Self { hash: Sha256::digest(text).into(), of_sessions: TokenKey::of(text).map(|key| key.hash()) }
    }

    fn is(&self, given: &[u8; 32]) -> Choice {
        self.hash.ct_eq(given)
    }
}

/// Right of an operator's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Writes,
    Reads,
}

const UNAUTHORIZED: HttpError = HttpError::fixed(
    StatusCode::UNAUTHORIZED,
    "token",
    "admin token missing or wrong; send it as `Authorization: Bearer TOKEN`",
);
const READ_ONLY: HttpError = HttpError::fixed(
    StatusCode::FORBIDDEN,
    "token",
    "this token may only read; use the token of `admin_token_file` to change anything",
);

const FOREIGN_PAGE: HttpError = HttpError::fixed(
    StatusCode::FORBIDDEN,
    "origin",
    "a page of another origin may change nothing here; send the request from a program, without `Origin` and `Sec-Fetch-Site`",
);
const FOREIGN_READ: HttpError = HttpError::fixed(
    StatusCode::FORBIDDEN,
    "origin",
    "a page of another origin may load nothing from here; open the address itself, or ask by a program",
);
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// True for endpoints without a token: probes and metrics, which reveal no secrets.
pub fn is_free(endpoint: Admin) -> bool {
    matches!(endpoint, Admin::Metrics | Admin::Alive | Admin::Ready)
}

/// Refuses another host name than the listener's own: a web page in an operator's browser, made to reach
/// this machine, sends its own host name.
pub fn check_host(host: Host<'_>, conn: &ConnState) -> Result<(), HttpError> {
    match is_own_name(host, conn.local_address()) {
        true => Ok(()),
        false => {
            let expected = "use `localhost` or the listener's address";
            let detail = format!("the `Host` header is not a name of this listener; {expected}");
            Err(HttpError::new(StatusCode::FORBIDDEN, "host", detail))
        }
    }
}

fn is_own_name(host: Host<'_>, local: Option<SocketAddr>) -> bool {
    let is_own_address = local.is_some_and(|local| match local {
        SocketAddr::V4(v4) => host.name == v4.ip().to_string(),
        SocketAddr::V6(v6) => host.name == format!("[{}]", v6.ip()),
    });
    let is_loopback = matches!(host.name, "localhost" | "127.0.0.1" | "[::1]");
    let is_own_port = host.port.is_none() || local.is_some_and(|local| Some(local.port()) == host.port);
    (is_own_address || is_loopback) && is_own_port
}

/// Refuses a change that a page of another origin may have sent. A browser names the page in `Origin` and
/// `Sec-Fetch-Site`; other clients send neither.
pub fn check_page(headers: &HeaderMap, conn: &ConnState) -> Result<(), HttpError> {
    let is_own = |origin: &str| is_own_origin(origin, conn.local_address());
    if is_of_own_page(headers, is_own) { Ok(()) } else { Err(FOREIGN_PAGE) }
}

/// True for a request that no page of another origin has sent.
pub fn is_of_own_page(headers: &HeaderMap, is_own_origin: impl Fn(&str) -> bool) -> bool {
    let is_own = |value: &HeaderValue| value.to_str().is_ok_and(&is_own_origin);
    let is_own_fetch = |value: &HeaderValue| matches!(value.as_bytes(), b"same-origin" | b"none");
    headers.get_all(ORIGIN).iter().all(is_own) && headers.get_all(SEC_FETCH_SITE).iter().all(is_own_fetch)
}

/// Refuses a read for a page of another origin, which can't see the answer and would only make the node work. A link to
/// it opens: there the operator sees the answer.
pub fn check_reading_page(headers: &HeaderMap) -> Result<(), HttpError> {
    let is = |name: &HeaderName, values: &[&[u8]]| {
        headers.get_all(name).iter().any(|value| values.contains(&value.as_bytes()))
    };
    let is_foreign = is(&SEC_FETCH_SITE, &[b"cross-site", b"same-site"]);
    if is_foreign && !is(&SEC_FETCH_DEST, &[b"document"]) { Err(FOREIGN_READ) } else { Ok(()) }
}

/// Refuses a change that a browser sends for any page without asking first: one without a content type that forms lack.
/// A DELETE is always asked for first.
pub fn check_content_type(endpoint: Admin, method: &Method, headers: &HeaderMap) -> Result<(), HttpError> {
    if matches!(*method, Method::GET | Method::HEAD | Method::DELETE) {
        return Ok(());
    }
    let (allowed, detail): (&[&str], _) = match endpoint {
        Admin::Import => (&["text/csv"], "an import needs `Content-Type: text/csv`"),
        _ => (&["application/json", "text/csv"], "a change needs `Content-Type: application/json` or `text/csv`"),
    };
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let named = types.next().and_then(|value| value.to_str().ok()).filter(|_| types.next().is_none());
    let kind = named.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let is_allowed = |kind: &str| allowed.iter().any(|allowed| kind.eq_ignore_ascii_case(allowed));
    match kind {
        Some(kind) if is_allowed(kind) => Ok(()),
        _ => Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "malformed", detail)),
    }
}

/// True for the origin of the listener's own pages.
fn is_own_origin(origin: &str, local: Option<SocketAddr>) -> bool {
    let host = origin.strip_prefix("http://").and_then(Host::parse);
    let with_port = |host: Host<'_>| is_own_name(Host { port: Some(host.port.unwrap_or(80)), ..host }, local);
    host.is_some_and(with_port)
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |token: &Option<Token>| token.as_ref().map(|_| "(secret)");
        f.debug_struct("Tokens").field("write", &shown(&self.write)).field("read", &shown(&self.read)).finish()
    }
}

impl Tokens {
    /// True if a token is configured.
    pub fn are_set(&self) -> bool {
        self.write.is_some() || self.read.is_some()
    }

    /// The hash by which sessions are checked that begin with the token for everything.
    pub fn write_hash(&self) -> Option<TokenHash> {
        self.write.as_ref()?.of_sessions
    }

    /// The same of the token for reading.
    pub fn read_hash(&self) -> Option<TokenHash> {
        self.read.as_ref()?.of_sessions
    }

    /// Right of a token, if it is one of these.
    pub fn operator(&self, given: &str) -> Option<Operator> {
        let given = Sha256::digest(given).into();
        let is = |token: &Option<Token>| token.as_ref().map_or(Choice::from(0), |token| token.is(&given));
        let (may_write, may_read) = (is(&self.write), is(&self.read));
        match (bool::from(may_write), bool::from(may_read)) {
            (true, _) => Some(Operator::Writes),
            (false, true) => Some(Operator::Reads),
            (false, false) => None,
        }
    }

    /// Checks a request's token; the method decides if the one for reading is enough.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), HttpError> {
        if !self.are_set() {
            return Ok(());
        }
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        match bearer(headers).and_then(|given| self.operator(given)) {
            Some(Operator::Writes) => Ok(()),
            Some(Operator::Reads) if is_read => Ok(()),
            Some(Operator::Reads) => Err(READ_ONLY),
            None => Err(UNAUTHORIZED),
        }
    }
}

/// The bearer token of the one `Authorization` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next()?.to_str().ok()?;
    let (scheme, token) = field.split_once(' ')?;
    (fields.next().is_none() && scheme.eq_ignore_ascii_case("Bearer")).then(|| token.trim_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(tokens: &Tokens, method: &Method, fields: &[&str]) -> Option<HttpError> {
        let headers = fields.iter().map(|field| (AUTHORIZATION, field.parse().unwrap())).collect();
        tokens.check(method, &headers).err()
    }

    #[test]
    fn a_host_is_the_listeners_own_address_or_the_loopback_with_its_port() {
        let is_own = |name, port| is_own_name(Host { name, port }, "10.0.0.5:8081".parse().ok());
        assert!(is_own("10.0.0.5", Some(8081)) && is_own("localhost", Some(8081)) && is_own("127.0.0.1", None));
        assert!(!is_own("10.0.0.5", Some(80)) && !is_own("10.0.0.6", Some(8081)) && !is_own("evil.vn", None));
        assert!(is_own_name(Host { name: "[2001:db8::1]", port: None }, "[2001:db8::1]:80".parse().ok()));
    }

    #[test]
    fn a_token_opens_what_it_is_for() {
        let tokens = Tokens { write: Some(Token::new("all")), read: Some(Token::new("look")) };
        for (fields, reading, writing) in [
            (&["Bearer all"][..], None, None),
            (&["bearer  all"], None, None),
            (&["Bearer look"], None, Some(READ_ONLY)),
            (&["Bearer al"], Some(UNAUTHORIZED), Some(UNAUTHORIZED)),
            (&["Bearer "], Some(UNAUTHORIZED), Some(UNAUTHORIZED)),
            (&["Bearer"], Some(UNAUTHORIZED), Some(UNAUTHORIZED)),
            (&["all"], Some(UNAUTHORIZED), Some(UNAUTHORIZED)),
            (&["Basic all"], Some(UNAUTHORIZED), Some(UNAUTHORIZED)),
            (&["Bearer all", "Bearer wrong"], Some(UNAUTHORIZED), Some(UNAUTHORIZED)),
            (&[], Some(UNAUTHORIZED), Some(UNAUTHORIZED)),
        ] {
            assert_eq!(outcome(&tokens, &Method::GET, fields), reading, "{fields:?}");
            assert_eq!(outcome(&tokens, &Method::HEAD, fields), reading, "{fields:?}");
            for method in [Method::POST, Method::DELETE, Method::PUT] {
                assert_eq!(outcome(&tokens, &method, fields), writing, "{method} {fields:?}");
            }
        }
    }

    #[test]
    fn without_a_token_file_everything_is_open_and_with_one_nothing_else_is() {
        assert_eq!(outcome(&Tokens::default(), &Method::POST, &[]), None);
        let tokens = Tokens { write: Some(Token::new("all")), read: None };
        assert_eq!(outcome(&tokens, &Method::GET, &[]), Some(UNAUTHORIZED));
        assert!(!format!("{tokens:?}").contains("all"));
    }
}

//! Access to the editors' pages: the rights of a request, by its token and by the listener to which it came.

use std::net::IpAddr;
use std::time::Instant;

use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};

use crate::counter::tokens::secret::{self, TokenKey};
use crate::counter::{Access, ClientPrefix, Grants, Right, TokenHash};
use crate::server::admin::auth::{self, Operator, Tokens};
use crate::server::http::{ClientIp, Host, HttpError};
use crate::server::net::{ConnState, TrustedProxies};
use crate::server::session::ticket::{self, Ticket};
use crate::server::session::{Attempts, Way, cookie, form_token};

/// A listener's way to the editors' pages.
#[derive(Debug, Clone)]
pub enum Door {
    /// The admin listener, by its own rules; operators' tokens open it too.
    Admin { tokens: Tokens },
    /// The public listener.
    Public,
}

/// Settings and limits of logins, the same at both listeners.
#[derive(Debug)]
pub struct Entrance {
    trusted_proxies: TrustedProxies,
    /// Tokens may come over plain HTTP.
    allows_plain_http: bool,
    attempts: Attempts,
    /// Secret of forms where nobody logs in.
    form_secret: String,
}

/// A request at a door.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub door: &'a Door,
    pub entrance: &'a Entrance,
    pub grants: &'a Grants,
    pub headers: &'a HeaderMap,
    pub peer: Option<IpAddr>,
    /// Unix seconds.
    pub now_s: i64,
}

/// The rights of a request, and the secret of the forms that it is shown.
#[derive(Debug)]
pub struct Entry {
    pub access: Access,
    /// None for a program, which sends its token by itself.
    form_secret: Option<String>,
    /// It has a session, which can end.
    pub has_session: bool,
}

/// A token that opens something.
pub struct Opened {
    /// Its name in tickets.
    pub name: String,
    pub access: Access,
    pub is_share: bool,
}

const NO_TOKEN: HttpError = HttpError::fixed(
    StatusCode::UNAUTHORIZED,
    "token",
    "token missing, unknown, revoked or over; log in, or send it as `Authorization: Bearer TOKEN`",
);
const READABLE: HttpError = HttpError::fixed(
    StatusCode::FORBIDDEN,
    "https",
    "a token must not travel readably: use https. Behind a proxy, let it send `X-Forwarded-Proto` and name it in \
     `trusted_proxies`; in a network that you know, set `dashboard_http = true`",
);
const FOREIGN_FORM: HttpError = HttpError::fixed(
    StatusCode::FORBIDDEN,
    "origin",
    "a page of another origin may send nothing here; load the form again and send it from there",
);
const STALE_FORM: HttpError = HttpError::fixed(
    StatusCode::FORBIDDEN,
    "origin",
    "the form is not of this session; load its page again and send it from there",
);

/// Names of the operators' tokens in tickets; no editor's token has one of them.
const WRITES: &str = "+admin";
const READS: &str = "+read";

impl Door {
    /// Refuses a request that a page of another origin has made.
    pub fn check_page(&self, method: &Method, headers: &HeaderMap, conn: &ConnState) -> Result<(), HttpError> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::Admin { .. } => {
                auth::check_host(Host::of(headers)?, conn)?;
                if is_read { auth::check_reading_page(headers) } else { auth::check_page(headers, conn) }
            }
            Self::Public => {
                let host = Host::of(headers)?;
                let is_allowed = is_read || auth::is_of_own_page(headers, |origin| is_origin_of(origin, host));
                if is_allowed { Ok(()) } else { Err(FOREIGN_FORM) }
            }
        }
    }

    fn tokens(&self) -> Option<&Tokens> {
        match self {
            Self::Admin { tokens } => Some(tokens),
            Self::Public => None,
        }
    }

    /// True where everyone who reaches the listener may do everything.
    fn is_open(&self) -> bool {
        self.tokens().is_some_and(|tokens| !tokens.are_set())
    }
}

/// True for the origin of a page of this host. The scheme is the proxy's affair.
fn is_origin_of(origin: &str, host: Host<'_>) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let default = if scheme == "https" { 443 } else { 80 };
    // A host without a port is that of the scheme's, or has lost it in a proxy.
    let is_own = |own: Host<'_>| {
        own.name.eq_ignore_ascii_case(host.name) && host.port.is_none_or(|port| own.port.unwrap_or(default) == port)
    };
    Host::parse(rest).is_some_and(is_own)
}

impl Entrance {
    pub fn new(trusted_proxies: TrustedProxies, allows_plain_http: bool) -> Self {
        let (attempts, form_secret) = (Attempts::default(), form_token::random());
        Self { trusted_proxies, allows_plain_http, attempts, form_secret }
    }
}

impl<'a> Caller<'a> {
    /// The rights of the request.
    pub fn entry(&self) -> Result<Entry, HttpError> {
        if self.door.is_open() {
            let form_secret = Some(self.entrance.form_secret.clone());
            return Ok(Entry { access: Access::operator(), form_secret, has_session: false });
        }
        if let Some(token) = auth::bearer(self.headers) {
            return Ok(Entry { access: self.open(token)?.access, form_secret: None, has_session: false });
        }
        let (session, share) = (self.session(cookie::SESSION), self.session(cookie::SHARE));
        let share = share.filter(|(opened, _)| opened.is_share);
        let (access, secret) = match (session, share) {
            (Some((session, secret)), Some((share, _))) => {
                (Access { viewed: share.access.sites, ..session.access }, secret)
            }
            (Some((only, secret)), None) | (None, Some((only, secret))) => (only.access, secret),
            (None, None) => return Err(NO_TOKEN),
        };
        Ok(Entry { access, form_secret: Some(secret.to_owned()), has_session: true })
    }

    /// Access of a token. A wrong one counts as a failed attempt; beyond their limit no token is looked up.
    pub fn open(&self, token: &str) -> Result<Opened, HttpError> {
        self.check_way()?;
        let (client, now) = (self.client(), Instant::now());
        self.entrance.attempts.check(client, now)?;
        // Both, so that the time tells nothing about which.
        let operator = self.door.tokens().and_then(|tokens| tokens.operator(token));
        let editor = self.editor(token);
        let opened = match operator {
            Some(Operator::Writes) => Some(Opened::of_operator(WRITES, Right::Edit)),
            Some(Operator::Reads) => Some(Opened::of_operator(READS, Right::View)),
            None => editor,
        };
        opened.ok_or_else(|| {
            self.entrance.attempts.note_failure(client, now);
            NO_TOKEN
        })
    }

    fn editor(&self, token: &str) -> Option<Opened> {
        let hash = TokenKey::of(token).filter(|_| secret::is_token(token))?.hash();
        let (name, grant) = self.grants.find(&hash, self.now_s)?;
        let access = grant.access(name.as_str());
        Some(Opened { name: name.to_string(), access, is_share: grant.is_share })
    }

    /// Refuses what others may have read on its way.
    pub fn check_way(&self) -> Result<(), HttpError> {
        let is_readable = self.way() == Way::Plain && !self.entrance.allows_plain_http;
        if is_readable { Err(READABLE) } else { Ok(()) }
    }

    pub fn way(&self) -> Way {
        Way::of(&self.entrance.trusted_proxies, self.peer, self.headers)
    }

    fn client(&self) -> Option<ClientPrefix> {
        ClientIp::new(&self.entrance.trusted_proxies, self.peer, self.headers).prefix()
    }

    /// The first cookie of this name whose ticket is good, with its text.
    fn session(&self, name: &'static str) -> Option<(Opened, &'a str)> {
        cookie::values(self.headers, name).find_map(|text| Some((self.ticket(text)?, text)))
    }

    fn ticket(&self, text: &str) -> Option<Opened> {
        let ticket = Ticket::parse(text, self.now_s)?;
        let of_operator = |token: Option<TokenHash>, right| {
            token.filter(|hash| ticket.is_of(hash)).map(|_| Opened::of_operator(ticket.name, right))
        };
        match ticket.name {
            WRITES => of_operator(self.door.tokens()?.write_hash(), Right::Edit),
            READS => of_operator(self.door.tokens()?.read_hash(), Right::View),
            name => {
                let grant = self.grants.named(name, self.now_s).filter(|grant| ticket.is_of(&grant.hash))?;
                Some(Opened { name: name.to_owned(), access: grant.access(name), is_share: grant.is_share })
            }
        }
    }
}

impl Opened {
    fn of_operator(name: &str, right: Right) -> Self {
        let access = if right == Right::Edit { Access::operator() } else { Access::reader() };
        Self { name: name.to_owned(), access, is_share: false }
    }

    /// A ticket for the session that begins now.
    pub fn ticket(&self, token: &str, now_s: i64) -> Option<String> {
        Some(ticket::issue(&self.name, &TokenKey::of(token)?, now_s))
    }
}

impl Entry {
    /// Token of this session's forms.
    pub fn form_token(&self) -> String {
        self.form_secret.as_deref().map(form_token::of).unwrap_or_default()
    }

    /// Refuses a form that this session was not shown. A program's request needs none: no page can make a browser send
    /// its header.
    pub fn check_form(&self, given: Option<&str>) -> Result<(), HttpError> {
        let is_own = |secret: &str| given.is_some_and(|given| form_token::is_of(secret, given));
        if self.form_secret.as_deref().is_none_or(is_own) { Ok(()) } else { Err(STALE_FORM) }
    }
}

/// Refuses a login form that this browser was not shown.
pub fn check_login_form(headers: &HeaderMap, given: Option<&str>) -> Result<(), HttpError> {
    let is_shown =
        given.is_some_and(|given| cookie::values(headers, cookie::FORM).any(|secret| form_token::is_of(secret, given)));
    if is_shown { Ok(()) } else { Err(STALE_FORM) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_comes_from_a_page_of_its_host() {
        let is_own = |origin, host| is_origin_of(origin, Host::parse(host).unwrap());
        for (origin, host) in [
            ("https://counter.vn", "counter.vn"),
            ("https://counter.vn", "counter.vn:443"),
            ("https://counter.vn:8443", "counter.vn:8443"),
            ("https://counter.vn:8443", "counter.vn"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(is_own(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "counter.vn"),
            ("", "counter.vn"),
            ("https://evil.vn", "counter.vn"),
            ("https://counter.vn.evil.vn", "counter.vn"),
            ("https://counter.vn:444", "counter.vn:443"),
            ("http://counter.vn", "counter.vn:8080"),
        ] {
            assert!(!is_own(origin, host), "{origin} {host}");
        }
    }
}

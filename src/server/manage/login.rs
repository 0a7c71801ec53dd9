//! Logging in and out: a token for a session's cookie.

use askama::Template;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderValue, SET_COOKIE};
use hyper::{Response, StatusCode};

use super::access::{Caller, check_login_form};
use super::answer::{self, Outcome};
use super::frame::Frame;
use crate::counter::Sites;
use crate::server::http::{AnswerBody, HttpError, form};
use crate::server::session::cookie::{self, Jar};
use crate::server::session::ticket::SESSION_SECONDS;
use crate::server::session::{Way, form_token, return_path};

/// Life of a shown form.
const FORM_SECONDS: i64 = 60 * 60;
/// Field of the page to return to.
pub const NEXT: &str = "next";

#[derive(Template)]
#[template(path = "manage/login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    form_token: String,
    problem: &'static str,
    waits_seconds: u64,
}

/// A page that leads on to another by the browser itself: only then it sends a session's cookie, if a link of another site
/// has led here.
#[derive(Template)]
#[template(path = "manage/onward.html")]
struct OnwardPage {
    frame: Frame,
    href: String,
}

/// The form. `next`: the page to return to.
pub fn page(caller: &Caller<'_>, frame: Frame, next: &str) -> Outcome {
    caller.check_way()?;
    let next = return_path::checked(next, frame.base()).unwrap_or_default().to_owned();
    Ok(shown(caller, frame, next, None))
}

fn shown(caller: &Caller<'_>, frame: Frame, next: String, error: Option<&HttpError>) -> Response<AnswerBody> {
    let known = cookie::values(caller.headers, cookie::FORM).next().filter(|known| known.len() >= 16);
    let secret = known.map_or_else(form_token::random, str::to_owned);
    let words = frame.words;
    let (status, problem, waits_seconds) = match error {
        None => (StatusCode::OK, "", 0),
        Some(HttpError { status: StatusCode::TOO_MANY_REQUESTS, retry_after_seconds, .. }) => {
            (StatusCode::TOO_MANY_REQUESTS, words.login_too_often, retry_after_seconds.unwrap_or(1))
        }
        Some(error) => (error.status, words.login_wrong, 0),
    };
    let base = frame.base().to_owned();
    let frame = frame.at("/login", &[(NEXT, &next)]);
    let page = LoginPage { frame, next, form_token: form_token::of(&secret), problem, waits_seconds };
    let mut response = answer::html(status, Bytes::from(page.render().unwrap_or_default()), None);
    if let Some(error) = error {
        error.put_headers(response.headers_mut());
    }
    set(&mut response, jar(caller, &base).put(cookie::FORM, &secret, FORM_SECONDS));
    response
}

/// Logs in by the form's token.
pub fn enter(caller: &Caller<'_>, frame: Frame, fields: &str) -> Outcome {
    caller.check_way()?;
    let given = form::field(fields, form_token::FIELD)?;
    check_login_form(caller.headers, given.as_deref())?;
    let next = form::field(fields, NEXT)?.unwrap_or_default();
    let next = return_path::checked(&next, frame.base()).unwrap_or_default().to_owned();
    let token = form::field(fields, "token")?.unwrap_or_default();
    // Pasted tokens bring spaces along.
    let token = token.trim();
    let opened = match caller.open(token) {
        Ok(opened) => opened,
        Err(error) => return Ok(shown(caller, frame, next, Some(&error))),
    };
    let ticket = opened.ticket(token, caller.now_s).unwrap_or_default();
    tracing::info!(token = opened.name, "logged in at the editors' pages");
    let mut response = answer::see(if next.is_empty() { frame.home() } else { next }.as_str());
    let jar = jar(caller, frame.base());
    set(&mut response, jar.put(cookie::SESSION, &ticket, SESSION_SECONDS));
    set(&mut response, jar.clear(cookie::FORM));
    Ok(response)
}

/// Takes the session out of the browser.
pub fn leave(caller: &Caller<'_>, frame: &Frame) -> Response<AnswerBody> {
    let mut response = answer::see(&frame.href("/login", &[]));
    let jar = jar(caller, frame.base());
    [cookie::SESSION, cookie::SHARE].into_iter().for_each(|name| set(&mut response, jar.clear(name)));
    response
}

/// Answers a share link's address: its session, and the way to its site. The address is the secret, so no page has it as
/// its own and no `Referer` names it.
pub fn share(caller: &Caller<'_>, frame: Frame, token: &str, sites: &Sites) -> Outcome {
    let unknown = || HttpError::new(StatusCode::NOT_FOUND, "token", "this share link is unknown, revoked or over");
    let opened = caller.open(token).map_err(|error| match error.status {
        StatusCode::UNAUTHORIZED => unknown(),
        _ => error,
    });
    let opened = opened?;
    let site = opened.access.sites.first().filter(|_| opened.is_share).ok_or_else(unknown)?.to_string();
    let known = sites.get(&site).and_then(|site| Some((site, caller.entry().ok()?)));
    let shows = known.is_some_and(|(site, entry)| entry.access.may_view(&site.site));
    let (base, href) = (frame.base().to_owned(), frame.href(&format!("/sites/{site}"), &[]));
    let mut response = onward(frame, href);
    if !shows {
        let ticket = opened.ticket(token, caller.now_s).unwrap_or_default();
        set(&mut response, jar(caller, &base).put(cookie::SHARE, &ticket, SESSION_SECONDS));
    }
    Ok(response)
}

/// A page that leads on.
pub fn onward(frame: Frame, href: String) -> Response<AnswerBody> {
    let page = OnwardPage { frame, href };
    let mut response = answer::html(StatusCode::OK, Bytes::from(page.render().unwrap_or_default()), None);
    answer::hide_address(response.headers_mut());
    response
}

fn jar<'p>(caller: &Caller<'_>, base: &'p str) -> Jar<'p> {
    Jar { path: base, is_secure: caller.way() == Way::Https }
}

fn set(response: &mut Response<AnswerBody>, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        HeaderMap::append(response.headers_mut(), SET_COOKIE, cookie);
    }
}

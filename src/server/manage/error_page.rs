//! Refused requests, as pages. A site that may not be seen is answered as one that is not there.

use askama::Template;
use bytes::Bytes;
use hyper::{Response, StatusCode};

use super::answer;
use super::frame::Frame;
use crate::server::http::{AnswerBody, HttpError};

#[derive(Template)]
#[template(path = "manage/error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    status: u16,
    heading: &'static str,
    detail: &'a str,
}

/// Answers with the error's status and headers, and a page in place of its JSON.
pub fn answer(error: &HttpError, frame: Frame) -> Response<AnswerBody> {
    let words = frame.words;
    let heading = match error.status {
        StatusCode::NOT_FOUND => words.error_not_found,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => words.error_forbidden,
        StatusCode::TOO_MANY_REQUESTS => words.login_too_often,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR => words.error_unavailable,
        _ => words.error_malformed,
    };
    let page = ErrorPage { frame, status: error.status.as_u16(), heading, detail: &error.detail };
    let text = Bytes::from(page.render().unwrap_or_default());
    let mut response = answer::html(error.status, text, None);
    // `Allow`, `Retry-After`, `WWW-Authenticate`, `Connection`.
    for (name, value) in &error.response().into_parts().0.headers {
        if !response.headers().contains_key(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

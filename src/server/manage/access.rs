//! Access to the editors' pages: the rights of a request, by the listener to which it came.

use hyper::header::{HeaderMap, ORIGIN};
use hyper::{Method, StatusCode};

use crate::counter::Access;
use crate::server::admin::auth::{self, Tokens};
use crate::server::http::{Host, HttpError};
use crate::server::net::ConnState;

/// A listener's way to the editors' pages.
#[derive(Debug, Clone)]
pub enum Door {
    /// The admin listener, by its own rules.
    Admin { tokens: Tokens },
    /// The public listener.
    Public,
}

const UNNAMED_PAGE: HttpError = HttpError::fixed(
    StatusCode::FORBIDDEN,
    "origin",
    "a form must come from a page of this listener, which the browser names in `Origin`",
);

/// The rights of a request.
pub fn access(door: &Door, method: &Method, headers: &HeaderMap, conn: &ConnState) -> Result<Access, HttpError> {
    match door {
        Door::Admin { tokens } => {
            auth::check_host(Host::of(headers)?, conn)?;
            if is_read(method) {
                auth::check_reading_page(headers)?;
            } else {
                auth::check_page(headers, conn)?;
                // A form's content type is one that a browser sends for any page.
                if !headers.contains_key(ORIGIN) {
                    return Err(UNNAMED_PAGE);
                }
            }
            tokens.check(method, headers)?;
            Ok(Access::operator())
        }
        // As long as nobody can log in, strangers don't learn that there is such a page.
        Door::Public => Err(HttpError::PATH_UNKNOWN),
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

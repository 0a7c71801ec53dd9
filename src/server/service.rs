//! Service: the endpoints of a listener, as the driver of a connection calls them.

use std::future::Future;

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::fast_path::parse::PlainRequest;
use super::hot_endpoints::Reply;
use super::http::{AnswerBody, HttpError};
use super::net::ConnState;

pub trait Service: 'static {
    /// Prefix of the hot endpoints' paths; none where there is no fast path.
    fn fast_path_prefix(&self) -> Option<&str> {
        None
    }

    /// Answers a request that came by the fast path.
    fn handle_hot(&self, request: &PlainRequest<'_>, conn: &ConnState) -> impl Future<Output = Reply>;

    /// Answers a request that came through hyper.
    fn handle(&self, request: Request<Incoming>, conn: &ConnState) -> impl Future<Output = Response<AnswerBody>>;

    /// Answers a client whose request can't be read, or does not come.
    fn error(&self, error: HttpError) -> Response<AnswerBody>;
}

//! Mount: a listener that serves the editors' pages beside its own endpoints. The fast path never sees them.

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::handler::Manage;
use crate::server::fast_path::parse::PlainRequest;
use crate::server::hot_endpoints::Reply;
use crate::server::http::{AnswerBody, HttpError};
use crate::server::net::ConnState;
use crate::server::ports::Node;
use crate::server::service::Service;

pub struct Mounted<S, N> {
    service: S,
    /// None where the listener has no such pages.
    manage: Option<Manage<N>>,
}

impl<S, N> Mounted<S, N> {
    pub fn new(service: S, manage: Option<Manage<N>>) -> Self {
        Self { service, manage }
    }
}

impl<S: Service, N: Node> Service for Mounted<S, N> {
    fn fast_path_prefix(&self) -> Option<&str> {
        self.service.fast_path_prefix()
    }

    async fn handle_hot(&self, request: &PlainRequest<'_>, conn: &ConnState) -> Reply {
        self.service.handle_hot(request, conn).await
    }

    async fn handle(&self, request: Request<Incoming>, conn: &ConnState) -> Response<AnswerBody> {
        match self.manage.as_ref().filter(|manage| manage.is_for(request.uri().path())) {
            // On the heap: a hit's future stays small.
            Some(manage) => Box::pin(manage.handle(request, conn)).await,
            None => self.service.handle(request, conn).await,
        }
    }

    fn error(&self, error: HttpError) -> Response<AnswerBody> {
        self.service.error(error)
    }
}

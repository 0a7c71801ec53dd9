//! Driver of a connection: the fast path as long as requests are plain, then hyper to its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONNECTION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::fast_path::parse::PlainRequest;
use super::fast_path::write::write;
use super::http::{CLOSE, Field, HeaderFields as _, HeaderSink as _, response};
use super::net::{ConnError, ConnState, GuardedIo, HEAD_BYTES_MAX, Order, Phase, Serve};
use super::service::Service;

/// Buffer that a connection keeps between requests; a larger one is freed.
const KEPT_BYTES_MAX: usize = 2_048;

/// Drives a listener's connections.
pub struct Driver<S> {
    service: S,
    protocol: http1::Builder,
}

/// State of a connection after the fast path.
#[derive(Debug, PartialEq, Eq)]
enum FastPath {
    Ended,
    /// hyper takes over, from the bytes that were put back.
    Left,
}

/// hyper's settings for HTTP/1.
pub fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        // A client that has closed its sending side still gets its answer.
        .half_close(true)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(2 * HEAD_BYTES_MAX)
        // The worker's sweep checks deadlines: a timer per request costs more.
        .header_read_timeout(None);
    protocol
}

impl<S: Service> Serve for Driver<S> {
    async fn serve(&self, conn: Rc<ConnState>) {
        let mut fast_path = pin!(self.fast_path(&conn));
        let after = poll_fn(|context| {
            conn.remember_task(context);
            match conn.order() {
                Order::Expire | Order::Evict => return Poll::Ready(FastPath::Ended),
                Order::Drain if conn.is_between_requests() => return Poll::Ready(FastPath::Ended),
                Order::Serve | Order::CloseAfterNext | Order::Drain => {}
            }
            fast_path.as_mut().poll(context)
        });
        match after.await {
            FastPath::Ended => conn.linger().await,
            // On the heap: most connections never need it. Nothing is awaited in between: on an order to
            // drain, hyper would end before it had looked at the bytes that were put back.
            FastPath::Left => Box::pin(self.hyper(&conn)).await,
        }
    }

    fn too_many_connections(&self) -> Vec<u8> {
        response::to_bytes(self.service.error(ConnError::TooManyConnections.into()))
    }
}

impl<S: Service> Driver<S> {
    pub fn new(service: S) -> Self {
        Self { service, protocol: protocol() }
    }

    /// Serves plain requests, until one is not.
    async fn fast_path(&self, conn: &ConnState) -> FastPath {
        let Some(prefix) = self.service.fast_path_prefix() else { return FastPath::Left };
        let (mut read, mut out) = (Vec::new(), Vec::new());
        loop {
            if read.is_empty() && !matches!(conn.receive(&mut read).await, Ok(1..)) {
                conn.set_peer_ended();
                return FastPath::Ended;
            }
            let Some(plain) = PlainRequest::of(&read, prefix) else {
                conn.put_back(read);
                return FastPath::Left;
            };
            // The next request is not the connection's first any more.
            conn.take_first_head();
            conn.enter(Phase::Work);
            let reply = self.service.handle_hot(&plain, conn).await;
            let is_last = plain.is_last || conn.order() != Order::Serve || reply.closes();
            write(reply, plain.headers.first(Field::Origin), is_last, &mut out);
            let length = plain.length;
            read.drain(..length);
            conn.enter(Phase::Write);
            if conn.send(&out).await.is_err() {
                return FastPath::Ended;
            }
            conn.enter(Phase::Idle);
            if is_last || conn.order() == Order::Drain {
                if !read.is_empty() {
                    // Unread bytes would make the kernel reset the connection, and the client lose the answer.
                    conn.set_closing();
                }
                conn.shut_down().await;
                return FastPath::Ended;
            }
            out.clear();
            for buffer in [&mut read, &mut out] {
                if buffer.is_empty() && buffer.capacity() > KEPT_BYTES_MAX {
                    *buffer = Vec::new();
                }
            }
        }
    }

    /// Serves all requests through hyper.
    async fn hyper(&self, conn: &Rc<ConnState>) {
        let error = {
            let service = service_fn(|request: Request<Incoming>| {
                let body = request.body();
                conn.take_head(if body.is_end_stream() { Some(0) } else { body.size_hint().exact() });
                async move {
                    let mut response = self.service.handle(request, conn).await;
                    if conn.is_last() || conn.order() == Order::CloseAfterNext {
                        response.headers_mut().fixed(&CLOSE);
                    }
                    if response.headers().contains_key(CONNECTION) {
                        // A part of the request may be unread.
                        conn.set_closing();
                    }
                    conn.enter(Phase::Write);
                    Ok::<_, Infallible>(response)
                }
            });
            let io = TokioIo::new(GuardedIo(Rc::clone(conn)));
            let mut connection = pin!(self.protocol.serve_connection(io, service));
            let mut is_draining = false;
            let ended = poll_fn(|context| {
                conn.remember_task(context);
                match conn.order() {
                    Order::Serve | Order::CloseAfterNext => {}
                    Order::Expire => return Poll::Ready(Some(conn.why_expired())),
                    Order::Evict => return Poll::Ready(None),
                    Order::Drain if is_draining => {}
                    Order::Drain => {
                        is_draining = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
                let why = |error: hyper::Error| {
                    // Clients disconnect and send nonsense all day.
                    tracing::debug!(error = %error, "connection ended early");
                    conn.set_closing();
                    conn.why_unreadable(error.is_parse_too_large())
                };
                connection.as_mut().poll(context).map(|ended| Some(ended.err().and_then(why)))
            });
            // None: evicted.
            let Some(error) = ended.await else { return };
            error
        };
        if conn.has_put_back() {
            conn.set_closing();
        }
        if let Some(error) = error {
            conn.send_last(&response::to_bytes(self.service.error(error.into()))).await;
        }
        conn.linger().await;
    }
}

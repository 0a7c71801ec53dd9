//! The fast path parses a request as hyper does, or leaves it to hyper.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use thongke::server::routes::SCRIPT_VERSIONED;
use thongke::server::{self, Field, HeaderFields, PlainRequest, protocol};

const FIELDS: [Field; 16] = [
    Field::Host,
    Field::Origin,
    Field::UserAgent,
    Field::SecPurpose,
    Field::Purpose,
    Field::XMoz,
    Field::XPurpose,
    Field::SecFetchMode,
    Field::Dnt,
    Field::SecGpc,
    Field::XForwardedFor,
    Field::Forwarded,
    Field::XRequestId,
    Field::IfNoneMatch,
    Field::Referer,
    Field::AcceptEncoding,
];

pub fn holds(bytes: &[u8]) {
    // Any other request goes to hyper with every byte.
    let Some(request) = PlainRequest::of(bytes, "") else { return };
    assert!(request.length <= bytes.len());
    let (whole, _) = bytes.split_at(request.length);
    let read = read_by_hyper(whole);
    let [(head, body)] = &*read.requests else { panic!("hyper reads {} requests", read.requests.len()) };
    same(&request, head, body);
    assert_eq!(read.is_last, request.is_last, "the connection ends with it, or not");
    // Not a byte too much: without its last byte it is no request.
    let cut = whole.split_last().map_or(whole, |(_, rest)| rest);
    assert!(PlainRequest::of(cut, "").is_none());
    assert!(read_by_hyper(cut).requests.is_empty(), "hyper sees its end earlier");
    // The bytes behind it don't change it either.
    let read = read_by_hyper(bytes);
    let Some((head, body)) = read.requests.first() else { panic!("hyper reads no request") };
    same(&request, head, body);
}

fn same(request: &PlainRequest<'_>, head: &Parts, body: &Bytes) {
    let (method, path, expected, lengths) = match request.request {
        server::Request::Hit { body } => (Method::POST, "/v1/hit".to_owned(), body, 1),
        server::Request::Pixel => (Method::GET, "/v1/hit.gif".to_owned(), &[][..], 0),
        server::Request::Figures { site } => (Method::GET, format!("/v1/sites/{site}/figures"), &[][..], 0),
        server::Request::Script { is_versioned: false } => (Method::GET, "/thongke.js".to_owned(), &[][..], 0),
        server::Request::Script { is_versioned: true } => (Method::GET, SCRIPT_VERSIONED.to_owned(), &[][..], 0),
    };
    assert_eq!((&head.method, head.version), (&method, Version::HTTP_11));
    assert_eq!((head.uri.path(), head.uri.query()), (path.as_str(), request.query));
    assert_eq!((head.uri.scheme(), head.uri.authority()), (None, None));
    assert_eq!(body, expected);
    for field in FIELDS {
        assert!(HeaderFields::values(&head.headers, field).eq(request.headers.values(field)), "{field:?}");
    }
    for unusual in [EXPECT, TRANSFER_ENCODING, UPGRADE] {
        assert!(!head.headers.contains_key(&unusual), "{unusual} is beyond the fast path");
    }
    assert_eq!(head.headers.get_all(CONTENT_LENGTH).iter().count(), lengths);
}

struct ReadByHyper {
    /// Requests whose bodies are complete.
    requests: Vec<(Parts, Bytes)>,
    /// True: the first answer closes the connection.
    is_last: bool,
}

/// Parses a connection's bytes by hyper, with a node's settings.
fn read_by_hyper(bytes: &[u8]) -> ReadByHyper {
    let requests = RefCell::new(Vec::new());
    let answers = RefCell::new(Vec::new());
    {
        let service = service_fn(async |request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                requests.borrow_mut().push((head, body.to_bytes()));
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let mut connection = pin!(protocol().serve_connection(InMemory { sent: bytes, answers: &answers }, service));
        let mut context = Context::from_waker(Waker::noop());
        // Nothing waits: all bytes are there, and then the end. hyper yields now and then.
        let has_ended = (0..1_000).any(|_| connection.as_mut().poll(&mut context).is_ready());
        assert!(has_ended, "hyper waits for something");
    }
    let answers = answers.into_inner();
    let answers = String::from_utf8_lossy(&answers);
    let first = answers.split("\r\n\r\n").next().unwrap_or_default();
    ReadByHyper { requests: requests.into_inner(), is_last: first.contains("\r\nconnection: close") }
}

struct InMemory<'a> {
    sent: &'a [u8],
    answers: &'a RefCell<Vec<u8>>,
}

impl Read for InMemory<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let (now, later) = self.sent.split_at(self.sent.len().min(into.remaining()));
        into.put_slice(now);
        self.sent = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for InMemory<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.answers.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

//! Hot endpoints: the requests that are nearly all of a counter's traffic, and their replies.
//!
//! The fast path and hyper read the same [`Request`] and write the same [`Reply`].

use std::rc::Rc;

use bytes::Bytes;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, ORIGIN};
use hyper::{Response, StatusCode};

use super::hit::HitOutcome;
use super::http::{AnswerBody, CROSS_ORIGIN, GIF, HeaderSink, JSON, NO_STORE, Rendered, conditional, cors, response};
use super::routes;

pub const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

static PIXEL_BODY: Bytes = Bytes::from_static(PIXEL);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    Hit {
        body: &'a [u8],
    },
    Pixel,
    Figures {
        site: &'a str,
    },
    /// Hot since proxies, and browsers whose tag says `crossorigin`, then send hits on its connection.
    Script {
        is_versioned: bool,
    },
}

impl<'a> Request<'a> {
    /// The request to an endpoint, if that is a hot one. `body`: none where the request has none.
    pub fn of(endpoint: routes::Public, site: &'a str, body: Option<&'a [u8]>) -> Option<Self> {
        match (endpoint, body) {
            (routes::Public::Hit, Some(body)) => Some(Self::Hit { body }),
            (routes::Public::Figures, None) => Some(Self::Figures { site }),
            (routes::Public::Pixel, None) => Some(Self::Pixel),
            (routes::Public::Script, None) => Some(Self::Script { is_versioned: false }),
            (routes::Public::ScriptVersioned, None) => Some(Self::Script { is_versioned: true }),
            _ => None,
        }
    }

    /// The site that the path names.
    pub fn site(&self) -> Option<&'a str> {
        match self {
            Self::Figures { site } => Some(site),
            Self::Hit { .. } | Self::Pixel | Self::Script { .. } => None,
        }
    }
}

pub enum Reply {
    /// A hit's outcome, and the figures where the request asks for them.
    Hit { outcome: HitOutcome, figures: Option<Rc<Rendered>> },
    /// A hit's outcome, with the pixel.
    Pixel { outcome: HitOutcome },
    /// `is_known`: the client has them. `ignored`: names of the query that nothing reads.
    Figures { rendered: Rc<Rendered>, is_known: bool, ignored: Option<HeaderValue> },
    /// Rare enough to cost more: errors, and the script, which browsers cache.
    Other(Response<AnswerBody>),
}

impl Reply {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Hit { figures: None, .. } => StatusCode::NO_CONTENT,
            Self::Hit { .. } | Self::Pixel { .. } => StatusCode::OK,
            Self::Figures { is_known, .. } => conditional::status(*is_known),
            Self::Other(response) => response.status(),
        }
    }

    /// True if the connection ends with it.
    pub fn closes(&self) -> bool {
        matches!(self, Self::Other(response) if response.headers().contains_key(CONNECTION))
    }

    /// The body; none where the status forbids one.
    pub fn body(&self) -> Option<&Bytes> {
        match self {
            Self::Hit { figures, .. } => figures.as_ref().map(|figures| &figures.body),
            Self::Pixel { .. } => Some(&PIXEL_BODY),
            Self::Figures { rendered, is_known, .. } => (!is_known).then_some(&rendered.body),
            Self::Other(_) => None,
        }
    }

    /// Puts the header fields. `origin`: of the page that asks.
    pub fn put_headers<V: AsRef<[u8]> + TryInto<HeaderValue>>(&self, origin: Option<V>, sink: &mut impl HeaderSink) {
        match self {
            Self::Hit { outcome, figures } => {
                if figures.is_some() {
                    response::put_type(sink, &JSON);
                    sink.fixed(&CROSS_ORIGIN);
                }
                cors::allow_origin(sink, origin);
                sink.fixed(&NO_STORE);
                outcome.put(sink);
            }
            Self::Pixel { outcome } => {
                put_pixel_headers(sink);
                outcome.put(sink);
            }
            Self::Figures { rendered, is_known, ignored } => {
                conditional::put_headers(sink, *is_known, &JSON, &rendered.etag);
                response::put_ignored(sink, ignored.as_ref());
            }
            Self::Other(_) => {}
        }
    }

    /// The reply as hyper writes it. It reuses the map of the request's headers, which hyper keeps for
    /// the connection's next request, so that no hit allocates one.
    pub fn response(self, mut headers: HeaderMap) -> Response<AnswerBody> {
        if let Self::Other(response) = self {
            return response;
        }
        let origin = headers.remove(ORIGIN);
        headers.clear();
        self.put_headers(origin, &mut headers);
        response::with_body(self.status(), headers, self.body().cloned().unwrap_or_default())
    }
}

fn put_pixel_headers(sink: &mut impl HeaderSink) {
    response::put_type(sink, &GIF);
    sink.fixed(&NO_STORE);
    sink.fixed(&CROSS_ORIGIN);
}

/// The pixel with another status, for a hit that failed.
pub fn pixel(status: StatusCode) -> Response<AnswerBody> {
    let mut headers = HeaderMap::with_capacity(16);
    put_pixel_headers(&mut headers);
    response::with_body(status, headers, Bytes::from_static(PIXEL))
}

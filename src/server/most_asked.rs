//! What is asked most, and what it is told: whichever way the request was read and the answer is
//! written, hyper's or the lane's.

use std::rc::Rc;

use bytes::Bytes;
use hyper::header::{CONNECTION, HeaderMap};
use hyper::{Response, StatusCode};

use super::answer::{self, AnswerBody, JSON};
use super::assets::Assets;
use super::figures::Rendered;
use super::fresh;
use super::hit::{self, Verdict};
use super::router::Route;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    Hit {
        body: &'a [u8],
    },
    Pixel,
    Figures {
        site: &'a str,
    },
    /// Proxies, and browsers whose tag says `crossorigin`, send hits on the connection on which they asked for it.
    Script {
        is_versioned: bool,
    },
}

impl<'a> Asked<'a> {
    pub fn route(self) -> Route<'a> {
        match self {
            Self::Hit { .. } => Route::Hit,
            Self::Pixel => Route::Pixel,
            Self::Figures { site } => Route::Figures { site },
            Self::Script { is_versioned: false } => Route::Script,
            Self::Script { is_versioned: true } => Route::ScriptVersioned,
        }
    }
}

pub enum Told {
    /// What became of a hit, and the figures where it wants them.
    Hit { verdict: Verdict, figures: Option<Rc<Rendered>> },
    /// The same, to an image.
    Pixel { verdict: Verdict },
    /// `is_known`: the client has them.
    Figures { rendered: Rc<Rendered>, is_known: bool },
    /// So rare that it may cost what it likes: refusals, and the script, which browsers keep for a time.
    Else(Response<AnswerBody>),
}

impl Told {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Hit { figures: None, .. } => StatusCode::NO_CONTENT,
            Self::Figures { is_known: true, .. } => StatusCode::NOT_MODIFIED,
            Self::Hit { .. } | Self::Pixel { .. } | Self::Figures { .. } => StatusCode::OK,
            Self::Else(response) => response.status(),
        }
    }

    /// The connection ends with it.
    pub fn closes(&self) -> bool {
        matches!(self, Self::Else(response) if response.headers().contains_key(CONNECTION))
    }

    /// As hyper writes it; `request`: whose place the answer's header fields may take.
    pub fn response(self, request: HeaderMap) -> Response<AnswerBody> {
        let status = self.status();
        match self {
            Self::Hit { verdict, figures } => {
                let headers = hit::answer_headers(request, verdict, figures.is_some());
                answer::with_body(status, headers, figures.map_or(Bytes::new(), |figures| figures.body.clone()))
            }
            Self::Pixel { verdict } => {
                let mut response = Assets::pixel();
                verdict.put(response.headers_mut());
                response
            }
            Self::Figures { rendered, is_known } => {
                fresh::answer(request, is_known, JSON, rendered.body.clone(), rendered.etag.clone())
            }
            Self::Else(response) => response,
        }
    }
}

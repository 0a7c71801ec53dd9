//! Assets: files that are part of the program, such as the widget script and the demo page.

use std::cell::OnceCell;
use std::io::Write as _;

use bytes::Bytes;
use hyper::{Response, StatusCode};

use super::minify::minify;
use crate::server::http::{
    AnswerBody, CROSS_ORIGIN, CSS, ContentType, Field, FixedFields, HTML, HeaderFields, HeaderSink as _, JAVASCRIPT,
    JSON, cors::ALLOW_ANY, fixed, headers, response,
};
use crate::server::openapi;

const SCRIPT: &str = include_str!("../../web/thongke.js");

static GZIP: FixedFields = fixed!("content-encoding": "gzip");
static VARY_ENCODING: FixedFields = fixed!("vary": "accept-encoding");
static FOREVER: FixedFields = fixed!("cache-control": "public, max-age=31536000, immutable");
static FOR_AN_HOUR: FixedFields = fixed!("cache-control": "public, max-age=3600");
/// Not `no-store`, which would keep the page from the browser's back/forward cache.
static NO_CACHE: FixedFields = fixed!("cache-control": "no-cache");
static PAGE_POLICY: FixedFields = fixed!(
    "content-security-policy":
    "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'none'"
);
static PAGE_REFERRER: FixedFields = fixed!("referrer-policy": "strict-origin-when-cross-origin");

pub struct Assets {
    script: Bytes,
    script_gzip: Bytes,
    /// Made at the first request.
    openapi: OnceCell<Bytes>,
}

impl Assets {
    pub fn new() -> Self {
        let script = minify(SCRIPT);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        // Writing to memory can't fail.
        let _ = encoder.write_all(script.as_bytes());
        Self {
            script_gzip: encoder.finish().unwrap_or_default().into(),
            script: script.into(),
            openapi: OnceCell::new(),
        }
    }

    /// The widget script. Under its versioned address it never changes.
    pub fn script(&self, request: &impl HeaderFields, is_versioned: bool) -> Response<AnswerBody> {
        let encodings = request.first(Field::AcceptEncoding).and_then(headers::text);
        let takes_gzip = encodings.is_some_and(|list| list.contains("gzip"));
        let is_gzip = takes_gzip && !self.script_gzip.is_empty();
        let body = if is_gzip { &self.script_gzip } else { &self.script };
        let mut response = response::typed(StatusCode::OK, &JAVASCRIPT, body.clone());
        let headers = response.headers_mut();
        if is_gzip {
            headers.fixed(&GZIP);
        }
        headers.fixed(&VARY_ENCODING);
        for_any_page(response, if is_versioned { &FOREVER } else { &FOR_AN_HOUR })
    }

    /// The OpenAPI document of the public listener.
    pub fn openapi(&self, prefix: &str) -> Response<AnswerBody> {
        let document = self.openapi.get_or_init(|| openapi::public(prefix));
        for_any_page(response::typed(StatusCode::OK, &JSON, document.clone()), &FOR_AN_HOUR)
    }

    pub fn demo_page() -> Response<AnswerBody> {
        let mut response = demo(&HTML, include_bytes!("../../web/demo.html"));
        response.headers_mut().fixed(&PAGE_POLICY);
        response.headers_mut().fixed(&PAGE_REFERRER);
        response
    }

    pub fn demo_styles() -> Response<AnswerBody> {
        demo(&CSS, include_bytes!("../../web/demo.css"))
    }

    pub fn demo_script() -> Response<AnswerBody> {
        demo(&JAVASCRIPT, include_bytes!("../../web/demo.js"))
    }
}

fn for_any_page(mut response: Response<AnswerBody>, age: &'static FixedFields) -> Response<AnswerBody> {
    for field in [age, &CROSS_ORIGIN, &ALLOW_ANY] {
        response.headers_mut().fixed(field);
    }
    response
}

fn demo(content_type: &'static ContentType, bytes: &'static [u8]) -> Response<AnswerBody> {
    let mut response = response::typed(StatusCode::OK, content_type, bytes);
    response.headers_mut().fixed(&NO_CACHE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_small_and_old_browsers_can_read_it() {
        assert!(Assets::new().script_gzip.len() <= 1_850, "{}", Assets::new().script_gzip.len());
        let script = SCRIPT.replace(r"\?", "");
        // No `??`, no `?.`, no arrows, no templates, no block-scoped names.
        for newer in ["??", "?.", "=>", "`", "let ", "const ", "async ", "..."] {
            assert!(!script.contains(newer), "{newer}");
        }
    }
}

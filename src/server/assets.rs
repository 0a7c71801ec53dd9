//! Files that are part of the program: the widget script, the demo page, the pixel.

use std::cell::OnceCell;
use std::io::Write as _;

use bytes::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, VARY,
};
use hyper::{Response, StatusCode};

use super::answer::{self, AnswerBody, CORP, CROSS_ORIGIN, JSON, NO_STORE};
use super::fields::{self, Field, HeaderFields};
use super::{cors, openapi};

const SCRIPT: &str = include_str!("../web/thongke.js");

pub const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");

pub struct Assets {
    script: Bytes,
    script_gzip: Bytes,
    /// Made when somebody asks: a node that nobody asks has no use for it.
    openapi: OnceCell<Bytes>,
}

/// The script as it travels: without comments, indentation and empty lines, which readers of the
/// source need and phones don't.
fn lean(script: &str) -> String {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

impl Assets {
    pub fn new() -> Self {
        let script = lean(SCRIPT);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        // Writing to memory can't fail.
        let _ = encoder.write_all(script.as_bytes());
        Self {
            script_gzip: encoder.finish().unwrap_or_default().into(),
            script: script.into(),
            openapi: OnceCell::new(),
        }
    }

    /// The widget script; under its versioned address it never changes.
    pub fn script(&self, request: &impl HeaderFields, is_versioned: bool) -> Response<AnswerBody> {
        let encodings = request.first(Field::AcceptEncoding).and_then(fields::text);
        let takes_gzip = encodings.is_some_and(|list| list.contains("gzip"));
        let mut response = if takes_gzip && !self.script_gzip.is_empty() {
            let mut response = answer::typed(StatusCode::OK, JAVASCRIPT, self.script_gzip.clone());
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        } else {
            answer::typed(StatusCode::OK, JAVASCRIPT, self.script.clone())
        };
        let headers = response.headers_mut();
        let lasting = if is_versioned { "public, max-age=31536000, immutable" } else { "public, max-age=3600" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(lasting));
        headers.insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
        headers.insert(CORP, CROSS_ORIGIN);
        cors::allow_any(headers);
        response
    }

    /// What the listener knows, for programs.
    pub fn openapi(&self, prefix: &str) -> Response<AnswerBody> {
        let document = self.openapi.get_or_init(|| openapi::public(prefix));
        let mut response = answer::typed(StatusCode::OK, JSON, document.clone());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        headers.insert(CORP, CROSS_ORIGIN);
        cors::allow_any(headers);
        response
    }

    pub fn demo_page() -> Response<AnswerBody> {
        let mut response = demo("text/html; charset=utf-8", include_bytes!("../web/demo.html"));
        let policy =
            "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'none'";
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
        response
    }

    pub fn demo_styles() -> Response<AnswerBody> {
        demo("text/css; charset=utf-8", include_bytes!("../web/demo.css"))
    }

    pub fn demo_script() -> Response<AnswerBody> {
        demo("text/javascript; charset=utf-8", include_bytes!("../web/demo.js"))
    }

    pub fn pixel() -> Response<AnswerBody> {
        let mut response = answer::typed(StatusCode::OK, HeaderValue::from_static("image/gif"), PIXEL.as_slice());
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        response.headers_mut().insert(CORP, CROSS_ORIGIN);
        response
    }
}

/// `no-cache` and not `no-store`, which would keep the page from the browser's back/forward cache.
fn demo(content_type: &'static str, bytes: &'static [u8]) -> Response<AnswerBody> {
    let mut response = answer::typed(StatusCode::OK, HeaderValue::from_static(content_type), bytes);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_small_and_old_browsers_can_read_it() {
        assert!(Assets::new().script_gzip.len() <= 1_800, "{}", Assets::new().script_gzip.len());
        let script = SCRIPT.replace(r"\?", "");
        // No `??`, no `?.`, no arrows, no templates, no block-scoped names.
        for newer in ["??", "?.", "=>", "`", "let ", "const ", "async ", "..."] {
            assert!(!script.contains(newer), "{newer}");
        }
    }
}

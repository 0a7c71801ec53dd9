//! Assets of the editors' pages: styles, script and icon, under addresses that change with the program.

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::answer::{GZIP, gzip, takes_gzip};
use crate::server::http::{
    AnswerBody, CSS, ContentType, FixedFields, HeaderSink as _, JAVASCRIPT, SVG, fixed, response,
};

const STYLES: &str = include_str!("../../web/manage.css");
pub const REPORT_STYLES: &str = include_str!("../../web/report.css");
const SCRIPT: &str = include_str!("../../web/manage.js");
const ICON: &str = include_str!("../../web/manage.svg");

static FOREVER: FixedFields = fixed!("cache-control": "private, max-age=31536000, immutable", "x-robots-tag": "noindex", "vary": "accept-encoding");

pub struct Assets {
    styles: Asset,
    report_styles: Asset,
    script: Asset,
    /// Part of the addresses, so that a browser loads those of another version.
    pub version: String,
}

struct Asset {
    text: Bytes,
    zipped: Option<Bytes>,
}

impl Assets {
    pub fn new() -> Self {
        let mut hash = Sha256::new();
        [STYLES, REPORT_STYLES, SCRIPT, ICON].iter().for_each(|text| hash.update(text));
        let version = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self {
            styles: Asset::new(STYLES),
            report_styles: Asset::new(REPORT_STYLES),
            script: Asset::new(SCRIPT),
            version,
        }
    }

    pub fn styles(&self, request: &HeaderMap) -> Response<AnswerBody> {
        self.styles.answer(&CSS, request)
    }

    pub fn report_styles(&self, request: &HeaderMap) -> Response<AnswerBody> {
        self.report_styles.answer(&CSS, request)
    }

    pub fn script(&self, request: &HeaderMap) -> Response<AnswerBody> {
        self.script.answer(&JAVASCRIPT, request)
    }

    pub fn icon(&self) -> Response<AnswerBody> {
        let mut response = response::typed(StatusCode::OK, &SVG, ICON);
        response.headers_mut().fixed(&FOREVER);
        response
    }
}

impl Asset {
    fn new(text: &'static str) -> Self {
        Self { text: Bytes::from_static(text.as_bytes()), zipped: gzip(text.as_bytes()) }
    }

    fn answer(&self, content_type: &'static ContentType, request: &HeaderMap) -> Response<AnswerBody> {
        let zipped = self.zipped.clone().filter(|_| takes_gzip(request));
        let is_zipped = zipped.is_some();
        let mut response = response::typed(StatusCode::OK, content_type, zipped.unwrap_or_else(|| self.text.clone()));
        response.headers_mut().fixed(&FOREVER);
        if is_zipped {
            response.headers_mut().fixed(&GZIP);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_at_most_4_kb() {
        assert!(gzip(SCRIPT.as_bytes()).unwrap().len() <= 4_096);
    }
}

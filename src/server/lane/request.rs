//! A request of those that are asked most, where nothing about it is strange.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use crate::server::fields::{Field, HeaderFields};
use crate::server::host::Host;
use crate::server::limits::{HEAD_BYTES_MAX, HEADER_FIELDS_MAX, HIT_BYTES_MAX, URI_BYTES_MAX};
use crate::server::most_asked::Asked;
use crate::server::router::Route;

/// A whole request that can be read in one way only.
pub struct PlainRequest<'a> {
    pub asked: Asked<'a>,
    pub query: Option<&'a str>,
    pub fields: PlainFields<'a>,
    /// The client asks for nothing after it.
    pub is_last: bool,
    /// Head and body.
    pub length: usize,
}

/// Those of its header fields by which it is judged.
pub struct PlainFields<'a> {
    known: [(Field, &'a [u8]); KNOWN_MAX],
    count: usize,
}

/// More lines of such fields no browser sends.
const KNOWN_MAX: usize = 16;

impl HeaderFields for PlainFields<'_> {
    fn values(&self, field: Field) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.known.iter().take(self.count).filter(move |(known, _)| *known == field).map(|(_, value)| *value)
    }
}

impl<'a> PlainRequest<'a> {
    /// The first request of `bytes`, if it is all there, is one of those that are asked most, and
    /// nothing about it is strange. `prefix`: of their paths.
    pub fn of(bytes: &'a [u8], prefix: &str) -> Option<Self> {
        // Before anything is parsed: the cheapest way to tell.
        if !bytes.starts_with(b"POST ") && !bytes.starts_with(b"GET ") {
            return None;
        }
        let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADER_FIELDS_MAX];
        let mut request = Request::new(&mut []);
        let Ok(Status::Complete(head)) = request.parse_with_uninit_headers(bytes, &mut headers) else { return None };
        if head > HEAD_BYTES_MAX || request.version != Some(1) {
            return None;
        }
        let address = request.path.filter(|address| address.len() <= URI_BYTES_MAX && address.bytes().all(is_plain))?;
        let (path, query) = address.split_once('?').map_or((address, None), |(path, query)| (path, Some(query)));
        let mut fields = PlainFields { known: [(Field::Host, &[]); KNOWN_MAX], count: 0 };
        let (mut body_bytes, mut is_last) = (None, None);
        for header in &*request.headers {
            match meaning(header.name) {
                Meaning::Nothing => {}
                Meaning::Known(field) => {
                    *fields.known.get_mut(fields.count)? = (field, header.value);
                    fields.count += 1;
                }
                Meaning::Length if body_bytes.is_none() => body_bytes = Some(length(header.value)?),
                Meaning::Connection if is_last.is_none() => is_last = Some(ends_connection(header.value)?),
                Meaning::Length | Meaning::Connection | Meaning::Strange => return None,
            }
        }
        Host::of(&fields).ok()?;
        let body = body_bytes.map_or(Some(None), |body_bytes| bytes.get(head..head + body_bytes).map(Some))?;
        // Only a hit has a body: one of no bytes, where none belongs, is strange as well.
        let asked = match (request.method?, Route::of(path, prefix), body) {
            ("POST", Route::Hit, Some(body)) => Asked::Hit { body },
            ("GET", Route::Pixel, None) => Asked::Pixel,
            ("GET", Route::Figures { site }, None) => Asked::Figures { site },
            ("GET", Route::Script, None) => Asked::Script { is_versioned: false },
            ("GET", Route::ScriptVersioned, None) => Asked::Script { is_versioned: true },
            _ => return None,
        };
        let length = head + body_bytes.unwrap_or(0);
        Some(Self { asked, query, fields, is_last: is_last.unwrap_or(false), length })
    }
}

/// What a header field is to this reader of requests.
enum Meaning {
    Known(Field),
    Length,
    Connection,
    /// It changes how the request is to be read.
    Strange,
    Nothing,
}

fn meaning(name: &str) -> Meaning {
    let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
    match name.len() {
        3 if is("dnt") => Meaning::Known(Field::Dnt),
        4 if is("host") => Meaning::Known(Field::Host),
        5 if is("x-moz") => Meaning::Known(Field::XMoz),
        6 if is("origin") => Meaning::Known(Field::Origin),
        6 if is("expect") => Meaning::Strange,
        7 if is("purpose") => Meaning::Known(Field::Purpose),
        7 if is("referer") => Meaning::Known(Field::Referer),
        7 if is("sec-gpc") => Meaning::Known(Field::SecGpc),
        7 if is("upgrade") || is("trailer") => Meaning::Strange,
        9 if is("forwarded") => Meaning::Known(Field::Forwarded),
        10 if is("user-agent") => Meaning::Known(Field::UserAgent),
        10 if is("connection") => Meaning::Connection,
        11 if is("sec-purpose") => Meaning::Known(Field::SecPurpose),
        12 if is("x-request-id") => Meaning::Known(Field::XRequestId),
        13 if is("if-none-match") => Meaning::Known(Field::IfNoneMatch),
        14 if is("sec-fetch-mode") => Meaning::Known(Field::SecFetchMode),
        14 if is("content-length") => Meaning::Length,
        15 if is("accept-encoding") => Meaning::Known(Field::AcceptEncoding),
        15 if is("x-forwarded-for") => Meaning::Known(Field::XForwardedFor),
        17 if is("transfer-encoding") => Meaning::Strange,
        _ => Meaning::Nothing,
    }
}

fn length(value: &[u8]) -> Option<usize> {
    let is_number = (1..=4).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()?;
    (number <= HIT_BYTES_MAX).then_some(number)
}

fn ends_connection(value: &[u8]) -> Option<bool> {
    match value {
        _ if value.eq_ignore_ascii_case(b"keep-alive") => Some(false),
        _ if value.eq_ignore_ascii_case(b"close") => Some(true),
        _ => None,
    }
}

/// What needs no closer look in an address: RFC 3986 has it in paths and queries, for itself.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/?-._~!$&'()*+,;=:@%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::server::router::SCRIPT_VERSIONED;

    const BODY: &str = r#"{"site":"demo","url":"https://a.vn/"}"#;

    fn post(line: &str, fields: &[&str], body: &str) -> String {
        let length = format!("Content-Length: {}", body.len());
        let fields: Vec<_> = fields.iter().copied().chain([length.as_str()]).collect();
        get(line, &fields) + body
    }

    fn get(line: &str, fields: &[&str]) -> String {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("{line}\r\n{fields}\r\n")
    }

    /// A hit, the pixel, the figures, the script.
    fn plain() -> [String; 5] {
        let fields = ["Host: a.vn", "Origin: https://a.vn", "DNT: 1"];
        [
            post("POST /v1/hit?figures=0 HTTP/1.1", &fields, BODY),
            get("GET /v1/hit.gif?site=demo&url=https://a.vn/?id=1 HTTP/1.1", &fields),
            get("GET /v1/sites/demo/figures HTTP/1.1", &fields),
            get("GET /thongke.js?v=1 HTTP/1.1", &fields),
            get(&format!("GET {SCRIPT_VERSIONED} HTTP/1.1"), &fields),
        ]
    }

    #[test]
    fn a_request_is_read_to_its_end_and_not_further() {
        let asked = [
            (Asked::Hit { body: BODY.as_bytes() }, Some("figures=0")),
            (Asked::Pixel, Some("site=demo&url=https://a.vn/?id=1")),
            (Asked::Figures { site: "demo" }, None),
            (Asked::Script { is_versioned: false }, Some("v=1")),
            (Asked::Script { is_versioned: true }, None),
        ];
        for (text, asked) in plain().iter().zip(asked) {
            let all = text.clone() + &plain().concat();
            let request = PlainRequest::of(all.as_bytes(), "").unwrap();
            assert_eq!((request.asked, request.query), asked);
            assert_eq!(request.length, text.len());
            assert!(!request.is_last);
            assert_eq!(request.fields.first(Field::Origin), Some(&b"https://a.vn"[..]));
            assert_eq!(request.fields.values(Field::UserAgent).count(), 0);
            let closing = text.replacen(" /", " /tk/", 1).replacen("DNT: 1", "connection: Close", 1);
            assert!(PlainRequest::of(closing.as_bytes(), "/tk").unwrap().is_last);
        }
    }

    #[test]
    fn whatever_is_not_as_browsers_send_it_is_left_to_others() {
        let line = "POST /v1/hit HTTP/1.1";
        let figures = "GET /v1/sites/demo/figures HTTP/1.1";
        let strange = [
            post("POST /v1/hits HTTP/1.1", &["Host: a.vn"], BODY),
            post("POST /v1/hit?a\"b HTTP/1.1", &["Host: a.vn"], BODY),
            post(&format!("POST /v1/hit?{}=0 HTTP/1.1", "a".repeat(URI_BYTES_MAX)), &["Host: a.vn"], BODY),
            post("POST http://a.vn/v1/hit HTTP/1.1", &["Host: a.vn"], BODY),
            post(line, &["Host: a.vn", "Content-Length: 37"], BODY),
            post(line, &["Host: a.vn"], &"x".repeat(HIT_BYTES_MAX + 1)),
            post(line, &["Host: a.vn"], BODY).replace("Content-Length: ", "Content-Length: +"),
            post(line, &["Host: a.vn"], BODY).replace("Content-Length: ", "Content-Length: 1, "),
            get(line, &["Host: a.vn"]),
            get("GET /v1/hit HTTP/1.1", &["Host: a.vn"]),
            get("GET /v1/sites/demo/pages HTTP/1.1", &["Host: a.vn"]),
            get("GET /v1/sites//figures HTTP/1.1", &["Host: a.vn"]),
            get("GET /v1/sites/d\u{e9}mo/figures HTTP/1.1", &["Host: a.vn"]),
            get("GET /v1/sites/demo/figures#now HTTP/1.1", &["Host: a.vn"]),
            get("GET http://a.vn/v1/sites/demo/figures HTTP/1.1", &["Host: a.vn"]),
            get("GET /v1/hit.gif?site=demo&url=https://a.vn/\u{e9} HTTP/1.1", &["Host: a.vn"]),
            get("HEAD /v1/sites/demo/figures HTTP/1.1", &["Host: a.vn"]),
            get("HEAD /thongke.js HTTP/1.1", &["Host: a.vn"]),
            post("POST /thongke.js HTTP/1.1", &["Host: a.vn"], ""),
            get("OPTIONS /v1/sites/demo/figures HTTP/1.1", &["Host: a.vn"]),
            post("GET /v1/hit HTTP/1.1", &["Host: a.vn"], BODY),
            post("POST /v1/hit.gif HTTP/1.1", &["Host: a.vn"], BODY),
            post(figures, &["Host: a.vn"], BODY),
            post(figures, &["Host: a.vn"], ""),
        ];
        for text in strange {
            assert!(PlainRequest::of(text.as_bytes(), "").is_none(), "{text}");
        }
    }

    #[test]
    fn a_strange_head_is_left_to_others_whatever_is_asked() {
        let too_long = format!("X: {}", "x".repeat(HEAD_BYTES_MAX));
        let lines = |line: &'static str, count| [vec!["Host: a.vn"], vec![line; count]].concat();
        let heads = [
            vec![],
            vec!["Host: a b"],
            vec!["Host: a.vn", "Host: a.vn"],
            vec!["Host: a.vn", "Transfer-Encoding: chunked"],
            vec!["Host: a.vn", "Expect: 100-continue"],
            vec!["Host: a.vn", "Trailer: X"],
            vec!["Host: a.vn", "Connection: upgrade", "Upgrade: h2c"],
            vec!["Host: a.vn", "Connection: keep-alive", "Connection: close"],
            vec!["Host: a.vn", "Bad Name: 1"],
            vec!["Host: a.vn", " folded: 1"],
            vec!["Host: a.vn", &too_long],
            lines("DNT: 1", KNOWN_MAX),
            lines("X: 1", HEADER_FIELDS_MAX),
        ];
        let with = |head: &[&str]| {
            [
                post("POST /v1/hit HTTP/1.1", head, BODY),
                get("GET /v1/hit.gif HTTP/1.1", head),
                get("GET /v1/sites/demo/figures HTTP/1.1", head),
                get("GET /thongke.js HTTP/1.1", head),
            ]
        };
        for head in heads {
            for text in with(&head) {
                assert!(PlainRequest::of(text.as_bytes(), "").is_none(), "{text}");
            }
        }
        for text in with(&["Host: a.vn"]) {
            assert!(PlainRequest::of(text.as_bytes(), "").is_some(), "{text}");
            let old = text.replacen("HTTP/1.1", "HTTP/1.0", 1);
            assert!(PlainRequest::of(old.as_bytes(), "").is_none(), "{old}");
            assert!(PlainRequest::of(text.as_bytes(), "/tk").is_none(), "{text}");
        }
    }

    #[test]
    fn every_field_is_known_by_its_name_in_any_case() {
        use Field::*;
        let all = [Host, Origin, UserAgent, SecPurpose, Purpose, XMoz, SecFetchMode, Dnt, SecGpc];
        for field in all.into_iter().chain([XForwardedFor, Forwarded, XRequestId, IfNoneMatch, Referer, AcceptEncoding])
        {
            for name in [field.name().as_str().to_owned(), field.name().as_str().to_ascii_uppercase()] {
                assert!(matches!(meaning(&name), Meaning::Known(known) if known == field), "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_request_that_has_not_come_whole_is_none(which in 0..plain().len(), at: prop::sample::Index) {
            let text = &plain()[which];
            prop_assert!(PlainRequest::of(&text.as_bytes()[..at.index(text.len())], "").is_none());
        }

        #[test]
        fn no_bytes_make_it_read_past_their_end(which in 0..plain().len(), bytes: Vec<u8>, at: prop::sample::Index) {
            let mut text = plain()[which].clone().into_bytes();
            let at = at.index(text.len());
            text.splice(at..at, bytes);
            if let Some(request) = PlainRequest::of(&text, "") {
                prop_assert!(request.length <= text.len());
                let body = if let Asked::Hit { body } = request.asked { body.len() } else { 0 };
                prop_assert!(body <= HIT_BYTES_MAX);
            }
        }
    }
}

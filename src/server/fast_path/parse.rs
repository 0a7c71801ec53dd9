//! Plain requests: whole, to a hot endpoint, and readable in one way only.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use crate::server::hot_endpoints;
use crate::server::http::{ByteSet, Field, HeaderFields, Host};
use crate::server::net::{HEAD_BYTES_MAX, HEADER_FIELDS_MAX, HIT_BYTES_MAX, URI_BYTES_MAX};
use crate::server::routes::{self, Route};

/// A whole request that can be read in one way only.
pub struct PlainRequest<'a> {
    pub route: &'static Route<routes::Public>,
    pub request: hot_endpoints::Request<'a>,
    pub query: Option<&'a str>,
    pub headers: PlainHeaders<'a>,
    /// The client sends no request after it.
    pub is_last: bool,
    /// Bytes of head and body.
    pub length: usize,
}

/// The header fields that some endpoint reads, each in one line at most.
pub struct PlainHeaders<'a>([Option<&'a [u8]>; Field::COUNT]);

impl HeaderFields for PlainHeaders<'_> {
    fn values(&self, field: Field) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0[field as usize].into_iter()
    }
}

impl<'a> PlainRequest<'a> {
    /// The first request of `bytes`, if it is plain. `prefix`: of the hot endpoints' paths.
    pub fn of(bytes: &'a [u8], prefix: &str) -> Option<Self> {
        // Before anything is parsed: the cheapest test.
        if !bytes.starts_with(b"POST ") && !bytes.starts_with(b"GET ") {
            return None;
        }
        let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADER_FIELDS_MAX];
        let mut request = Request::new(&mut []);
        let Ok(Status::Complete(head)) = request.parse_with_uninit_headers(bytes, &mut headers) else { return None };
        if head > HEAD_BYTES_MAX || request.version != Some(1) {
            return None;
        }
        let address = request.path.filter(|address| address.len() <= URI_BYTES_MAX && PLAIN.holds(address))?;
        let (path, query) = match address.bytes().position(|byte| byte == b'?') {
            Some(at) => (&address[..at], Some(&address[at + 1..])),
            None => (address, None),
        };
        let mut plain = PlainHeaders([None; Field::COUNT]);
        let (mut body_bytes, mut is_last) = (None, None);
        for header in &*request.headers {
            match meaning(header.name) {
                Meaning::Nothing => {}
                Meaning::Known(field) if plain.0[field as usize].is_none() => {
                    plain.0[field as usize] = Some(header.value)
                }
                Meaning::Length if body_bytes.is_none() => body_bytes = Some(length(header.value)?),
                Meaning::Connection if is_last.is_none() => is_last = Some(ends_connection(header.value)?),
                Meaning::Known(_) | Meaning::Length | Meaning::Connection | Meaning::Unusual => return None,
            }
        }
        Host::of(&plain).ok()?;
        let body = body_bytes.map_or(Some(None), |body_bytes| bytes.get(head..head + body_bytes).map(Some))?;
        let routes::Matched { route, site, .. } = routes::public(path, prefix);
        if !route.allows(request.method?) {
            return None;
        }
        // An empty body is unusual as well where none belongs.
        let request = hot_endpoints::Request::of(route.endpoint, site, body)?;
        let length = head + body_bytes.unwrap_or(0);
        Some(Self { route, request, query, headers: plain, is_last: is_last.unwrap_or(false), length })
    }
}

/// Meaning of a header field to this parser.
enum Meaning {
    Known(Field),
    Length,
    Connection,
    /// It changes how the request must be read.
    Unusual,
    Nothing,
}

fn meaning(name: &str) -> Meaning {
    let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
    match name.len() {
        3 if is("dnt") => Meaning::Known(Field::Dnt),
        4 if is("host") => Meaning::Known(Field::Host),
        5 if is("x-moz") => Meaning::Known(Field::XMoz),
        6 if is("origin") => Meaning::Known(Field::Origin),
        6 if is("expect") => Meaning::Unusual,
        7 if is("purpose") => Meaning::Known(Field::Purpose),
        7 if is("referer") => Meaning::Known(Field::Referer),
        7 if is("sec-gpc") => Meaning::Known(Field::SecGpc),
        7 if is("upgrade") || is("trailer") => Meaning::Unusual,
        9 if is("x-purpose") => Meaning::Known(Field::XPurpose),
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
        17 if is("transfer-encoding") => Meaning::Unusual,
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

/// The bytes that RFC 3986 allows in paths and queries as they are.
static PLAIN: ByteSet = ByteSet::alphanumeric_and(b"/?-._~!$&'()*+,;=:@%");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::server::routes::SCRIPT_VERSIONED;

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
        let expected = [
            (hot_endpoints::Request::Hit { body: BODY.as_bytes() }, Some("figures=0")),
            (hot_endpoints::Request::Pixel, Some("site=demo&url=https://a.vn/?id=1")),
            (hot_endpoints::Request::Figures { site: "demo" }, None),
            (hot_endpoints::Request::Script { is_versioned: false }, Some("v=1")),
            (hot_endpoints::Request::Script { is_versioned: true }, None),
        ];
        for (text, expected) in plain().iter().zip(expected) {
            let all = text.clone() + &plain().concat();
            let request = PlainRequest::of(all.as_bytes(), "").unwrap();
            assert_eq!((request.request, request.query), expected);
            assert_eq!(request.length, text.len());
            assert!(!request.is_last);
            assert_eq!(request.headers.first(Field::Origin), Some(&b"https://a.vn"[..]));
            assert_eq!(request.headers.values(Field::UserAgent).count(), 0);
            let closing = text.replacen(" /", " /tk/", 1).replacen("DNT: 1", "connection: Close", 1);
            assert!(PlainRequest::of(closing.as_bytes(), "/tk").unwrap().is_last);
        }
    }

    #[test]
    fn an_unusual_request_is_left_to_hyper() {
        let line = "POST /v1/hit HTTP/1.1";
        let figures = "GET /v1/sites/demo/figures HTTP/1.1";
        let unusual = [
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
        for text in unusual {
            assert!(PlainRequest::of(text.as_bytes(), "").is_none(), "{text}");
        }
    }

    #[test]
    fn an_unusual_head_is_left_to_hyper_on_every_endpoint() {
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
            lines("DNT: 1", 2),
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
        let all = [Host, Origin, UserAgent, SecPurpose, Purpose, XMoz, XPurpose, SecFetchMode, Dnt, SecGpc];
        for field in all.into_iter().chain([XForwardedFor, Forwarded, XRequestId, IfNoneMatch, Referer, AcceptEncoding])
        {
            for name in [field.name().as_str().to_owned(), field.name().as_str().to_ascii_uppercase()] {
                assert!(matches!(meaning(&name), Meaning::Known(known) if known == field), "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_request_that_has_not_arrived_whole_is_none(which in 0..plain().len(), at: prop::sample::Index) {
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
                let body = if let hot_endpoints::Request::Hit { body } = request.request { body.len() } else { 0 };
                prop_assert!(body <= HIT_BYTES_MAX);
            }
        }
    }
}

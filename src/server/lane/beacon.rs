//! A hit's request, where it is as beacons are.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use crate::server::fields::{Field, HeaderFields};
use crate::server::host::Host;
use crate::server::limits::{HEAD_BYTES_MAX, HEADER_FIELDS_MAX, HIT_BYTES_MAX, URI_BYTES_MAX};

/// A whole request that posts a hit.
pub struct Beacon<'a> {
    pub query: Option<&'a str>,
    pub body: &'a [u8],
    pub fields: BeaconFields<'a>,
    /// The client asks for nothing after it.
    pub is_last: bool,
    /// Head and body.
    pub length: usize,
}

/// Those of its header fields by which it is judged.
pub struct BeaconFields<'a> {
    known: [(Field, &'a [u8]); KNOWN_MAX],
    count: usize,
}

/// More lines of such fields no browser sends.
const KNOWN_MAX: usize = 16;

impl HeaderFields for BeaconFields<'_> {
    fn values(&self, field: Field) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.known.iter().take(self.count).filter(move |(known, _)| *known == field).map(|(_, value)| *value)
    }
}

impl<'a> Beacon<'a> {
    /// The first request of `bytes`, if it is all there, is a hit's, and nothing about it is strange.
    pub fn of(bytes: &'a [u8], hit_path: &str) -> Option<Self> {
        // Before anything is parsed: the cheapest way to tell.
        if !bytes.starts_with(b"POST ") {
            return None;
        }
        let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADER_FIELDS_MAX];
        let mut request = Request::new(&mut []);
        let Ok(Status::Complete(head)) = request.parse_with_uninit_headers(bytes, &mut headers) else { return None };
        if head > HEAD_BYTES_MAX || request.version != Some(1) {
            return None;
        }
        let address = request.path.filter(|address| address.len() <= URI_BYTES_MAX)?;
        let query = match address.strip_prefix(hit_path)? {
            "" => None,
            rest => Some(rest.strip_prefix('?').filter(|query| query.bytes().all(is_plain))?),
        };
        let mut fields = BeaconFields { known: [(Field::Host, &[]); KNOWN_MAX], count: 0 };
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
        let length = head + body_bytes?;
        Some(Self { query, body: bytes.get(head..length)?, fields, is_last: is_last.unwrap_or(false), length })
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
        7 if is("sec-gpc") => Meaning::Known(Field::SecGpc),
        7 if is("upgrade") || is("trailer") => Meaning::Strange,
        9 if is("forwarded") => Meaning::Known(Field::Forwarded),
        10 if is("user-agent") => Meaning::Known(Field::UserAgent),
        10 if is("connection") => Meaning::Connection,
        11 if is("sec-purpose") => Meaning::Known(Field::SecPurpose),
        12 if is("x-request-id") => Meaning::Known(Field::XRequestId),
        14 if is("sec-fetch-mode") => Meaning::Known(Field::SecFetchMode),
        14 if is("content-length") => Meaning::Length,
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

/// What needs no closer look in a query.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'&' | b',' | b'_' | b'-' | b'.' | b'%' | b'+')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &str = r#"{"site":"demo","url":"https://a.vn/"}"#;

    fn request(line: &str, fields: &[&str], body: &str) -> String {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("{line}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    fn plain() -> String {
        request("POST /v1/hit?figures=0 HTTP/1.1", &["Host: a.vn", "Origin: https://a.vn", "DNT: 1"], BODY)
    }

    #[test]
    fn a_beacon_is_read_to_its_end_and_not_further() {
        let two = plain() + &plain();
        let beacon = Beacon::of(two.as_bytes(), "/v1/hit").unwrap();
        assert_eq!((beacon.query, beacon.body), (Some("figures=0"), BODY.as_bytes()));
        assert_eq!(beacon.length, plain().len());
        assert!(!beacon.is_last);
        assert_eq!(beacon.fields.first(Field::Origin), Some(&b"https://a.vn"[..]));
        assert_eq!(beacon.fields.values(Field::UserAgent).count(), 0);
        let closing = request("POST /tk/v1/hit HTTP/1.1", &["host: a.vn", "connection: Close"], BODY);
        assert!(Beacon::of(closing.as_bytes(), "/tk/v1/hit").unwrap().is_last);
    }

    #[test]
    fn whatever_is_not_as_beacons_are_is_left_to_others() {
        let line = "POST /v1/hit HTTP/1.1";
        let strange = [
            request("GET /v1/hit HTTP/1.1", &["Host: a.vn"], BODY),
            request("POST /v1/hits HTTP/1.1", &["Host: a.vn"], BODY),
            request("POST /v1/hit?a\"b HTTP/1.1", &["Host: a.vn"], BODY),
            request(&format!("POST /v1/hit?{}=0 HTTP/1.1", "a".repeat(URI_BYTES_MAX)), &["Host: a.vn"], BODY),
            request("POST /v1/hit HTTP/1.0", &["Host: a.vn"], BODY),
            request("POST http://a.vn/v1/hit HTTP/1.1", &["Host: a.vn"], BODY),
            request(line, &[], BODY),
            request(line, &["Host: a b"], BODY),
            request(line, &["Host: a.vn", "Host: a.vn"], BODY),
            request(line, &["Host: a.vn", "Transfer-Encoding: chunked"], BODY),
            request(line, &["Host: a.vn", "Content-Length: 37"], BODY),
            request(line, &["Host: a.vn", "Expect: 100-continue"], BODY),
            request(line, &["Host: a.vn", "Connection: upgrade", "Upgrade: h2c"], BODY),
            request(line, &["Host: a.vn", "Connection: keep-alive", "Connection: close"], BODY),
            request(line, &["Host: a.vn", "Bad Name: 1"], BODY),
            request(line, &["Host: a.vn", " folded: 1"], BODY),
            request(line, &["Host: a.vn"], &"x".repeat(HIT_BYTES_MAX + 1)),
            request(line, &["Host: a.vn", &format!("X: {}", "x".repeat(HEAD_BYTES_MAX))], BODY),
            request(line, &["Host: a.vn"], BODY).replace("Content-Length: ", "Content-Length: +"),
            request(line, &["Host: a.vn"], BODY).replace("Content-Length: ", "Content-Length: 1, "),
            request(line, &vec!["Host: a.vn"; 1].into_iter().chain(["DNT: 1"; KNOWN_MAX]).collect::<Vec<_>>(), BODY),
            request(line, &["Host: a.vn"].into_iter().chain(["X: 1"; HEADER_FIELDS_MAX]).collect::<Vec<_>>(), BODY),
        ];
        for text in strange {
            assert!(Beacon::of(text.as_bytes(), "/v1/hit").is_none(), "{text}");
        }
    }

    #[test]
    fn every_field_is_known_by_its_name_in_any_case() {
        use Field::*;
        let all = [Host, Origin, UserAgent, SecPurpose, Purpose, XMoz, SecFetchMode, Dnt, SecGpc];
        for field in all.into_iter().chain([XForwardedFor, Forwarded, XRequestId]) {
            for name in [field.name().as_str().to_owned(), field.name().as_str().to_ascii_uppercase()] {
                assert!(matches!(meaning(&name), Meaning::Known(known) if known == field), "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_request_that_has_not_come_whole_is_none(at in 0..plain().len()) {
            prop_assert!(Beacon::of(&plain().as_bytes()[..at], "/v1/hit").is_none());
        }

        #[test]
        fn no_bytes_make_it_read_past_their_end(bytes: Vec<u8>, at in 0..plain().len()) {
            let mut text = plain().into_bytes();
            text.splice(at..at, bytes);
            if let Some(beacon) = Beacon::of(&text, "/v1/hit") {
                prop_assert!(beacon.length <= text.len() && beacon.body.len() <= HIT_BYTES_MAX);
            }
        }
    }
}

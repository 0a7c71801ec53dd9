//! What is told most, as bytes.

use std::cell::RefCell;

use hyper::header::{CONNECTION, HeaderValue};

use crate::clock;
use crate::server::answer;
use crate::server::assets::PIXEL;
use crate::server::hit::Verdict;
use crate::server::most_asked::Told;

/// What a body is, and what goes with that: as `answer::put_type` has it, and any page may load it.
macro_rules! typed {
    ($content_type:literal) => {
        concat!(
            "HTTP/1.1 200 OK\r\ncontent-type: ",
            $content_type,
            "\r\nx-content-type-options: nosniff\r\n\
             content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n\
             referrer-policy: no-referrer\r\ncross-origin-resource-policy: cross-origin\r\n",
        )
        .as_bytes()
    };
}

/// `origin`: the page's that asks. `is_last`: the connection ends with it.
pub fn write(told: Told, origin: Option<&[u8]>, is_last: bool, out: &mut Vec<u8>) {
    match told {
        Told::Hit { verdict, figures } => {
            match &figures {
                None => out.extend_from_slice(b"HTTP/1.1 204 No Content\r\n"),
                Some(figures) => {
                    out.extend_from_slice(typed!("application/json"));
                    put_length(figures.body.len(), out);
                }
            }
            if let Some(origin) = origin {
                out.extend_from_slice(b"access-control-allow-origin: ");
                out.extend_from_slice(origin);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"vary: origin\r\naccess-control-expose-headers: Thongke-Hit, Thongke-Hit-Kind\r\n");
            put_verdict(verdict, out);
            end_head(is_last, out);
            out.extend_from_slice(figures.as_ref().map_or(&[], |figures| &figures.body));
        }
        Told::Pixel { verdict } => {
            out.extend_from_slice(typed!("image/gif"));
            put_length(PIXEL.len(), out);
            put_verdict(verdict, out);
            end_head(is_last, out);
            out.extend_from_slice(PIXEL);
        }
        Told::Figures { rendered, is_known } => {
            let body = if is_known { &[][..] } else { &rendered.body };
            if is_known {
                out.extend_from_slice(b"HTTP/1.1 304 Not Modified\r\ncross-origin-resource-policy: cross-origin\r\n");
            } else {
                out.extend_from_slice(typed!("application/json"));
                put_length(body.len(), out);
            }
            out.extend_from_slice(b"access-control-allow-origin: *\r\ncache-control: public, max-age=1\r\netag: ");
            out.extend_from_slice(rendered.etag.as_bytes());
            out.extend_from_slice(b"\r\n");
            end_head(is_last, out);
            out.extend_from_slice(body);
        }
        Told::Else(mut response) => {
            if is_last {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            out.extend_from_slice(&answer::on_the_wire(response));
        }
    }
}

fn put_verdict(verdict: Verdict, out: &mut Vec<u8>) {
    out.extend_from_slice(b"cache-control: no-store\r\nthongke-hit: ");
    out.extend_from_slice(verdict.result.as_bytes());
    if let Some(kind) = verdict.kind {
        out.extend_from_slice(b"\r\nthongke-hit-kind: ");
        out.extend_from_slice(kind.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn end_head(is_last: bool, out: &mut Vec<u8>) {
    put_date(out);
    if is_last {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = length;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        at -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110 wants one of every server that has a clock; it is written once a second.
pub fn put_date(out: &mut Vec<u8>) {
    thread_local! {
        static DATE: RefCell<(i64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = clock::now();
    DATE.with_borrow_mut(|(second, line)| {
        if *second != now.timestamp() || line.is_empty() {
            *line = now.format("date: %a, %d %b %Y %H:%M:%S GMT\r\n").to_string();
            *second = now.timestamp();
        }
        out.extend_from_slice(line.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_written_in_full() {
        for length in [0, 7, 10, 999, 4_096, usize::MAX] {
            let mut out = Vec::new();
            put_length(length, &mut out);
            assert_eq!(out, format!("content-length: {length}\r\n").into_bytes());
        }
    }

    #[test]
    fn a_date_is_as_http_writes_it() {
        let mut out = Vec::new();
        put_date(&mut out);
        let line = String::from_utf8(out).unwrap();
        let date = line.strip_prefix("date: ").and_then(|rest| rest.strip_suffix(" GMT\r\n")).unwrap();
        let read = chrono::NaiveDateTime::parse_from_str(date, "%a, %d %b %Y %H:%M:%S").unwrap();
        assert!((clock::now().naive_utc() - read).num_seconds().abs() <= 60, "{line}");
        assert_eq!(line.len(), "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len());
    }
}

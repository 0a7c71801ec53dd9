//! A counted hit's answer, as bytes.

use std::cell::RefCell;

use crate::server::clock;
use crate::server::hit::Verdict;

/// What is told to the page that sent a hit.
pub struct Told<'a> {
    pub verdict: Verdict,
    /// The page's origin, which may read the answer.
    pub origin: Option<&'a [u8]>,
    /// The figures as JSON, where they are wanted.
    pub figures: Option<&'a [u8]>,
    /// The connection ends with it.
    pub is_last: bool,
}

impl Told<'_> {
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.figures {
            None => out.extend_from_slice(b"HTTP/1.1 204 No Content\r\n"),
            Some(figures) => {
                out.extend_from_slice(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n\
                      content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n\
                      referrer-policy: no-referrer\r\ncross-origin-resource-policy: cross-origin\r\n",
                );
                put_length(figures.len(), out);
            }
        }
        put_date(out);
        if self.is_last {
            out.extend_from_slice(b"connection: close\r\n");
        }
        if let Some(origin) = self.origin {
            out.extend_from_slice(b"access-control-allow-origin: ");
            out.extend_from_slice(origin);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(
            b"cache-control: no-store\r\nvary: origin\r\naccess-control-expose-headers: Thongke-Hit, Thongke-Hit-Kind\r\nthongke-hit: ",
        );
        out.extend_from_slice(self.verdict.result.as_bytes());
        if let Some(kind) = self.verdict.kind {
            out.extend_from_slice(b"\r\nthongke-hit-kind: ");
            out.extend_from_slice(kind.as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(self.figures.unwrap_or_default());
    }
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

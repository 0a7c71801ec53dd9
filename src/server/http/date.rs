//! The `Date` header, which RFC 9110 requires of every server with a clock.

use std::cell::RefCell;

use crate::clock;

/// Appends the line, which is formatted once a second.
pub fn put(out: &mut Vec<u8>) {
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
    fn a_date_is_as_http_writes_it() {
        let mut out = Vec::new();
        put(&mut out);
        let line = String::from_utf8(out).unwrap();
        let date = line.strip_prefix("date: ").and_then(|rest| rest.strip_suffix(" GMT\r\n")).unwrap();
        let read = chrono::NaiveDateTime::parse_from_str(date, "%a, %d %b %Y %H:%M:%S").unwrap();
        assert!((clock::now().naive_utc() - read).num_seconds().abs() <= 60, "{line}");
        assert_eq!(line.len(), "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len());
    }
}

//! Framing: refuses requests whose end two readers could see in different places (request smuggling).
//!
//! hyper refuses differing or malformed lengths. It takes the last of several Transfer-Encoding
//! fields, and drops a Content-Length beside one unseen. So a request with Transfer-Encoding is
//! accepted only as its connection's first, whose head is kept, and the connection ends with it.
//! Browsers never send one; a proxy that streams bodies opens a connection for it.

use hyper::StatusCode;
use hyper::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

use super::HttpError;
use crate::server::net::{ConnState, HEADER_FIELDS_MAX, URI_BYTES_MAX};

/// Refuses a head that is too large or ambiguous.
pub fn check(uri: &hyper::Uri, headers: &HeaderMap, conn: &ConnState) -> Result<(), HttpError> {
    let first_head = conn.take_first_head();
    if headers.len() > HEADER_FIELDS_MAX {
        let detail = format!("the request has more than {HEADER_FIELDS_MAX} header fields");
        return Err(HttpError::size(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail));
    }
    if uri.path().len() + uri.query().map_or(0, str::len) > URI_BYTES_MAX {
        return Err(HttpError::uri_long());
    }
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = encodings.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if encodings.next().is_some() {
        return Err(HttpError::framing("the request's length is ambiguous: it has Transfer-Encoding more than once"));
    }
    if !is_chunked {
        return Err(HttpError::framing("the request's length is ambiguous: its Transfer-Encoding is not `chunked`"));
    }
    let Some(head) = first_head else {
        let detail = "a body on a reused connection needs a Content-Length";
        return Err(HttpError::new(StatusCode::LENGTH_REQUIRED, "framing", detail).closing());
    };
    if headers.contains_key(CONTENT_LENGTH) || names_content_length(&head) {
        let detail = "the request's length is ambiguous: it has both Content-Length and Transfer-Encoding";
        return Err(HttpError::framing(detail));
    }
    Ok(())
}

fn names_content_length(bytes: &[u8]) -> bool {
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        // Empty lines before a request are allowed; the one after its fields ends the head.
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .any(|line| {
            line.split(|byte| *byte == b':').next().is_some_and(|name| name.eq_ignore_ascii_case(b"content-length"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_length_is_found_in_the_head_only() {
        assert!(names_content_length(b"\r\nPOST / HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\n"));
        assert!(names_content_length(b"POST / HTTP/1.1\nContent-Length:3\n\n"));
        assert!(!names_content_length(b"POST / HTTP/1.1\r\nX: Content-Length: 3\r\n\r\nContent-Length: 3\r\n"));
    }
}

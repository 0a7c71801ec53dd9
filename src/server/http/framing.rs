//! Framing: refuses requests whose end two readers could see in different places (request smuggling).
//!
//! hyper refuses differing or malformed lengths. It takes the last of several Transfer-Encoding
//! fields, and drops a Content-Length beside one unseen. So a request with Transfer-Encoding is
//! accepted only as its connection's first, whose head is kept, and the connection ends with it.
//! Browsers never send one; a proxy that streams bodies opens a connection for it.

use hyper::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

use super::error::HttpError;
use crate::server::net::conn_state::ConnState;
use crate::server::net::limits::{HEADER_FIELDS_MAX, URI_BYTES_MAX};

/// Refuses a head that is too large or ambiguous. True: the answer must be the connection's last.
pub fn check(uri: &hyper::Uri, headers: &HeaderMap, conn: &ConnState) -> Result<bool, HttpError> {
    let first_head = conn.take_first_head();
    if headers.len() > HEADER_FIELDS_MAX {
        return Err(HttpError::FieldsMany { max: HEADER_FIELDS_MAX });
    }
    if uri.path().len() + uri.query().map_or(0, str::len) > URI_BYTES_MAX {
        return Err(HttpError::UriLong { max: URI_BYTES_MAX });
    }
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(false);
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = encodings.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if encodings.next().is_some() {
        return Err(HttpError::Framing { problem: "it has Transfer-Encoding more than once" });
    }
    if !is_chunked {
        return Err(HttpError::Framing { problem: "its Transfer-Encoding is not `chunked`" });
    }
    let Some(head) = first_head else { return Err(HttpError::LengthRequired) };
    if headers.contains_key(CONTENT_LENGTH) || names_content_length(&head) {
        return Err(HttpError::Framing { problem: "it has both Content-Length and Transfer-Encoding" });
    }
    Ok(true)
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

//! Replies of the hot endpoints, as bytes.

use bytes::Bytes;
use hyper::StatusCode;

use crate::server::hot_endpoints::Reply;
use crate::server::http::{CLOSE, HeaderSink as _, date, response};

/// Appends a reply. `origin`: of the page that asks. `is_last`: the connection ends with it.
pub fn write(reply: Reply, origin: Option<&[u8]>, is_last: bool, out: &mut Vec<u8>) {
    if let Reply::Other(mut response) = reply {
        if is_last {
            response.headers_mut().fixed(&CLOSE);
        }
        out.extend_from_slice(&response::to_bytes(response));
        return;
    }
    out.extend_from_slice(match reply.status() {
        StatusCode::NO_CONTENT => b"HTTP/1.1 204 No Content\r\n",
        StatusCode::NOT_MODIFIED => b"HTTP/1.1 304 Not Modified\r\n",
        _ => b"HTTP/1.1 200 OK\r\n",
    });
    let body = reply.body();
    if let Some(body) = body {
        put_length(body.len(), out);
    }
    reply.put_headers(origin, out);
    date::put(out);
    if is_last {
        out.fixed(&CLOSE);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.map_or(&[], Bytes::as_ref));
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use hyper::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderValue, ORIGIN};

    use super::*;
    use crate::bots::Kind;
    use crate::server::hit::HitOutcome;
    use crate::server::http::Rendered;

    #[test]
    fn a_length_is_written_in_full() {
        for length in [0, 7, 10, 999, 4_096, usize::MAX] {
            let mut out = Vec::new();
            put_length(length, &mut out);
            assert_eq!(out, format!("content-length: {length}\r\n").into_bytes());
        }
    }

    #[test]
    fn a_reply_is_the_same_on_both_paths() {
        let figures = || {
            Rc::new(Rendered {
                body: Bytes::from_static(b"{\"figures\":[]}"),
                etag: HeaderValue::from_static("W/\"1\""),
            })
        };
        let replies: [fn(Rc<Rendered>) -> Reply; 7] = [
            |_| Reply::Hit { outcome: HitOutcome::COUNTED, figures: None },
            |figures| Reply::Hit { outcome: HitOutcome::COUNTED, figures: Some(figures) },
            |figures| Reply::Hit { outcome: HitOutcome::filtered(Kind::SearchEngine), figures: Some(figures) },
            |_| Reply::Pixel { outcome: HitOutcome::LIMITED },
            |rendered| Reply::Figures { rendered, is_known: false, ignored: None },
            |rendered| Reply::Figures { rendered, is_known: true, ignored: None },
            |rendered| Reply::Figures { rendered, is_known: true, ignored: Some(HeaderValue::from_static("x, y")) },
        ];
        for (reply, origin) in replies.into_iter().flat_map(|reply| [(reply, None), (reply, Some("https://a.vn"))]) {
            let request = HeaderMap::from_iter(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            let by_hyper = reply(figures()).response(request);
            let mut out = Vec::new();
            write(reply(figures()), origin.map(str::as_bytes), false, &mut out);
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut parsed = httparse::Response::new(&mut headers);
            let length = parsed.parse(&out).unwrap().unwrap();
            assert_eq!(parsed.code, Some(by_hyper.status().as_u16()));
            let written = |name: &&str| ![CONTENT_LENGTH.as_str(), DATE.as_str()].contains(name);
            let mut by_bytes: Vec<_> = parsed.headers.iter().map(|field| (field.name, field.value)).collect();
            by_bytes.retain(|(name, _)| written(name));
            let mut by_map: Vec<_> =
                by_hyper.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            by_bytes.sort_unstable();
            by_map.sort_unstable();
            assert_eq!(by_bytes, by_map);
            let response::AnswerBody::Whole(body) = by_hyper.into_body() else { panic!("a reply is whole") };
            assert_eq!(out[length..], body);
        }
    }
}

//! Portals for the others: web servers whose pages a test makes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

/// A page: header fields and text.
pub struct Page {
    pub fields: String,
    pub body: Vec<u8>,
}

pub fn html(body: impl Into<String>) -> Page {
    Page { fields: "Content-Type: text/html; charset=utf-8\r\n".to_owned(), body: body.into().into_bytes() }
}

/// A portal on its own origin; `page` makes the page of a path.
pub fn portal(page: impl Fn(&str) -> String + Send + 'static) -> String {
    serve(move |path, _| html(page(path)))
}

/// A portal on its own origin; `page` makes the answer to a path, of a browser that takes gzip or not.
pub fn serve(page: impl Fn(&str, bool) -> Page + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    // The thread ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            // A browser opens connections that it may never use.
            let Some(request) = lines.next() else { continue };
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let takes_gzip = head.iter().any(|line| line.eq_ignore_ascii_case("accept-encoding: gzip"));
            let Page { fields, body } = page(request.split(' ').nth(1).unwrap(), takes_gzip);
            let status = if fields.contains("Location:") { "301 Moved" } else { "200 OK" };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\n{fields}Connection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&body);
        }
    });
    address
}

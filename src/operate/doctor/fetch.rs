//! Small HTTP client for one command: bounded in time, size and redirects.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    LOCATION, ORIGIN, USER_AGENT,
};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::doctor::Answer;

/// A browser's, since some portals answer others otherwise, with our own name behind it.
const AGENT: &str = concat!(
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 thongke-doctor/",
    env!("CARGO_PKG_VERSION")
);
const REDIRECTS_MAX: usize = 5;
/// Of a page, after decompression. A larger one is read to there.
pub const BODY_BYTES_MAX: usize = 4 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of one request, with its body.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client with the machine's certificates.
pub struct Client {
    tls: TlsConnector,
}

/// A request without a body.
pub struct Question<'a> {
    pub method: Method,
    pub origin: Option<&'a str>,
    /// Takes a compressed answer, as browsers do.
    pub takes_gzip: bool,
    pub follows: bool,
}

/// An answer, decompressed.
pub struct Fetched {
    /// The last address.
    pub url: Url,
    /// Only the beginning was read.
    pub is_cut: bool,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Question<'_> {
    pub const GET: Question<'static> = Question { method: Method::GET, origin: None, takes_gzip: true, follows: true };
}

impl Fetched {
    /// All values of a field that are text.
    pub fn values(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    pub fn value(&self, name: &HeaderName) -> Option<&str> {
        self.values(name).next()
    }

    /// A compression that was not asked for.
    pub fn unknown_encoding(&self) -> Option<&str> {
        self.value(&CONTENT_ENCODING)
            .filter(|name| !["", "identity", "gzip"].contains(&name.to_ascii_lowercase().as_str()))
    }

    pub fn into_answer(self) -> Answer {
        let text = |name| self.value(&name).map(str::to_owned);
        Answer {
            status: self.status,
            content_type: text(CONTENT_TYPE).unwrap_or_default(),
            allow: text(ALLOW),
            body: self.body,
        }
    }
}

impl Client {
    pub fn new() -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        // What can't be read is missing when it is needed, and then reported.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Asks, and follows redirects where the question says so. An error says why there is no answer.
    pub async fn ask(&self, url: &Url, question: &Question<'_>) -> Result<Fetched, String> {
        let mut url = url.clone();
        url.set_fragment(None);
        for _ in 0..=REDIRECTS_MAX {
            if question.method != Method::OPTIONS && takes_hits(&url) {
                return Err(format!("{url} counts a view when it is fetched, so it wasn't"));
            }
            let asking = tokio::time::timeout(TIMEOUT, self.ask_once(&url, question));
            let fetched = asking.await.unwrap_or_else(|_| Err(format!("no whole answer within {TIMEOUT:?}")))?;
            let target = fetched
                .value(&LOCATION)
                .filter(|_| question.follows && matches!(fetched.status, 301..=303 | 307 | 308));
            let Some(target) = target else { return Ok(fetched) };
            url = url.join(target).map_err(|_| "it leads to an address that can't be read".to_owned())?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err("it leads away from the web".to_owned());
            }
        }
        Err(format!("it leads on more than {REDIRECTS_MAX} times"))
    }

    async fn ask_once(&self, url: &Url, question: &Question<'_>) -> Result<Fetched, String> {
        let stream = connect(url).await?;
        let response = if url.scheme() == "https" {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
            let stream = self.tls.connect(name, stream).await.map_err(|error| tls_problem(&error))?;
            send(stream, url, question).await
        } else {
            send(stream, url, question).await
        };
        let (status, headers, body) = response.map_err(|error| format!("HTTP: {error}"))?;
        let is_gzip = headers.get(CONTENT_ENCODING).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let is_cut = body.len() == BODY_BYTES_MAX;
        let body = if is_gzip { unpacked(&body) } else { body };
        Ok(Fetched { url: url.clone(), is_cut: is_cut || body.len() == BODY_BYTES_MAX, status, headers, body })
    }
}

/// True if a node may count a hit at this address. Pages and redirects of strangers can lead there.
fn takes_hits(url: &Url) -> bool {
    let path: Vec<u8> = percent_decode_str(url.path()).collect();
    let path = path.to_ascii_lowercase();
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    [&b"/hit.gif"[..], b"/v1/hit"].iter().any(|ending| path[..end].ends_with(ending))
}

/// The commonest fault of a certificate has words of its own.
fn tls_problem(error: &std::io::Error) -> String {
    let text = error.to_string();
    let advice = match text.contains("UnknownIssuer") {
        true => {
            "; the server must send the whole chain, and this machine must know its authority (package ca-certificates)"
        }
        false => "",
    };
    format!("TLS: {text}{advice}")
}

async fn connect(url: &Url) -> Result<TcpStream, String> {
    let port = url.port_or_known_default().unwrap_or(80);
    let addresses: Vec<_> = match url.host() {
        Some(Host::Domain(name)) => {
            let found = tokio::net::lookup_host((name, port)).await;
            found.map_err(|error| format!("the name {name} can't be found: {error}"))?.collect()
        }
        Some(Host::Ipv4(address)) => vec![(address, port).into()],
        Some(Host::Ipv6(address)) => vec![(address, port).into()],
        None => Vec::new(),
    };
    let mut problem = "the name has no address".to_owned();
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => problem = format!("{address}: {error}"),
            Err(_) => problem = format!("{address}: no connection within {CONNECT_TIMEOUT:?}"),
        }
    }
    Err(problem)
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Url,
    question: &Question<'_>,
) -> Result<(u16, HeaderMap, Vec<u8>), hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let encoding = if question.takes_gzip { "gzip" } else { "identity" };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = question.method.clone();
    // A parsed url is a valid target, and its host a valid value.
    *request.uri_mut() = target.parse().unwrap_or_default();
    let headers = request.headers_mut();
    let fields = [
        (HOST, host),
        (USER_AGENT, AGENT),
        (ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8"),
        (ACCEPT_LANGUAGE, "vi,en;q=0.5"),
        (ACCEPT_ENCODING, encoding),
    ];
    for (name, value) in fields.into_iter().chain(question.origin.map(|origin| (ORIGIN, origin))) {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    // The sender moves in, so that the connection ends with the answer.
    let answering = async move {
        let response: Response<Incoming> = sender.send_request(request).await?;
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let room = BODY_BYTES_MAX - body.len();
            body.extend_from_slice(&data[..data.len().min(room)]);
            if body.len() == BODY_BYTES_MAX {
                break;
            }
        }
        Ok((head.status.as_u16(), head.headers, body))
    };
    tokio::select! {
        answered = answering => answered,
        Err(error) = connection => Err(error),
    }
}

/// A body without its compression, as far as it can be read.
fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(body).take(BODY_BYTES_MAX as u64);
    let _ = reader.read_to_end(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hits_are_known_in_any_spelling() {
        let is_known = |url: &str| takes_hits(&Url::parse(url).unwrap());
        for url in [
            "http://c.vn/v1/hit.gif?site=a",
            "https://c.vn/tk//v1/%68it.gif",
            "https://c.vn/V1/hit/",
            "https://c.vn/hit.gif",
        ] {
            assert!(is_known(url), "{url}");
        }
        for url in
            ["https://c.vn/thongke.js?x=/v1/hit.gif", "https://c.vn/v1/hitachi", "https://c.vn/", "https://c.vn/hit"]
        {
            assert!(!is_known(url), "{url}");
        }
    }
}

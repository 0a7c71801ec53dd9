//! The requests of a run: a browser's, each for one of the pages.

use std::net::SocketAddr;

use rand::SeedableRng as _;
use rand_distr::Distribution as _;

/// The endpoint of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// `POST` of a hit to this path.
    Hit(&'static str),
    /// The same; the page of every third hit carries a click id of its own (`fbclid`), which no cache knows.
    SharedHit(&'static str),
    Pixel,
    /// `GET` of a site's figures.
    Figures,
    /// `GET` of a baseline's answer of as many bytes.
    Bytes(usize),
    /// `POST` of a hit to a baseline that answers as many bytes.
    HitForBytes(usize),
}

/// The sites and pages of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pages {
    /// Pages in turn, on the first site.
    InTurn(u32),
    /// Pages by Zipf's law, on the first site: the second page half as often as the first, and so on.
    Zipf(u32),
    /// One page on each of the sites, in turn.
    Sites(u32),
}

impl Pages {
    /// The same sites or pages, each in turn, and their number.
    pub fn each(self) -> (Self, u32) {
        match self {
            Self::InTurn(count) | Self::Zipf(count) => (Self::InTurn(count), count),
            Self::Sites(count) => (self, count),
        }
    }
}

pub const ORIGIN: &str = "https://portal.example.gov.vn";
/// Number of drawn pages before the sequence repeats.
const DRAWN: usize = 1 << 20;
const DIGITS: usize = 7;
const SITE_MARK: &str = "SITEMRK";
const PAGE_MARK: &str = "PAGEMRK";
/// Click ids differ from request to request, and from client to client.
const CLICK_MARK: &str = "CLICKMK";
const CLIENT_MARK: &str = "CLIENTM";
/// One hit in so many carries one.
const SHARED_OF: usize = 3;

pub fn site_id(number: u32) -> String {
    format!("s{number:0DIGITS$}")
}

/// Writes one request after the other, in place.
pub struct Requests {
    usual: Message,
    /// With a click id.
    shared: Option<Message>,
    pages: Pages,
    drawn: Vec<u32>,
    next: usize,
}

/// A request whose numbers are written in place.
struct Message {
    bytes: Vec<u8>,
    site_at: Option<usize>,
    page_at: Option<usize>,
    click_at: Option<usize>,
}

impl Message {
    fn new(text: String) -> Self {
        let mut bytes = text.into_bytes();
        let find = |bytes: &[u8], mark: &str| bytes.windows(mark.len()).position(|window| window == mark.as_bytes());
        let client_at = find(&bytes, CLIENT_MARK);
        put_digits(&mut bytes, client_at, rand::random());
        let [site_at, page_at, click_at] = [SITE_MARK, PAGE_MARK, CLICK_MARK].map(|mark| find(&bytes, mark));
        Self { bytes, site_at, page_at, click_at }
    }

    fn through_hyper(&mut self) {
        let option = self.bytes.windows(10).position(|window| window == b"keep-alive").expect("a kept connection");
        self.bytes[option..option + 10].copy_from_slice(b"persistent");
    }
}

impl Requests {
    pub fn new(address: SocketAddr, ask: Ask, pages: Pages, keep_alive: bool) -> Self {
        let drawn = match pages {
            Pages::Zipf(count) => {
                let zipf = rand_distr::Zipf::new(f64::from(count), 1.0).expect("a distribution over some pages");
                // The same pages in every run: only the program should differ.
                let mut random = rand::rngs::StdRng::seed_from_u64(4);
                (0..DRAWN).map(|_| zipf.sample(&mut random) as u32 - 1).collect()
            }
            Pages::InTurn(_) | Pages::Sites(_) => Vec::new(),
        };
        let (ask, shared) = match ask {
            Ask::SharedHit(path) => {
                let query = format!("?fbclid=IwAR2abcDEF0123456789abcdefghijklmnopqr{CLIENT_MARK}{CLICK_MARK}");
                (Ask::Hit(path), Some(Message::new(text(address, Ask::Hit(path), &query, keep_alive))))
            }
            ask => (ask, None),
        };
        Self { usual: Message::new(text(address, ask, "", keep_alive)), shared, pages, drawn, next: 0 }
    }

    /// The same requests, as long, in a form that the fast path leaves to hyper: `Connection` names an
    /// unknown option.
    pub fn through_hyper(mut self) -> Self {
        self.usual.through_hyper();
        self.shared.iter_mut().for_each(Message::through_hyper);
        self
    }

    pub fn next(&mut self) -> &[u8] {
        let turn = self.next;
        self.next += 1;
        let (site, page) = match self.pages {
            Pages::InTurn(count) => (0, turn as u32 % count),
            Pages::Zipf(_) => (0, self.drawn[turn % DRAWN]),
            Pages::Sites(count) => (turn as u32 % count, turn as u32 % count),
        };
        let message = match &mut self.shared {
            Some(shared) if turn.is_multiple_of(SHARED_OF) => shared,
            _ => &mut self.usual,
        };
        put_digits(&mut message.bytes, message.site_at, site);
        put_digits(&mut message.bytes, message.page_at, page);
        put_digits(&mut message.bytes, message.click_at, turn as u32);
        &message.bytes
    }
}

fn put_digits(bytes: &mut [u8], at: Option<usize>, mut number: u32) {
    let Some(at) = at else { return };
    for place in bytes[at..at + DIGITS].iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The request for a page with `query` behind its address.
fn text(address: SocketAddr, ask: Ask, query: &str, keep_alive: bool) -> String {
    let page = format!("{ORIGIN}/tin-tuc-su-kien/bai-viet-{PAGE_MARK}{query}");
    let body = format!(r#"{{"site":"s{SITE_MARK}","url":"{page}"}}"#);
    let (line, body) = match ask {
        Ask::Hit(path) | Ask::SharedHit(path) => (format!("POST {path}"), Some(body)),
        Ask::HitForBytes(bytes) => (format!("POST /bytes/{bytes}"), Some(body)),
        Ask::Pixel => {
            let page = page.replace(':', "%3A").replace('/', "%2F");
            (format!("GET /v1/hit.gif?site=s{SITE_MARK}&url={page}"), None)
        }
        Ask::Figures => (format!("GET /v1/sites/s{SITE_MARK}/figures"), None),
        Ask::Bytes(bytes) => (format!("GET /bytes/{bytes}"), None),
    };
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let entity = body.as_ref().map_or(String::new(), |body| {
        format!("Content-Length: {}\r\nContent-Type: text/plain;charset=UTF-8\r\n", body.len())
    });
    format!(
        "{line} HTTP/1.1\r\n\
         Host: {address}\r\n\
         Connection: {connection}\r\n\
         {entity}\
         sec-ch-ua-platform: \"Windows\"\r\n\
         User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36\r\n\
         sec-ch-ua: \"Google Chrome\";v=\"137\", \"Chromium\";v=\"137\", \"Not/A)Brand\";v=\"24\"\r\n\
         sec-ch-ua-mobile: ?0\r\n\
         Accept: */*\r\n\
         Origin: {ORIGIN}\r\n\
         Sec-Fetch-Site: cross-site\r\n\
         Sec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Dest: empty\r\n\
         Referer: {ORIGIN}/\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Accept-Language: vi-VN,vi;q=0.9,en;q=0.8\r\n\
         \r\n{}",
        body.unwrap_or_default()
    )
}

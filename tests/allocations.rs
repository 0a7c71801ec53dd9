//! Allocations per request of the hot endpoints, counted, so that they stay a small number that is written
//! down.
//!
//! Everything in this process counts: the workers, the committer, and hyper. The clients allocate nothing
//! once they are connected.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use thongke::app;
use thongke::config::{Config, Environment, Flags, Limits, PublicAddress};
use thongke::server::hit::RateLimits;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CLIENTS: usize = 64;
const ROUNDS: usize = 50;

/// Allocations when 64 clients send at once: a hit without figures, one with them, the pixel, a query of
/// figures. Measured: 1.8, 4.2, 5.8 and 0.00.
const WITHOUT_FIGURES_MAX: f64 = 4.0;
const WITH_FIGURES_MAX: f64 = 8.0;
const PIXEL_MAX: f64 = 7.0;
/// Each worker renders the figures again once a second: many cores allocate more than measured.
const FIGURES_MAX: f64 = 2.0;

fn get(line: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\n\
         Accept: */*\r\nAccept-Language: vi\r\nOrigin: http://localhost:8080\r\nReferer: http://localhost:8080/\r\n\r\n"
    )
}

fn hit(path: &str, page: usize) -> String {
    let body = format!(r#"{{"site":"demo","url":"http://localhost:8080/tin-tuc/bai-{page}"}}"#);
    let more = format!("\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    get(&format!("POST {path}")).replacen("\r\n\r\n", &more, 1)
}

fn pixel(page: usize) -> String {
    get(&format!("GET /v1/hit.gif?site=demo&url=http%3A%2F%2Flocalhost%3A8080%2Ftin-tuc%2Fbai-{page}"))
}

/// Allocations per request, over rounds in which every client sends one, whose answer contains `expected`.
fn per_request(address: SocketAddr, expected: &str, request: impl Fn(usize) -> String) -> f64 {
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    let requests: Vec<_> = (0..CLIENTS).map(|client| request(client % 50)).collect();
    let mut answer = [0; 4_096];
    let mut round = || {
        for (client, request) in clients.iter_mut().zip(&requests) {
            client.write_all(request.as_bytes()).unwrap();
        }
        for client in &mut clients {
            let length = client.read(&mut answer).unwrap();
            let answer = &answer[..length];
            let is_expected =
                answer.windows(expected.len()).any(|bytes| bytes.eq_ignore_ascii_case(expected.as_bytes()));
            assert!(is_expected, "{}", String::from_utf8_lossy(answer));
        }
    };
    // Warm-up: connections, caches and buffers are created.
    (0..5).for_each(|_| round());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..ROUNDS).for_each(|_| round());
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    (after - before) as f64 / (CLIENTS * ROUNDS) as f64
}

#[test]
fn hot_endpoints_allocate_a_small_fixed_number_of_times() {
    let directory = TempDir::new().unwrap();
    let flags = Flags {
        listen: Some("127.0.0.1:0".to_owned()),
        admin_listen: Some("127.0.0.1:0".to_owned()),
        data_dir: Some(directory.path().to_owned()),
        ..Flags::default()
    };
    let loaded = Config::load(&flags, &Environment::from_iter([])).unwrap();
    // All clients are one address.
    let limits = Limits { rates: RateLimits::default(), ..loaded.limits.clone() };
    let running = app::start(Config { limits, ..loaded }).unwrap();
    let PublicAddress::Tcp(address) = running.public_address else { panic!("the flag names a TCP address") };
    let counted = "thongke-hit: counted";
    let without = per_request(address, counted, |page| hit("/v1/hit?figures=0", page));
    let with = per_request(address, counted, |page| hit("/v1/hit", page));
    let pixel = per_request(address, counted, pixel);
    let figures = per_request(address, "etag: ", |_| get("GET /v1/sites/demo/figures"));
    running.shutdown();
    println!(
        "allocations per hit: {without:.1} without figures, {with:.1} with them; {pixel:.1} per pixel, {figures:.2} \
         per query of the figures"
    );
    assert!(without <= WITHOUT_FIGURES_MAX, "{without}");
    assert!(with <= WITH_FIGURES_MAX, "{with}");
    assert!(pixel <= PIXEL_MAX, "{pixel}");
    assert!(figures <= FIGURES_MAX, "{figures}");
}

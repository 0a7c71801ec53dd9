//! Baseline servers, built like ours: hyper on a single-threaded runtime, and the least that can stand behind
//! it.
//!
//! * `POST /empty`: 204, nothing done. The floor.
//! * `/bytes/N`: 200 and so many bytes, made once.
//! * `POST /increments`: the usual design, three `INCR`s awaited per hit. Nothing durable on this side.
//! * `POST /synced`: 204 once a shared block is on disk. The cost of syncing first for such a server.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::disk::Blocks;
use super::process::Process;

/// The argument that makes a bench a baseline server.
pub const ARGUMENT: &str = "--as-baseline";

/// Starts this program as a baseline server.
pub fn start(directory: &Path, redis: Option<&str>) -> (Process, SocketAddr) {
    let mut command = Command::new(std::env::current_exe().expect("this program's file"));
    command.arg(ARGUMENT).arg(directory).args(redis);
    Process::start(command, |line| line.trim().parse().ok())
}

/// Serves until it is killed, if the command line says so.
pub fn serve_if_requested() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ARGUMENT) {
        return;
    }
    let directory = arguments.next().expect("a directory");
    let redis = arguments.next();
    let (syncs, waiting) = mpsc::channel();
    std::thread::spawn(move || sync_for(&waiting, Blocks::in_directory(directory.as_ref())));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).expect("a runtime");
    runtime.block_on(serve(redis, syncs));
}

type Done = oneshot::Sender<()>;

/// One sync for all requests that arrived during the last one.
fn sync_for(waiting: &mpsc::Receiver<Done>, mut blocks: Blocks) {
    while let Ok(first) = waiting.recv() {
        let batch: Vec<Done> = std::iter::once(first).chain(waiting.try_iter()).collect();
        blocks.write();
        blocks.sync();
        for done in batch {
            // A client that goes away is no error.
            let _ = done.send(());
        }
    }
}

async fn serve(redis: Option<String>, syncs: mpsc::Sender<Done>) {
    let redis = match redis {
        None => None,
        Some(url) => {
            let client = redis::Client::open(url).expect("a Redis address");
            Some(client.get_multiplexed_async_connection().await.expect("Redis answers"))
        }
    };
    let listener = tokio::net::TcpSocket::new_v4().expect("a socket");
    listener.set_nodelay(true).expect("a socket need not delay");
    listener.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let listener = listener.listen(4096).expect("a listening socket");
    println!("{}", listener.local_addr().expect("its address"));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (redis, syncs) = (redis.clone(), syncs.clone());
        tokio::task::spawn_local(async move {
            let answering = service_fn(move |request| answer(request, redis.clone(), syncs.clone()));
            // A client that goes away is no error.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    redis: Option<MultiplexedConnection>,
    syncs: mpsc::Sender<Done>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    static FILL: [u8; 8192] = [b'x'; 8192];
    if let Some(bytes) = request.uri().path().strip_prefix("/bytes/") {
        let bytes = bytes.parse().unwrap_or(0).min(FILL.len());
        return Ok(Response::new(Full::new(Bytes::from_static(&FILL[..bytes]))));
    }
    if request.uri().path() == "/synced" {
        let (done, synced) = oneshot::channel();
        if syncs.send(done).is_err() || synced.await.is_err() {
            return Ok(with_status(StatusCode::SERVICE_UNAVAILABLE));
        }
        return Ok(with_status(StatusCode::NO_CONTENT));
    }
    if let Some(redis) = redis
        && !increment(request, redis).await
    {
        return Ok(with_status(StatusCode::SERVICE_UNAVAILABLE));
    }
    Ok(with_status(StatusCode::NO_CONTENT))
}

fn with_status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}

#[derive(Deserialize)]
struct Fields<'a> {
    site: &'a str,
    url: &'a str,
}

/// The site's day, its total and the page's: one round trip.
async fn increment(request: Request<Incoming>, mut redis: MultiplexedConnection) -> bool {
    let Ok(body) = request.into_body().collect().await else { return false };
    let body = body.to_bytes();
    let Ok(Fields { site, url }) = serde_json::from_slice(&body) else { return false };
    let mut pipeline = redis::pipe();
    pipeline.cmd("INCR").arg(format!("{site}:2024-06-17")).ignore();
    pipeline.cmd("INCR").arg(format!("{site}:total")).ignore();
    pipeline.cmd("INCR").arg(format!("{site}:{url}")).ignore();
    pipeline.query_async::<()>(&mut redis).await.is_ok()
}

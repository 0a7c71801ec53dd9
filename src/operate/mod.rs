//! The operator's commands: on a running node through its admin listener, on a stopped one on its files.

mod backup;
mod check;
mod clock;
mod doctor;
mod health;
mod pages;
mod parameters;
mod refused;
mod reset;
mod show;
pub mod sites;
mod tokens;
mod transfer;
mod verify;

use std::io::{self, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::bots::UNCOUNTED_FILE;
use crate::config::Config;
use crate::counter::{RegisteredSite, Site, SiteId, Sites};
use crate::ledger::{DirectoryLock, Holder, Ledger, has_been_used};
use crate::metrics::Metrics;
use crate::server::routes::{Admin, admin_path};

pub use backup::backup;
pub use check::check;
pub use clock::accept_clock;
pub use doctor::doctor;
pub use health::health;
pub use pages::pages;
pub use refused::refused;
pub use reset::{reset, undo_reset};
pub use show::{bots, figures, show_config, sources};
pub use tokens::tokens;
pub use transfer::{export, forget, import};
pub use verify::verify;

/// Prints a line; the reading program may have ended.
fn print(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("can't write to standard output")
}

/// Choice for a data directory in which no node has counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfEmpty {
    /// Old counts may be imported before the node starts.
    Begin,
    /// A wrong --data-dir would silently report zeros.
    Refuse,
    /// The same, but a node that has counted nothing yet may have been there.
    RefuseUnused,
}

/// A request to a running node's admin listener.
struct NodeRequest {
    method: Method,
    path: String,
    /// The type of the body.
    kind: &'static str,
    body: RequestBody,
}

type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

fn whole(body: impl Into<Bytes>) -> RequestBody {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Bytes that are sent at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for the connection.
const CHUNKS_MAX: usize = 8;

/// A body that is read while it is sent.
fn streamed(mut text: impl io::Read + Send + 'static) -> io::Result<RequestBody> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let send = move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let chunk = match text.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => Ok(Bytes::copy_from_slice(&buffer[..read])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    };
    // It ends with the text or with the process.
    std::thread::Builder::new().name("import".to_owned()).spawn(send)?;
    let frames = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<io::Result<Bytes>>| {
        let chunk = receiver.recv().await?;
        Some((chunk.map(Frame::data), receiver))
    });
    Ok(BodyExt::boxed_unsync(StreamBody::new(frames)))
}

impl NodeRequest {
    /// A request that is not about one site.
    fn of_node(method: Method, endpoint: Admin) -> Self {
        Self { method, path: admin_path(endpoint, ""), kind: "text/csv", body: whole(Bytes::new()) }
    }

    fn new(method: Method, endpoint: Admin, site: &SiteId) -> Self {
        Self { method, path: admin_path(endpoint, site.as_str()), kind: "text/csv", body: whole(Bytes::new()) }
    }
}

/// Reads a node's answer in JSON.
fn from_json<T: DeserializeOwned>(answer: &[u8]) -> anyhow::Result<T> {
    Ok(serde_json::from_slice(answer)?)
}

/// Sites that a message names; the rest is a number.
const SITES_NAMED_MAX: usize = 10;

/// The site as this command's configuration has it.
fn configured<'a>(config: &'a Config, site: &SiteId) -> anyhow::Result<&'a Site> {
    config.site(site).with_context(|| {
        let named: Vec<_> = config.sites.iter().take(SITES_NAMED_MAX).map(|site| site.id.as_str()).collect();
        let more = config.sites.len().saturating_sub(SITES_NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        match config.is_demo {
            true => format!(
                "there is no site `{site}`: without a configuration there is only `{}`; name the configuration with --config",
                named.join(", ")
            ),
            false => format!("there is no site `{site}`; the configuration has {}{more}", named.join(", ")),
        }
    })
}

/// Sends `request` to a running node and reads its answer, or does `work` on the files of a stopped one.
fn on_the_node<T>(
    config: &Config,
    site: &SiteId,
    if_empty: IfEmpty,
    request: NodeRequest,
    read: impl FnOnce(&[u8]) -> anyhow::Result<T>,
    work: impl AsyncFnOnce(&Ledger, &RegisteredSite) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if DirectoryLock::holder(&config.data_dir).is_none() {
        // A running node has a configuration of its own.
        configured(config, site)?;
    }
    on_its_ledger(config, if_empty, request, read, async |ledger, sites| {
        work(ledger, sites.get(site.as_str()).context("the site is not registered")?).await
    })
}

/// The same for a site that may be removed: its counts stay.
fn on_its_counts<T>(
    config: &Config,
    site: &SiteId,
    request: NodeRequest,
    read: impl FnOnce(&[u8]) -> anyhow::Result<T>,
    work: impl AsyncFnOnce(&Ledger, &RegisteredSite) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    on_its_ledger(config, IfEmpty::Refuse, request, read, async |ledger, sites| {
        match ledger.stored_site(sites, site).await? {
            Some(stored) => work(ledger, &stored).await,
            None => Err(configured(config, site).err().unwrap_or_else(|| anyhow::anyhow!("nothing of it is stored"))),
        }
    })
}

/// The same for work that is not about one site.
fn on_its_ledger<T>(
    config: &Config,
    if_empty: IfEmpty,
    request: NodeRequest,
    read: impl FnOnce(&[u8]) -> anyhow::Result<T>,
    work: impl AsyncFnOnce(&Ledger, &Sites) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let directory = &config.data_dir;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match DirectoryLock::holder(directory) {
        Some(Holder { admin_address: Some(admin), .. }) => {
            return read(&runtime.block_on(ask(config, &admin, request))?);
        }
        Some(Holder { process, .. }) => {
            bail!("process {process} uses the data directory {}; try again when it has ended", directory.display())
        }
        None if if_empty != IfEmpty::Begin && !has_been_used(directory) => bail!(nothing_counted(config)),
        None => {}
    }
    let lock = DirectoryLock::take(directory)?;
    let is_publishing = !config.redis.is_empty();
    let (ledger, sites) = Ledger::open(lock, directory, config.sites.clone(), is_publishing, Arc::new(Metrics::new()))?;
    let is_empty = !ledger.had_hits() && !directory.join(UNCOUNTED_FILE).exists();
    let outcome = match if_empty {
        IfEmpty::Refuse if is_empty => Err(anyhow::Error::msg(nothing_counted(config))),
        _ => runtime.block_on(work(&ledger, &sites)),
    };
    ledger.close();
    outcome
}

fn nothing_counted(config: &Config) -> String {
    format!(
        "nothing was ever counted in {}; name the node's folder with --data-dir or its configuration with --config",
        config.data_dir.display()
    )
}

/// Sends a request to the running node's admin listener; returns the body, or fails with the node's reason.
async fn ask(config: &Config, admin: &str, request: NodeRequest) -> anyhow::Result<Bytes> {
    let NodeRequest { method, path, kind, body } = request;
    let stream = tokio::net::TcpStream::connect(admin)
        .await
        .with_context(|| format!("the running node's admin listener {admin} can't be reached"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder().method(method).uri(path).header(HOST, admin).header(CONTENT_TYPE, kind);
    if let Some(token) = &config.admin_token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let request = request.body(body)?;
    // The sender moves in, so that the connection ends with the answer.
    let answering = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
    };
    let (outcome, _) = tokio::join!(answering, connection);
    let (status, body) = outcome.context("the running node's answer broke off; see its log")?;
    if status != StatusCode::OK {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        bail!("{}", problem["detail"].as_str().unwrap_or("the node refused"));
    }
    Ok(body)
}

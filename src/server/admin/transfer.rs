//! Transfer of counts: export, import, and the deletion of an import.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::{StreamExt as _, stream};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::sync::{Mutex, mpsc};

use super::json;
use crate::counter::RegisteredSite;
use crate::counter::csv::{self, CsvError, EXPORT_STEP, HEADER_PAGES, Row, TakeLines as _, Unread};
use crate::counter::source::{IMPORT, ImportName, SourceError};
use crate::server::http::{AnswerBody, CSV, HttpError, StreamError, body, response};
use crate::server::net::{ConnState, IMPORT_BYTES_MAX};
use crate::server::ports::Node;

type Outcome = Result<Response<AnswerBody>, HttpError>;

pub async fn export<N: Node>(node: &Arc<N>, site: Arc<RegisteredSite>) -> Outcome {
    // Read before the answer begins, so that an unreadable file gets an error answer.
    let first = node.export(&site, None, EXPORT_STEP).await?;
    let node = Arc::clone(node);
    let rest = stream::unfold(first.last().cloned(), move |after| {
        let (node, site) = (Arc::clone(&node), Arc::clone(&site));
        async move {
            match node.export(&site, Some(after?), EXPORT_STEP).await {
                Err(error) => {
                    tracing::error!(site = %site.site.id, "an export broke off: {}", error.reason);
                    Some((Err(StreamError(error.reason)), None))
                }
                Ok(rows) => Some((Ok(lines(&rows)), Some(rows.last()?.clone()))),
            }
        }
    });
    let begin = [Ok(Bytes::from(format!("{HEADER_PAGES}\n"))), Ok(lines(&first))];
    Ok(response::stream(&CSV, stream::iter(begin).chain(rest)))
}

/// Runs imports one at a time.
#[derive(Default)]
pub struct Imports(Mutex<()>);

impl Imports {
    pub async fn import<N: Node>(
        &self,
        node: &N,
        site: &Arc<RegisteredSite>,
        request: Request<Incoming>,
        conn: &ConnState,
    ) -> Outcome {
        let query = request.uri().query().unwrap_or_default();
        let name = form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "source")
            .map(|(_, value)| value.into_owned());
        let unnamed = || HttpError::malformed("the import has no name; add `source=NAME` to the query");
        let name = ImportName::from_shown(&name.ok_or_else(unnamed)?).map_err(misnamed)?;
        let Ok(_running) = self.0.try_lock() else { return Err(busy()) };
        let mut file = node.begin_import()?;
        let (chunks, received) = mpsc::channel(CHUNKS_MAX);
        // In a thread of its own: parsing takes a while, and this one answers the probes.
        let rules = Arc::clone(&site.site.page_rules);
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = csv::read(Chunks { received, rest: Bytes::new() }, &rules, |line| file.take(line));
            (outcome, file)
        });
        // To its end, also behind a wrong line: a client that is still sending would not see the answer.
        let received = body::forward(request.into_body(), IMPORT_BYTES_MAX, conn, chunks).await;
        let (outcome, file) = reading.await.map_err(|_| HttpError::BODY_BROKEN)?;
        received?;
        outcome.map_err(|unread| match unread {
            Unread::Wrong(error) => wrong_line(&error),
            Unread::NotTaken(reason) => HttpError::unavailable("unavailable", reason),
        })?;
        let report = node.finish_import(site, name, file).await?;
        Ok(json(&report.map_err(|error| wrong_line(&error))?))
    }
}

fn wrong_line(error: &CsvError) -> HttpError {
    let detail = format!("{error}; nothing of the file was taken");
    HttpError { line: Some(error.line), ..HttpError::malformed(detail) }
}

/// Chunks of a body that wait to be parsed.
const CHUNKS_MAX: usize = 8;

/// A body as a thread reads it that may block.
struct Chunks {
    received: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl io::Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.received.blocking_recv() {
                Some(chunk) => self.rest = chunk,
                None => return Ok(0),
            }
        }
        let bytes = self.rest.len().min(into.len());
        self.rest.split_to(bytes).copy_to_slice(&mut into[..bytes]);
        Ok(bytes)
    }
}

impl Imports {
    /// Sets a site's figures to zero.
    pub async fn reset<N: Node>(&self, node: &N, site: &Arc<RegisteredSite>) -> Outcome {
        let Ok(_running) = self.0.try_lock() else { return Err(busy()) };
        Ok(json(&node.reset(site).await?))
    }
}

fn busy() -> HttpError {
    HttpError::unavailable("unavailable", "another import is running; try again when it has ended")
}

pub async fn undo_reset<N: Node>(node: &N, site: &Arc<RegisteredSite>) -> Outcome {
    match node.undo_reset(site).await? {
        Some(report) => Ok(json(&report)),
        None => {
            let detail = format!("the figures of site `{}` were not reset", site.site.id);
            Err(HttpError::new(StatusCode::NOT_FOUND, "path", detail))
        }
    }
}

pub async fn forget<N: Node>(node: &N, site: &Arc<RegisteredSite>, source: &str) -> Outcome {
    let other = || HttpError::malformed("only imports can be forgotten; expected `import:NAME`");
    let name = source.strip_prefix(IMPORT).ok_or_else(other)?;
    let name: ImportName = name.parse().map_err(misnamed)?;
    let detail = format!("site `{}` has no import `import:{}`", site.site.id, name.as_str());
    match node.forget(site, name).await? {
        Some(report) => Ok(json(&report)),
        None => Err(HttpError::new(StatusCode::NOT_FOUND, "path", detail)),
    }
}

fn misnamed(error: SourceError) -> HttpError {
    HttpError::malformed(error.to_string())
}

fn lines(rows: &[Row]) -> Bytes {
    let mut text = Vec::new();
    rows.iter().for_each(|row| csv::write_row(&mut text, row));
    text.into()
}

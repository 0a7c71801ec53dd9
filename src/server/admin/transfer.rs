//! Transfer of counts: export, import, and the deletion of an import.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use tokio::sync::Semaphore;

use super::json;
use crate::counter::RegisteredSite;
use crate::counter::csv::{self, HEADER_PAGES, Row};
use crate::counter::source::ImportName;
use crate::server::http::body;
use crate::server::http::error::HttpError;
use crate::server::http::response::{self, AnswerBody, CSV, StreamError};
use crate::server::net::conn_state::ConnState;
use crate::server::net::limits::IMPORT_BYTES_MAX;
use crate::server::ports::Node;

/// Rows that an export reads at once.
const EXPORT_STEP: usize = 1_000;

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

/// Runs imports one at a time, since each may hold its whole file in memory.
pub struct Imports(Semaphore);

impl Default for Imports {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Imports {
    pub async fn import<N: Node>(
        &self,
        node: &N,
        site: &Arc<RegisteredSite>,
        request: Request<Incoming>,
        conn: &ConnState,
    ) -> Outcome {
        let is_csv = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv"));
        if !is_csv {
            return Err(HttpError::NotCsv);
        }
        let query = request.uri().query().unwrap_or_default();
        let name = form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "source")
            .map(|(_, value)| value.into_owned());
        let name: ImportName = name.ok_or(HttpError::ImportUnnamed)?.parse().map_err(HttpError::ImportName)?;
        let Ok(_permit) = self.0.try_acquire() else {
            return Err(HttpError::Unavailable("another import is running; try again when it has ended".to_owned()));
        };
        let text = body::collect(request.into_body(), IMPORT_BYTES_MAX, conn).await?;
        // In a thread of its own: parsing takes a while, and this one answers the probes.
        let page_params = Arc::clone(&site.site.page_params);
        let parsing = tokio::task::spawn_blocking(move || csv::parse(&text, &page_params));
        let rows = parsing.await.map_err(|_| HttpError::BodyBroken)?.map_err(HttpError::Csv)?;
        Ok(json(&node.import(site, name, rows).await?))
    }
}

pub async fn forget<N: Node>(node: &N, site: &Arc<RegisteredSite>, source: &str) -> Outcome {
    let name = source.strip_prefix("import:").ok_or(HttpError::NotAnImport)?;
    let name: ImportName = name.parse().map_err(HttpError::ImportName)?;
    let text = name.as_str().to_owned();
    match node.forget(site, name).await? {
        Some(report) => Ok(json(&report)),
        None => Err(HttpError::ImportUnknown { site: site.site.id.to_string(), name: text }),
    }
}

fn lines(rows: &[Row]) -> Bytes {
    let mut text = Vec::new();
    rows.iter().for_each(|row| csv::write_row(&mut text, row));
    text.into()
}

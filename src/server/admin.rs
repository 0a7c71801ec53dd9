//! The admin listener: probes, metrics, and the operator's commands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::counter::RegisteredSite;
use crate::counter::csv::{self, HEADER_PAGES, Row};
use crate::counter::source::ImportName;
use crate::metrics::Metrics;

use super::admin_router::{AdminRoute, Operation};
use super::answer::{self, AnswerBody, CSV, JSON, StreamError};
use super::connection::Answer;
use super::figures::FigureAnswers;
use super::host::Host;
use super::lane::PlainRequest;
use super::node::Node;
use super::refusal::Refusal;
use super::request_id::RequestId;
use super::wire::Wire;
use super::{AdminSettings, body, framing, fresh, hit, openapi};

/// Rows that an export reads at once.
const EXPORT_STEP: usize = 1_000;

const PROMETHEUS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

pub struct Admin<N> {
    node: Arc<N>,
    settings: Arc<AdminSettings>,
    metrics: Arc<Metrics>,
    figures: FigureAnswers,
    imports: Semaphore,
}

#[derive(Serialize)]
struct ReadyReport {
    status: &'static str,
    degraded: Vec<&'static str>,
    reasons: BTreeMap<&'static str, String>,
}

impl<N: Node> Admin<N> {
    pub fn new(node: Arc<N>, settings: Arc<AdminSettings>, metrics: Arc<Metrics>) -> Self {
        Self { node, settings, metrics, figures: FigureAnswers::default(), imports: Semaphore::new(1) }
    }

    async fn route(&self, request: Request<Incoming>, wire: &Wire) -> Result<Response<AnswerBody>, Refusal> {
        let is_last = framing::check(request.uri(), request.headers(), wire)?;
        let mut response = self.endpoint(request, wire).await?;
        if is_last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn endpoint(&self, request: Request<Incoming>, wire: &Wire) -> Result<Response<AnswerBody>, Refusal> {
        let host = Host::of(request.headers())?;
        let path = request.uri().path().to_owned();
        let route = AdminRoute::of(&path);
        // What is not there is not told to strangers.
        if !route.as_ref().is_ok_and(|route| route.is_free()) {
            self.check_name(host, wire)?;
            self.settings.tokens.check(request.method(), request.headers())?;
        }
        let route = route?;
        let allow = route.allow();
        if !allow.split(", ").any(|method| method == request.method().as_str()) {
            return Err(Refusal::Method { allow });
        }
        let (site, operation) = match route {
            AdminRoute::Metrics => return Ok(self.scrape(request.headers())),
            AdminRoute::Alive => return Ok(answer::typed(StatusCode::OK, JSON, r#"{"status":"alive"}"#)),
            AdminRoute::Ready => return Ok(self.ready()),
            AdminRoute::OpenApi => {
                let document = openapi::admin(self.settings.tokens.are_wanted());
                return Ok(answer::typed(StatusCode::OK, JSON, document));
            }
            AdminRoute::Of { site, operation } => (hit::find_site(&self.node.sites(), site)?, operation),
        };
        match operation {
            Operation::Export => self.export(site).await,
            Operation::Sources => Ok(json(&self.node.sources(&site).await?)),
            Operation::Verify => Ok(json(&self.node.verify(&site).await?)),
            Operation::Repair => Ok(json(&self.node.repair(&site).await?)),
            Operation::Bots => Ok(json(&self.node.uncounted(&site))),
            Operation::Figures => {
                self.node.refresh(&site).await;
                let rendered = self.figures.rendered(&*self.node, &site, None).await?;
                Ok(fresh::answer(HeaderMap::new(), false, JSON, rendered.body.clone(), rendered.etag.clone()))
            }
            Operation::Import => self.import(&site, request, wire).await,
            Operation::Forget { source } => self.forget(&site, source).await,
        }
    }

    fn scrape(&self, headers: &HeaderMap) -> Response<AnswerBody> {
        let wants_open_metrics = headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|list| list.contains("application/openmetrics-text"));
        if wants_open_metrics {
            answer::typed(StatusCode::OK, OPEN_METRICS, self.metrics.open_metrics())
        } else {
            answer::typed(StatusCode::OK, PROMETHEUS_TEXT, self.metrics.prometheus())
        }
    }

    fn ready(&self) -> Response<AnswerBody> {
        let readiness = self.node.readiness();
        let mut report = ReadyReport { status: "ready", degraded: Vec::new(), reasons: BTreeMap::new() };
        for (part, reason) in readiness.degraded {
            // A part may have several: each site's, for example.
            match report.reasons.get_mut(part) {
                Some(reasons) => *reasons = format!("{reasons}; {reason}"),
                None => {
                    report.degraded.push(part);
                    report.reasons.insert(part, reason);
                }
            }
        }
        let mut status = StatusCode::OK;
        if let Some(reason) = readiness.not_ready {
            report.status = "not ready";
            report.reasons.insert("ledger", reason);
            status = StatusCode::SERVICE_UNAVAILABLE;
        }
        // A struct of strings always serialises.
        answer::typed(status, JSON, serde_json::to_vec(&report).unwrap_or_default())
    }

    /// A web page that was made to look at this machine names another host than its own address.
    fn check_name(&self, host: Host<'_>, wire: &Wire) -> Result<(), Refusal> {
        let local = wire.local_address();
        let is_own_address = local.is_some_and(|local: SocketAddr| match local {
            SocketAddr::V4(v4) => host.name == v4.ip().to_string(),
            SocketAddr::V6(v6) => host.name == format!("[{}]", v6.ip()),
        });
        let is_loopback = matches!(host.name, "localhost" | "127.0.0.1" | "[::1]");
        let port_is_right = host.port.is_none() || local.is_some_and(|local| Some(local.port()) == host.port);
        let is_named = self.settings.names.iter().any(|name| name.eq_ignore_ascii_case(host.name));
        if is_named || ((is_own_address || is_loopback) && port_is_right) { Ok(()) } else { Err(Refusal::HostForeign) }
    }

    async fn export(&self, site: Arc<RegisteredSite>) -> Result<Response<AnswerBody>, Refusal> {
        // Read before the answer begins, so that a file that can't be read is said in words.
        let first = self.node.export(&site, None, EXPORT_STEP).await?;
        let node = Arc::clone(&self.node);
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
        use futures_util::StreamExt as _;
        let begin = [Ok(Bytes::from(format!("{HEADER_PAGES}\n"))), Ok(lines(&first))];
        Ok(answer::stream(CSV, stream::iter(begin).chain(rest)))
    }

    async fn import(
        &self,
        site: &Arc<RegisteredSite>,
        request: Request<Incoming>,
        wire: &Wire,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let is_csv = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv"));
        if !is_csv {
            return Err(Refusal::NotCsv);
        }
        let query = request.uri().query().unwrap_or_default();
        let name = form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "source")
            .map(|(_, value)| value.into_owned());
        let name: ImportName = name.ok_or(Refusal::ImportUnnamed)?.parse().map_err(Refusal::ImportName)?;
        // One at a time: each may hold its whole file in memory.
        let Ok(_turn) = self.imports.try_acquire() else {
            return Err(Refusal::Unavailable("another import is running; try again when it is done".to_owned()));
        };
        let text = body::collect(request.into_body(), self.settings.limits.import_bytes, wire).await?;
        // A large file takes a while, and the probes are answered on this thread.
        let page_params = Arc::clone(&site.site.page_params);
        let parsing = tokio::task::spawn_blocking(move || csv::parse(&text, &page_params));
        let rows = parsing.await.map_err(|_| Refusal::BodyBroken)?.map_err(Refusal::Csv)?;
        Ok(json(&self.node.import(site, name, rows).await?))
    }

    async fn forget(&self, site: &Arc<RegisteredSite>, source: &str) -> Result<Response<AnswerBody>, Refusal> {
        let name = source.strip_prefix("import:").ok_or(Refusal::NotAnImport)?;
        let name: ImportName = name.parse().map_err(Refusal::ImportName)?;
        let text = name.as_str().to_owned();
        match self.node.forget(site, name).await? {
            Some(report) => Ok(json(&report)),
            None => Err(Refusal::ImportUnknown { site: site.site.id.to_string(), name: text }),
        }
    }
}

impl<N: Node> Answer for Admin<N> {
    /// Never called: there is no lane here, as [`Answer::lane_prefix`] says.
    async fn answer_in_lane(&self, _: &PlainRequest<'_>, _: &Wire, _: &mut Vec<u8>) -> bool {
        true
    }

    async fn answer(&self, request: Request<Incoming>, wire: &Wire) -> Response<AnswerBody> {
        // Who reaches this listener is an operator, or an operator's proxy.
        let id = RequestId::of(request.headers(), true);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut response = match self.route(request, wire).await {
            Ok(response) => {
                if !matches!(method, Method::GET | Method::HEAD) {
                    tracing::info!(request_id = %id, %method, path, "changed at the admin listener");
                }
                response
            }
            Err(refusal) => refused(&refusal, &id),
        };
        id.put(response.headers_mut());
        response
    }

    fn refuse(&self, refusal: &Refusal) -> Response<AnswerBody> {
        let id = RequestId::new();
        let mut response = refused(refusal, &id);
        id.put(response.headers_mut());
        response
    }
}

fn refused(refusal: &Refusal, id: &RequestId) -> Response<AnswerBody> {
    let (status, reason) = (refusal.status().as_u16(), refusal.reason());
    tracing::warn!(request_id = %id, status, reason, "refused at the admin listener");
    refusal.answer()
}

fn json(value: &impl Serialize) -> Response<AnswerBody> {
    // Structs of strings and numbers always serialise.
    answer::typed(StatusCode::OK, JSON, serde_json::to_vec(value).unwrap_or_default())
}

fn lines(rows: &[Row]) -> Bytes {
    let mut text = Vec::new();
    rows.iter().for_each(|row| csv::write_row(&mut text, row));
    text.into()
}

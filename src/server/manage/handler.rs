//! Handler of requests to the editors' pages.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, Response, StatusCode};

use super::access::{self, Door};
use super::answer::Outcome;
use super::assets::Assets;
use super::frame::Frame;
use super::live_figures::LiveFigures;
use super::locale::Locale;
use super::{
    ManageSettings, answer, error_page, live_page, overview, page_detail, report, site_page, sources_page, tables,
    tag_page,
};
use crate::counter::{Access, RegisteredSite};
use crate::metrics::Metrics;
use crate::server::http::{AnswerBody, Host, HttpError, Latency, RequestId, body, framing};
use crate::server::net::ConnState;
use crate::server::ports::Node;
use crate::server::public::history_blocks::HistoryBlocks;
use crate::server::public::listed_pages::ListedPages;
use crate::server::routes::{self, Manage as Endpoint, ManagedTable, Matched};

/// A listener's editors' pages.
pub struct Manage<N> {
    node: Arc<N>,
    door: Door,
    settings: Arc<ManageSettings>,
    assets: Assets,
    blocks: HistoryBlocks,
    lists: ListedPages,
    metrics: Arc<Metrics>,
    latency: Latency,
}

const SITE_UNKNOWN: HttpError =
    HttpError::fixed(StatusCode::NOT_FOUND, "site", "there is no such site, or this token doesn't open it");

const VIEW_ONLY: HttpError = HttpError::fixed(
    StatusCode::FORBIDDEN,
    "token",
    "this token may only view; a change needs one with the right `edit`",
);
const NO_FORM: HttpError = HttpError::fixed(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "malformed",
    "expected a form: `Content-Type: application/x-www-form-urlencoded`, in UTF-8",
);
const FORM: &[u8] = b"application/x-www-form-urlencoded";
/// Longest form.
const FORM_BYTES_MAX: usize = 16 << 10;

impl<N: Node> Manage<N> {
    pub fn new(node: Arc<N>, door: Door, settings: Arc<ManageSettings>, metrics: &Arc<Metrics>) -> Self {
        Self {
            node,
            door,
            settings,
            assets: Assets::new(),
            blocks: HistoryBlocks::default(),
            lists: ListedPages::default(),
            latency: Latency::new(Arc::clone(metrics)),
            metrics: Arc::clone(metrics),
        }
    }

    /// Path under which the listener is served.
    fn prefix(&self) -> &str {
        match self.door {
            Door::Admin { .. } => "",
            Door::Public => &self.settings.path_prefix,
        }
    }

    /// True for a path of these pages.
    pub fn is_for(&self, path: &str) -> bool {
        routes::is_managed(path, self.prefix())
    }

    pub async fn handle(&self, request: Request<Incoming>, conn: &ConnState) -> Response<AnswerBody> {
        let started = Instant::now();
        // A stranger's id is as good as ours: the log only shows it.
        let id = RequestId::of(request.headers(), matches!(self.door, Door::Admin { .. }));
        let locale = Locale::of(request.uri().query().unwrap_or_default(), request.headers());
        let path = request.uri().path().to_owned();
        let matched = routes::manage(&path, self.prefix());
        let is_for_programs = is_for_programs(matched, request.uri().query());
        let mut response = match self.route(matched, request, locale, conn).await {
            Ok(response) => response,
            Err(error) => self.refused(&error, locale, &id, is_for_programs),
        };
        id.put(response.headers_mut());
        if let Door::Public = self.door {
            let label = matched.map_or("other", |matched| matched.route.label);
            self.latency.observe(label, response.status(), started.elapsed());
        }
        response
    }

    async fn route(
        &self,
        matched: Option<Matched<'_, Endpoint>>,
        request: Request<Incoming>,
        locale: Locale,
        conn: &ConnState,
    ) -> Outcome {
        framing::check(request.uri(), request.headers(), conn)?;
        let access = access::access(&self.door, request.method(), request.headers(), conn)?;
        let Matched { route, site, .. } = matched.ok_or(HttpError::PATH_UNKNOWN)?;
        if !route.allows(request.method().as_str()) {
            return Err(HttpError::method(route.methods));
        }
        let frame = Frame::new(self.prefix(), locale, &access, &self.assets);
        let query = request.uri().query().unwrap_or_default();
        match route.endpoint {
            Endpoint::Slash => Ok(answer::moved(&frame.home())),
            Endpoint::Styles => Ok(self.assets.styles(request.headers())),
            Endpoint::Script => Ok(self.assets.script(request.headers())),
            Endpoint::Icon => Ok(self.assets.icon()),
            Endpoint::Overview => {
                let asked = overview::Asked::of(query)?;
                let sites = self.sites(&access);
                let page = overview::page(&*self.node, frame, &asked, sites).await?;
                answer::page(page, request.headers()).await
            }
            Endpoint::OverviewNow => {
                let asked = overview::Asked::of(query)?;
                Ok(answer::json(&overview::now(&*self.node, locale, &asked, self.sites(&access)).await?))
            }
            Endpoint::Site => {
                let site = self.site(&access, site)?;
                let asked = site_page::Asked::of(query, site_page::today(&site))?;
                let kept = (&self.blocks, &self.lists);
                let page = site_page::page(&self.node, kept, frame, &site, &asked).await?;
                answer::page(page, request.headers()).await
            }
            Endpoint::Page => {
                let site = self.site(&access, site)?;
                let page = page_detail::page(&*self.node, frame, &site, query, site_page::today(&site)).await?;
                answer::page(page, request.headers()).await
            }
            Endpoint::Table(table, format) => {
                let kept = (&self.blocks, &self.lists);
                let table = match table {
                    ManagedTable::Sites => {
                        let asked = overview::Asked::of(query)?;
                        tables::of_overview(&*self.node, &frame, &asked, self.sites(&access)).await?
                    }
                    _ => tables::of_site(&self.node, kept, &frame, &self.site(&access, site)?, table, query).await?,
                };
                table.answer(format, locale.language, request.headers()).await
            }
            Endpoint::Report => {
                let site = self.site(&access, site)?;
                let kept = (&self.blocks, &self.lists);
                report::answer(&self.node, kept, frame, &site, query, request.headers()).await
            }
            Endpoint::ReportStyles => Ok(self.assets.report_styles(request.headers())),
            Endpoint::Live => {
                let page = live_page::page(frame, &self.site(&access, site)?, &self.settings.live_hits);
                answer::page(page, request.headers()).await
            }
            Endpoint::LiveRows => {
                let rows = live_page::rows(locale, &*self.site(&access, site)?, &self.settings.live_hits);
                Ok(answer::json(&rows.unwrap_or_default()))
            }
            Endpoint::Tag => {
                let site = self.site(&access, site)?;
                let address = self.public_address(request.headers());
                answer::page(tag_page::page(frame, &site, query, address)?, request.headers()).await
            }
            Endpoint::Sources => {
                let site = self.site(&access, site)?;
                let may_edit = access.may_edit(&site.site.id);
                let page = sources_page::page(&*self.node, frame, &site, may_edit, query).await?;
                answer::page(page, request.headers()).await
            }
            Endpoint::Forget => {
                let site = self.editable(&access, site)?;
                let form = self.form(request, conn).await?;
                let name = sources_page::forget(&*self.node, &site, &form).await?;
                let (token, site) = (&*access.name, &site.site.id);
                tracing::info!(token, %site, import = name.as_str(), "an import was taken back on the editors' page");
                Ok(answer::see(&frame.href(&format!("/sites/{site}/sources"), &[("forgotten", name.as_str())])))
            }
            Endpoint::SiteNow => {
                let site = self.site(&access, site)?;
                let live = LiveFigures::read(&*self.node, locale, &site, site_page::today(&site)).await?;
                Ok(answer::json(&live.named()))
            }
        }
    }

    /// The sites that may be viewed.
    fn sites(&self, access: &Access) -> Vec<Arc<RegisteredSite>> {
        self.node.sites().iter().filter(|site| access.may_view(&site.site.id)).map(Arc::clone).collect()
    }

    /// The site that a path names. One that may not be viewed is as unknown as any other.
    fn site(&self, access: &Access, id: &str) -> Result<Arc<RegisteredSite>, HttpError> {
        let sites = self.node.sites();
        let site = sites.get(id).filter(|site| access.may_view(&site.site.id));
        site.map(Arc::clone).ok_or(SITE_UNKNOWN)
    }

    /// The site that a path names, if it may be changed.
    fn editable(&self, access: &Access, id: &str) -> Result<Arc<RegisteredSite>, HttpError> {
        let site = self.site(access, id)?;
        if access.may_edit(&site.site.id) { Ok(site) } else { Err(VIEW_ONLY) }
    }

    /// The fields of a form.
    async fn form(&self, request: Request<Incoming>, conn: &ConnState) -> Result<String, HttpError> {
        let is_form = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(FORM));
        if !is_form {
            return Err(NO_FORM);
        }
        let text = body::collect(request.into_body(), FORM_BYTES_MAX, conn).await?;
        String::from_utf8(text.into()).map_err(|_| NO_FORM)
    }

    /// The public listener's address, as the browser has found it.
    fn public_address(&self, headers: &HeaderMap) -> Option<String> {
        let Door::Public = self.door else { return None };
        let host = Host::of(headers).ok()?;
        let scheme = if matches!(host.name, "localhost" | "127.0.0.1" | "[::1]") { "http" } else { "https" };
        let port = host.port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{scheme}://{}{port}{}", host.name, self.settings.path_prefix))
    }

    fn refused(&self, error: &HttpError, locale: Locale, id: &RequestId, for_programs: bool) -> Response<AnswerBody> {
        tracing::debug!(request_id = %id, status = error.status.as_u16(), reason = error.reason, "editors' page refused");
        if let Door::Public = self.door {
            self.metrics.refusals_total.with_label_values(&[error.reason]).inc();
        }
        if for_programs {
            return error.response();
        }
        error_page::answer(error, Frame::bare(self.prefix(), locale, &self.assets))
    }
}

/// True for a request of a program, to which a page would say nothing.
fn is_for_programs(matched: Option<Matched<'_, Endpoint>>, query: Option<&str>) -> bool {
    matched.is_some_and(|matched| matched.route.endpoint == Endpoint::Report)
        && report::is_for_programs(query.unwrap_or_default())
}

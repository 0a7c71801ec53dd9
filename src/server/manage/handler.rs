//! Handler of requests to the editors' pages.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::access::{Caller, Door};
use super::answer::{self, Outcome};
use super::assets::Assets;
use super::frame::Frame;
use super::live_figures::LiveFigures;
use super::locale::Locale;
use super::{
    ManageSettings, error_page, live_page, login, overview, page_detail, report, shares, site_page, sources_page,
    tables, tag_page,
};
use crate::clock;
use crate::counter::{Access, RegisteredSite};
use crate::metrics::Metrics;
use crate::server::admin::auth::SEC_FETCH_SITE;
use crate::server::http::{AnswerBody, Host, HttpError, Latency, RequestId, body, form, framing};
use crate::server::net::ConnState;
use crate::server::ports::Node;
use crate::server::public::history_blocks::HistoryBlocks;
use crate::server::public::listed_pages::ListedPages;
use crate::server::routes::{self, Manage as Endpoint, ManagedTable, Matched};
use crate::server::session::form_token;

/// Bytes of a form.
const FORM_BYTES_MAX: usize = 32 << 10;
const FORM_TYPE: HttpError = HttpError::fixed(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "malformed",
    "a form needs `Content-Type: application/x-www-form-urlencoded`",
);
const VIEW_ONLY: HttpError = HttpError::fixed(
    StatusCode::FORBIDDEN,
    "token",
    "this token may only view; a change needs one with the right `edit`",
);
const SITE_UNKNOWN: HttpError =
    HttpError::fixed(StatusCode::NOT_FOUND, "site", "there is no such site, or this token doesn't open it");

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
        let (head, body) = request.into_parts();
        let mut response = match self.route(matched, &head, body, locale, (conn, &id)).await {
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
        head: &Parts,
        body: Incoming,
        locale: Locale,
        (conn, id): (&ConnState, &RequestId),
    ) -> Outcome {
        let Parts { method, uri, headers, .. } = head;
        framing::check(uri, headers, conn)?;
        Host::of(headers)?;
        self.door.check_page(method, headers, conn)?;
        let query = uri.query().unwrap_or_default();
        let bare = || Frame::bare(self.prefix(), locale, &self.assets);
        let (grants, now_s) = (self.node.grants(), clock::now().timestamp());
        let (door, entrance) = (&self.door, &self.settings.entrance);
        let caller = Caller { door, entrance, grants: &grants, headers, peer: conn.peer(), now_s };
        let endpoint = matched.map(|matched| matched.route.endpoint);
        let is_allowed = matched.is_some_and(|matched| matched.route.allows(method.as_str()));
        // Pages for everyone.
        match endpoint.filter(|_| is_allowed) {
            Some(Endpoint::Styles) => return Ok(self.assets.styles(headers)),
            Some(Endpoint::Script) => return Ok(self.assets.script(headers)),
            Some(Endpoint::Icon) => return Ok(self.assets.icon()),
            Some(Endpoint::Share) => {
                let link = matched.map_or("", |matched| matched.site);
                return login::share(&caller, bare(), link, &self.node.sites());
            }
            Some(Endpoint::Login) if *method == Method::POST => {
                return login::enter(&caller, bare(), &fields(headers, body, conn).await?);
            }
            Some(Endpoint::Login) => {
                let next = form::field(query, login::NEXT)?.unwrap_or_default();
                return login::page(&caller, bare(), &next);
            }
            _ => {}
        }
        let entry = match caller.entry() {
            Ok(entry) => entry,
            Err(error) if error.status == StatusCode::UNAUTHORIZED && wants_page(method, headers) => {
                let own = uri.path_and_query().map_or("", |own| own.as_str());
                let is_foreign = headers.get(SEC_FETCH_SITE).is_some_and(|site| *site == "cross-site");
                return Ok(match is_foreign {
                    // The browser has kept the session's cookie back, since another site's page has led here.
                    true => login::onward(bare(), own.to_owned()),
                    false => answer::see(&bare().href("/login", &[(login::NEXT, own)])),
                });
            }
            Err(error) => return Err(error),
        };
        let Matched { route, site, .. } = matched.ok_or(HttpError::PATH_UNKNOWN)?;
        if !is_allowed {
            return Err(HttpError::method(route.methods));
        }
        let fields = match *method {
            Method::GET | Method::HEAD => String::new(),
            _ => {
                let fields = fields(headers, body, conn).await?;
                entry.check_form(form::field(&fields, form_token::FIELD)?.as_deref())?;
                tracing::info!(request_id = %id, token = %entry.access.name, path = uri.path(), "form sent by an editor");
                fields
            }
        };
        let access = &entry.access;
        let frame = Frame::new(self.prefix(), locale, &entry, &self.assets);
        match route.endpoint {
            Endpoint::Slash => Ok(answer::moved(&frame.home())),
            Endpoint::Overview => {
                let asked = overview::Asked::of(query)?;
                let sites = self.sites(access);
                let page = overview::page(&*self.node, frame, &asked, sites, &self.settings.refusals).await?;
                answer::page(page, headers).await
            }
            Endpoint::OverviewNow => {
                let asked = overview::Asked::of(query)?;
                Ok(answer::json(&overview::now(&*self.node, locale, &asked, self.sites(access)).await?))
            }
            Endpoint::Site => {
                let site = self.site(access, site)?;
                let asked = site_page::Asked::of(query, site_page::today(&site))?;
                let kept = (&self.blocks, &self.lists);
                let page = site_page::page(&self.node, kept, frame, &site, &asked).await?;
                answer::page(page, headers).await
            }
            Endpoint::Page => {
                let site = self.site(access, site)?;
                let page = page_detail::page(&*self.node, frame, &site, query, site_page::today(&site)).await?;
                answer::page(page, headers).await
            }
            Endpoint::Table(table, format) => {
                let kept = (&self.blocks, &self.lists);
                let table = match table {
                    ManagedTable::Sites => {
                        let asked = overview::Asked::of(query)?;
                        tables::of_overview(&*self.node, &frame, &asked, self.sites(access)).await?
                    }
                    _ => tables::of_site(&self.node, kept, &frame, &self.site(access, site)?, table, query).await?,
                };
                table.answer(format, locale.language, headers).await
            }
            Endpoint::Report => {
                let site = self.site(access, site)?;
                let kept = (&self.blocks, &self.lists);
                report::answer(&self.node, kept, frame, &site, query, headers).await
            }
            Endpoint::ReportStyles => Ok(self.assets.report_styles(headers)),
            Endpoint::Live => {
                let site = self.site(access, site)?;
                let refused = self.settings.refusals.list(&self.node.sites(), Some(site.site.id.as_str())).refused;
                let page = live_page::page(frame, &site, &self.settings.live_hits, &refused);
                answer::page(page, headers).await
            }
            Endpoint::LiveRows => {
                let rows = live_page::rows(locale, &*self.site(access, site)?, &self.settings.live_hits);
                Ok(answer::json(&rows.unwrap_or_default()))
            }
            Endpoint::Tag => {
                let site = self.site(access, site)?;
                let address = self.public_address(headers);
                answer::page(tag_page::page(frame, &site, query, address)?, headers).await
            }
            Endpoint::Sources => {
                let site = self.site(access, site)?;
                let may_edit = access.may_edit(&site.site);
                let page = sources_page::page(&*self.node, frame, &site, may_edit, query).await?;
                answer::page(page, headers).await
            }
            Endpoint::Forget => {
                let site = self.editable(access, site)?;
                let name = sources_page::forget(&*self.node, &site, &fields).await?;
                let (token, site) = (&*access.name, &site.site.id);
                tracing::info!(token, %site, import = name.as_str(), "an import was taken back on the editors' page");
                Ok(answer::see(&frame.href(&format!("/sites/{site}/sources"), &[("forgotten", name.as_str())])))
            }
            Endpoint::SiteNow => {
                let site = self.site(access, site)?;
                let live = LiveFigures::read(&*self.node, locale, &site, site_page::today(&site)).await?;
                Ok(answer::json(&live.named()))
            }
            Endpoint::Logout => Ok(login::leave(&caller, &frame)),
            Endpoint::Shares => {
                let site = self.editable(access, site)?;
                let made = match *method {
                    Method::POST => shares::change(&*self.node, &caller, &frame, &site, &fields).await?,
                    _ => None,
                };
                shares::page(&*self.node, &caller, frame, &site, made).await
            }
            Endpoint::Styles | Endpoint::Script | Endpoint::Icon | Endpoint::Login | Endpoint::Share => {
                Err(HttpError::PATH_UNKNOWN)
            }
        }
    }

    /// The sites that may be viewed.
    fn sites(&self, access: &Access) -> Vec<Arc<RegisteredSite>> {
        self.node.sites().iter().filter(|site| access.may_view(&site.site)).map(Arc::clone).collect()
    }

    /// The site that a path names. One that may not be viewed is as unknown as any other.
    fn site(&self, access: &Access, id: &str) -> Result<Arc<RegisteredSite>, HttpError> {
        let sites = self.node.sites();
        let site = sites.get(id).filter(|site| access.may_view(&site.site));
        site.map(Arc::clone).ok_or(SITE_UNKNOWN)
    }

    /// The site that a path names, if it may be changed.
    fn editable(&self, access: &Access, id: &str) -> Result<Arc<RegisteredSite>, HttpError> {
        let site = self.site(access, id)?;
        if access.may_edit(&site.site) { Ok(site) } else { Err(VIEW_ONLY) }
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

/// The fields of a form.
async fn fields(headers: &HeaderMap, body: Incoming, conn: &ConnState) -> Result<String, HttpError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(FORM_TYPE);
    }
    let bytes = body::collect(body, FORM_BYTES_MAX, conn).await?;
    String::from_utf8(bytes.into()).map_err(|_| HttpError::malformed("the form is not in UTF-8"))
}

/// True for a browser that opens a page.
fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|list| list.contains("text/html"));
    matches!(*method, Method::GET | Method::HEAD) && headers.get_all(ACCEPT).iter().any(accepts)
}

/// True for a request of a program, to which a page would say nothing.
fn is_for_programs(matched: Option<Matched<'_, Endpoint>>, query: Option<&str>) -> bool {
    matched.is_some_and(|matched| matched.route.endpoint == Endpoint::Report)
        && report::is_for_programs(query.unwrap_or_default())
}

//! Hot endpoints of the public listener, for both HTTP paths.

use std::rc::Rc;
use std::sync::{Arc, Once};

use hyper::Response;
use hyper::header::HeaderValue;

use super::handler::PublicService;
use super::query::Query;
use super::{closed, names};
use crate::clock;
use crate::counter::{PublicPart, RegisteredSite};
use crate::server::hit::{HitOutcome, Payload, ProcessedHit, site};
use crate::server::hot_endpoints::{self, Reply, Request};
use crate::server::http::{
    AnswerBody, ClientIp, Field, HeaderFields, HttpError, Rendered, RequestId, THONGKE_HIT, conditional, form, headers,
};
use crate::server::net::ConnState;
use crate::server::ports::Node;
use crate::server::refusals::RefusedHit;
use crate::server::routes;

impl<N: Node> PublicService<N> {
    pub async fn hot<H: HeaderFields>(
        &self,
        request: Request<'_>,
        query: Option<&str>,
        headers: &H,
        conn: &ConnState,
    ) -> Result<Reply, HttpError> {
        match request {
            Request::Hit { body } => self.hit(query, body, headers, conn).await,
            Request::Pixel => Ok(self.pixel(query, headers, conn).await),
            Request::Figures { site } => self.figures(site, query, headers, conn).await,
            Request::Script { is_versioned } => Ok(Reply::Other(self.assets.script(headers, is_versioned))),
        }
    }

    async fn hit<H: HeaderFields>(
        &self,
        query: Option<&str>,
        body: &[u8],
        headers: &H,
        conn: &ConnState,
    ) -> Result<Reply, HttpError> {
        let query = Query::of(query);
        let with_figures = query.as_ref().is_ok_and(|query| *query != Query::None);
        let payload = Payload::parse(body).inspect_err(|error| self.remember_unread(error, None, headers, conn))?;
        let client = self.client(headers, conn);
        let ProcessedHit { site, outcome } = self.processed(
            self.hits.handle(&*self.node, &payload, headers, &client, with_figures).await,
            &payload,
            headers,
            &client,
        )?;
        // The hit is processed. An error of the figures must not read as if it were not.
        Ok(match self.figures_of_hit(&site, query).await {
            Ok(figures) => Reply::Hit { outcome, figures },
            Err(error) => {
                let mut response = self.error_response(&error, self.request_id(headers, conn));
                outcome.put(response.headers_mut());
                Reply::Other(response)
            }
        })
    }

    /// A hit's result. A refused one is remembered with its site. One over a limit that is answered as usual counts as
    /// refused there.
    fn processed<H: HeaderFields>(
        &self,
        processed: Result<ProcessedHit, HttpError>,
        payload: &Payload<'_>,
        headers: &H,
        client: &ClientIp<'_, H>,
    ) -> Result<ProcessedHit, HttpError> {
        let refusals = &self.settings.refusals;
        let hit = |reason, field| RefusedHit { reason, field, site: Some(&payload.site), url: Some(&payload.url) };
        match &processed {
            Ok(ProcessedHit { outcome: HitOutcome::LIMITED, .. }) => {
                refusals.show("limited", Some(&payload.site), headers);
                refusals.count("limited");
                self.remember(hit("limited", None), headers, client);
            }
            Ok(_) => {}
            Err(error) => {
                refusals.show(error.reason, Some(&payload.site), headers);
                self.remember(hit(error.reason, error.field), headers, client);
            }
        }
        processed
    }

    /// Remembers a hit whose payload can't be read.
    fn remember_unread(&self, error: &HttpError, site: Option<&str>, headers: &impl HeaderFields, conn: &ConnState) {
        let client = ClientIp::new(&self.settings.trusted_proxies, conn.peer(), headers);
        self.remember(RefusedHit { reason: error.reason, field: error.field, site, url: None }, headers, &client);
    }

    fn remember<H: HeaderFields>(&self, hit: RefusedHit<'_>, headers: &H, client: &ClientIp<'_, H>) {
        self.settings.refusals.remember(&hit, headers, &self.node.sites(), client.prefix(), clock::now());
    }

    /// The figures of a hit's answer, where it asks for some and they are available; or the word that they are closed.
    async fn figures_of_hit(
        &self,
        site: &Arc<RegisteredSite>,
        query: Result<Query, HttpError>,
    ) -> Result<Option<Rc<Rendered>>, HttpError> {
        let Query::Figures(overrides) = query? else { return Ok(None) };
        overrides.iter().try_for_each(|overrides| overrides.check(&site.site))?;
        if !site.site.public.contains(PublicPart::Figures) {
            return Ok(Some(Rc::clone(&self.closed_figures)));
        }
        Ok(self.figures.rendered(&*self.node, site, overrides).await.ok())
    }

    async fn figures(
        &self,
        site: &str,
        query: Option<&str>,
        headers: &impl HeaderFields,
        conn: &ConnState,
    ) -> Result<Reply, HttpError> {
        self.take_read(headers, conn, 1)?;
        let site = site::find(&self.node.sites(), site)?;
        closed::check(&site.site, PublicPart::Figures)?;
        let ignored = query.map_or(Ok(None), |query| names::check(routes::Public::Figures, query))?;
        let overrides = Query::of(query)?.overrides()?;
        overrides.iter().try_for_each(|overrides| overrides.check(&site.site))?;
        self.node.refresh(&site).await;
        let rendered = self.figures.rendered(&*self.node, &site, overrides).await?;
        let is_known = conditional::is_known(headers, &rendered.etag);
        Ok(Reply::Figures { rendered, is_known, ignored })
    }

    /// Always the picture, so that a page without a script shows no broken one, whatever the outcome.
    async fn pixel<H: HeaderFields>(&self, query: Option<&str>, headers: &H, conn: &ConnState) -> Reply {
        let referer = headers.first(Field::Referer).and_then(headers::text);
        let query = query.unwrap_or_default();
        let processed = match Payload::parse_query(query, referer) {
            Err(error) => {
                let site = form::field(query, "site").ok().flatten();
                self.remember_unread(&error, site.as_deref(), headers, conn);
                Err(error)
            }
            Ok(payload) => {
                let client = self.client(headers, conn);
                self.processed(
                    self.hits.handle(&*self.node, &payload, headers, &client, false).await,
                    &payload,
                    headers,
                    &client,
                )
            }
        };
        match processed {
            Ok(ProcessedHit { outcome, .. }) => Reply::Pixel { outcome },
            Err(error) => {
                self.settings.refusals.show(error.reason, None, headers);
                Reply::Other(self.error_pixel(&error, self.request_id(headers, conn)))
            }
        }
    }

    /// The client of a hit. The first untrusted proxy is logged, before a rate limit meets its readers.
    fn client<'a, H: HeaderFields>(&'a self, headers: &'a H, conn: &ConnState) -> ClientIp<'a, H> {
        let client = ClientIp::new(&self.settings.trusted_proxies, conn.peer(), headers);
        let seen = &self.metrics.unbelieved_proxy;
        if seen.get() == 0 && client.has_untrusted_forwarded_header() {
            seen.set(1);
            // Several workers may come here at once; one logs it.
            static WARNING: Once = Once::new();
            WARNING.call_once(|| {
                tracing::warn!(
                    "a hit names its client in a proxy's header, but its sender is not a trusted proxy; if it is one \
                     of yours, add it to `trusted_proxies`: without that, all its readers count as one client"
                );
            });
        }
        client
    }

    /// The pixel, with the error in its head.
    fn error_pixel(&self, error: &HttpError, id: RequestId) -> Response<AnswerBody> {
        self.note(error, &id);
        let mut response = hot_endpoints::pixel(error.status);
        id.put(response.headers_mut());
        error.put_headers(response.headers_mut());
        response.headers_mut().insert(THONGKE_HIT, HeaderValue::from_static(error.reason));
        response
    }
}

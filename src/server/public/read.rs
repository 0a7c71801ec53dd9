//! Reads of a site's pages and history: answered once a second for all who ask the same, however they spell it.

use std::sync::Arc;
use std::time::Instant;

use hyper::header::HeaderMap;
use hyper::{Response, Uri};

use super::handler::PublicService;
use super::query::Overrides;
use super::question::{Question, Reads};
use super::{closed, names};
use crate::counter::RegisteredSite;
use crate::server::hit::site;
use crate::server::http::{
    AnswerBody, ClientIp, FixedFields, HeaderFields, HeaderSink as _, HttpError, conditional, fixed, response,
};
use crate::server::net::ConnState;
use crate::server::ports::Node;
use crate::server::routes::Public;

static VARY_ACCEPT: FixedFields = fixed!("vary": "accept");

impl Reads {
    /// Answers a read, whatever is public. `take`: takes reads from the client's budget, if the answer must be made. It
    /// reuses the map of the request's headers.
    pub async fn answer<N: Node>(
        &self,
        node: &Arc<N>,
        (endpoint, query): (Public, &str),
        site: &Arc<RegisteredSite>,
        headers: &mut HeaderMap,
        take: impl FnOnce(&HeaderMap, u32) -> Result<(), HttpError>,
    ) -> Result<Response<AnswerBody>, HttpError> {
        let ignored = names::check(endpoint, query)?;
        let in_words = |other| {
            Arc::new(RegisteredSite { number: site.number, site: other, editor_rules: site.editor_rules.clone() })
        };
        let site = Overrides::of_words(query)?.apply(&site.site).map_or_else(|| Arc::clone(site), in_words);
        let question = Question::of(endpoint, query, headers, &site)?.ok_or(HttpError::PATH_UNKNOWN)?;
        let key = (site.number, site.site.language, site.site.label_style, question.clone());
        let content_type = question.content_type();
        let answer = match self.known(&key) {
            Some(answer) => answer,
            None => {
                take(headers, question.weight() - 1)?;
                self.ask(key, node, site)
            }
        };
        let answer = answer.await?;
        let rendered = self.rendered(&answer).await;
        let is_known = conditional::is_known(headers, &rendered.etag);
        let mut answer = conditional::answer(std::mem::take(headers), is_known, content_type, rendered);
        if matches!(endpoint, Public::History | Public::PageHistory) {
            answer.headers_mut().fixed(&VARY_ACCEPT);
        }
        response::put_ignored(answer.headers_mut(), ignored.as_ref());
        Ok(answer)
    }
}

impl<N: Node> PublicService<N> {
    pub async fn read(
        &self,
        endpoint: Public,
        site: &str,
        uri: &Uri,
        headers: &mut HeaderMap,
        conn: &ConnState,
    ) -> Result<Response<AnswerBody>, HttpError> {
        self.take_read(headers, conn, 1)?;
        let site = site::find(&self.node.sites(), site)?;
        closed::check(&site.site, closed::part_of(endpoint))?;
        let query = uri.query().unwrap_or_default();
        let take = |headers: &HeaderMap, reads| self.take_read(headers, conn, reads);
        self.reads.answer(&self.node, (endpoint, query), &site, headers, take).await
    }

    /// Takes reads from the client's budget.
    pub fn take_read(&self, headers: &impl HeaderFields, conn: &ConnState, reads: u32) -> Result<(), HttpError> {
        let client = || ClientIp::new(&self.settings.trusted_proxies, conn.peer(), headers).reader();
        let taken = self.settings.rate_limiter.take_reads(client, reads, Instant::now());
        taken.map_err(|exceeded| {
            self.metrics.limited_total.with_label_values(&[exceeded.limit.as_str()]).inc();
            exceeded.into()
        })
    }
}

//! Reads of a site's pages and history: answered once a second for all who ask the same, however they spell it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::HeaderMap;
use hyper::{Response, Uri};

use super::handler::PublicService;
use super::names;
use super::query::Overrides;
use super::question::Question;
use crate::counter::RegisteredSite;
use crate::server::hit::site;
use crate::server::http::{
    AnswerBody, ClientIp, FixedFields, HeaderFields, HeaderSink as _, HttpError, conditional, fixed, response,
};
use crate::server::net::ConnState;
use crate::server::ports::Node;
use crate::server::routes::Public;

static VARY_ACCEPT: FixedFields = fixed!("vary": "accept");

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
        let query = uri.query().unwrap_or_default();
        let ignored = names::check(endpoint, query)?;
        let other = Overrides::of_words(query)?.apply(&site.site);
        let site = other.map_or(site.clone(), |other| Arc::new(RegisteredSite { number: site.number, site: other }));
        let question = Question::of(endpoint, query, headers, &site)?.ok_or(HttpError::PATH_UNKNOWN)?;
        let key = (site.number, site.site.language, site.site.label_style, question.clone());
        let content_type = question.content_type();
        let answer = match self.reads.answers.known(&key) {
            Some(answer) => answer,
            None => {
                self.take_read(headers, conn, question.weight() - 1)?;
                let (node, canonicals) = (Arc::clone(&self.node), Arc::clone(&self.settings.canonicals));
                let blocks = Rc::clone(&self.reads.blocks);
                self.reads.answers.get(key, || question.answer(node, canonicals, blocks, site))
            }
        };
        let rendered = answer.await?;
        let is_known = conditional::is_known(headers, &rendered.etag);
        let mut answer = conditional::answer(std::mem::take(headers), is_known, content_type, &rendered);
        if endpoint == Public::History {
            answer.headers_mut().fixed(&VARY_ACCEPT);
        }
        response::put_ignored(answer.headers_mut(), ignored.as_ref());
        Ok(answer)
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

//! Reads of a site's pages and history: answered once a second for all who ask the same, however they spell it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::HeaderMap;
use hyper::{Response, Uri};

use super::handler::PublicService;
use super::history::{self, Format, Stretch};
use super::history_blocks::HistoryBlocks;
use super::names;
use super::pages::{self, PagesNamed, Top};
use super::query::Overrides;
use crate::clock;
use crate::counter::{Day, LabelStyle, Language, RegisteredSite, SiteNumber};
use crate::server::hit::{Canonicals, site};
use crate::server::http::{
    AnswerBody, CSV, ClientIp, ContentType, FixedFields, HeaderFields, HeaderSink as _, HttpError, JSON, Rendered, SVG,
    SingleFlight, conditional, fixed, response,
};
use crate::server::net::ConnState;
use crate::server::ports::Node;
use crate::server::routes::Public;

static VARY_ACCEPT: FixedFields = fixed!("vary": "accept");

/// Answers kept, the largest about 100 kB.
const ANSWERS_MAX: usize = 256;

/// The canonical form of a read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    PageFigures(PagesNamed),
    TopPages(Top),
    History(Stretch, Format),
    Chart(Stretch),
}

/// A read of a site, in one language and label style.
type Key = (SiteNumber, Language, LabelStyle, Question);

/// One worker's reads.
pub struct Reads {
    answers: SingleFlight<Key, Result<Rendered, HttpError>>,
    blocks: Rc<HistoryBlocks>,
}

impl Default for Reads {
    fn default() -> Self {
        Self { answers: SingleFlight::new(ANSWERS_MAX), blocks: Rc::default() }
    }
}

impl Question {
    /// None for an endpoint that is no such read.
    fn of(
        endpoint: Public,
        query: &str,
        headers: &HeaderMap,
        site: &RegisteredSite,
    ) -> Result<Option<Self>, HttpError> {
        let today = Day::at(clock::now(), site.site.time_zone);
        Ok(Some(match endpoint {
            Public::PageFigures => Self::PageFigures(PagesNamed::of(query)?),
            Public::TopPages => Self::TopPages(Top::of(query, today)?),
            Public::History => Self::History(Stretch::of_history(query, today)?, Format::of(query, headers)?),
            Public::Chart => Self::Chart(Stretch::of_chart(query, today)?),
            _ => return Ok(None),
        }))
    }

    fn content_type(&self) -> &'static ContentType {
        match self {
            Self::PageFigures(_) | Self::TopPages(_) | Self::History(_, Format::Json) => &JSON,
            Self::History(_, Format::Csv) => &CSV,
            Self::Chart(_) => &SVG,
        }
    }

    /// Reads of the client's budget that it costs to make the answer, in the work of a history.
    fn weight(&self) -> u32 {
        match self {
            Self::PageFigures(named) => named.weight(),
            Self::TopPages(_) => 5,
            Self::History(..) | Self::Chart(_) => 1,
        }
    }

    async fn answer<N: Node>(
        self,
        node: Arc<N>,
        canonicals: Arc<Canonicals>,
        blocks: Rc<HistoryBlocks>,
        site: Arc<RegisteredSite>,
    ) -> Result<Rendered, HttpError> {
        match self {
            Self::PageFigures(named) => pages::figures(node, canonicals, site, named).await,
            Self::TopPages(top) => pages::most_read(node, site, top).await,
            Self::History(stretch, format) => history::history(node, blocks, site, stretch, format).await,
            Self::Chart(stretch) => history::chart(node, blocks, site, stretch).await,
        }
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

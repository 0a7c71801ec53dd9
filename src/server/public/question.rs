//! Questions: reads in their canonical form, and a worker's answers to them.

use std::rc::Rc;
use std::sync::Arc;

use hyper::header::HeaderMap;

use super::history::{self, Format, Stretch};
use super::history_blocks::HistoryBlocks;
use super::pages::{self, PagesNamed, Top};
use crate::clock;
use crate::counter::{Day, LabelStyle, Language, RegisteredSite, SiteNumber};
use crate::server::hit::Canonicals;
use crate::server::http::{CSV, ContentType, HttpError, JSON, Rendered, SVG, SingleFlight};
use crate::server::ports::Node;
use crate::server::routes::Public;

/// Answers kept, the largest about 100 kB.
const ANSWERS_MAX: usize = 256;

/// The canonical form of a read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    PageFigures(PagesNamed),
    TopPages(Top),
    History(Stretch, Format),
    Chart(Stretch),
}

/// A read of a site, in one language and label style.
pub type Key = (SiteNumber, Language, LabelStyle, Question);

/// One worker's reads.
pub struct Reads {
    pub answers: SingleFlight<Key, Result<Rendered, HttpError>>,
    pub blocks: Rc<HistoryBlocks>,
    pub canonicals: Arc<Canonicals>,
}

impl Reads {
    pub fn new(canonicals: Arc<Canonicals>) -> Self {
        Self { answers: SingleFlight::new(ANSWERS_MAX), blocks: Rc::default(), canonicals }
    }
}

impl Question {
    /// None for an endpoint that is no such read.
    pub fn of(
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

    pub fn content_type(&self) -> &'static ContentType {
        match self {
            Self::PageFigures(_) | Self::TopPages(_) | Self::History(_, Format::Json) => &JSON,
            Self::History(_, Format::Csv) => &CSV,
            Self::Chart(_) => &SVG,
        }
    }

    /// Reads of the client's budget that it costs to make the answer, in the work of a history.
    pub fn weight(&self) -> u32 {
        match self {
            Self::PageFigures(named) => named.weight(),
            Self::TopPages(_) => 5,
            Self::History(..) | Self::Chart(_) => 1,
        }
    }

    pub async fn answer<N: Node>(
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

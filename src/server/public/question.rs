//! Questions: reads in their canonical form, and a worker's answers to them.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use hyper::header::HeaderMap;

use super::history::{Format, Stretch, StretchHits};
use super::history_blocks::HistoryBlocks;
use super::listed_pages::ListedPages;
use super::page_history::{PageHistory, PageStretch};
use super::pages::{self, PageHits, PagesNamed, Top};
use super::ranged_top::RangedTop;
use super::ranges::RangedPages;
use super::turns::Turns;
use crate::clock;
use crate::counter::{Day, LabelStyle, Language, RegisteredSite, SiteNumber};
use crate::server::hit::Canonicals;
use crate::server::http::{CSV, ContentType, HttpError, JSON, Making, Rendered, SVG, SingleFlight};
use crate::server::ports::{Node, Read, TopPage};
use crate::server::routes::Public;

/// Answers kept, the largest about 100 kB.
const ANSWERS_MAX: usize = 256;

/// The canonical form of a read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    PageFigures(PagesNamed),
    TopPages(Top),
    RangedPages(RangedTop),
    History(Stretch, Format),
    Chart(Stretch),
    PageHistory(PageStretch, Format),
}

/// A read of a site, in one language and label style.
pub type Key = (SiteNumber, Language, LabelStyle, Question);

/// One worker's reads.
pub struct Reads {
    answers: SingleFlight<Key, Result<Rc<Answer>, HttpError>>,
    shared: Rc<Ingredients>,
    canonicals: Arc<Canonicals>,
    turns: Turns,
}

/// Ingredients that different answers share.
#[derive(Default)]
struct Ingredients {
    blocks: HistoryBlocks,
    lists: ListedPages,
}

impl Reads {
    pub fn new(canonicals: Arc<Canonicals>) -> Self {
        Self { answers: SingleFlight::new(ANSWERS_MAX), shared: Rc::default(), canonicals, turns: Turns::default() }
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
            Public::TopPages => match RangedTop::of(query, &site.site, today)? {
                Some(ranged) => Self::RangedPages(ranged),
                None => Self::TopPages(Top::of(query, today)?),
            },
            Public::History => Self::History(Stretch::of_history(query, today)?, Format::of(query, headers)?),
            Public::Chart => Self::Chart(Stretch::of_chart(query, today)?),
            Public::PageHistory => {
                Self::PageHistory(PageStretch::of(query, &site.site, today)?, Format::of(query, headers)?)
            }
            _ => return Ok(None),
        }))
    }

    pub fn content_type(&self) -> &'static ContentType {
        match self {
            Self::History(_, Format::Csv) | Self::PageHistory(_, Format::Csv) => &CSV,
            Self::PageFigures(_) | Self::TopPages(_) | Self::RangedPages(_) => &JSON,
            Self::History(_, Format::Json) | Self::PageHistory(_, Format::Json) => &JSON,
            Self::Chart(_) => &SVG,
        }
    }

    /// Reads of the client's budget that it costs to make the answer, in the work of a history.
    pub fn weight(&self) -> u32 {
        match self {
            Self::PageFigures(named) => named.weight(),
            Self::TopPages(_) => 5,
            Self::RangedPages(ranged) => ranged.weight(),
            Self::History(..) | Self::Chart(_) => 1,
            Self::PageHistory(stretch, _) => stretch.weight(),
        }
    }

    /// Gathers the answer's ingredients.
    async fn answer<N: Node>(
        self,
        node: Arc<N>,
        canonicals: Arc<Canonicals>,
        shared: Rc<Ingredients>,
        site: Arc<RegisteredSite>,
    ) -> Result<Rc<Answer>, HttpError> {
        let gathered = match self {
            Self::PageFigures(named) => Gathered::PageFigures(pages::read(&node, &canonicals, &site, named).await?),
            Self::TopPages(top) => {
                let read = shared.lists.list(&node, &site, top.period()).await?;
                Gathered::TopPages(top, read)
            }
            Self::RangedPages(ranged) => {
                let read = ranged.read(&node, &shared.lists, &site).await?;
                Gathered::RangedPages(ranged, read)
            }
            Self::History(stretch, format) => {
                Gathered::History(stretch.read(&node, &shared.blocks, &site).await?, format)
            }
            Self::Chart(stretch) => Gathered::Chart(stretch.read(&node, &shared.blocks, &site).await?),
            Self::PageHistory(stretch, format) => {
                Gathered::PageHistory(stretch.read(&node, &canonicals, &site).await?, format)
            }
        };
        Ok(Rc::new(Answer { site, gathered, rendered: OnceCell::new() }))
    }
}

/// The ingredients of one answer.
enum Gathered {
    PageFigures(PageHits),
    TopPages(Top, Rc<Read<TopPage>>),
    RangedPages(RangedTop, RangedPages),
    History(StretchHits, Format),
    Chart(StretchHits),
    PageHistory(PageHistory, Format),
}

/// An answer, rendered when it is first sent.
pub struct Answer {
    site: Arc<RegisteredSite>,
    gathered: Gathered,
    rendered: OnceCell<Rendered>,
}

impl Answer {
    fn render(&self) -> Rendered {
        let site = &self.site.site;
        match &self.gathered {
            Gathered::PageFigures(hits) => hits.render(site),
            Gathered::TopPages(top, read) => top.render(site, read),
            Gathered::RangedPages(ranged, read) => ranged.render(site, read),
            Gathered::History(hits, format) => hits.history(site, *format),
            Gathered::Chart(hits) => hits.chart(site),
            Gathered::PageHistory(hits, format) => hits.render(site, *format),
        }
    }
}

impl Reads {
    /// The answer to a question that waits for one, or for which there is one.
    pub fn known(&self, key: &Key) -> Option<Making<Result<Rc<Answer>, HttpError>>> {
        self.answers.known(key)
    }

    /// The answer to a question.
    pub fn ask<N: Node>(
        &self,
        key: Key,
        node: &Arc<N>,
        site: Arc<RegisteredSite>,
    ) -> Making<Result<Rc<Answer>, HttpError>> {
        let question = key.3.clone();
        let make = || question.answer(Arc::clone(node), Arc::clone(&self.canonicals), Rc::clone(&self.shared), site);
        self.answers.get(key, make)
    }

    /// The rendered answer. One is rendered at a time, with room for hits in between.
    pub async fn rendered<'a>(&self, answer: &'a Answer) -> &'a Rendered {
        if answer.rendered.get().is_none() {
            let _turn = self.turns.take().await;
            return answer.rendered.get_or_init(|| answer.render());
        }
        answer.rendered.get_or_init(|| answer.render())
    }
}

//! One page's hits over time, and in all.

use std::hash::Hash as _;
use std::sync::Arc;

use super::answer;
use super::history::{Format, Stretch, StretchHits};
use super::pages::page_named;
use crate::clock;
use crate::counter::csv::{self, HEADER_PAGES, Row};
use crate::counter::{Day, PageAddress, Period, RegisteredSite, Site, figures};
use crate::server::hit::Canonicals;
use crate::server::http::{HttpError, Rendered, conditional, form};
use crate::server::ports::{Node, Read};

/// Counters of a page that are as much work as a history of the site.
const COUNTERS_PER_READ: usize = 100;

/// The page that a query names, in its words, and the stretch of its history.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageStretch {
    url: String,
    canonical: Option<String>,
    stretch: Stretch,
}

impl PageStretch {
    /// Without the periods whose figures of pages are over.
    pub fn of(query: &str, site: &Site, today: Day) -> Result<Self, HttpError> {
        let unnamed = || HttpError::field("url", "the query names no page; add `url=`, the page's address");
        let url = form::field(query, "url")?.ok_or_else(unnamed)?;
        let canonical = form::field(query, "canonical")?.filter(|canonical| !canonical.is_empty());
        let stretch = Stretch::of_page(query, site.page_retention.oldest_kept(today), today)?;
        Ok(Self { url: url.into_owned(), canonical: canonical.map(Into::into), stretch })
    }

    /// The work of the answer, in histories of the site.
    pub fn weight(&self) -> u32 {
        (1 + self.stretch.periods().len()).div_ceil(COUNTERS_PER_READ) as u32
    }

    pub async fn read<N: Node>(
        self,
        node: &Arc<N>,
        canonicals: &Canonicals,
        site: &Arc<RegisteredSite>,
    ) -> Result<PageHistory, HttpError> {
        let today = Day::at(clock::now(), site.site.time_zone);
        let believed = |own| match &self.canonical {
            Some(canonical) => canonicals.peek(site, own, canonical, today).page,
            None => own,
        };
        let page = page_named(site, &self.url, believed)?;
        let mut periods = self.stretch.periods();
        periods.push(Period::Total);
        let Read { mut values, stale } = node.page_hits(site, std::slice::from_ref(&page), &periods).await?;
        values.iter_mut().for_each(|hits| *hits = figures::shown(*hits));
        periods.pop();
        let total = values.pop().unwrap_or_default();
        let hits = self.stretch.with(Read { values, stale });
        Ok(PageHistory { url: self.url, page, total, hits })
    }
}

/// The hits of a page.
pub struct PageHistory {
    url: String,
    page: PageAddress,
    total: i64,
    hits: StretchHits,
}

impl PageHistory {
    pub fn render(&self, site: &Site, format: Format) -> Rendered {
        if format == Format::Csv {
            return self.csv();
        }
        let about = answer::members(&serde_json::json!({
            "url": self.url,
            "page": self.page.as_str(),
            "total": { "value": self.total, "text": site.language.number(self.total) },
        }));
        self.hits.json(site, &about)
    }

    /// As an export has it: lines of the site must not be made of a page's.
    fn csv(&self) -> Rendered {
        let mut text = format!("{HEADER_PAGES}\n").into_bytes();
        for (period, hits) in self.hits.lines().chain([(Period::Total, self.total)]) {
            csv::write_row(&mut text, &Row { period, page: Some(self.page.clone()), hits });
        }
        let etag = conditional::etag(|hasher| text.hash(hasher));
        Rendered { body: text.into(), etag }
    }
}

//! Most read pages of the chosen range, as a table that can be searched.

use std::sync::Arc;

use super::chosen_range::ChosenRange;
use super::frame::Frame;
use super::not_counted::width;
use crate::counter::RegisteredSite;
use crate::server::ports::{Available, Node, TopPage};
use crate::server::public::listed_pages::ListedPages;
use crate::server::public::ranges::{self, PageFilter, RangedPages};

/// Lines of the table.
const LINES_MAX: usize = 50;

pub struct MostRead {
    pub lines: Vec<PageLine>,
    pub under: String,
    pub text: String,
    pub action: String,
    /// Fields of the form that keep the rest of the query.
    pub kept: Vec<(&'static str, String)>,
    pub is_filtered: bool,
    /// The first day of which pages' views are kept, where the range begins before.
    pub kept_from: Option<String>,
    pub is_stale: bool,
}

pub struct PageLine {
    pub title: String,
    /// None where the title is the address.
    pub address: Option<String>,
    pub href: String,
    pub views: String,
    pub share: String,
    /// Of the longest bar.
    pub width: String,
}

impl MostRead {
    #[expect(clippy::too_many_arguments, reason = "each is one part of the question")]
    pub async fn read<N: Node>(
        node: &Arc<N>,
        lists: &ListedPages,
        frame: &Frame,
        site: &Arc<RegisteredSite>,
        range: ChosenRange,
        (under, text): (&str, &str),
        site_hits: i64,
        mut query: Vec<(&'static str, String)>,
    ) -> Available<Self> {
        let filter = PageFilter::new(under, text, &site.site.page_rules);
        let read = match range.begun() {
            Some(days) => ranges::most_read(node, lists, site, (days, range.today()), &filter, LINES_MAX).await?,
            None => RangedPages { pages: Vec::new(), stale: false, kept_from: None },
        };
        let most = read.pages.first().map_or(1, |page| page.hits);
        query.retain(|(name, value)| !["under", "q"].contains(name) && !value.is_empty());
        if let Some(language) = frame.chosen_language() {
            query.push(("lang", language.to_owned()));
        }
        Ok(Self {
            lines: read.pages.iter().map(|page| line(frame, site, page, site_hits, most)).collect(),
            under: under.to_owned(),
            text: text.to_owned(),
            action: frame.path(&format!("/sites/{}", site.site.id)),
            kept: query,
            is_filtered: !under.is_empty() || !text.is_empty(),
            kept_from: read.kept_from.map(|day| frame.locale.day(day)),
            is_stale: read.stale,
        })
    }
}

fn line(frame: &Frame, site: &RegisteredSite, page: &TopPage, site_hits: i64, most: i64) -> PageLine {
    let locale = frame.locale;
    let address = if page.page.is_other() { frame.words.other_pages.to_owned() } else { page.page.to_string() };
    let title = page.title.as_ref().map(|title| title.as_str().to_owned());
    PageLine {
        address: title.is_some().then(|| address.clone()),
        title: title.unwrap_or(address),
        href: frame.href(&format!("/sites/{}/page", site.site.id), &[("page", page.page.as_str())]),
        views: locale.number(page.hits),
        share: locale.share(page.hits, site_hits),
        width: width(page.hits, most),
    }
}

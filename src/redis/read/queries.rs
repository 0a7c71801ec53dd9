//! Queries for pages, titles and history: read for each request, unlike a site's totals, which every
//! page view shows.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::Semaphore;

use crate::counter::{Known, PageAddress, PageTitle, Period, Register, Site, Source};
use crate::redis::client::connection::Connections;
use crate::redis::client::reply::text;
use crate::redis::keys::{self, Keys};

/// Limit of a query; then the node shows its own counts, and the answer is stale.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Hits that may wait at once for the answer whether their pages are known.
const PAGE_QUESTIONS_MAX: usize = 64;
/// Fields of one command.
const FIELDS_MAX: usize = 500;
/// Members read beyond those of a list: contributions of imports with negative counts stand among the
/// pages.
const MEMBERS_MORE: usize = 20;
const MEMBERS_MAX: usize = 2_000;

/// Queries over the shared connection.
pub struct Queries {
    keys: Keys,
    connections: Arc<Connections>,
    page_questions: Semaphore,
}

impl Queries {
    pub fn new(keys: Keys, connections: Arc<Connections>) -> Self {
        Self { keys, connections, page_questions: Semaphore::new(PAGE_QUESTIONS_MAX) }
    }

    /// Figures of these site counters together with Redis's, and true if Redis has less of one than the node
    /// knows; none if the read fails.
    pub async fn site_figures(&self, site: &Site, counters: &[(Period, Known)]) -> Option<(Vec<i64>, bool)> {
        let key = self.keys.hits(&site.id);
        let mut fields = Vec::new();
        for (period, known) in counters {
            fields.push(period.to_string());
            fields.extend(known.sources().map(|source| keys::contribution_field(*period, source)));
        }
        let values = self.fields("HMGET", &key, &fields).await?;
        let mut values = values.into_iter();
        let figures: Option<Vec<_>> = counters
            .iter()
            .map(|(_, known)| {
                let total = values.next()?;
                let there: Vec<_> = known.sources().map(|source| keys::register(source, &values.next()??)).collect();
                let total = match total {
                    None => 0,
                    Some(total) => keys::integer(&total)?,
                };
                Some(known.with(total, &there))
            })
            .collect();
        let (figures, behind): (_, Vec<bool>) = figures?.into_iter().unzip();
        Some((figures, behind.contains(&true)))
    }

    /// Figures of these pages' counters together with Redis's, and true if Redis has less of one than the node
    /// knows; none if the read fails.
    pub async fn page_figures(
        &self,
        site: &Site,
        counters: &[(Period, PageAddress, Known)],
    ) -> Option<(Vec<i64>, bool)> {
        let (mut figures, mut is_behind) = (vec![0; counters.len()], false);
        let mut periods: Vec<_> = counters.iter().map(|(period, ..)| *period).collect();
        periods.sort_unstable();
        periods.dedup();
        for period in periods {
            let of_period: Vec<_> = counters.iter().enumerate().filter(|(_, (of, ..))| *of == period).collect();
            let mut members = Vec::new();
            for (_, (_, page, known)) in &of_period {
                members.push(page.to_string());
                for source in known.sources() {
                    members.push(keys::contribution_member(source, page));
                    if matches!(source, Source::Import(_)) {
                        members.push(keys::generation_member(source, page));
                    }
                }
            }
            let scores = self.fields("ZMSCORE", &self.keys.pages(&site.id, period), &members).await?;
            let mut scores = scores.into_iter().map(|score| score.as_deref().and_then(keys::score));
            for (at, (_, _, known)) in of_period {
                let total = scores.next()?.unwrap_or(0);
                let mut there = Vec::with_capacity(known.others.len() + 1);
                for source in known.sources() {
                    let hits = scores.next()?.map(|score| -score);
                    there.push(match source {
                        Source::Run(_) => hits.map(Register::Grown),
                        Source::Import(_) => {
                            let generation = scores.next()?.and_then(|score| u64::try_from(-score).ok());
                            hits.zip(generation).map(|(hits, generation)| Register::Written { generation, hits })
                        }
                    });
                }
                let (figure, behind) = known.with(total, &there);
                figures[at] = figure;
                is_behind |= behind;
            }
        }
        Some((figures, is_behind))
    }

    /// Most read pages of a period, those of equal counts by their addresses; none if a read fails.
    pub async fn top_pages(&self, site: &Site, period: Period, limit: usize) -> Option<Vec<PageAddress>> {
        let mut pages = self.highest(site, period, limit).await?;
        if pages.len() >= limit
            && let Some((_, least)) = pages.last().cloned()
        {
            // Redis lists equal counts from the last address on: the limit cuts off the first ones.
            let first = self.first_with(site, period, least, limit).await?;
            pages = with_first(pages, least, first, limit);
        }
        Some(pages.into_iter().map(|(page, _)| page).collect())
    }

    /// Up to `limit` pages with their scores, the highest first.
    async fn highest(&self, site: &Site, period: Period, limit: usize) -> Option<Vec<(PageAddress, i64)>> {
        let key = self.keys.pages(&site.id, period);
        let mut pages = Vec::new();
        let mut from = 0;
        while pages.len() < limit && from < MEMBERS_MAX {
            let to = from + limit + MEMBERS_MORE;
            let mut command = redis::cmd("ZREVRANGE");
            command.arg(&key).arg(from).arg(to - 1).arg("WITHSCORES");
            let Value::Array(values) = self.query(&command).await? else { return None };
            let found = values.len() / 2;
            let mut counted = Vec::with_capacity(found);
            for pair in values.chunks_exact(2) {
                let [member, score] = pair else { continue };
                let (Some(page), Some(score)) = (page_of(member), text(score).as_deref().and_then(keys::score)) else {
                    continue;
                };
                // Scores fall: only contributions are left.
                if score > 0 {
                    counted.push((page, score));
                }
            }
            pages.extend(self.vouched(site, period, counted, |(page, _)| page).await?);
            if found < to - from {
                break;
            }
            from = to;
        }
        pages.truncate(limit);
        Some(pages)
    }

    /// Up to `limit` pages with this score, by their addresses.
    async fn first_with(&self, site: &Site, period: Period, score: i64, limit: usize) -> Option<Vec<PageAddress>> {
        let key = self.keys.pages(&site.id, period);
        let mut pages = Vec::new();
        let mut from = 0;
        while pages.len() < limit && from < MEMBERS_MAX {
            let count = limit + MEMBERS_MORE;
            let mut command = redis::cmd("ZRANGEBYSCORE");
            command.arg(&key).arg(score).arg(score).arg("LIMIT").arg(from).arg(count);
            let Value::Array(members) = self.query(&command).await? else { return None };
            let found = members.iter().filter_map(page_of).collect();
            pages.extend(self.vouched(site, period, found, |page| page).await?);
            if members.len() < count {
                break;
            }
            from += count;
        }
        Some(pages)
    }

    /// Those of a period's pages that are vouched for: they have a total. Others have days alone.
    async fn vouched<T>(
        &self,
        site: &Site,
        period: Period,
        pages: Vec<T>,
        page: impl Fn(&T) -> &PageAddress,
    ) -> Option<Vec<T>> {
        if !matches!(period, Period::Day(_)) || pages.is_empty() {
            return Some(pages);
        }
        let members: Vec<_> = pages.iter().map(|of| page(of).to_string()).collect();
        let totals = self.fields("ZMSCORE", &self.keys.pages(&site.id, Period::Total), &members).await?;
        Some(pages.into_iter().zip(totals).filter(|(_, total)| total.is_some()).map(|(page, _)| page).collect())
    }

    /// True if any node vouches for this page: then it has a total. None if the read fails, or too many hits ask.
    pub async fn is_vouched(&self, site: &Site, page: &PageAddress) -> Option<bool> {
        let _permit = self.page_questions.try_acquire().ok()?;
        let mut command = redis::cmd("ZSCORE");
        command.arg(self.keys.pages(&site.id, Period::Total)).arg(page.as_str());
        Some(!matches!(self.query(&command).await?, Value::Nil))
    }

    /// Titles with the Unix millisecond of each; none if the read fails.
    pub async fn titles(&self, site: &Site, pages: &[PageAddress]) -> Option<Vec<Option<(i64, PageTitle)>>> {
        let links = pages.iter().map(keys::link_field);
        let fields: Vec<_> = pages.iter().map(ToString::to_string).chain(links).collect();
        let mut titles = self.fields("HMGET", &self.keys.titles(&site.id), &fields).await?;
        let links = titles.split_off(pages.len());
        let title = |(title, link): (Option<String>, Option<String>)| keys::title(&title?, link.as_deref());
        Some(titles.into_iter().zip(links).map(title).collect())
    }

    /// Values of fields or members of a key, in their order.
    async fn fields(&self, command: &str, key: &str, fields: &[String]) -> Option<Vec<Option<String>>> {
        let mut values = Vec::with_capacity(fields.len());
        for chunk in fields.chunks(FIELDS_MAX) {
            let mut command = redis::cmd(command);
            command.arg(key).arg(chunk);
            let Value::Array(answer) = self.query(&command).await? else { return None };
            if answer.len() != chunk.len() {
                return None;
            }
            values.extend(answer.iter().map(text));
        }
        Some(values)
    }

    async fn query(&self, command: &Cmd) -> Option<Value> {
        let (number, link) = self.connections.get()?;
        // A slow reply is no verdict on the connection: publication waits longer, and decides.
        match tokio::time::timeout(WAIT_MAX, link.query(command)).await.ok()? {
            Ok(value) => Some(value),
            Err(error) => {
                self.connections.failed(number, &error);
                None
            }
        }
    }
}

/// List whose tail of pages with the `least` count is replaced by the `first` pages with that count.
fn with_first(
    mut pages: Vec<(PageAddress, i64)>,
    least: i64,
    first: Vec<PageAddress>,
    limit: usize,
) -> Vec<(PageAddress, i64)> {
    pages.retain(|(_, score)| *score > least);
    pages.extend(first.into_iter().map(|page| (page, least)));
    pages.truncate(limit);
    pages
}

/// Page that a member of a key of pages names, if it names one.
fn page_of(member: &Value) -> Option<PageAddress> {
    let page = text(member).filter(|member| !member.starts_with('\x01'))?;
    Some(PageAddress::from_stored(&page)).filter(|page| !page.is_other())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str) -> PageAddress {
        PageAddress::from_stored(path)
    }

    #[test]
    fn of_pages_with_the_least_count_those_whose_addresses_come_first_are_listed() {
        let listed = vec![(page("/x"), 9), (page("/z"), 2), (page("/y"), 2)];
        let first = ["/a", "/b", "/c"].map(page).to_vec();
        let pages = with_first(listed, 2, first, 3);
        assert_eq!(pages, [(page("/x"), 9), (page("/a"), 2), (page("/b"), 2)]);
    }

    #[test]
    fn a_member_is_a_page_unless_it_is_a_contribution_or_stands_for_other_pages() {
        let member = |text: &str| page_of(&Value::BulkString(text.as_bytes().to_vec()));
        assert_eq!(member("/a"), Some(page("/a")));
        assert_eq!(member("\x0100000000000000ff\x01abc"), None);
        assert_eq!(member(PageAddress::other().as_str()), None);
        assert_eq!(page_of(&Value::Nil), None);
    }

    #[test]
    fn a_score_is_a_whole_number_below_2_to_the_53() {
        for (text, score) in [
            ("3", Some(3)),
            ("-3", Some(-3)),
            ("1e3", Some(1_000)),
            ("9007199254740991", Some((1 << 53) - 1)),
            ("9007199254740992", None),
            ("1.5", None),
            ("inf", None),
            ("nan", None),
            ("x", None),
        ] {
            assert_eq!(keys::score(text), score, "{text}");
        }
    }
}

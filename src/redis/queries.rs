//! Reading from Redis what strangers ask for now and then: pages, titles, history. Unlike a site's
//! totals, which every page view shows, these are not read ahead.

use std::time::Duration;

use redis::{Cmd, Value};

use super::Publication;
use super::layout;
use super::raise::text;
use crate::counter::{Known, PageAddress, PageTitle, Period, Register, Site, Source};

/// How long an answer is worth waiting for; then the node's own counts are shown.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Hits that may wait at once to be told whether their pages are known.
pub(super) const PAGE_QUESTIONS_MAX: usize = 64;
/// Fields asked for in one command.
const FIELDS_MAX: usize = 500;
/// Members read at once of a list of the most read, beside those wished for: imports with negative
/// counts stand among the pages.
const MEMBERS_MORE: usize = 20;
const MEMBERS_MAX: usize = 2_000;

impl Publication {
    /// The figures that these counters of the site come to with Redis's; none if it doesn't answer.
    pub async fn site_figures(&self, site: &Site, counters: &[(Period, Known)]) -> Option<Vec<i64>> {
        let key = self.keys.hits(&site.id);
        let mut fields = Vec::new();
        for (period, known) in counters {
            fields.push(period.to_string());
            fields.extend(known.unpublished.iter().map(|(source, _)| layout::contribution_field(*period, source)));
        }
        let values = self.fields("HMGET", &key, &fields).await?;
        let mut values = values.into_iter();
        counters
            .iter()
            .map(|(_, known)| {
                let total = values.next()?;
                let there: Vec<_> =
                    known.unpublished.iter().map(|(source, _)| layout::register(source, &values.next()??)).collect();
                let total = match total {
                    None => 0,
                    Some(total) => layout::integer(&total)?,
                };
                Some(known.with(total, &there))
            })
            .collect()
    }

    /// The same of pages' counters.
    pub async fn page_figures(&self, site: &Site, counters: &[(Period, PageAddress, Known)]) -> Option<Vec<i64>> {
        let mut figures = vec![0; counters.len()];
        let mut periods: Vec<_> = counters.iter().map(|(period, ..)| *period).collect();
        periods.sort_unstable();
        periods.dedup();
        for period in periods {
            let of_period: Vec<_> = counters.iter().enumerate().filter(|(_, (of, ..))| *of == period).collect();
            let mut members = Vec::new();
            for (_, (_, page, known)) in &of_period {
                members.push(page.to_string());
                for (source, _) in &known.unpublished {
                    members.push(layout::contribution_member(source, page));
                    if matches!(source, Source::Import(_)) {
                        members.push(layout::generation_member(source, page));
                    }
                }
            }
            let scores = self.fields("ZMSCORE", &self.keys.pages(&site.id, period), &members).await?;
            let mut scores = scores.into_iter().map(|score| score.as_deref().and_then(score_of));
            for (at, (_, _, known)) in of_period {
                let total = scores.next()?.unwrap_or(0);
                let mut there = Vec::with_capacity(known.unpublished.len());
                for (source, _) in &known.unpublished {
                    let hits = scores.next()?.map(|score| -score);
                    there.push(match source {
                        Source::Run(_) => hits.map(Register::Grown),
                        Source::Import(_) => {
                            let generation = scores.next()?.and_then(|score| u64::try_from(-score).ok());
                            hits.zip(generation).map(|(hits, generation)| Register::Written { generation, hits })
                        }
                    });
                }
                figures[at] = known.with(total, &there);
            }
        }
        Some(figures)
    }

    /// The pages with the highest counts in a period, the most read first, and of as many the one whose
    /// address comes first.
    pub async fn top_pages(&self, site: &Site, period: Period, limit: usize) -> Option<Vec<PageAddress>> {
        let key = self.keys.pages(&site.id, period);
        let mut pages = self.highest(&key, limit).await?;
        if pages.len() >= limit
            && let Some((_, least)) = pages.last().cloned()
        {
            // Redis comes to pages with as many from the last address on: those cut off come first.
            let first = self.first_with(&key, least, limit).await?;
            pages.retain(|(_, score)| *score > least);
            pages.extend(first.into_iter().map(|page| (page, least)));
            pages.truncate(limit);
        }
        Some(pages.into_iter().map(|(page, _)| page).collect())
    }

    /// Up to `limit` pages with their scores, from the highest down.
    async fn highest(&self, key: &str, limit: usize) -> Option<Vec<(PageAddress, i64)>> {
        let mut pages = Vec::new();
        let mut from = 0;
        while pages.len() < limit && from < MEMBERS_MAX {
            let to = from + limit + MEMBERS_MORE;
            let mut command = redis::cmd("ZREVRANGE");
            command.arg(key).arg(from).arg(to - 1).arg("WITHSCORES");
            let Value::Array(values) = self.ask(&command).await? else { return None };
            let found = values.len() / 2;
            for pair in values.chunks_exact(2) {
                let [member, score] = pair else { continue };
                let (Some(page), Some(score)) = (page_of(member), text(score).as_deref().and_then(score_of)) else {
                    continue;
                };
                // Scores fall: from there on there are only contributions.
                if score > 0 {
                    pages.push((page, score));
                }
            }
            if found < to - from {
                break;
            }
            from = to;
        }
        pages.truncate(limit);
        Some(pages)
    }

    /// Up to `limit` pages with this very score, by their addresses.
    async fn first_with(&self, key: &str, score: i64, limit: usize) -> Option<Vec<PageAddress>> {
        let mut pages = Vec::new();
        let mut from = 0;
        while pages.len() < limit && from < MEMBERS_MAX {
            let count = limit + MEMBERS_MORE;
            let mut command = redis::cmd("ZRANGEBYSCORE");
            command.arg(key).arg(score).arg(score).arg("LIMIT").arg(from).arg(count);
            let Value::Array(members) = self.ask(&command).await? else { return None };
            pages.extend(members.iter().filter_map(page_of));
            if members.len() < count {
                break;
            }
            from += count;
        }
        Some(pages)
    }

    /// Whether any node has ever brought this page here; none where Redis can't be asked, or too many ask.
    pub async fn knows_page(&self, site: &Site, page: &PageAddress) -> Option<bool> {
        let _turn = self.page_questions.try_acquire().ok()?;
        let mut command = redis::cmd("ZSCORE");
        command.arg(self.keys.pages(&site.id, Period::Total)).arg(page.as_str());
        Some(!matches!(self.ask(&command).await?, Value::Nil))
    }

    /// Titles with the Unix millisecond at which each was given.
    pub async fn titles(&self, site: &Site, pages: &[PageAddress]) -> Option<Vec<Option<(i64, PageTitle)>>> {
        let fields: Vec<_> = pages.iter().map(ToString::to_string).collect();
        let values = self.fields("HMGET", &self.keys.titles(&site.id), &fields).await?;
        let title = |value: Option<String>| layout::title(&value?);
        Some(values.into_iter().map(title).collect())
    }

    /// The values of fields or members of a key, in their order.
    async fn fields(&self, command: &str, key: &str, fields: &[String]) -> Option<Vec<Option<String>>> {
        let mut values = Vec::with_capacity(fields.len());
        for chunk in fields.chunks(FIELDS_MAX) {
            let mut command = redis::cmd(command);
            command.arg(key).arg(chunk);
            let Value::Array(answer) = self.ask(&command).await? else { return None };
            if answer.len() != chunk.len() {
                return None;
            }
            values.extend(answer.iter().map(text));
        }
        Some(values)
    }

    async fn ask(&self, command: &Cmd) -> Option<Value> {
        let (number, link) = self.connections.get()?;
        // Where that takes too long, the connection is judged by those who can wait.
        match tokio::time::timeout(WAIT_MAX, link.query(command)).await.ok()? {
            Ok(value) => Some(value),
            Err(error) => {
                self.connections.failed(number, &error);
                None
            }
        }
    }
}

/// The page that a member of a key of pages stands for, if it does for one.
fn page_of(member: &Value) -> Option<PageAddress> {
    let page = text(member).filter(|member| !member.starts_with('\x01'))?;
    Some(PageAddress::from_stored(&page)).filter(|page| !page.is_other())
}

/// A whole number that was kept as a score.
fn score_of(text: &str) -> Option<i64> {
    let score =
        text.parse::<f64>().ok().filter(|score| score.fract() == 0.0 && score.abs() < 9_007_199_254_740_992.0)?;
    Some(score as i64)
}

//! Queries for pages, titles and history: read for each request, unlike a site's totals, which every
//! page view shows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::{Cmd, FromRedisValue, Value};
use tokio::sync::Semaphore;

use crate::counter::{Known, PageAddress, PageTitle, Period, Site, SiteId};
use crate::redis::client::{Shared, text};
use crate::redis::keys;

/// Limit of a query; then the node shows its own counts, and the answer is stale.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Hits that may wait at once for the answer whether their pages are known.
const PAGE_QUESTIONS_MAX: usize = 64;
/// Fields of one command.
const FIELDS_MAX: usize = 500;
/// Members read beyond those of a list: contributions of imports with negative counts stand among the
/// pages.
const MEMBERS_MORE: usize = 20;
const MEMBERS_MAX: usize = 20_000;
/// Members among which pages of an earlier rule are looked for, the most read first.
const FORMER_MEMBERS_MAX: usize = 20_000;

/// Queries over the shared connection.
pub struct Queries {
    shared: Arc<Shared>,
    page_questions: Semaphore,
}

impl Queries {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, page_questions: Semaphore::new(PAGE_QUESTIONS_MAX) }
    }

    /// Figures of these counters, of pages or the site's own, together with Redis's, and true if Redis has less of
    /// one than the node knows; none if the read fails.
    pub async fn figures(
        &self,
        site: &Site,
        counters: &[((Period, Option<PageAddress>), Known)],
    ) -> Option<(Vec<i64>, bool)> {
        let mut keys: BTreeMap<Option<Period>, Vec<usize>> = BTreeMap::new();
        for (at, ((period, page), _)) in counters.iter().enumerate() {
            keys.entry(page.as_ref().map(|_| *period)).or_default().push(at);
        }
        let mut ids: HashMap<&PageAddress, String> = HashMap::new();
        let mut reads = Vec::with_capacity(keys.len());
        for (pages_of, places) in &keys {
            let mut names = Vec::with_capacity(3 * places.len());
            for ((period, page), known) in places.iter().map(|at| &counters[*at]) {
                match page {
                    None => {
                        names.push(period.to_string());
                        names.extend(known.sources().map(|source| keys::contribution_field(*period, source)));
                    }
                    Some(page) => {
                        names.push(page.to_string());
                        let id = ids.entry(page).or_insert_with(|| page.id());
                        names.extend(known.sources().flat_map(|source| keys::contribution_members(id, source)));
                    }
                }
            }
            let command = if pages_of.is_none() { "HMGET" } else { "ZMSCORE" };
            let key = self.shared.keys.counters(&site.counted_as, *pages_of);
            reads.push(async move { self.fields(command, &key, &names).await });
        }
        // All at once: the connection sends them together.
        let read = join_all(reads).await;
        let (mut figures, mut is_behind) = (vec![0; counters.len()], false);
        for ((pages_of, places), values) in keys.into_iter().zip(read) {
            let mut values = values?.into_iter();
            for at in places {
                let known = &counters[at].1;
                let (total, there) = keys::counter(pages_of.is_some(), known.sources(), &mut values)?;
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
        let key = self.shared.keys.pages(&site.counted_as, period);
        let mut pages = Vec::new();
        let (mut from, mut count) = (0, limit + MEMBERS_MORE);
        while from < MEMBERS_MAX {
            let mut command = redis::cmd("ZREVRANGE");
            command.arg(&key).arg(from).arg(from + count - 1).arg("WITHSCORES");
            let members: Vec<(Value, f64)> = self.query(&command).await?;
            let found = members.len();
            // Scores fall: below zero only contributions are left.
            let members = members.into_iter().filter(|(_, score)| *score > 0.0);
            let counted =
                members.filter_map(|(member, score)| Some((page_of(&member)?, keys::whole(score)?))).collect();
            pages.extend(self.vouched(site, period, counted, |(page, _)| page).await?);
            if pages.len() >= limit || found < count {
                break;
            }
            // A reset has a contribution for each page.
            (from, count) = (from + count, (2 * count).min(MEMBERS_MAX / 4));
        }
        pages.truncate(limit);
        Some(pages)
    }

    /// Up to `limit` pages with this score, by their addresses.
    async fn first_with(&self, site: &Site, period: Period, score: i64, limit: usize) -> Option<Vec<PageAddress>> {
        let key = self.shared.keys.pages(&site.counted_as, period);
        let mut pages = Vec::new();
        for from in (0..MEMBERS_MAX).step_by(limit + MEMBERS_MORE) {
            let count = limit + MEMBERS_MORE;
            let mut command = redis::cmd("ZRANGEBYSCORE");
            command.arg(&key).arg(score).arg(score).arg("LIMIT").arg(from).arg(count);
            let members: Vec<Value> = self.query(&command).await?;
            let found = members.iter().filter_map(page_of).collect();
            pages.extend(self.vouched(site, period, found, |page| page).await?);
            if pages.len() >= limit || members.len() < count {
                break;
            }
        }
        Some(pages)
    }

    /// The vouched ones among a period's pages: they have a total. Others have days alone.
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
        let totals = self.fields("ZMSCORE", &self.shared.keys.pages(&site.counted_as, Period::Total), &members).await?;
        Some(pages.into_iter().zip(totals).filter(|(_, total)| total.is_some()).map(|(page, _)| page).collect())
    }

    /// Pages of the site for which `is_former` holds, and true if all were looked at that should be.
    pub async fn former_pages(
        &self,
        site: &Site,
        is_former: impl Fn(&PageAddress) -> bool,
    ) -> (Vec<PageAddress>, bool) {
        let key = self.shared.keys.pages(&site.counted_as, Period::Total);
        let (began, mut pages) = (Instant::now(), Vec::new());
        for from in (0..FORMER_MEMBERS_MAX).step_by(FIELDS_MAX) {
            let mut command = redis::cmd("ZREVRANGE");
            command.arg(&key).arg(from).arg(from + FIELDS_MAX - 1);
            let Some(members) = self.query::<Vec<Value>>(&command).await else { return (pages, false) };
            pages.extend(members.iter().filter_map(page_of).filter(&is_former));
            if members.len() < FIELDS_MAX {
                break;
            }
            // An answer waits for it.
            if began.elapsed() > WAIT_MAX {
                return (pages, false);
            }
        }
        (pages, true)
    }

    /// All pages of a period, none without hits; none if a read fails.
    pub async fn pages(&self, site: &Site, period: Period) -> Option<Vec<PageAddress>> {
        let key = self.shared.keys.pages(&site.counted_as, period);
        let (mut pages, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let mut command = redis::cmd("ZSCAN");
            command.arg(&key).arg(&cursor).arg("COUNT").arg(FIELDS_MAX);
            let (next, members): (String, Vec<(Value, f64)>) = self.query(&command).await?;
            let counted = members.into_iter().filter(|(_, score)| *score != 0.0);
            let named = counted.filter_map(|(member, _)| text(&member));
            pages.extend(named.filter(|name| !name.starts_with('\x01')).map(|name| PageAddress::from_stored(&name)));
            cursor = next;
            if cursor == "0" {
                return Some(pages);
            }
        }
    }

    /// True if any node vouches for this page: then it has a total. None if the read fails, or too many hits ask.
    pub async fn is_vouched(&self, site: &Site, page: &PageAddress) -> Option<bool> {
        let _permit = self.page_questions.try_acquire().ok()?;
        let mut command = redis::cmd("ZSCORE");
        command.arg(self.shared.keys.pages(&site.counted_as, Period::Total)).arg(page.as_str());
        Some(self.query::<Option<f64>>(&command).await?.is_some())
    }

    /// Titles with the Unix millisecond of each; none if the read fails.
    pub async fn titles(&self, site: &Site, pages: &[PageAddress]) -> Option<Vec<Option<(i64, PageTitle)>>> {
        let links = pages.iter().map(keys::link_field);
        let fields: Vec<_> = pages.iter().map(ToString::to_string).chain(links).collect();
        let mut titles = self.fields("HMGET", &self.shared.keys.titles(&site.counted_as), &fields).await?;
        let links = titles.split_off(pages.len());
        let title = |(title, link): (Option<String>, Option<String>)| keys::title(&title?, link.as_deref());
        Some(titles.into_iter().zip(links).map(title).collect())
    }

    /// Sites that were ever published; none if the read fails.
    pub async fn site_ids(&self) -> Option<Vec<SiteId>> {
        let (mut ids, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(self.shared.keys.sites()).arg(&cursor).arg("COUNT").arg(FIELDS_MAX);
            let (next, pairs) = self.query::<(String, Vec<(Value, Value)>)>(&command).await?;
            ids.extend(pairs.iter().filter_map(|(id, _)| text(id)?.parse().ok()));
            if next == "0" {
                return Some(ids);
            }
            cursor = next;
        }
    }

    /// True if Redis has hits of the site; none if the read fails.
    pub async fn has_hits(&self, site: &Site) -> Option<bool> {
        let total = [Period::Total.to_string()];
        let read = self.fields("HMGET", &self.shared.keys.hits(&site.counted_as), &total).await?;
        Some(read.iter().any(Option::is_some))
    }

    /// Values of fields or members of a key, in their order.
    async fn fields(&self, command: &str, key: &str, fields: &[String]) -> Option<Vec<Option<String>>> {
        let mut values = Vec::with_capacity(fields.len());
        for chunk in fields.chunks(FIELDS_MAX) {
            let mut command = redis::cmd(command);
            command.arg(key).arg(chunk);
            values.extend(self.query::<Vec<Value>>(&command).await?.iter().map(text));
        }
        (values.len() == fields.len()).then_some(values)
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        // A slow reply is no verdict on the connection: publication waits longer, and decides.
        let query = self.shared.connections.run(async |link| link.query(command).await);
        tokio::time::timeout(WAIT_MAX, query).await.ok()?
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

//! Whether Redis holds what the node's file holds of a site, and nothing that does not add up; and
//! mending what nothing else mends.
//!
//! A counter and its contributions change in one command, so that a counter which is not their sum is
//! wrong at any moment. What the file has and Redis never had may be on its way: it is looked for
//! again for a while. Whatever Redis lacks is brought by a sweep; a counter that is no sum is not touched by
//! that, and is set by `mend.lua`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use super::check::kept_page_periods;
use super::connection::{self, Connections, Fault, Link, reason_of};
use super::layout::{self, Keys};
use super::node::{Node, RowKey};
use super::publish::may_raise;
use super::raise::{ROWS_MAX, Raise, text};
use super::sheet::{Imbalance, Sheet};
use super::target::Target;
use crate::counter::verification::{Findings, Kind, Repair, Verification};
use crate::counter::{Contribution, PageAddress, Period, Register, RegisteredSite, SiteNumber, Source};

/// How long what a running node may still be bringing is waited for, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Counts that Redis lacks and that are looked for again; of the others only the number is kept.
const LACKING_MAX: usize = 10_000;
/// How often a counter that changes under the hand is tried again.
const MENDS_MAX: usize = 10;

const MEND: &str = include_str!("mend.lua");

/// What an order is to come to.
pub enum Order {
    Verify(oneshot::Sender<Result<Verification, String>>),
    Repair(oneshot::Sender<Result<Repair, String>>),
}

/// Carries out what operators ask for, one after the other.
pub struct Desk<N> {
    pub node: Arc<N>,
    pub keys: Keys,
    pub connections: Arc<Connections>,
    /// Sites of which the publisher is to bring everything again.
    pub wishes: mpsc::Sender<SiteNumber>,
}

impl<N: Node> Desk<N> {
    /// Never returns.
    pub async fn serve(self, mut orders: mpsc::Receiver<(SiteNumber, Order)>) {
        while let Some((site, order)) = orders.recv().await {
            let rows = async |after, limit| self.node.rows(site, after, limit, false).await;
            // Whoever asked may have gone.
            match order {
                Order::Verify(done) => {
                    drop(done.send(self.ask(site, async |both| both.verify(&rows, PATIENCE).await).await));
                }
                Order::Repair(done) => {
                    let mended = self.ask(site, async |both| both.mend(&rows).await).await;
                    let raised = mended.is_ok() && self.wishes.send(site).await.is_ok();
                    drop(done.send(mended.map(|mended| Repair { mended, raised })));
                }
            }
        }
        std::future::pending().await
    }

    async fn ask<T>(
        &self,
        number: SiteNumber,
        work: impl AsyncFnOnce(Comparison<'_>) -> Result<T, Broken>,
    ) -> Result<T, String> {
        let sites = self.node.sites();
        let site = sites.by_number(number).ok_or("the site is no longer configured")?;
        let Some((connection, link)) = self.connections.get() else {
            let reason = self.connections.down().map_or(String::new(), |(_, reason)| format!(": {reason}"));
            return Err(format!("Redis is away{reason}"));
        };
        let own = self.node.own_sources(number).await?;
        let current = self.node.recent(number).first().map(|row| row.source.clone());
        let published = self.node.published_sources(number, usize::MAX).await?;
        let known = Known { own, current, published };
        let outcome = work(Comparison { link: &link, keys: &self.keys, site, known: &known }).await;
        outcome.map_err(|error| {
            if let Broken::Redis(error) = &error {
                self.connections.failed(connection, error);
            }
            error.to_string()
        })
    }
}

/// Where a node that does not run would publish.
pub struct Place<'a> {
    pub target: &'a Target,
    pub prefix: &'a str,
    pub site: &'a RegisteredSite,
    /// Sources of which all that was counted is in the file.
    pub own: Vec<Source>,
}

/// Holds Redis against the files of a node that does not run.
pub async fn verify_stopped(place: Place<'_>, rows: &impl Rows) -> Result<Verification, String> {
    on_connection(place, async |both| both.verify(rows, Duration::ZERO).await).await
}

/// Makes counters in Redis the sum of their parts again, and brings all that the files have.
pub async fn repair_stopped(place: Place<'_>, rows: &impl Rows) -> Result<Repair, String> {
    on_connection(place, async |both| {
        let mended = both.mend(rows).await?;
        let raised = match both.bring(rows).await {
            // Something there is no count: that has been said, with what to do.
            Err(Broken::Redis(error)) if connection::fault_of(&error) == Fault::Site => false,
            other => other.map(|()| true)?,
        };
        Ok(Repair { mended, raised })
    })
    .await
}

async fn on_connection<T>(
    place: Place<'_>,
    work: impl AsyncFnOnce(Comparison<'_>) -> Result<T, Broken>,
) -> Result<T, String> {
    super::provide_cryptography();
    let (link, _) = connection::connect(place.target).await.map_err(|error| format!("Redis: {}", reason_of(&error)))?;
    let known = Known { own: place.own, ..Known::default() };
    let keys = Keys::new(place.prefix);
    let comparison = Comparison { link: &link, keys: &keys, site: place.site, known: &known };
    work(comparison).await.map_err(|error| error.to_string())
}

/// Why a comparison could not be made.
#[derive(Debug)]
pub enum Broken {
    Redis(RedisError),
    File(String),
}

impl From<RedisError> for Broken {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redis(error) => write!(f, "Redis: {}", reason_of(error)),
            Self::File(reason) => f.write_str(reason),
        }
    }
}

/// What the node's file knows of sources.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Runs and imports of which all that was counted is in the file.
    pub own: Vec<Source>,
    /// The run that goes on counting.
    pub current: Option<Source>,
    /// Sources that Redis has had all of.
    pub published: Vec<Source>,
}

/// A site's counts, there and here.
pub struct Comparison<'a> {
    pub link: &'a Link,
    pub keys: &'a Keys,
    pub site: &'a RegisteredSite,
    pub known: &'a Known,
}

/// Where a count stands in Redis: the key, the counter's id there, the source.
type Spot = (Option<Period>, String, Source);

#[derive(Default)]
struct Found {
    findings: Findings,
    compared: u64,
    summed: u64,
    imbalances: Vec<(Option<Period>, Imbalance)>,
    lacking: Vec<Contribution>,
    lacking_more: u64,
    /// What the file has of frozen runs of this node where Redis has more.
    beyond: BTreeMap<Spot, Register>,
}

/// Reads the node's file: up to so many rows after one.
pub trait Rows: AsyncFn(Option<RowKey>, usize) -> Result<Vec<(RowKey, Contribution)>, String> {}
impl<F: AsyncFn(Option<RowKey>, usize) -> Result<Vec<(RowKey, Contribution)>, String>> Rows for F {}

impl Comparison<'_> {
    /// Says where Redis and the file differ. What Redis lacks and has never had is waited for as long
    /// as `patience`.
    pub async fn verify(&self, rows: &impl Rows, patience: Duration) -> Result<Verification, Broken> {
        let mut found = self.compare(rows).await?;
        let begun = Instant::now();
        let (lost, mut awaited): (Vec<_>, Vec<_>) =
            std::mem::take(&mut found.lacking).into_iter().partition(|row| self.known.published.contains(&row.source));
        while !awaited.is_empty() && begun.elapsed() < patience {
            tokio::time::sleep(LOOK_INTERVAL).await;
            for chunk in std::mem::take(&mut awaited).chunks(ROWS_MAX) {
                self.hold_against(chunk, &mut found).await?;
            }
            awaited = std::mem::take(&mut found.lacking);
        }
        let mut findings = found.findings;
        for (period, imbalance) in &found.imbalances {
            findings.add(Kind::NoSum, self.words_of(*period, imbalance));
        }
        for row in lost.iter().chain(&awaited) {
            findings.add(Kind::Lacking, format!("Redis lacks of {}", words(row)));
        }
        findings.more += found.lacking_more;
        Ok(Verification {
            agrees: findings.is_empty(),
            compared: found.compared,
            summed: found.summed,
            with_redis: true,
            findings,
        })
    }

    fn words_of(&self, period: Option<Period>, imbalance: &Imbalance) -> String {
        let Imbalance { id, name, total, .. } = imbalance;
        let sum = imbalance.sum();
        match period {
            None => format!("Redis: {id}: the counter is {total}, the sum of its sources {sum}"),
            Some(period) => {
                let page = name.clone().unwrap_or_else(|| format!("whose id is {id}"));
                format!("Redis: {period}, page {page}: the counter is {total}, the sum of its sources {sum}")
            }
        }
    }

    async fn compare(&self, rows: &impl Rows) -> Result<Found, Broken> {
        let mut found = Found::default();
        let site = &self.site.site;
        let meta = self.keys.meta(&site.id);
        let ours = layout::agreement(site);
        let mut command = redis::cmd("HMGET");
        command.arg(&meta).arg(ours.iter().map(|(field, _)| *field).collect::<Vec<_>>());
        if let Value::Array(theirs) = self.link.query(&command).await? {
            for ((field, ours), theirs) in ours.iter().zip(theirs.iter().map(text)) {
                if let Some(theirs) = theirs.filter(|theirs| theirs != ours) {
                    let what = format!(
                        "`{meta}` says {field} = {theirs}, and here it is {ours}: nothing is published; configure all nodes alike"
                    );
                    found.findings.add(Kind::Disagreement, what);
                }
            }
        }
        self.sum_up(&mut found).await?;
        let mut after = None;
        loop {
            let chunk = rows(after, ROWS_MAX).await.map_err(Broken::File)?;
            let Some((last, _)) = chunk.last() else { return Ok(found) };
            after = Some(*last);
            let chunk: Vec<_> = chunk.into_iter().map(|(_, row)| row).collect();
            self.name_pages(&chunk, &mut found);
            found.compared += chunk.len() as u64;
            self.hold_against(&chunk, &mut found).await?;
        }
    }

    /// Every counter in Redis against the sum of its parts.
    async fn sum_up(&self, found: &mut Found) -> Result<(), Broken> {
        let site = &self.site.site;
        let pages = kept_page_periods(self.site).into_iter().map(|period| Sheet::of_pages(self.keys, site, period));
        for sheet in std::iter::once(Sheet::of_site(self.keys, site)).chain(pages) {
            let reading = match sheet.look(self.link).await {
                Err(error) if error.code() == Some("WRONGTYPE") => {
                    let what = format!("Redis: {} is of the wrong type; move what is there away", sheet.key);
                    found.findings.add(Kind::Unreadable, what);
                    continue;
                }
                other => other?,
            };
            found.summed += reading.counters;
            for (name, value) in reading.unreadable {
                let (command, name) = (if sheet.pages_of.is_none() { "HDEL" } else { "ZREM" }, plain(&name));
                let what = format!(
                    "Redis: {} holds {} at `{name}`, which is no count; remove it ({command}), and repair",
                    sheet.key,
                    plain(&value)
                );
                found.findings.add(Kind::Unreadable, what);
            }
            found.imbalances.extend(reading.imbalances.into_iter().map(|imbalance| (sheet.pages_of, imbalance)));
        }
        Ok(())
    }

    /// A page whose counter is gone is known to the file by its name.
    fn name_pages(&self, rows: &[Contribution], found: &mut Found) {
        let mut nameless = found.imbalances.iter_mut().filter(|(_, imbalance)| imbalance.name.is_none()).peekable();
        if nameless.peek().is_none() {
            return;
        }
        let ids: BTreeMap<_, _> =
            rows.iter().filter_map(|row| row.page.as_ref()).map(|page| (page.id(), page.to_string())).collect();
        for (period, imbalance) in nameless {
            imbalance.name = match period {
                None => Some(imbalance.id.clone()),
                Some(_) => ids.get(&imbalance.id).cloned(),
            };
        }
    }

    /// What the file has against what Redis has.
    async fn hold_against(&self, rows: &[Contribution], found: &mut Found) -> Result<(), Broken> {
        let site = &self.site.site;
        let mut by_key: BTreeMap<Option<Period>, Vec<&Contribution>> = BTreeMap::new();
        for row in rows {
            if row.page.is_none() || may_raise(site, row.period) {
                by_key.entry(row.page.as_ref().map(|_| row.period)).or_default().push(row);
            }
        }
        for (period, rows) in by_key {
            let there = match self.registers(period, &rows).await {
                // Said already, of the whole key.
                Err(error) if error.code() == Some("WRONGTYPE") => continue,
                other => other?,
            };
            for (row, there) in rows.into_iter().zip(there) {
                let Some(there) = there else {
                    if row.register != Register::Grown(0) {
                        found.lack(row);
                    }
                    continue;
                };
                if there.merge(row.register) != there {
                    found.lack(row);
                } else if there != row.register && self.is_frozen_here(&row.source) {
                    let what = format!(
                        "Redis has {} of {}: this file is an older copy, or someone has changed Redis",
                        there.hits(),
                        words(row)
                    );
                    let id = row.page.as_ref().map_or_else(|| row.period.to_string(), PageAddress::id);
                    found.beyond.insert((period, id, row.source.clone()), row.register);
                    found.findings.add(Kind::Beyond, what);
                }
            }
        }
        Ok(())
    }

    fn is_frozen_here(&self, source: &Source) -> bool {
        matches!(source, Source::Run(_))
            && self.known.current.as_ref() != Some(source)
            && self.known.own.contains(source)
    }

    /// What Redis has of these rows, all in one key.
    async fn registers(
        &self,
        period: Option<Period>,
        rows: &[&Contribution],
    ) -> Result<Vec<Option<Register>>, RedisError> {
        let site = &self.site.site;
        let Some(period) = period else {
            let names: Vec<_> = rows.iter().map(|row| layout::contribution_field(row.period, &row.source)).collect();
            let values = Sheet::of_site(self.keys, site).read(self.link, &names).await?;
            let registers = rows.iter().zip(values).map(|(row, value)| layout::register(&row.source, &value?));
            return Ok(registers.collect());
        };
        let mut names = Vec::with_capacity(rows.len() * 2);
        for (row, page) in rows.iter().filter_map(|row| Some((row, row.page.as_ref()?))) {
            names.push(layout::contribution_member(&row.source, page));
            names.push(layout::generation_member(&row.source, page));
        }
        let values = Sheet::of_pages(self.keys, site, period).read(self.link, &names).await?;
        let number = |value: &Option<String>| value.as_ref().and_then(|text| text.parse::<f64>().ok());
        #[expect(clippy::cast_possible_truncation, reason = "numbers that Lua has checked to be below 2^53")]
        let registers = rows.iter().zip(values.chunks_exact(2)).map(|(row, values)| {
            let hits = -number(values.first()?)? as i64;
            Some(match row.source {
                Source::Run(_) => Register::Grown(hits),
                Source::Import(_) => {
                    let generation = values.get(1).and_then(number).map_or(0, |score| -score as i64);
                    Register::Written { generation: u64::try_from(generation).unwrap_or(0), hits }
                }
            })
        });
        Ok(registers.collect())
    }

    // --- Mending.

    /// Makes each counter the sum of its parts again, and says in words what it did.
    pub async fn mend(&self, rows: &impl Rows) -> Result<Vec<String>, Broken> {
        let found = self.compare(rows).await?;
        let mut mended = Vec::new();
        let mut keys: BTreeMap<Option<Period>, Vec<&Imbalance>> = BTreeMap::new();
        for (period, imbalance) in &found.imbalances {
            keys.entry(*period).or_default().push(imbalance);
        }
        for (period, imbalances) in keys {
            let sheet = match period {
                None => Sheet::of_site(self.keys, &self.site.site),
                Some(period) => Sheet::of_pages(self.keys, &self.site.site, period),
            };
            let names: BTreeMap<String, Option<String>> =
                imbalances.into_iter().map(|imbalance| (imbalance.id.clone(), imbalance.name.clone())).collect();
            for _ in 0..MENDS_MAX {
                let now = sheet.look_closely(self.link, |id| names.contains_key(id)).await?;
                if now.is_empty() {
                    break;
                }
                for mut imbalance in now {
                    imbalance.name = imbalance.name.or_else(|| names.get(&imbalance.id).cloned().flatten());
                    if let Some(done) = self.set(&sheet, &imbalance, &found.beyond).await? {
                        mended.push(done);
                    }
                }
            }
        }
        Ok(mended)
    }

    /// None: it has changed meanwhile, or nobody here knows the page's name.
    async fn set(
        &self,
        sheet: &Sheet,
        imbalance: &Imbalance,
        beyond: &BTreeMap<Spot, Register>,
    ) -> Result<Option<String>, RedisError> {
        let Some(name) = &imbalance.name else { return Ok(None) };
        let by_file = |source: &Source| beyond.get(&(sheet.pages_of, imbalance.id.clone(), source.clone()));
        let Remedy { total, lowered } = remedy(imbalance, by_file);
        let seen = if imbalance.total == 0 && !self.is_there(sheet, name).await? {
            String::new()
        } else {
            imbalance.total.to_string()
        };
        let mut command = redis::cmd("EVAL");
        command.arg(MEND).arg(1).arg(&sheet.key).arg(imbalance.cardinality);
        command.arg(name).arg(seen).arg(total.to_string());
        for part in &imbalance.parts {
            let wanted = lowered.get(&part.name).map_or(String::new(), |register| match sheet.pages_of {
                None => layout::register_text(*register),
                Some(_) => (-register.hits()).to_string(),
            });
            command.arg(&part.name).arg(&part.text).arg(wanted);
        }
        let is_done = matches!(self.link.query(&command).await?, Value::Int(1));
        let of = match sheet.pages_of {
            None => imbalance.id.clone(),
            Some(period) => format!("{period}, page {name}"),
        };
        Ok(is_done.then(|| match lowered.len() {
            0 => format!("Redis: {of}: the counter was {}, and is {total}, the sum of its sources", imbalance.total),
            _ => format!("Redis: {of}: {} sources had more than their node's file, and have that again", lowered.len()),
        }))
    }

    async fn is_there(&self, sheet: &Sheet, name: &str) -> Result<bool, RedisError> {
        Ok(sheet.read(self.link, &[name.to_owned()]).await?.first().is_some_and(Option::is_some))
    }

    /// Brings all that the file has, without a publisher: for a node that does not run.
    pub async fn bring(&self, rows: &impl Rows) -> Result<(), Broken> {
        // Totals come last, as always: they say that the rest is there.
        let is_total = |row: &Contribution| row.page.is_none() && row.period == Period::Total;
        for totals in [false, true] {
            let mut after = None;
            loop {
                let chunk = rows(after, ROWS_MAX).await.map_err(Broken::File)?;
                let Some((last, _)) = chunk.last() else { break };
                after = Some(*last);
                let may_go = |row: &Contribution| row.page.is_none() || may_raise(&self.site.site, row.period);
                let rows: Vec<_> = chunk
                    .into_iter()
                    .map(|(_, row)| row)
                    .filter(|row| is_total(row) == totals && may_go(row))
                    .collect();
                if !rows.is_empty() {
                    Raise { rows, markers: Vec::new() }.send(self.link, self.keys, &self.site.site).await?;
                }
            }
        }
        Ok(())
    }
}

impl Found {
    fn lack(&mut self, row: &Contribution) {
        if self.lacking.len() < LACKING_MAX {
            self.lacking.push(row.clone());
        } else {
            self.lacking_more += 1;
        }
    }
}

/// What makes a counter the sum of its parts.
#[derive(Debug, PartialEq, Eq)]
struct Remedy {
    total: i64,
    /// Parts, by name, that are set back to what their node's file has.
    lowered: BTreeMap<String, Register>,
}

/// The counter is set, unless it agrees with what the file has of parts that have more in Redis: then
/// those are wrong.
fn remedy<'a>(imbalance: &Imbalance, by_file: impl Fn(&Source) -> Option<&'a Register>) -> Remedy {
    let lowered: BTreeMap<_, _> =
        imbalance.parts.iter().filter_map(|part| Some((part.name.clone(), *by_file(&part.source)?))).collect();
    let by_files: i64 =
        imbalance.parts.iter().map(|part| lowered.get(&part.name).map_or(part.hits, |register| register.hits())).sum();
    match by_files == imbalance.total {
        true => Remedy { total: by_files, lowered },
        false => Remedy { total: imbalance.sum(), lowered: BTreeMap::new() },
    }
}

fn words(row: &Contribution) -> String {
    let Contribution { source, period, page, register } = row;
    let hits = register.hits();
    match page {
        None => format!("{source}, {period}: {hits} here"),
        Some(page) => format!("{source}, {period}, page {page}: {hits} here"),
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '|' } else { c }).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sheet::Part;
    use super::*;

    fn imbalance(total: i64, parts: &[(u64, i64)]) -> Imbalance {
        let part = |(run, hits): &(u64, i64)| Part {
            name: run.to_string(),
            source: Source::Run(*run),
            hits: *hits,
            text: hits.to_string(),
        };
        let parts = parts.iter().map(part).collect();
        Imbalance { id: "total".to_owned(), name: Some("total".to_owned()), total, parts, cardinality: 3 }
    }

    #[test]
    fn a_counter_is_set_to_the_sum_of_its_parts_unless_the_file_shows_that_a_part_is_wrong() {
        let nothing = |_: &Source| None;
        let set = remedy(&imbalance(99, &[(1, 4), (2, 5)]), nothing);
        assert_eq!(set, Remedy { total: 9, lowered: BTreeMap::new() });
        let here = Register::Grown(4);
        let of_first = |source: &Source| (*source == Source::Run(1)).then_some(&here);
        let lowered = remedy(&imbalance(9, &[(1, 50), (2, 5)]), of_first);
        assert_eq!(lowered, Remedy { total: 9, lowered: BTreeMap::from([("1".to_owned(), here)]) });
        let neither = remedy(&imbalance(7, &[(1, 50), (2, 5)]), of_first);
        assert_eq!(neither, Remedy { total: 55, lowered: BTreeMap::new() });
    }
}

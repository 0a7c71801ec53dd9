use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use thongke::counter::{Day, Period};

/// The outcome of a sent hit, as its client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged,
    /// Answered 503.
    Refused,
    Unanswered,
}

/// One of a site's counters; without a page, the site's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counter {
    pub site: String,
    pub period: String,
    pub page: Option<String>,
}

/// Counts from one place: an export or Redis.
pub type Counted = BTreeMap<Counter, i64>;

/// Hits by site, page, and possible days: the client's day when the hit was sent and when it was answered.
/// The two differ across midnight.
type Entries = BTreeMap<(String, String, Day, Day), Results>;

#[derive(Debug, Default, Clone, Copy)]
pub struct Results {
    pub acknowledged: i64,
    pub refused: i64,
    pub unanswered: i64,
}

impl Results {
    /// Hits answered 503 or not at all: counted or not, both are right.
    pub fn doubtful(&self) -> i64 {
        self.refused + self.unanswered
    }
}

/// A record of every hit that clients have sent.
#[derive(Debug, Default)]
pub struct Book {
    entries: Mutex<Entries>,
    /// The most that each counter may hold, from the moment at which a hit is sent.
    most: Mutex<HashMap<Counter, i64>>,
}

impl Book {
    /// Notes a hit that is about to be sent.
    pub fn begin(&self, site: &str, page: &str, zone: Tz, at: DateTime<Utc>) {
        let mut counters = Vec::new();
        // The node's clock may differ a little, and the answer takes its time.
        for seconds in [-2, 0, 10] {
            let of_day = counters_of(site, page, Day::at(at + TimeDelta::seconds(seconds), zone));
            counters.extend(of_day.into_iter().filter(|counter| !counters.contains(counter)).collect::<Vec<_>>());
        }
        let mut most = self.most.lock().unwrap();
        counters.into_iter().for_each(|counter| *most.entry(counter).or_default() += 1);
    }

    /// Notes counts from before the book.
    pub fn begins_with(&self, counted: &Counted) {
        let mut most = self.most.lock().unwrap();
        counted.iter().for_each(|(counter, hits)| *most.entry(counter.clone()).or_default() += hits);
    }

    /// The most that a counter may hold now.
    pub fn most(&self, counter: &Counter) -> i64 {
        self.most.lock().unwrap().get(counter).copied().unwrap_or(0)
    }

    pub fn note(&self, site: &str, page: &str, zone: Tz, sent: DateTime<Utc>, done: DateTime<Utc>, outcome: Outcome) {
        let key = (site.to_owned(), page.to_owned(), Day::at(sent, zone), Day::at(done, zone));
        let mut entries = self.entries.lock().unwrap();
        let results = entries.entry(key).or_default();
        match outcome {
            Outcome::Acknowledged => results.acknowledged += 1,
            Outcome::Refused => results.refused += 1,
            Outcome::Unanswered => results.unanswered += 1,
        }
    }

    pub fn results(&self) -> Results {
        let mut sum = Results::default();
        for results in self.entries.lock().unwrap().values() {
            sum.acknowledged += results.acknowledged;
            sum.refused += results.refused;
            sum.unanswered += results.unanswered;
        }
        sum
    }

    /// Acknowledged hits of a site.
    pub fn acknowledged(&self, site: &str) -> i64 {
        let entries = self.entries.lock().unwrap();
        entries.iter().filter(|((of, ..), _)| of == site).map(|(_, results)| results.acknowledged).sum()
    }

    /// The least and the most that each counter may hold.
    fn bounds(&self) -> BTreeMap<Counter, (i64, i64)> {
        let mut bounds: BTreeMap<Counter, (i64, i64)> = BTreeMap::new();
        for ((site, page, sent, done), results) in self.entries.lock().unwrap().iter() {
            let own = [sent.site_periods(), done.site_periods()].map(|periods| names(&periods, None));
            let pages = [sent.page_periods(), done.page_periods()].map(|periods| names(&periods, Some(page)));
            for [first, last] in [own, pages] {
                for (period, page) in first.iter().chain(last.iter().filter(|name| !first.contains(name))) {
                    let name = (period.clone(), page.clone());
                    let is_sure = first.contains(&name) && last.contains(&name);
                    let counter = Counter { site: site.clone(), period: name.0, page: name.1 };
                    let (least, most) = bounds.entry(counter).or_default();
                    *least += if is_sure { results.acknowledged } else { 0 };
                    *most += results.acknowledged + results.doubtful();
                }
            }
        }
        bounds
    }

    /// Counters of these sites that hold too little or too much.
    pub fn faults(&self, sites: &[&str], counted: &Counted) -> Vec<String> {
        let mut bounds = self.bounds();
        bounds.retain(|counter, _| sites.contains(&counter.site.as_str()));
        let unknown = counted.keys().filter(|counter| !bounds.contains_key(counter)).cloned().collect::<Vec<_>>();
        bounds.extend(unknown.into_iter().map(|counter| (counter, (0, 0))));
        let found = |counter: &Counter| counted.get(counter).copied().unwrap_or(0);
        let wrong = bounds.iter().filter(|(counter, (least, most))| !(*least..=*most).contains(&found(counter)));
        wrong
            .map(|(counter, (least, most))| {
                let (Counter { site, period, page }, found) = (counter, found(counter));
                let page = page.as_deref().unwrap_or("(itself)");
                format!(
                    "site {site}, {period}, page {page}: {least} acknowledged, at most {most} sent, {found} counted"
                )
            })
            .collect()
    }

    /// Counters that hold more than was sent.
    pub fn exceeding(&self, sites: &[&str], counted: &Counted) -> Vec<Counter> {
        let mut bounds = self.bounds();
        bounds.retain(|counter, _| sites.contains(&counter.site.as_str()));
        let most = |counter| bounds.get(counter).map_or(0, |(_, most)| *most);
        counted.iter().filter(|(counter, hits)| **hits > most(counter)).map(|(counter, _)| counter.clone()).collect()
    }

    /// Asserts acknowledged ≤ counted ≤ acknowledged + unanswered + answered 503, in each counter.
    pub fn holds_in(&self, place: &str, sites: &[&str], counted: &Counted) {
        let faults = self.faults(sites, counted);
        let shown = faults.iter().take(12).map(|fault| format!("\n  {fault}")).collect::<String>();
        let (count, results) = (faults.len(), self.results());
        assert!(faults.is_empty(), "{place}: {count} counters are wrong ({results:?}):{shown}");
    }
}

/// The counters that a hit of a day changes.
pub fn counters_of(site: &str, page: &str, day: Day) -> Vec<Counter> {
    let own = names(&day.site_periods(), None);
    let pages = names(&day.page_periods(), Some(page));
    let counter = |(period, page)| Counter { site: site.to_owned(), period, page };
    own.into_iter().chain(pages).map(counter).collect()
}

fn names(periods: &[Period], page: Option<&str>) -> Vec<(String, Option<String>)> {
    periods.iter().map(|period| (period.to_string(), page.map(str::to_owned))).collect()
}

/// Counts in an export of one site, without zeros.
pub fn of_csv(site: &str, text: &str) -> Counted {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.records().map(|record| {
        let record = record.unwrap();
        let page = Some(record[1].to_owned()).filter(|page| !page.is_empty());
        (Counter { site: site.to_owned(), period: record[0].to_owned(), page }, record[2].parse().unwrap())
    });
    rows.filter(|(_, hits)| *hits != 0).collect()
}

/// Sums the counts of several places.
pub fn sum(all: impl IntoIterator<Item = Counted>) -> Counted {
    let mut sum = Counted::new();
    for (counter, hits) in all.into_iter().flatten() {
        *sum.entry(counter).or_default() += hits;
    }
    sum
}

/// The sites' own counters only.
pub fn without_pages(counted: Counted) -> Counted {
    counted.into_iter().filter(|(counter, _)| counter.page.is_none()).collect()
}

#[test]
fn the_book_finds_one_hit_too_few_and_one_too_many_and_knows_both_days_of_midnight() {
    let book = Book::default();
    let zone = Tz::Asia__Ho_Chi_Minh;
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let noon = at("2024-06-17T05:00:00Z");
    for outcome in [Outcome::Acknowledged, Outcome::Acknowledged, Outcome::Refused, Outcome::Unanswered] {
        book.note("a", "/x", zone, noon, noon, outcome);
    }
    let csv = |hits: i64| {
        let own = ["total", "2024", "2024-06", "2024-06-17"].map(|period| format!("{period},,{hits}\n")).concat();
        format!("period,page,hits\n{own}total,/x,{hits}\n2024-06,/x,{hits}\n2024-06-17,/x,{hits}\n")
    };
    for (hits, faults) in [(1, 7), (2, 0), (3, 0), (4, 0), (5, 7)] {
        assert_eq!(book.faults(&["a"], &of_csv("a", &csv(hits))).len(), faults, "{hits}");
    }
    assert_eq!(book.faults(&["a"], &of_csv("a", &(csv(2) + "total,/y,1\n"))).len(), 1);
    let late = Book::default();
    late.note("a", "/x", zone, at("2024-06-30T16:59:59Z"), at("2024-06-30T17:00:01Z"), Outcome::Acknowledged);
    let before =
        "period,page,hits\ntotal,,1\n2024,,1\n2024-06,,1\n2024-06-30,,1\ntotal,/x,1\n2024-06,/x,1\n2024-06-30,/x,1\n";
    let after = before.replace("2024-06-30", "2024-07-01").replace("2024-06", "2024-07");
    for (text, faults) in [(before, 0), (after.as_str(), 0), (&before.replace("total,,1", "total,,2"), 1)] {
        assert_eq!(late.faults(&["a"], &of_csv("a", text)).len(), faults);
    }
}

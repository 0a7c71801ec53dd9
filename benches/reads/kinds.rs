//! Kinds of reads, and the counts that they ask about.

use std::fmt::Write as _;

use chrono::{Days, NaiveDate, Utc};

use super::drive::requests::site_id;

/// The first has pages; all have years of days.
pub const SITES: u32 = 100;
const DAYS: u64 = 2_000;
const PAGES: u64 = 500;
const DAYS_OF_PAGES: u64 = 60;
/// Figures of pages: all that there are.
const ALL: &str = "today,yesterday,week,last_week,month,last_month,total";

pub struct Kind {
    pub name: &'static str,
    /// Reads of the budget that it costs.
    pub weight: f64,
    /// The path of a number: another question for each.
    pub path: fn(u64) -> String,
}

pub const KINDS: [Kind; 14] = [
    Kind { name: "figures: seven, in another order", weight: 1.0, path: figures },
    Kind { name: "history of 1,100 days, JSON", weight: 1.0, path: |number| history(number, "") },
    Kind { name: "history of 1,100 days, CSV", weight: 1.0, path: |number| history(number, "&format=csv") },
    Kind { name: "history from a day to a day", weight: 1.0, path: from_to },
    Kind { name: "history of 1,100 months", weight: 1.0, path: |number| steps(number, "month", 1_100) },
    Kind { name: "history of 100 years", weight: 1.0, path: |number| steps(number, "year", 8_000) },
    Kind { name: "history of 1,100 days, 100 sites", weight: 1.0, path: of_sites },
    Kind { name: "chart of 366 days", weight: 1.0, path: chart },
    Kind { name: "list of this month, another length", weight: 5.0, path: list },
    Kind { name: "list of another day", weight: 5.0, path: list_of_day },
    Kind { name: "50 pages' total", weight: 5.0, path: |number| pages(number, "total", PAGES) },
    Kind { name: "50 pages' figures, all", weight: 10.0, path: |number| pages(number, ALL, PAGES) },
    Kind { name: "50 pages that nobody read", weight: 10.0, path: |number| pages(number, ALL, u64::MAX) },
    Kind { name: "one page's figures, all", weight: 1.0, path: one_page },
];

/// A day so long ago.
fn day(ago: u64) -> NaiveDate {
    Utc::now().date_naive().checked_sub_days(Days::new(ago)).expect("a day")
}

fn site(number: u64) -> String {
    format!("/v1/sites/{}", site_id((number % u64::from(SITES)) as u32))
}

/// A permutation of seven figures.
fn figures(mut number: u64) -> String {
    let mut keys = ALL.split(',').collect::<Vec<_>>();
    let mut shuffled = Vec::new();
    while !keys.is_empty() {
        shuffled.push(keys.remove((number % keys.len() as u64) as usize));
        number /= keys.len() as u64 + 1;
    }
    format!("{}/figures?figures={}&label_style=dated", site(number), shuffled.join(","))
}

fn history(number: u64, more: &str) -> String {
    format!("{}/history?last={}&to={}{more}", site(0), 1_100 - number / 700 % 100, day(number % 700))
}

fn from_to(number: u64) -> String {
    format!("{}/history?from={}&to={}", site(0), day(900 + number % 199), day(number / 199 % 800))
}

fn steps(number: u64, by: &str, days: u64) -> String {
    let last = if by == "year" { 100 } else { 1_100 - number % 500 };
    format!("{}/history?by={by}&last={last}&to={}", site(0), day(number % days))
}

fn of_sites(number: u64) -> String {
    format!("{}/history?last=1100&to={}", site(number), day(number / u64::from(SITES) % 700))
}

fn chart(number: u64) -> String {
    let language = ["vi", "en"][(number % 2) as usize];
    format!("{}/chart.svg?last={}&to={}&language={language}", site(0), 366 - number / 1_400 % 60, day(number / 2 % 700))
}

fn list(number: u64) -> String {
    let language = ["vi", "en"][(number / 100 % 2) as usize];
    format!("{}/pages?limit={}&language={language}", site(0), 1 + number % 100)
}

fn list_of_day(number: u64) -> String {
    let (day, limit) = (day(number % DAYS_OF_PAGES), 100 - number / DAYS_OF_PAGES % 100);
    format!("{}/pages?period={day}&limit={limit}", site(0))
}

fn page(number: u64) -> String {
    format!("/tin-tuc-su-kien/bai-viet-{number}")
}

fn pages(number: u64, figures: &str, of: u64) -> String {
    let mut path = format!("{}/pages/figures?figures={figures}", site(0));
    for at in 0..50 {
        // Steps of a prime: another choice for each number.
        let _ = write!(path, "&url={}", page(number.wrapping_mul(7_919).wrapping_add(at * 31 + at * number % 13) % of));
    }
    path
}

fn one_page(number: u64) -> String {
    let mut figures: Vec<_> = ALL.split(',').collect();
    figures.rotate_left((number / PAGES % 7) as usize);
    format!("{}/pages/figures?figures={}&url={}", site(0), figures.join(","), page(number % PAGES))
}

/// A site's counts as CSV.
pub fn counts(number: u32) -> String {
    let mut csv = String::from("period,page,hits\n");
    for ago in 0..DAYS {
        let _ = writeln!(csv, "{},,{}", day(ago), 1_000 + ago * 37 % 9_000);
    }
    for year in 2019..2027 {
        let _ = writeln!(csv, "{year},,3000000");
        for month in 1..=12 {
            let _ = writeln!(csv, "{year}-{month:02},,250000");
        }
    }
    csv.push_str("total,,24000000\n");
    if number > 0 {
        return csv;
    }
    let months = [day(0), day(31), day(62)].map(|day| day.format("%Y-%m").to_string());
    for at in 0..PAGES {
        let (page, hits) = (page(at), 10 + at * 7_919 % 997);
        for ago in 0..DAYS_OF_PAGES {
            let _ = writeln!(csv, "{},{page},{}", day(ago), hits + ago % 7);
        }
        for month in &months {
            let _ = writeln!(csv, "{month},{page},{}", hits * 30);
        }
        let _ = writeln!(csv, "total,{page},{}", hits * 90);
    }
    csv
}

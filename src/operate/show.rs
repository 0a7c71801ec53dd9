//! `thongke config`, `figures`, `sources` and `bots`, as text or as the JSON of the node's answer.

use hyper::Method;

use crate::bots::{UNCOUNTED_BYTES_MAX, UNCOUNTED_FILE, Uncounted, UncountedRow};
use crate::clock;
use crate::config::{self, Config, Environment, Flags};
use crate::counter::account::SourceAccount;
use crate::counter::{Day, Figures, RegisteredSite, SiteId, figures};
use crate::ledger::Ledger;
use crate::obstacle;
use crate::server::routes::Admin;

use super::{IfEmpty, NodeRequest, from_json, on_its_counts, on_the_node, print};

pub fn figures(config: &Config, site: &SiteId, as_json: bool) -> anyhow::Result<()> {
    let request = NodeRequest::new(Method::GET, Admin::Figures, site);
    let text = |answer: &[u8]| Ok(String::from_utf8(answer.to_vec())?);
    let text: String = on_the_node(config, site, IfEmpty::Refuse, request, text, async |ledger, site| {
        let now = clock::now();
        let today = Day::at(now, site.site.time_zone);
        let periods = figures::periods(&site.site.figures, today);
        let hits = ledger.hits(site.number, &periods).await?.hits;
        let (visitors, _) = ledger.visitors(site, now).await?;
        let hits = |period| periods.iter().zip(&hits).find_map(|(known, hits)| (*known == period).then_some(*hits));
        let hits = |period| hits(period).unwrap_or(0);
        let figures = Figures::compose(&site.site, &site.site.figures, now, false, hits, visitors);
        Ok(serde_json::to_string(&figures)?)
    })?;
    if as_json {
        return print(text.trim_end());
    }
    let json: serde_json::Value = serde_json::from_str(&text)?;
    println!("{}", json["title"].as_str().unwrap_or_default());
    for figure in json["figures"].as_array().into_iter().flatten() {
        println!("{} : {}", figure["label"].as_str().unwrap_or_default(), figure["text"].as_str().unwrap_or_default());
    }
    Ok(())
}

pub fn sources(config: &Config, site: &SiteId, as_json: bool) -> anyhow::Result<()> {
    let request = NodeRequest::new(Method::GET, Admin::Sources, site);
    let work = async |ledger: &Ledger, site: &RegisteredSite| Ok(ledger.sources(site.number).await?);
    let sources: Vec<SourceAccount> = on_its_counts(config, site, request, from_json, work)?;
    if as_json {
        return print(&serde_json::to_string(&sources)?);
    }
    println!(
        "{:<24} {:>12}  {:<10}  {:<10}  {:>10}  {:>10}  note",
        "source", "total", "first day", "last day", "counters", "pages"
    );
    for source in sources {
        let note = match (source.current, source.remote) {
            (true, _) => "runs now",
            (_, true) => "another node's",
            _ => "",
        };
        let day = |day: &Option<String>| day.clone().unwrap_or_else(|| "-".to_owned());
        println!(
            "{:<24} {:>12}  {:<10}  {:<10}  {:>10}  {:>10}  {note}",
            source.source,
            source.total,
            day(&source.first_day),
            day(&source.last_day),
            source.site_rows,
            source.page_rows
        );
    }
    Ok(())
}

/// Prints the settings in force.
pub fn show_config(config: &Config, flags: &Flags, environment: &Environment) -> anyhow::Result<()> {
    print(config::in_force(config, flags, environment).trim_end())
}

pub fn bots(config: &Config, site: &SiteId, as_json: bool) -> anyhow::Result<()> {
    let request = NodeRequest::new(Method::GET, Admin::Bots, site);
    let rows: Vec<UncountedRow> = on_the_node(config, site, IfEmpty::Refuse, request, from_json, async |_, site| {
        let text = obstacle::read_text(&config.data_dir.join(UNCOUNTED_FILE), UNCOUNTED_BYTES_MAX).unwrap_or_default();
        Ok(Uncounted::from_lines(&text).rows(&site.site.counted_as))
    })?;
    if as_json {
        return print(&serde_json::to_string(&rows)?);
    }
    print(&format!("{:<10}  {:<18}  {:>12}", "day", "kind", "not counted"))?;
    rows.iter().try_for_each(|row| print(&format!("{:<10}  {:<18}  {:>12}", row.day, row.kind, row.hits)))
}

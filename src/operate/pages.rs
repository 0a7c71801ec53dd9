//! `thongke pages`: the list of a site's pages, and editors' rules of them.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use hyper::Method;

use super::parameters::parameters;
use super::{IfEmpty, NodeRequest, from_json, on_the_node, print};
use crate::clock;
use crate::command_line::Pages;
use crate::config::Config;
use crate::counter::editor_rules::change::{Change, Request};
use crate::counter::page::TOP_MAX;
use crate::counter::page_index::{self, FORMER_MAX, Listing, PageIndex};
use crate::counter::{Day, Known, PageAddress, PageTitle, Period, RegisteredSite, RuleKind};
use crate::ledger::Ledger;
use crate::server::page_list::{LISTED_DEFAULT, ListedPage, ListedPages, ShownRule};
use crate::server::ports::TopPage;
use crate::server::routes::Admin;

/// Widest column of pages and titles in text.
const COLUMN_MAX: usize = 60;

/// Does what the command line asks.
pub fn pages(config: &Config, asked: &Pages) -> anyhow::Result<()> {
    match change(asked)? {
        Some(asked_rule) => set(config, asked, &asked_rule),
        None if asked.parameters => parameters(config, &asked.site, asked.json),
        None if asked.rules => rules(config, asked),
        None => list(config, asked),
    }
}

/// The rule that the command line names, if it names one. Without a value it is to be undone.
fn change(asked: &Pages) -> anyhow::Result<Option<Request>> {
    let two = [(RuleKind::Title, &asked.title, "TEXT"), (RuleKind::Merge, &asked.merge, "INTO")];
    for (kind, words, missing) in two {
        let Some(words) = words else { continue };
        let page = words.first().cloned().unwrap_or_default();
        return match (words.get(1), asked.undo) {
            (Some(value), false) => Ok(Some(Request { page, kind, value: Some(value.clone()) })),
            (None, true) => Ok(Some(Request { page, kind, value: None })),
            (Some(_), true) => bail!("`--undo` takes the page alone: `--{kind} PAGE --undo`"),
            (None, false) => bail!("{missing} is missing: `--{kind} PAGE {missing}`; `--{kind} PAGE --undo` undoes it"),
        };
    }
    let one = [(RuleKind::Hide, &asked.hide), (RuleKind::Delete, &asked.delete)];
    Ok(one.into_iter().find_map(|(kind, page)| Some(Request { page: page.clone()?, kind, value: None })))
}

/// Sets or undoes a rule.
fn set(config: &Config, asked: &Pages, rule: &Request) -> anyhow::Result<()> {
    let site = &asked.site;
    let is_emptied = rule.kind == RuleKind::Title && rule.value.as_deref().is_some_and(|text| text.trim().is_empty());
    let undoes = asked.undo || is_emptied;
    let mut request = NodeRequest::new(if undoes { Method::DELETE } else { Method::PUT }, Admin::PageRules, site);
    if undoes {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("page", &rule.page).append_pair("kind", rule.kind.as_str());
        request.path += &format!("?{}", query.finish());
    } else {
        request.kind = "application/json";
        request.body = super::whole(serde_json::to_vec(rule)?);
    }
    let shown: ShownRule = on_the_node(config, site, IfEmpty::Refuse, request, from_json, async |ledger, site| {
        let change = match undoes {
            true => Change::undo(&site.site, &rule.page, rule.kind),
            false => Change::set(&site.site, rule),
        };
        let changed = ledger.change_rule(site.number, change?, clock::now().timestamp_millis()).await??;
        Ok(ShownRule::of(&changed, None))
    })?;
    if asked.json {
        return print(&serde_json::to_string(&shown)?);
    }
    let ShownRule { page, kind, value, .. } = shown;
    print(&match (undoes, kind, value) {
        (true, ..) => format!("{page}: {kind} undone"),
        (false, RuleKind::Title, Some(title)) => format!("{page}: shown as `{title}`"),
        (false, RuleKind::Merge, Some(into)) => format!("{page}: counts and is shown as {into}"),
        (false, RuleKind::Hide, _) => format!("{page}: in no public list"),
        (false, ..) => format!("{page}: nothing of it is shown; its hits count for the site alone"),
    })
}

fn rules(config: &Config, asked: &Pages) -> anyhow::Result<()> {
    let request = NodeRequest::new(Method::GET, Admin::PageRules, &asked.site);
    let of_file = async |_: &Ledger, site: &RegisteredSite| Ok(ShownRule::all(site.editor_rules.as_deref()));
    let rules: Vec<ShownRule> = on_the_node(config, &asked.site, IfEmpty::Refuse, request, from_json, of_file)?;
    if asked.json {
        return print(&serde_json::to_string(&rules)?);
    }
    let page = |rule: &ShownRule| rule.page.clone();
    let width = width("page", rules.iter().map(page));
    print(&format!("{:<24}  {:<6}  {:<width$}  value", "changed", "kind", "page"))?;
    rules.iter().try_for_each(|rule| {
        let void = if rule.is_void { "  no effect: it would close a circle" } else { "" };
        let value = rule.value.as_deref().unwrap_or_default();
        print(format!("{:<24}  {:<6}  {:<width$}  {value}{void}", rule.given, rule.kind.as_str(), rule.page).trim_end())
    })
}

fn list(config: &Config, asked: &Pages) -> anyhow::Result<()> {
    let period = match &asked.period {
        None => None,
        Some(text) => Some(Period::of_pages(text).with_context(|| {
            format!("`{}` is not a period of pages; expected {}", text.escape_debug(), Period::OF_PAGES)
        })?),
    };
    let limit = asked.limit.map_or(LISTED_DEFAULT, usize::from);
    let mut request = NodeRequest::new(Method::GET, Admin::Pages, &asked.site);
    request.path += &format!("?limit={limit}");
    if let Some(period) = period {
        request.path += &format!("&period={period}");
    }
    let of_file = async |ledger: &Ledger, site: &RegisteredSite| {
        let period = period.unwrap_or_else(|| Day::at(clock::now(), site.site.time_zone).month());
        listed(ledger, site, period, limit).await
    };
    let listed: ListedPages = on_the_node(config, &asked.site, IfEmpty::Refuse, request, from_json, of_file)?;
    if asked.json {
        return print(&serde_json::to_string(&listed)?);
    }
    show(&listed)
}

/// The most read pages by the file of a stopped node.
async fn listed(ledger: &Ledger, site: &RegisteredSite, period: Period, limit: usize) -> anyhow::Result<ListedPages> {
    let (number, of_address) = (site.number, Arc::clone(&site.site.page_rules));
    let present = move |old: &PageAddress| page_index::present(old, &of_address);
    let former = ledger.former_pages(number, FORMER_MAX, present).await?;
    let rules = site.editor_rules.as_ref();
    let index = PageIndex::of(&former, rules);
    let most_read = ledger.top_pages(number, period, index.candidates(TOP_MAX)).await?;
    let mut pages = Vec::new();
    for page in index.presented(most_read.to_vec(), Listing::Editors) {
        let addresses: Vec<_> = index.addresses(&page).cloned().collect();
        let hits = ledger.page_counts(number, addresses.clone(), vec![period]).await?.iter().map(Known::hits).sum();
        pages.push((page, addresses, hits));
    }
    pages.retain(|(.., hits)| *hits > 0);
    pages.sort_by(|one, other| (other.2, &one.0).cmp(&(one.2, &other.0)));
    pages.truncate(limit);
    let mut listed = Vec::with_capacity(pages.len());
    for (page, addresses, hits) in pages {
        let readers = match site.site.titles {
            true => ledger.titles(number, addresses.clone()).await?,
            false => vec![None; addresses.len()],
        };
        let given = addresses.iter().map(|address| rules?.title(address));
        let readers = readers.into_iter().map(|readers| readers.map(|readers| readers.title));
        let both = given.zip(readers).map(|(given, readers)| PageTitle::shown(given, readers));
        // The shown page's own comes first.
        let title = both.flatten().next();
        listed.push(TopPage { page, hits, title });
    }
    Ok(ListedPages::of(period, listed, false, rules.map(AsRef::as_ref)))
}

fn show(listed: &ListedPages) -> anyhow::Result<()> {
    let page = |listed: &ListedPage| listed.page.clone();
    let title = |listed: &ListedPage| listed.title.clone().unwrap_or_default();
    let pages = width("page", listed.pages.iter().map(page));
    let titles = width("title", listed.pages.iter().map(title));
    print(&format!("{:>12}  {:<pages$}  {:<titles$}  rules", listed.period, "page", "title"))?;
    for listed in &listed.pages {
        let own = listed.rules.iter().map(ToString::to_string);
        let rules: Vec<_> = own.chain(listed.merged.iter().map(|page| format!("with {page}"))).collect();
        let line =
            format!("{:>12}  {:<pages$}  {:<titles$}  {}", listed.hits, listed.page, title(listed), rules.join(", "));
        print(line.trim_end())?;
    }
    if listed.stale {
        print("Redis is away: hits of other nodes may be missing")?;
    }
    Ok(())
}

/// Width of a column in characters.
fn width(heading: &str, texts: impl Iterator<Item = String>) -> usize {
    let widest = texts.map(|text| text.chars().count()).max().unwrap_or(0);
    widest.clamp(heading.len(), COLUMN_MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::command_line::{Command, CommandLine};

    fn asked(words: &str) -> Result<Pages, String> {
        let line = format!("thongke pages demo {words}");
        match CommandLine::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?.command {
            Some(Command::Pages(asked)) => Ok(asked),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_command_asks_for_one_thing() {
        let kind = |words: &str| change(&asked(words).unwrap()).unwrap().map(|rule| (rule.kind.as_str(), rule.value));
        assert_eq!(kind(""), None);
        assert_eq!(kind("--period total --limit 5"), None);
        assert_eq!(kind("--title /a Tin"), Some(("title", Some("Tin".to_owned()))));
        assert_eq!(kind("--merge /a --undo"), Some(("merge", None)));
        assert_eq!(kind("--hide /a"), Some(("hide", None)));
        assert_eq!(kind("--delete /a --undo"), Some(("delete", None)));
        for words in [
            "--hide /a --delete /b",
            "--rules --hide /a",
            "--rules --parameters",
            "--rules --period total",
            "--undo",
            "--undo --rules",
            "--limit 0",
            "--limit 101",
            "--merge /a /b /c",
        ] {
            assert!(asked(words).is_err(), "{words}");
        }
        for words in ["--title /a", "--merge /a", "--merge /a /b --undo"] {
            assert!(change(&asked(words).unwrap()).is_err(), "{words}");
        }
    }
}

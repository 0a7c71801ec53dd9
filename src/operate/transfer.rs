//! `thongke import`, `forget` and `export`.

use std::io::{Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hyper::Method;

use crate::clock;
use crate::config::Config;
use crate::counter::SiteId;
use crate::counter::Source;
use crate::counter::account::ImportReport;
use crate::counter::csv::{self, EXPORT_STEP, HEADER_PAGES, Parsed};
use crate::counter::source::ImportName;
use crate::ledger::DirectoryLock;
use crate::server::IMPORT_BYTES_MAX;
use crate::server::routes::{Admin, SOURCE};

use super::{IfEmpty, NodeRequest, configured, from_json, on_the_node};

pub fn import(config: &Config, site: &SiteId, file: &Path, name: &ImportName) -> anyhow::Result<()> {
    let text = if file == Path::new("-") {
        read(std::io::stdin()).context("can't read standard input")?
    } else {
        // A pipe is welcome: the file may come out of another program.
        let opened = std::fs::File::open(file).map_err(anyhow::Error::from);
        opened.and_then(read).with_context(|| format!("can't read {}", file.display()))?
    };
    let mut request = NodeRequest::new(Method::POST, Admin::Import, site);
    request.path += &format!("?source={}", name.as_str());
    request.body = text.clone();
    // Before a stopped node's files are made: a wrong site or a bad line must leave nothing behind.
    let parsed = match DirectoryLock::holder(&config.data_dir) {
        Some(_) => None,
        None => Some(csv::parse(&text, &configured(config, site)?.page_rules)?),
    };
    let report: ImportReport = on_the_node(config, site, IfEmpty::Begin, request, from_json, async |ledger, site| {
        let Parsed { rows, summed } = parsed.context("the node has just stopped; try again")?;
        let report = ledger.import(site.number, name.clone(), rows, clock::now()).await?;
        Ok(ImportReport { summed, ..report })
    })?;
    say(&report);
    Ok(())
}

/// Reads a file to its end, if it comes before a node's limit: a device may have none.
fn read(file: impl Read) -> anyhow::Result<Bytes> {
    let mut text = Vec::new();
    file.take(IMPORT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    if text.len() > IMPORT_BYTES_MAX {
        bail!("it is larger than the {} MiB that a node takes at once; import it in parts", IMPORT_BYTES_MAX >> 20);
    }
    Ok(Bytes::from(text))
}

pub fn forget(config: &Config, site: &SiteId, name: &ImportName) -> anyhow::Result<()> {
    let mut request = NodeRequest::new(Method::DELETE, Admin::Forget, site);
    request.path = request.path.replace(SOURCE, &Source::Import(name.clone()).to_string());
    let read = |answer: &[u8]| from_json(answer).map(Some);
    let report: Option<ImportReport> =
        on_the_node(config, site, IfEmpty::Refuse, request, read, async |ledger, site| {
            Ok(ledger.forget(site.number, name.clone(), clock::now()).await?)
        })?;
    match report {
        Some(report) => say(&report),
        None => {
            bail!("site `{site}` has no import `import:{}`; `thongke sources {site}` shows what it has", name.as_str())
        }
    }
    Ok(())
}

pub fn export(config: &Config, site: &SiteId) -> anyhow::Result<()> {
    let request = NodeRequest::new(Method::GET, Admin::Export, site);
    let read = |answer: &[u8]| Ok(answer.to_vec());
    let text: Vec<u8> = on_the_node(config, site, IfEmpty::Refuse, request, read, async |ledger, site| {
        let mut text = format!("{HEADER_PAGES}\n").into_bytes();
        let mut after = None;
        loop {
            let rows = ledger.export(site.number, after, EXPORT_STEP).await?;
            let Some(last) = rows.last() else { return Ok(text) };
            rows.iter().for_each(|row| csv::write_row(&mut text, row));
            after = Some(last.clone());
        }
    })?;
    std::io::stdout().write_all(&text).context("can't write to standard output")
}

fn say(report: &ImportReport) {
    println!(
        "{}: counters set: {}; set back to 0, since only an earlier import had them: {}",
        report.source, report.rows, report.cleared
    );
    if report.summed > 0 {
        println!("lines added to another line's counter, since their addresses are one page here: {}", report.summed);
    }
    if report.made_elsewhere {
        println!(
            "an import of this name was made on another node too: if it had rows of pages, correct or forget those there"
        );
    }
    if report.after_reset {
        println!(
            "the site's figures were set to zero, perhaps with an earlier import of this name in them: reset them again, \
             or take the reset back first"
        );
    }
    if !report.days_also_counted_live.is_empty() {
        println!(
            "these days have other hits too, and their figures are now the sum of both: {}",
            report.days_also_counted_live.join(", ")
        );
    }
}

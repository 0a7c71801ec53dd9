//! `thongke import`, `forget` and `export`.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use hyper::Method;

use crate::clock;
use crate::config::Config;
use crate::counter::SiteId;
use crate::counter::Source;
use crate::counter::account::ImportReport;
use crate::counter::csv::{self, EXPORT_STEP, HEADER_PAGES, TakeLines as _, Unread};
use crate::counter::source::ImportName;
use crate::ledger::{DirectoryLock, ImportFile};
use crate::server::IMPORT_BYTES_MAX;
use crate::server::routes::{Admin, SOURCE};

use super::{IfEmpty, NodeRequest, configured, from_json, on_its_counts, on_the_node};

pub fn import(config: &Config, site: &SiteId, file: &Path, name: &ImportName) -> anyhow::Result<()> {
    let mut request = NodeRequest::new(Method::POST, Admin::Import, site);
    request.path += &format!("?source={}", name.as_str());
    let text = text_of(file).with_context(|| format!("can't read {}", file.display()))?;
    // Before a stopped node's files are made: a wrong site or a bad line must leave nothing behind.
    let lines = match DirectoryLock::holder(&config.data_dir) {
        Some(_) => {
            request.body = super::streamed(text)?;
            None
        }
        None => Some(lines(config, site, text)?),
    };
    let report: ImportReport = on_the_node(config, site, IfEmpty::Begin, request, from_json, async |ledger, site| {
        let lines = ledger.permit_import(lines.context("the node has just stopped; try again")?)?;
        Ok(ledger.finish_import(site.number, name.clone(), lines, clock::now()).await??)
    })?;
    say(&report);
    Ok(())
}

/// Text of an import, up to the limit of a running node: a device may have none.
type Text = Box<dyn Read + Send>;

fn text_of(file: &Path) -> anyhow::Result<Text> {
    let text: Text = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        // A pipe is welcome: the file may come out of another program.
        let opened = File::open(file)?;
        let about = opened.metadata()?;
        if about.is_dir() {
            return Err(std::io::Error::from(rustix::io::Errno::ISDIR).into());
        }
        if about.len() > IMPORT_BYTES_MAX as u64 {
            bail!(too_large());
        }
        Box::new(opened)
    };
    Ok(Box::new(Limited { text, bytes: 0 }))
}

fn too_large() -> String {
    format!("it is larger than the {} MiB that a node takes at once; import it in parts", IMPORT_BYTES_MAX >> 20)
}

struct Limited {
    text: Text,
    bytes: usize,
}

impl Read for Limited {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.text.read(into)?;
        self.bytes += read;
        if self.bytes > IMPORT_BYTES_MAX { Err(std::io::Error::other(too_large())) } else { Ok(read) }
    }
}

/// The lines of an import, in memory or in a nameless file; refuses a wrong one.
fn lines(config: &Config, site: &SiteId, text: Text) -> anyhow::Result<ImportFile> {
    let rules = &configured(config, site)?.page_rules;
    let mut lines = ImportFile::new(&config.data_dir);
    csv::read(text, rules, |line| lines.take(line)).map_err(|unread| match unread {
        Unread::Wrong(error) => anyhow::Error::from(error),
        Unread::NotTaken(reason) => anyhow::Error::msg(reason),
    })?;
    lines.check().context("the import's lines can't be sorted")??;
    Ok(lines)
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
    let text: Vec<u8> = on_its_counts(config, site, request, read, async |ledger, site| {
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

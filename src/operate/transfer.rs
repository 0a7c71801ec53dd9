//! `thongke import`, `forget` and `export`.

use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hyper::Method;

use crate::clock;
use crate::config::Config;
use crate::counter::SiteId;
use crate::counter::account::ImportReport;
use crate::counter::csv::{self, HEADER_PAGES};
use crate::counter::source::ImportName;
use crate::server::routes::{Admin, admin_path};

use super::{IfEmpty, Place, ask, on_the_node, on_the_node_or};

/// Rows that an export reads at once.
const EXPORT_STEP: usize = 1_000;

pub fn import(config: &Config, site: &SiteId, file: &Path, name: &ImportName) -> anyhow::Result<()> {
    let mut text = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).context("can't read standard input")?;
    } else {
        text = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
    }
    let report: ImportReport = on_the_node_or(config, site, IfEmpty::Begin, async |place| match place {
        Place::Running(admin) => {
            let path = admin_path(Admin::Import, site.as_str()) + "?source=" + name.as_str();
            let answer = ask(config, &admin, Method::POST, &path, Bytes::from(text)).await?;
            Ok(serde_json::from_slice(&answer)?)
        }
        Place::Stopped(ledger, site) => {
            let rows = csv::parse(&text, &site.site.page_params)?;
            let report = ledger.import(site.number, name.clone(), rows, clock::now()).await;
            ledger.close();
            Ok(report?)
        }
    })?;
    say(&report);
    Ok(())
}

pub fn forget(config: &Config, site: &SiteId, name: &ImportName) -> anyhow::Result<()> {
    let report: Option<ImportReport> = on_the_node(config, site, async |place| match place {
        Place::Running(admin) => {
            let path =
                admin_path(Admin::Forget, site.as_str()).replace("{source}", &format!("import:{}", name.as_str()));
            let answer = ask(config, &admin, Method::DELETE, &path, Bytes::new()).await?;
            Ok(Some(serde_json::from_slice(&answer)?))
        }
        Place::Stopped(ledger, site) => {
            let report = ledger.forget(site.number, name.clone(), clock::now()).await;
            ledger.close();
            Ok(report?)
        }
    })?;
    match report {
        Some(report) => say(&report),
        None => bail!("site `{site}` has no import `{}`; `thongke sources {site}` shows what it has", name.as_str()),
    }
    Ok(())
}

pub fn export(config: &Config, site: &SiteId) -> anyhow::Result<()> {
    let text: Vec<u8> = on_the_node(config, site, async |place| match place {
        Place::Running(admin) => {
            Ok(ask(config, &admin, Method::GET, &admin_path(Admin::Export, site.as_str()), Bytes::new())
                .await?
                .to_vec())
        }
        Place::Stopped(ledger, site) => {
            let mut text = format!("{HEADER_PAGES}\n").into_bytes();
            let mut after = None;
            loop {
                let rows = ledger.export(site.number, after, EXPORT_STEP).await?;
                let Some(last) = rows.last() else { break };
                rows.iter().for_each(|row| csv::write_row(&mut text, row));
                after = Some(last.clone());
            }
            ledger.close();
            Ok(text)
        }
    })?;
    std::io::stdout().write_all(&text).context("can't write to standard output")
}

fn say(report: &ImportReport) {
    println!(
        "{}: counters set: {}; set back to 0, since only an earlier import had them: {}",
        report.source, report.rows, report.cleared
    );
    if report.made_elsewhere {
        println!(
            "an import of this name was made on another node too: if it had rows of pages, correct or forget those there"
        );
    }
    if !report.days_also_counted_live.is_empty() {
        println!(
            "these days have other hits too, and their figures are now the sum of both: {}",
            report.days_also_counted_live.join(", ")
        );
    }
}

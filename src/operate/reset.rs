//! `thongke sites reset`.

use anyhow::bail;
use hyper::Method;

use super::{IfEmpty, NodeRequest, configured, from_json, on_the_node, print};
use crate::clock;
use crate::config::Config;
use crate::counter::SiteId;
use crate::counter::account::ImportReport;
use crate::counter::source::ImportName;
use crate::ledger::DirectoryLock;
use crate::server::routes::Admin;

/// Sets a site's figures to zero; without `yes`, says what that would do.
pub fn reset(config: &Config, site: &SiteId, yes: bool) -> anyhow::Result<()> {
    let is_running = DirectoryLock::holder(&config.data_dir).is_some();
    if !is_running {
        configured(config, site)?;
    }
    if !yes {
        return print(&format!(
            "this would set all figures of site `{site}` and its pages to zero, on all nodes; nothing was changed\n\
             `thongke sites reset {site} --yes` does it, and `thongke sites reset {site} --undo` takes it back"
        ));
    }
    if !is_running && !config.redis.is_empty() {
        bail!("other nodes' counts are known to a running node only; start it, and try again");
    }
    let request = NodeRequest::new(Method::POST, Admin::Reset, site);
    let report: ImportReport = on_the_node(config, site, IfEmpty::Refuse, request, from_json, async |ledger, site| {
        let standing = ledger.standing(site.number).await?;
        let figures = standing.into_iter().map(|one| (one.clone(), one.sum)).collect();
        Ok(ledger.reset(site.number, figures, clock::now()).await?)
    })?;
    print(&format!(
        "{}: figures set to zero: {}; `thongke sites reset {site} --undo` takes it back",
        report.source, report.rows
    ))
}

/// Takes a reset back.
pub fn undo_reset(config: &Config, site: &SiteId) -> anyhow::Result<()> {
    let request = NodeRequest::new(Method::DELETE, Admin::Reset, site);
    let read = |answer: &[u8]| from_json(answer).map(Some);
    let report: Option<ImportReport> =
        on_the_node(config, site, IfEmpty::Refuse, request, read, async |ledger, site| {
            Ok(ledger.forget(site.number, ImportName::reset(), clock::now()).await?)
        })?;
    match report {
        Some(report) => print(&format!("{}: taken back; figures changed: {}", report.source, report.cleared)),
        None => bail!("the figures of site `{site}` were not reset"),
    }
}

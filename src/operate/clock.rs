//! `thongke clock accept`, and the doubts about a clock that `thongke check` reports.

use chrono::{DateTime, Utc};
use hyper::Method;

use super::{IfEmpty, NodeRequest, ask, from_json, on_its_ledger, print};
use crate::clock;
use crate::config::Config;
use crate::counter::clock_trust::{self, Accepted, ClockRecord, Witnesses};
use crate::ledger::{DirectoryLock, Holder, doubt_of_stopped, has_been_used};
use crate::server::routes::Admin;

/// Believes the clock of this machine.
pub fn accept_clock(config: &Config) -> anyhow::Result<()> {
    let request = NodeRequest::of_node(Method::POST, Admin::AcceptClock);
    let Accepted { accepted } = on_its_ledger(config, IfEmpty::Refuse, request, from_json, async |ledger, sites| {
        let now = clock::now();
        ledger.note_clock(ClockRecord::of(now, ledger.newest_day(sites).await?)).await?;
        Ok(Accepted::at(now))
    })?;
    print(&format!("the clock is accepted: {accepted}"))
}

/// Witnesses of a command.
struct Asked {
    redis: Option<DateTime<Utc>>,
}

impl Witnesses for Asked {
    fn redis(&self) -> Option<DateTime<Utc>> {
        self.redis
    }

    fn kernel(&self, now: DateTime<Utc>) -> bool {
        clock::is_synchronised(now) == Some(true)
    }
}

/// The doubt about the clock that a running node has, or that the files of a stopped one raise and nobody dispels.
pub fn clock_doubt(config: &Config, redis: Option<DateTime<Utc>>) -> anyhow::Result<Option<String>> {
    match DirectoryLock::holder(&config.data_dir) {
        Some(Holder { admin_address: Some(admin), .. }) => doubt_of_running(config, &admin),
        Some(_) => Ok(None),
        None if !has_been_used(&config.data_dir) => Ok(None),
        None => {
            let now = clock::now();
            // A file that can't be read is no matter of the clock.
            let doubt = doubt_of_stopped(&config.data_dir, &config.sites, now).unwrap_or_default();
            let doubt = doubt.filter(|_| clock_trust::vouched(now, &Asked { redis }).is_none());
            Ok(doubt.map(|doubt| doubt.in_words(now)))
        }
    }
}

/// The running node's own doubt about its clock.
fn doubt_of_running(config: &Config, admin: &str) -> anyhow::Result<Option<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(ask(config, admin, NodeRequest::of_node(Method::GET, Admin::Ready)));
    // `thongke health` reports a node that is not ready.
    let report: serde_json::Value = answer.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    Ok(report["reasons"]["clock"].as_str().map(str::to_owned))
}

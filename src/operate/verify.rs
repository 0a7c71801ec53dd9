//! `thongke verify`: compares a site's counts wherever they are kept, and repairs differences.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::clock;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use hyper::Method;

use crate::config::Config;
use crate::counter::RowKey;
use crate::counter::SiteId;
use crate::counter::verification::{Findings, Kind, Repair, Verification};
use crate::redis::{self, Target};
use crate::server::routes::{Admin, admin_path};

use super::{Place, ask, on_the_node, print};

/// Longest wait for a running node to publish what a repair has asked for.
const REPAIR_TIMEOUT: Duration = Duration::from_secs(300);

/// Prints all differences; fails if any is left.
pub fn verify(config: &Config, site: Option<&SiteId>, repair: bool, as_json: bool) -> anyhow::Result<()> {
    let all: Vec<_> = config.sites.iter().map(|site| &site.id).collect();
    let mut found = BTreeMap::new();
    for site in site.map_or(all, |site| vec![site]) {
        let mut verification = of_site(config, site)?;
        if repair && !verification.agrees && verification.with_redis {
            let done = repair_site(config, site)?;
            if !as_json {
                say(site, &verification)?;
                done.mended.iter().try_for_each(|line| print(&format!("{site}: repaired: {line}")))?;
            }
            verification = after_repair(config, site)?;
        }
        if !as_json {
            say(site, &verification)?;
        }
        found.insert(site.to_string(), verification);
    }
    if as_json {
        print(&serde_json::to_string(&found)?)?;
    }
    let differing: Vec<_> = found.iter().filter(|(_, found)| !found.agrees).map(|(site, _)| site.as_str()).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let hint = if repair { "" } else { "; `--repair` repairs what can be repaired" };
    bail!("something differs at {}{hint}", differing.join(", "))
}

fn of_site(config: &Config, site: &SiteId) -> anyhow::Result<Verification> {
    let target = config.redis_target()?;
    on_the_node(config, site, async |place| match place {
        Place::Running(admin) => {
            let answer =
                ask(config, &admin, Method::GET, &admin_path(Admin::Verify, site.as_str()), Bytes::new()).await?;
            Ok(serde_json::from_slice(&answer)?)
        }
        Place::Stopped(ledger, registered) => {
            let mut findings = Findings::default();
            for fault in ledger.faults(&registered, clock::now()).await? {
                findings.add(Kind::File, format!("the node's file: {fault}; restore a backup"));
            }
            let mut verification = Verification::default();
            if let Some(target) = &target {
                let place = stopped(config, target, &ledger, &registered).await?;
                let rows = async |after, limit| rows(&ledger, &registered, after, limit).await;
                verification = redis::verify_stopped(place, &rows).await.unwrap_or_else(|reason| {
                    findings.add(Kind::Away, reason);
                    Verification { with_redis: true, ..Verification::default() }
                });
            }
            ledger.close();
            findings.extend(std::mem::take(&mut verification.findings));
            Ok(Verification { agrees: findings.is_empty(), findings, ..verification })
        }
    })
}

fn repair_site(config: &Config, site: &SiteId) -> anyhow::Result<Repair> {
    let target = config.redis_target()?;
    on_the_node(config, site, async |place| match place {
        Place::Running(admin) => {
            let answer =
                ask(config, &admin, Method::POST, &admin_path(Admin::Repair, site.as_str()), Bytes::new()).await?;
            Ok(serde_json::from_slice(&answer)?)
        }
        Place::Stopped(ledger, registered) => {
            let target = target.context("there is no Redis to repair")?;
            let place = stopped(config, &target, &ledger, &registered).await?;
            let rows = async |after, limit| rows(&ledger, &registered, after, limit).await;
            let outcome = redis::repair_stopped(place, &rows).await;
            ledger.close();
            outcome.map_err(anyhow::Error::msg)
        }
    })
}

/// Waits until a running node has published the repair; other differences stay.
fn after_repair(config: &Config, site: &SiteId) -> anyhow::Result<Verification> {
    let begun = Instant::now();
    loop {
        let verification = of_site(config, site)?;
        let may_be_on_its_way = verification.findings.named.iter().all(|finding| finding.kind == Kind::Lacking);
        if verification.agrees || !may_be_on_its_way || begun.elapsed() > REPAIR_TIMEOUT {
            return Ok(verification);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

async fn stopped<'a>(
    config: &'a Config,
    target: &'a Target,
    ledger: &crate::ledger::Ledger,
    site: &'a crate::counter::RegisteredSite,
) -> anyhow::Result<redis::Place<'a>> {
    let own = ledger.publication().own_sources(site.number).await?;
    Ok(redis::Place { target, prefix: &config.redis_prefix, site, own })
}

async fn rows(
    ledger: &crate::ledger::Ledger,
    site: &crate::counter::RegisteredSite,
    after: Option<RowKey>,
    limit: usize,
) -> Result<Vec<(RowKey, crate::counter::Contribution)>, String> {
    ledger.publication().rows(site.number, after, limit, false).await.map_err(|error| error.to_string())
}

fn say(site: &SiteId, verification: &Verification) -> anyhow::Result<()> {
    let Verification { agrees, compared, summed, with_redis, findings } = verification;
    for finding in &findings.named {
        print(&format!("{site}: {}", finding.what))?;
    }
    if findings.more > 0 {
        print(&format!("{site}: and {} more", findings.more))?;
    }
    match (agrees, with_redis) {
        (true, true) => print(&format!(
            "{site}: the node's file is sound, Redis has its {compared} counts, and {summed} counters there are the sums of their sources"
        )),
        (true, false) => print(&format!("{site}: the node's file is sound; there is no Redis")),
        (false, _) => Ok(()),
    }
}

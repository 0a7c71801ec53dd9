//! `thongke verify`: compares a site's counts wherever they are kept, and repairs differences.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hyper::Method;

use crate::clock;
use crate::config::Config;
use crate::counter::verification::{Kind, Repair, Verification};
use crate::counter::{RegisteredSite, RowKey, SiteId};
use crate::ledger::{Ledger, PublishedRow};
use crate::redis::{self, Target};
use crate::server::routes::Admin;

use super::{IfEmpty, NodeRequest, from_json, on_the_node, print};

/// Longest wait for a running node to publish what a repair has asked for.
const REPAIR_TIMEOUT: Duration = Duration::from_secs(300);

/// Prints all differences; fails if any is left.
pub fn verify(config: &Config, site: Option<&SiteId>, repair: bool, as_json: bool) -> anyhow::Result<()> {
    let all: Vec<_> = config.sites.iter().map(|site| &site.id).collect();
    let (mut found, is_named) = (BTreeMap::new(), site.is_some());
    for site in site.map_or(all, |site| vec![site]) {
        let mut verification = of_site(config, site)?;
        // Where all agrees, the node may still show what was wrong before, and forgets it.
        let is_due = !verification.agrees || is_named;
        if repair && is_due && verification.with_redis && !is_away(&verification) {
            let done = repair_site(config, site)?;
            if !as_json {
                if !verification.agrees {
                    say(site, &verification)?;
                }
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
    conclusion(&found, repair).map_or(Ok(()), |words| bail!(words))
}

/// True if Redis could not be asked, so that nothing was compared with it.
fn is_away(verification: &Verification) -> bool {
    verification.findings.named.iter().any(|finding| finding.kind == Kind::Away)
}

/// Findings in one sentence, and what to do; none if everything agrees.
fn conclusion(found: &BTreeMap<String, Verification>, repair: bool) -> Option<String> {
    let has = |site: &Verification, is_it: fn(Kind) -> bool| {
        site.findings.named.iter().any(|finding| is_it(finding.kind)) || site.findings.more > 0 && is_it(Kind::NoSum)
    };
    let named = |is_it: fn(Kind) -> bool| {
        let sites = found.iter().filter(|(_, site)| has(site, is_it));
        sites.map(|(site, _)| site.as_str()).collect::<Vec<_>>().join(", ")
    };
    let away = named(|kind| kind == Kind::Away);
    let damaged = named(|kind| kind == Kind::File);
    let differing = named(|kind| !matches!(kind, Kind::Away | Kind::File));
    let mut words = Vec::new();
    if !damaged.is_empty() {
        words.push(format!("the node's file is damaged at {damaged}: restore a backup"));
    }
    if !differing.is_empty() {
        let hint = if repair { "" } else { "; `--repair` repairs what can be repaired" };
        words.push(format!("something differs at {differing}{hint}"));
    }
    if !away.is_empty() {
        words.push(format!(
            "Redis could not be asked about {away}: nothing was compared there; try again when it answers"
        ));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

fn of_site(config: &Config, site: &SiteId) -> anyhow::Result<Verification> {
    let target = config.redis_target()?;
    let request = NodeRequest::new(Method::GET, Admin::Verify, site);
    on_the_node(config, site, IfEmpty::Refuse, request, from_json, async |ledger, site| {
        let faults = ledger.faults(site, clock::now()).await?;
        let faults = faults.into_iter().map(|fault| format!("the node's file: {fault}; restore a backup"));
        let compared = match &target {
            None => None,
            Some(target) => {
                let rows = async |after, limit| rows(ledger, site, after, limit).await;
                Some(redis::verify_stopped(place(config, target, ledger, site).await?, &rows).await)
            }
        };
        Ok(Verification::of(faults, compared))
    })
}

fn repair_site(config: &Config, site: &SiteId) -> anyhow::Result<Repair> {
    let target = config.redis_target()?;
    let request = NodeRequest::new(Method::POST, Admin::Repair, site);
    on_the_node(config, site, IfEmpty::Refuse, request, from_json, async |ledger, site| {
        let place = place(config, target.as_ref().context("there is no Redis to repair")?, ledger, site).await?;
        let rows = async |after, limit| rows(ledger, site, after, limit).await;
        let repaired = redis::repair_stopped(place, &rows).await.map_err(anyhow::Error::msg)?;
        ledger.forget_shown(site.number).await?;
        Ok(repaired)
    })
}

/// Waits until a running node has published the repair; other differences stay.
fn after_repair(config: &Config, site: &SiteId) -> anyhow::Result<Verification> {
    let begun = Instant::now();
    loop {
        let verification = of_site(config, site)?;
        if !may_agree_later(&verification) || begun.elapsed() > REPAIR_TIMEOUT {
            return Ok(verification);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// True if all that differs is what the running node may still publish.
fn may_agree_later(verification: &Verification) -> bool {
    !verification.agrees && verification.findings.named.iter().all(|finding| finding.kind == Kind::Lacking)
}

async fn place<'a>(
    config: &'a Config,
    target: &'a Target,
    ledger: &Ledger,
    site: &'a RegisteredSite,
) -> anyhow::Result<redis::Place<'a>> {
    let own = ledger.own_sources(site.number).await?;
    Ok(redis::Place { target, prefix: &config.redis_prefix, site, own })
}

async fn rows(
    ledger: &Ledger,
    site: &RegisteredSite,
    after: Option<RowKey>,
    limit: usize,
) -> Result<Vec<PublishedRow>, String> {
    ledger.rows(site.number, after, limit).await.map_err(|error| error.to_string())
}

fn say(site: &SiteId, verification: &Verification) -> anyhow::Result<()> {
    lines(verification).iter().try_for_each(|line| print(&format!("{site}: {line}")))
}

/// A verification in words: its findings, or that everything agrees.
fn lines(verification: &Verification) -> Vec<String> {
    let Verification { agrees, compared, summed, with_redis, findings } = verification;
    let mut lines: Vec<_> = findings.named.iter().map(|finding| finding.what.clone()).collect();
    if findings.more > 0 {
        lines.push(format!("and {} more", findings.more));
    }
    if *agrees {
        lines.push(match with_redis {
            true => format!(
                "the node's file is sound, Redis has its {compared} counts, and {summed} counters there are the sums of their sources"
            ),
            false => "the node's file is sound; there is no Redis".to_owned(),
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(kinds: &[Kind]) -> Verification {
        let mut verification = Verification { with_redis: true, ..Verification::default() };
        kinds.iter().for_each(|kind| verification.findings.add(*kind, format!("{kind:?}")));
        verification
    }

    #[test]
    fn after_a_repair_only_counts_that_redis_lacks_are_waited_for() {
        assert!(may_agree_later(&differing(&[Kind::Lacking, Kind::Lacking])));
        for kind in [Kind::File, Kind::NoSum, Kind::Beyond, Kind::Unreadable, Kind::Disagreement, Kind::Away] {
            assert!(!may_agree_later(&differing(&[Kind::Lacking, kind])), "{kind:?}");
        }
        assert!(!may_agree_later(&Verification { agrees: true, ..Verification::default() }));
    }

    #[test]
    fn differences_are_listed_and_the_file_is_sound_only_without_any() {
        let mut verification = differing(&[Kind::NoSum, Kind::Beyond]);
        assert_eq!(lines(&verification), ["NoSum", "Beyond"]);
        verification.findings.more = 3;
        assert_eq!(lines(&verification), ["NoSum", "Beyond", "and 3 more"]);
        let agreed = Verification { agrees: true, compared: 7, summed: 5, with_redis: true, ..Verification::default() };
        let said =
            "the node's file is sound, Redis has its 7 counts, and 5 counters there are the sums of their sources";
        assert_eq!(lines(&agreed), [said]);
        assert_eq!(
            lines(&Verification { with_redis: false, ..agreed }),
            ["the node's file is sound; there is no Redis"]
        );
    }

    #[test]
    fn a_redis_that_was_not_asked_is_no_difference_and_damage_is_no_matter_of_repair() {
        let found = |kinds: &[Kind]| {
            let mut site = Verification::default();
            kinds.iter().for_each(|kind| site.findings.add(*kind, "x"));
            BTreeMap::from([("demo".to_owned(), site)])
        };
        let words = |kinds: &[Kind], repair| conclusion(&found(kinds), repair);
        assert_eq!(words(&[], false), None);
        let away = words(&[Kind::Away], false).unwrap();
        assert!(away.contains("could not be asked about demo") && !away.contains("differs"), "{away}");
        assert!(!away.contains("--repair"), "{away}");
        let damaged = words(&[Kind::File], false).unwrap();
        assert!(damaged.contains("restore a backup") && !damaged.contains("--repair"), "{damaged}");
        let both = words(&[Kind::Lacking, Kind::File], false).unwrap();
        assert!(both.contains("differs at demo; `--repair`") && both.contains("restore a backup"), "{both}");
        assert_eq!(words(&[Kind::NoSum], true).unwrap(), "something differs at demo");
    }
}

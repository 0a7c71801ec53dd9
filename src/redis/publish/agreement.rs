//! Agreement of the nodes on a site's settings, in its `meta`.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};

use super::calls::Sent;
use super::{Agreement, CALLS_AT_ONCE, Publisher};
use crate::counter::page::PAGE_RULE_VERSION;
use crate::counter::{RegisteredSite, Site};
use crate::redis::client::{Lease, Link, reason_of};
use crate::redis::keys::{self, Keys};
use crate::redis::ports::Node;

/// Sites that may be published, and those of which that is unknown, since the connection is lost.
type SitesAsked = (Vec<Arc<RegisteredSite>>, Vec<Arc<RegisteredSite>>);

impl<N: Node> Publisher<N> {
    /// True if the site may be published. Redis is asked only where that isn't known.
    pub async fn agree_once(&mut self, lease: &Lease, site: &Arc<RegisteredSite>) -> bool {
        !self.agree_on(lease, vec![Arc::clone(site)]).await.0.is_empty()
    }

    /// Sorts out the sites that may be published. Those that differ, or that Redis refuses, are left out.
    pub async fn agree_on(&mut self, lease: &Lease, sites: Vec<Arc<RegisteredSite>>) -> SitesAsked {
        let (mut ready, mut lost, mut unknown) = (Vec::with_capacity(sites.len()), Vec::new(), Vec::new());
        for site in sites {
            match self.progress.entry(site.number).or_default().agreement {
                Agreement::Agreed => ready.push(site),
                Agreement::Differs => {}
                Agreement::Unknown => unknown.push((site, ())),
            }
        }
        let ask = async |keys: &_, site: &_, ()| compare(&lease.link, keys, site).await;
        self.send_each(lease, unknown.into_iter(), ask, |publisher, site, sent| match sent {
            Sent::Taken(found) => {
                if publisher.note_agreement(&site, found) {
                    ready.push(site);
                }
            }
            Sent::Troubled => publisher.wait(site.number),
            Sent::Lost => lost.push(site),
        })
        .await;
        (ready, lost)
    }

    /// Records how the site's `meta` compares with this node's settings. Returns true if the site may be published.
    pub fn note_agreement(&mut self, site: &RegisteredSite, found: Compared) -> bool {
        let id = site.site.id.as_str();
        let (agreement, complaint) = match found {
            Compared::Agrees => (Agreement::Agreed, None),
            Compared::LaterRule(reason) => (Agreement::Agreed, Some(reason)),
            Compared::Differs(reason) => (Agreement::Differs, Some(reason)),
        };
        let progress = self.progress.entry(site.number).or_default();
        let before = std::mem::replace(&mut progress.agreement, agreement);
        let had_complaint = std::mem::replace(&mut progress.meta_is_complained_of, complaint.is_some());
        if let Some(reason) = complaint {
            if self.shared.health.set_site(id, Some(reason.clone())) {
                tracing::warn!(site = %site.site.id, "{reason}");
            }
        } else if had_complaint {
            self.shared.health.set_site(id, None);
        }
        if before == Agreement::Differs && agreement == Agreement::Agreed {
            self.request(site.number);
        }
        agreement == Agreement::Agreed
    }
}

/// A site's `meta` in Redis, compared with this node's settings.
#[derive(Debug, PartialEq, Eq)]
pub enum Compared {
    Agrees,
    /// Another node makes page addresses by a later rule. Both publish, each under its addresses.
    LaterRule(String),
    /// Nothing of the site may be published.
    Differs(String),
}

/// Compares the site's `meta` with this node's settings, and writes fields that are missing there, or an earlier rule.
pub async fn compare(link: &Link, keys: &Keys, site: &RegisteredSite) -> RedisResult<Compared> {
    let (key, ours) = (keys.meta(&site.site.counted_as), keys::agreement(&site.site));
    let mut theirs = fields(link, &key, &ours).await?;
    let is_new = theirs.iter().take(ours.len()).any(Option::is_none);
    if is_new {
        let write = async |(field, value): &(&str, String)| {
            link.query::<()>(redis::cmd("HSETNX").arg(&key).arg(*field).arg(value)).await
        };
        for written in join_all(ours.iter().map(write)).await {
            written?;
        }
        theirs = fields(link, &key, &ours).await?;
    }
    if let Some(difference) = first_difference(&key, &ours, &theirs) {
        return Ok(Compared::Differs(difference));
    }
    if is_new {
        let mut listed = redis::cmd("HSETNX");
        listed.arg(keys.sites()).arg(site.site.counted_as.as_str()).arg("1");
        // No count depends on it.
        let _ = link.query::<()>(&listed).await;
    }
    let written = theirs.last().and_then(Option::as_deref);
    let rule = written.and_then(|rule| rule.parse().ok());
    if rule.is_none_or(|rule: u32| rule < PAGE_RULE_VERSION) {
        // Of two rules at once the later stays: a node of the earlier one writes only where there is none.
        let mut write = if written.is_some() { redis::cmd("HSET") } else { redis::cmd("HSETNX") };
        write.arg(&key).arg(keys::PAGE_RULE).arg(PAGE_RULE_VERSION);
        link.query::<()>(&write).await?;
    }
    Ok(later_rule(&key, rule).map_or(Compared::Agrees, Compared::LaterRule))
}

/// The rule of page addresses in `meta`, in words, where it is a later one than this program's.
fn later_rule(key: &str, rule: Option<u32>) -> Option<String> {
    let rule = rule.filter(|rule| *rule > PAGE_RULE_VERSION)?;
    Some(format!(
        "another node counts pages by rule {rule}, and this one by rule {PAGE_RULE_VERSION}: one page may have two \
         addresses; install the same version on all nodes, or, if all have this one again, HSET {key} {} \
         {PAGE_RULE_VERSION}",
        keys::PAGE_RULE
    ))
}

/// Differences between sites' `meta` and this node's settings, without writing anything; one for each site that differs.
pub async fn differences(link: &Link, keys: &Keys, sites: &[Site]) -> Vec<String> {
    let asked = futures_util::stream::iter(sites).map(|site| async move {
        let (key, ours) = (keys.meta(&site.counted_as), keys::agreement(site));
        match fields(link, &key, &ours).await {
            // A site that was never published agrees.
            Ok(theirs) if theirs.iter().all(Option::is_none) => None,
            Ok(theirs) => first_difference(&key, &ours, &theirs).or_else(|| {
                let rule = theirs.last().and_then(Option::as_deref);
                later_rule(&key, rule.and_then(|rule| rule.parse().ok()))
            }),
            Err(error) => Some(reason_of(&error)),
        }
    });
    asked.buffered(CALLS_AT_ONCE).filter_map(std::future::ready).collect().await
}

/// Values in Redis of these fields, and of the rule of page addresses behind them.
async fn fields(link: &Link, key: &str, ours: &[(&str, String)]) -> RedisResult<Vec<Option<String>>> {
    let mut command = redis::cmd("HMGET");
    command.arg(key).arg(ours.iter().map(|(field, _)| *field).collect::<Vec<_>>()).arg(keys::PAGE_RULE);
    link.query_texts(&command).await.map_err(|error| at_key(error, key))
}

/// First field that differs, in words.
fn first_difference(key: &str, ours: &[(&'static str, String)], theirs: &[Option<String>]) -> Option<String> {
    let mut fields = ours.iter().zip(theirs);
    let ((field, ours), theirs) = fields.find(|((_, ours), theirs)| theirs.as_ref() != Some(ours))?;
    let theirs: String = theirs.as_deref().unwrap_or("nothing").chars().take(60).collect();
    Some(format!(
        "not published: `{key}` says {field} = {theirs}, and here it is {ours}; configure all nodes alike, or, if all \
         are, correct Redis: HSET {key} {field} {ours}"
    ))
}

/// Adds the key's name, which Redis leaves out of its error.
fn at_key(error: RedisError, key: &str) -> RedisError {
    if error.code() != Some("WRONGTYPE") {
        return error;
    }
    let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
    (kind, "wrong type", format!("{key} is not a hash; move what is there away")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_that_differs_is_named_with_both_values_and_a_remedy() {
        let ours = [("layout", "2".to_owned()), ("time_zone", "Asia/Ho_Chi_Minh".to_owned())];
        let theirs = |zone: Option<&str>| [Some("2".to_owned()), zone.map(str::to_owned)];
        assert_eq!(first_difference("k", &ours, &theirs(Some("Asia/Ho_Chi_Minh"))), None);
        let reason = first_difference("k", &ours, &theirs(Some("UTC"))).unwrap();
        assert!(reason.contains("`k` says time_zone = UTC, and here it is Asia/Ho_Chi_Minh"), "{reason}");
        assert!(reason.ends_with("HSET k time_zone Asia/Ho_Chi_Minh"), "{reason}");
        assert!(first_difference("k", &ours, &theirs(None)).unwrap().contains("time_zone = nothing"));
    }

    #[test]
    fn a_later_rule_is_named_and_an_earlier_one_is_none_to_speak_of() {
        for rule in [None, Some(1), Some(PAGE_RULE_VERSION)] {
            assert_eq!(later_rule("k", rule), None);
        }
        let reason = later_rule("k", Some(7)).unwrap();
        assert!(
            reason.contains("by rule 7, and this one by rule 2") && reason.ends_with("HSET k page_rule 2"),
            "{reason}"
        );
    }

    #[test]
    fn a_wrong_type_is_reported_with_its_key_and_other_errors_stay() {
        let error = |text: &str| {
            let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
            value.extract_error().unwrap_err()
        };
        let named = at_key(error("WRONGTYPE Operation against a key"), "p:{a}:meta");
        assert!(named.to_string().contains("p:{a}:meta is not a hash"), "{named}");
        assert_eq!(at_key(error("NOPERM no"), "p:{a}:meta").code(), Some("NOPERM"));
    }
}

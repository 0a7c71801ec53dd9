//! Complaints about Redis, in words for an operator.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sites named one by one; of the rest only the number is given.
const SITES_NAMED_MAX: usize = 10;
const POLICY: &str = "redis_policy";

/// Current complaints; `/readyz` shows them.
#[derive(Default)]
pub struct Health {
    complaints: Mutex<Complaints>,
}

#[derive(Default)]
struct Complaints {
    /// False until Redis has named its policy: until then nothing is published.
    policy_is_known: bool,
    /// Reasons by part.
    parts: BTreeMap<&'static str, String>,
    /// Reasons by site id.
    sites: BTreeMap<String, String>,
}

/// Each `set_` returns whether the reason is news.
impl Health {
    /// True while nothing may be published.
    pub fn is_held(&self) -> bool {
        let complaints = self.lock();
        !complaints.policy_is_known || complaints.parts.contains_key(POLICY)
    }

    /// Reason why nothing is published although Redis answers.
    pub fn set_policy(&self, reason: Option<String>) -> bool {
        let mut complaints = self.lock();
        complaints.policy_is_known = true;
        set(&mut complaints.parts, POLICY, reason)
    }

    /// Commands that this node's user may not run.
    pub fn set_rights(&self, reason: Option<String>) -> bool {
        set(&mut self.lock().parts, "redis_rights", reason)
    }

    /// Reason why visitors are not shared with other nodes although hits are.
    pub fn set_visitors(&self, reason: Option<String>) -> bool {
        set(&mut self.lock().parts, "redis_visitors", reason)
    }

    pub fn set_site(&self, site: &str, reason: Option<String>) -> bool {
        set(&mut self.lock().sites, site.to_owned(), reason)
    }

    /// Drops complaints of sites that are no longer configured.
    pub fn retain_sites(&self, is_configured: impl Fn(&str) -> bool) {
        self.lock().sites.retain(|site, _| is_configured(site));
    }

    /// Number of sites with a complaint.
    pub fn troubled_sites(&self) -> usize {
        self.lock().sites.len()
    }

    pub fn complaints(&self) -> Vec<(&'static str, String)> {
        let complaints = self.lock();
        let parts = complaints.parts.iter().map(|(part, reason)| (*part, reason.clone()));
        let sites = complaints.sites.iter().take(SITES_NAMED_MAX);
        let sites = sites.map(|(site, reason)| ("redis_site", format!("{site}: {reason}")));
        let more = complaints.sites.len().saturating_sub(SITES_NAMED_MAX);
        let rest = (more > 0).then(|| ("redis_site", format!("and {more} more sites")));
        parts.chain(sites).chain(rest).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Complaints> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set<K: Ord>(reasons: &mut BTreeMap<K, String>, of: K, reason: Option<String>) -> bool {
    match reason {
        Some(reason) => reasons.insert(of, reason.clone()) != Some(reason),
        None => reasons.remove(&of).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_news_once_and_gone_when_it_is_withdrawn() {
        let health = Health::default();
        let reason = || Some("its key is of a wrong type".to_owned());
        assert!(health.set_site("a", reason()));
        assert!(!health.set_site("a", reason()));
        assert!(!health.set_site("b", None));
        assert!(health.set_rights(Some("lacks ZADD".to_owned())));
        assert_eq!(health.troubled_sites(), 1);
        let complaints = health.complaints();
        assert_eq!(complaints[0], ("redis_rights", "lacks ZADD".to_owned()));
        assert_eq!(complaints[1], ("redis_site", "a: its key is of a wrong type".to_owned()));
        health.retain_sites(|id| id != "a");
        assert!(health.set_rights(None));
        assert_eq!(health.complaints(), []);
    }

    #[test]
    fn of_many_sites_ten_are_named_and_the_rest_are_counted() {
        let health = Health::default();
        for number in 0..13 {
            health.set_site(&format!("site-{number:02}"), Some("x".to_owned()));
        }
        let complaints = health.complaints();
        assert_eq!(complaints.len(), SITES_NAMED_MAX + 1);
        assert_eq!(complaints.last().unwrap().1, "and 3 more sites");
        assert_eq!((health.troubled_sites(), Health::default().troubled_sites()), (13, 0));
    }

    #[test]
    fn each_kind_of_complaint_is_news_when_it_changes_and_has_its_own_name() {
        let health = Health::default();
        let reason = |text: &str| Some(text.to_owned());
        assert!(!health.set_policy(None) && !health.is_held(), "known now, and nothing to complain of");
        for set in [Health::set_policy, Health::set_rights, Health::set_visitors] {
            assert!(set(&health, reason("a")) && !set(&health, reason("a")) && set(&health, reason("b")));
        }
        assert!(health.is_held());
        let names: Vec<_> = health.complaints().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["redis_policy", "redis_rights", "redis_visitors"]);
        health.set_policy(None);
        assert!(!health.is_held(), "rights and visitors hold nothing");
    }
}

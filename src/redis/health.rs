//! What is wrong with publication, in words for an operator.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sites named one by one; the rest is a number.
const SITES_NAMED_MAX: usize = 10;

#[derive(Default)]
pub struct Health {
    complaints: Mutex<Complaints>,
}

#[derive(Default)]
struct Complaints {
    /// Before Redis has said whether it evicts, nothing is published either.
    policy_is_known: bool,
    /// Why nothing is published although Redis answers.
    policy: Option<String>,
    /// Commands that this node's user may not run.
    rights: Option<String>,
    /// Why visitors are not shared with other nodes although hits are.
    visitors: Option<String>,
    /// By site id.
    sites: BTreeMap<String, String>,
}

impl Health {
    /// True: nothing may be published.
    pub fn is_held(&self) -> bool {
        let complaints = self.lock();
        complaints.policy.is_some() || !complaints.policy_is_known
    }

    /// True if that is news.
    pub fn set_policy(&self, reason: Option<String>) -> bool {
        let mut complaints = self.lock();
        let is_news = complaints.policy != reason;
        complaints.policy = reason;
        complaints.policy_is_known = true;
        is_news
    }

    /// True if that is news.
    pub fn set_rights(&self, reason: Option<String>) -> bool {
        let mut complaints = self.lock();
        let is_news = complaints.rights != reason;
        complaints.rights = reason;
        is_news
    }

    /// True if that is news.
    pub fn set_visitors(&self, reason: Option<String>) -> bool {
        let mut complaints = self.lock();
        let is_news = complaints.visitors != reason;
        complaints.visitors = reason;
        is_news
    }

    /// True if that is news.
    pub fn set_site(&self, site: &str, reason: Option<String>) -> bool {
        let mut complaints = self.lock();
        match reason {
            Some(reason) => complaints.sites.insert(site.to_owned(), reason.clone()) != Some(reason),
            None => complaints.sites.remove(site).is_some(),
        }
    }

    /// Drops what was said of sites that are no longer configured.
    pub fn retain_sites(&self, is_configured: impl Fn(&str) -> bool) {
        self.lock().sites.retain(|site, _| is_configured(site));
    }

    /// How many sites something is said of.
    pub fn troubled_sites(&self) -> usize {
        self.lock().sites.len()
    }

    pub fn complaints(&self) -> Vec<(&'static str, String)> {
        let complaints = self.lock();
        let policy = complaints.policy.iter().map(|reason| ("redis_policy", reason.clone()));
        let rights = complaints.rights.iter().map(|reason| ("redis_rights", reason.clone()));
        let visitors = complaints.visitors.iter().map(|reason| ("redis_visitors", reason.clone()));
        let sites = complaints
            .sites
            .iter()
            .take(SITES_NAMED_MAX)
            .map(|(site, reason)| ("redis_site", format!("{site}: {reason}")));
        let more = complaints.sites.len().saturating_sub(SITES_NAMED_MAX);
        let rest = (more > 0).then(|| ("redis_site", format!("and {more} more sites")));
        policy.chain(rights).chain(visitors).chain(sites).chain(rest).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Complaints> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

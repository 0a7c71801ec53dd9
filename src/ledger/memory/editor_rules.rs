//! Editors' rules of all sites, as the file has them.

use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;

use super::lock;
use crate::counter::{EditorRule, EditorRules, SiteNumber};

/// Rules of the sites that have any.
#[derive(Debug, Default)]
pub struct RulesOfSites(Mutex<FxHashMap<SiteNumber, Arc<EditorRules>>>);

impl RulesOfSites {
    pub fn load(&self, rules: Vec<(SiteNumber, EditorRule)>) {
        let mut by_site: FxHashMap<SiteNumber, Vec<EditorRule>> = FxHashMap::default();
        for (site, rule) in rules {
            by_site.entry(site).or_default().push(rule);
        }
        let of_site = |(site, rules)| (site, Arc::new(EditorRules::of(rules)));
        *lock(&self.0) = by_site.into_iter().map(of_site).collect();
    }

    pub fn get(&self, site: SiteNumber) -> Option<Arc<EditorRules>> {
        lock(&self.0).get(&site).cloned()
    }

    pub fn put(&self, site: SiteNumber, rules: EditorRules) {
        lock(&self.0).insert(site, Arc::new(rules));
    }

    pub fn all(&self) -> Vec<(SiteNumber, Arc<EditorRules>)> {
        lock(&self.0).iter().map(|(site, rules)| (*site, Arc::clone(rules))).collect()
    }
}

//! Addresses that are read together as one page: those of 0.1's rule with the page that has them now, and those that an
//! editor has merged. Lists and figures use the same index, so that they agree.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::page::TOP_MAX;
use super::{EditorRules, PageAddress};
use crate::page::{PageRules, rule_1};

/// Former pages of a site that are looked for.
pub const FORMER_MAX: usize = 20_000;
/// Former pages of one page. Where more would be one, the configuration has changed, and they stay apart.
const FORMER_OF_PAGE_MAX: usize = 20;

/// Pages of which a list is chosen at most.
const CANDIDATES_MAX: usize = 2_000;

/// A former page and the one that has its address now.
pub type Former = (PageAddress, PageAddress);

/// A site's pages with several addresses, its hidden pages and its deleted ones.
#[derive(Debug, Default)]
pub struct PageIndex {
    /// Further addresses of a page.
    others: HashMap<PageAddress, Vec<PageAddress>>,
    /// The page of each of them; none: it is deleted.
    shown: HashMap<PageAddress, Option<PageAddress>>,
    rules: Option<Arc<EditorRules>>,
}

/// The page that has a former one's address now; none if that keeps it.
pub fn present(old: &PageAddress, rules: &PageRules) -> Option<PageAddress> {
    rule_1::present(old, rules)
}

/// Pages that a list is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// All but the hidden ones.
    Public,
    /// The hidden ones too.
    Editors,
}

impl PageIndex {
    pub fn of(former: &[Former], rules: Option<&Arc<EditorRules>>) -> Self {
        let mut index = Self { rules: rules.cloned(), ..Self::default() };
        let mut of_page: HashMap<&PageAddress, Vec<&PageAddress>> = HashMap::new();
        for (old, page) in former {
            of_page.entry(page).or_default().push(old);
        }
        of_page.retain(|_, olds| olds.len() <= FORMER_OF_PAGE_MAX);
        for (page, shown) in rules.iter().flat_map(|rules| rules.elsewhere()) {
            index.put(page, shown);
        }
        for (page, olds) in of_page {
            let shown = rules.map_or(Some(page), |rules| rules.shown(page));
            olds.into_iter().for_each(|old| index.put(old, shown));
        }
        // The same figures on all nodes, in whatever order the rules came.
        index.others.values_mut().for_each(|others| others.sort_unstable());
        index
    }

    fn put(&mut self, other: &PageAddress, shown: Option<&PageAddress>) {
        if self.shown.contains_key(other) {
            return;
        }
        self.shown.insert(other.clone(), shown.cloned());
        if let Some(shown) = shown {
            self.others.entry(shown.clone()).or_default().push(other.clone());
        }
    }

    /// The page as which this address is shown; none: it is deleted.
    pub fn shown<'a>(&'a self, page: &'a PageAddress) -> Option<&'a PageAddress> {
        self.shown.get(page).map_or(Some(page), Option::as_ref)
    }

    /// All addresses of the page as which this one is shown, that page first. None of a deleted page.
    pub fn addresses<'a>(&'a self, page: &'a PageAddress) -> impl Iterator<Item = &'a PageAddress> {
        let shown = self.shown(page);
        let others = shown.and_then(|shown| self.others.get(shown)).into_iter().flatten();
        shown.into_iter().chain(others)
    }

    /// Pages of which a list of `limit` must be chosen: some may be one, and some are in no list.
    pub fn candidates(&self, limit: usize) -> usize {
        let moved = self.rules.as_ref().map_or(0, |rules| rules.moved());
        if moved == 0 && self.is_empty() { limit } else { (TOP_MAX.max(limit) + moved).min(CANDIDATES_MAX) }
    }

    /// The pages as which those listed are shown, each once, but for those that the list is not to have.
    pub fn presented(&self, listed: Vec<PageAddress>, listing: Listing) -> Vec<PageAddress> {
        let hides = self.rules.as_ref().filter(|rules| listing == Listing::Public && rules.hides());
        if self.shown.is_empty() && hides.is_none() {
            return listed;
        }
        let mut seen = HashSet::new();
        let shown = listed.into_iter().filter_map(|page| match self.shown.get(&page) {
            None => Some(page),
            Some(shown) => shown.clone(),
        });
        let is_listed = |page: &PageAddress| hides.is_none_or(|rules| !rules.is_hidden(page));
        shown.filter(|page| is_listed(page) && seen.insert(page.clone())).collect()
    }

    /// Number of further addresses.
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::EditorRule;

    fn page(text: &str) -> PageAddress {
        PageAddress::from_stored(text)
    }

    fn former(count: usize, to: &str) -> Vec<Former> {
        (0..count).map(|at| (page(&format!("{to}?{at}")), page(to))).collect()
    }

    fn rules(rules: &[(&str, &str, &str)]) -> Arc<EditorRules> {
        let rule = |(page, kind, value): &(&str, &str, &str)| EditorRule::stored(page, kind, Some(value), 1).unwrap();
        Arc::new(EditorRules::of(rules.iter().map(rule)))
    }

    fn addresses(index: &PageIndex, of: &str) -> Vec<String> {
        index.addresses(&page(of)).map(ToString::to_string).collect()
    }

    #[test]
    fn a_page_is_read_with_all_its_former_ones_and_listed_once() {
        let index = PageIndex::of(&former(2, "/a"), None);
        assert_eq!(
            (addresses(&index, "/a"), addresses(&index, "/b")),
            (vec!["/a".to_owned(), "/a?0".to_owned(), "/a?1".to_owned()], vec!["/b".to_owned()])
        );
        let listed = ["/a?1", "/b", "/a", "/a?0"].map(page).to_vec();
        assert_eq!(index.presented(listed, Listing::Public), ["/a", "/b"].map(page));
        assert_eq!((index.candidates(7), PageIndex::default().candidates(7)), (TOP_MAX, 7));
    }

    #[test]
    fn what_would_all_become_one_page_stays_apart() {
        assert!(PageIndex::of(&former(FORMER_OF_PAGE_MAX + 1, "/a"), None).is_empty());
        assert_eq!(PageIndex::of(&former(FORMER_OF_PAGE_MAX, "/a"), None).len(), FORMER_OF_PAGE_MAX);
    }

    #[test]
    fn merged_pages_are_read_together_with_their_former_ones_under_either_address() {
        let rules = rules(&[("/a", "merge", "/b"), ("/b", "merge", "/c"), ("/d", "delete", "1"), ("/h", "hide", "1")]);
        let index = PageIndex::of(&[former(1, "/a"), former(1, "/c"), former(1, "/d")].concat(), Some(&rules));
        for of in ["/a", "/b", "/c", "/a?0", "/c?0"] {
            assert_eq!(addresses(&index, of), ["/c", "/a", "/a?0", "/b", "/c?0"], "{of}");
        }
        for of in ["/d", "/d?0"] {
            assert_eq!(addresses(&index, of), Vec::<String>::new(), "{of}");
        }
        assert_eq!(addresses(&index, "/h"), ["/h"]);
        let listed = || ["/h", "/a?0", "/b", "/d", "/e", "/d?0"].map(page).to_vec();
        assert_eq!(index.presented(listed(), Listing::Public), ["/c", "/e"].map(page));
        assert_eq!(index.presented(listed(), Listing::Editors), ["/h", "/c", "/e"].map(page));
        assert_eq!(index.candidates(7), TOP_MAX + 4);
    }

    #[test]
    fn hidden_pages_alone_are_left_out_of_public_lists() {
        let index = PageIndex::of(&[], Some(&rules(&[("/h", "hide", "1")])));
        let listed = || ["/h", "/e"].map(page).to_vec();
        assert_eq!(index.presented(listed(), Listing::Public), ["/e"].map(page));
        assert_eq!(index.presented(listed(), Listing::Editors), ["/h", "/e"].map(page));
    }
}

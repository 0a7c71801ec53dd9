//! Effect of a site's rules: the page under which each page counts and is shown.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{RuleKind, Written};
use crate::counter::PageAddress;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effect {
    /// The page under which a page counts, where that is another; none: it is deleted.
    pub shown: HashMap<PageAddress, Option<PageAddress>>,
    pub hidden: HashSet<PageAddress>,
    /// Pages whose merge has no effect, since it would close a circle.
    pub void: HashSet<PageAddress>,
}

/// Pages into which pages are merged, each with the time of the rule.
type Merges<'a> = HashMap<&'a PageAddress, (PageAddress, i64)>;

impl Effect {
    pub fn of(written: &BTreeMap<(PageAddress, RuleKind), Written>) -> Self {
        let (mut merges, mut deleted, mut hidden) = (Merges::new(), HashSet::new(), HashSet::new());
        for ((page, kind), (given_ms, value)) in written {
            let Some(value) = value else { continue };
            match kind {
                RuleKind::Title => {}
                RuleKind::Merge => drop(merges.insert(page, (PageAddress::from_stored(value), *given_ms))),
                RuleKind::Hide => drop(hidden.insert(page.clone())),
                RuleKind::Delete => drop(deleted.insert(page)),
            }
        }
        let void = void(&merges);
        void.iter().for_each(|page| drop(merges.remove(page)));
        let shown = |page: &PageAddress| {
            let mut at = page;
            while !deleted.contains(at) {
                let Some((next, _)) = merges.get(at) else { return Some(at.clone()) };
                at = next;
            }
            None
        };
        let pages = merges.keys().chain(&deleted).map(|page| ((*page).clone(), shown(page)));
        Self { shown: pages.collect(), hidden, void }
    }
}

/// Of each circle of merges the page whose merge was written last. Two nodes may each write half of a circle; then the
/// half that would have been refused gives way, on both.
fn void(merges: &Merges<'_>) -> HashSet<PageAddress> {
    let (mut void, mut seen) = (HashSet::new(), HashSet::new());
    for start in merges.keys() {
        let (mut walk, mut at) = (Vec::new(), *start);
        while seen.insert(at) {
            walk.push(at);
            let Some((next, _)) = merges.get(at) else { break };
            at = next;
        }
        // The walk has come back to where it was.
        if let Some(first) = walk.iter().position(|page| *page == at)
            && merges.contains_key(at)
        {
            let written = |page: &&PageAddress| (merges.get(*page).map(|(_, given_ms)| *given_ms), (*page).clone());
            void.extend(walk[first..].iter().copied().max_by_key(written).cloned());
        }
    }
    void
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::editor_rules::{EditorRule, EditorRules};

    fn page(text: &str) -> PageAddress {
        PageAddress::from_stored(text)
    }

    fn rules(merges: &[(&str, &str, i64)], deleted: &[&str]) -> EditorRules {
        let merges =
            merges.iter().map(|(of, to, given_ms)| EditorRule::stored(of, "merge", Some(to), *given_ms).unwrap());
        let deleted = deleted.iter().map(|of| EditorRule::stored(of, "delete", Some("1"), 1).unwrap());
        EditorRules::of(merges.chain(deleted))
    }

    fn shown(rules: &EditorRules, of: &str) -> Option<String> {
        rules.shown(&page(of)).map(ToString::to_string)
    }

    #[test]
    fn a_chain_of_merges_ends_at_its_last_page() {
        let rules = rules(&[("/a", "/b", 3), ("/b", "/c", 2), ("/d", "/b", 1)], &[]);
        for of in ["/a", "/b", "/c", "/d"] {
            assert_eq!(shown(&rules, of).as_deref(), Some("/c"), "{of}");
        }
        assert_eq!(rules.counts_under(&page("/a")), Some(page("/c")));
        assert_eq!((rules.counts_under(&page("/c")), shown(&rules, "/x").as_deref()), (None, Some("/x")));
        assert_eq!(rules.merged().count(), 3);
    }

    #[test]
    fn a_deleted_page_ends_a_chain_with_nothing() {
        let rules = rules(&[("/a", "/b", 1), ("/b", "/c", 1)], &["/b", "/d"]);
        assert_eq!(["/a", "/b", "/c", "/d"].map(|of| shown(&rules, of)), [None, None, Some("/c".into()), None]);
        assert!(rules.counts_under(&page("/a")).unwrap().is_other());
    }

    #[test]
    fn of_a_circle_the_latest_merge_has_no_effect() {
        let circle = [("/a", "/b", 5), ("/b", "/c", 9), ("/c", "/a", 7), ("/x", "/a", 1)];
        let rules = rules(&circle, &[]);
        for of in ["/a", "/b", "/c", "/x"] {
            assert_eq!(shown(&rules, of).as_deref(), Some("/b"), "{of}");
        }
        let void: Vec<_> = rules.all().filter(|rule| rules.is_void(rule)).map(|rule| rule.page.to_string()).collect();
        assert_eq!(void, ["/b"]);
    }

    #[test]
    fn each_of_several_circles_is_opened_and_a_page_may_be_a_circle_of_its_own() {
        let rules = rules(&[("/a", "/b", 1), ("/b", "/a", 1), ("/c", "/d", 2), ("/d", "/c", 1), ("/e", "/e", 1)], &[]);
        // Of two at once the one with the greater address.
        let all = ["/a", "/b", "/c", "/d", "/e"].map(|of| shown(&rules, of).unwrap());
        assert_eq!(all, ["/b", "/b", "/c", "/c", "/e"]);
    }
}

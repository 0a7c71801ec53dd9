//! Editors' rules of a site's pages: titles that they give, and pages that they merge, hide or delete.
//!
//! Each rule is a last-writer-wins register of (site, page, kind). Of two writes the later holds on all nodes; of two in
//! one millisecond the greater value. A write without a value undoes the rule. It stays, so that an older copy of the
//! rule doesn't come back.
//!
//! - [`change`]: a rule as an editor asks for it, checked
//! - `effect`: what rules together do: chains of merges, and cycles

pub mod change;
mod effect;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{PageAddress, PageTitle};
use effect::Effect;

/// Rules of a site that aren't undone.
pub const RULES_MAX: usize = 10_000;
/// The same with those that are undone.
pub const REGISTERS_MAX: usize = 20_000;
/// Addresses that are merged into one page.
pub const MERGED_MAX: usize = 50;
/// Latest time of a rule, in Unix milliseconds: Redis's numbers are exact up to here.
const GIVEN_MAX: i64 = (1 << 53) - 1;
/// Longest value in bytes: an address, or a title of four bytes a character.
const VALUE_BYTES_MAX: usize = 1_024;

/// Value of a rule that has none of its own.
const YES: &str = "1";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    Title,
    Merge,
    Hide,
    Delete,
}

/// A rule as it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditorRule {
    pub page: PageAddress,
    pub kind: RuleKind,
    /// None: undone.
    pub value: Option<Arc<str>>,
    /// Unix milliseconds.
    pub given_ms: i64,
}

/// A rule's time and value, the greater of which holds.
type Written = (i64, Option<Arc<str>>);

/// A site's rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EditorRules {
    written: BTreeMap<(PageAddress, RuleKind), Written>,
    effect: Effect,
}

impl RuleKind {
    pub const ALL: [Self; 4] = [Self::Title, Self::Merge, Self::Hide, Self::Delete];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Merge => "merge",
            Self::Hide => "hide",
            Self::Delete => "delete",
        }
    }
}

impl FromStr for RuleKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.ok_or_else(|| {
            let text: String = text.chars().take(40).collect();
            format!("`{}` is no kind of rule; expected title, merge, hide or delete", text.escape_debug())
        })
    }
}

impl fmt::Display for RuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EditorRule {
    /// A rule out of the file or Redis; none where this version writes no such rule.
    pub fn stored(page: &str, kind: &str, value: Option<&str>, given_ms: i64) -> Option<Self> {
        let kind: RuleKind = kind.parse().ok()?;
        let is_known = page.starts_with('/') && page.len() <= VALUE_BYTES_MAX && (0..=GIVEN_MAX).contains(&given_ms);
        let is_value = |value: &&str| match kind {
            RuleKind::Title => PageTitle::of(value).is_some_and(|title| title.as_str() == *value),
            RuleKind::Merge => value.starts_with('/') && value.len() <= VALUE_BYTES_MAX,
            RuleKind::Hide | RuleKind::Delete => *value == YES,
        };
        let is_right = is_known && value.as_ref().is_none_or(is_value);
        is_right.then(|| Self { page: PageAddress::from_stored(page), kind, value: value.map(Into::into), given_ms })
    }
}

impl EditorRules {
    pub fn of(rules: impl IntoIterator<Item = EditorRule>) -> Self {
        Self::default().with(rules).unwrap_or_default()
    }

    /// The rules with these, as far as they are later; none if none is.
    pub fn with(&self, rules: impl IntoIterator<Item = EditorRule>) -> Option<Self> {
        let mut written = None;
        for EditorRule { page, kind, value, given_ms } in rules {
            let known = written.as_ref().unwrap_or(&self.written);
            let (key, new) = ((page, kind), (given_ms, value));
            let is_later = match known.get(&key) {
                Some(old) => new > *old,
                None => known.len() < REGISTERS_MAX,
            };
            if is_later {
                written.get_or_insert_with(|| self.written.clone()).insert(key, new);
            }
        }
        let written = written?;
        Some(Self { effect: Effect::of(&written), written })
    }

    /// True if this rule isn't known, or was written later than the known one.
    pub fn lacks(&self, rule: &EditorRule) -> bool {
        let key = (rule.page.clone(), rule.kind);
        self.written.get(&key).is_none_or(|(given_ms, value)| (rule.given_ms, &rule.value) > (*given_ms, value))
    }

    /// All rules, the undone ones too, by page and kind.
    pub fn all(&self) -> impl Iterator<Item = EditorRule> {
        let rule = |((page, kind), (given_ms, value)): (&(PageAddress, RuleKind), &Written)| EditorRule {
            page: page.clone(),
            kind: *kind,
            value: value.clone(),
            given_ms: *given_ms,
        };
        self.written.iter().map(rule)
    }

    /// The rules that aren't undone, by page and kind.
    pub fn live(&self) -> impl Iterator<Item = EditorRule> {
        self.all().filter(|rule| rule.value.is_some())
    }

    /// Number of rules that aren't undone.
    fn count(&self) -> usize {
        self.written.values().filter(|(_, value)| value.is_some()).count()
    }

    /// Values of a page's rules that aren't undone.
    pub fn of_page(&self, page: &PageAddress) -> impl Iterator<Item = (RuleKind, &Arc<str>)> {
        let rule = |kind| Some((kind, self.value(page, kind)?));
        RuleKind::ALL.into_iter().filter_map(rule)
    }

    fn value(&self, page: &PageAddress, kind: RuleKind) -> Option<&Arc<str>> {
        self.written.get(&(page.clone(), kind))?.1.as_ref()
    }

    /// The page under which this one counts and is shown: as a rule itself. None: it is deleted.
    pub fn shown<'a>(&'a self, page: &'a PageAddress) -> Option<&'a PageAddress> {
        self.effect.shown.get(page).map_or(Some(page), Option::as_ref)
    }

    /// The page under which a hit of this one counts, where that is another.
    pub fn counts_under(&self, page: &PageAddress) -> Option<PageAddress> {
        let shown = self.effect.shown.get(page)?;
        Some(shown.clone().unwrap_or_else(PageAddress::other))
    }

    /// Pages that aren't shown as themselves: merged ones, each with the page into which it is merged in the end, and
    /// deleted ones.
    pub fn elsewhere(&self) -> impl Iterator<Item = (&PageAddress, Option<&PageAddress>)> {
        self.effect.shown.iter().map(|(page, shown)| (page, shown.as_ref()))
    }

    /// Merged pages, each with the page into which it is merged in the end.
    pub fn merged(&self) -> impl Iterator<Item = (&PageAddress, &PageAddress)> {
        self.elsewhere().filter_map(|(page, shown)| Some((page, shown?)))
    }

    /// True if the page is to be in no list.
    pub fn is_hidden(&self, page: &PageAddress) -> bool {
        self.effect.hidden.contains(page)
    }

    /// The title that an editor gave the page.
    pub fn title(&self, page: &PageAddress) -> Option<PageTitle> {
        PageTitle::of(self.value(page, RuleKind::Title)?)
    }

    /// True for a merge that would lead in a circle: of those in it, the latest has no effect.
    pub fn is_void(&self, rule: &EditorRule) -> bool {
        rule.kind == RuleKind::Merge && self.effect.void.contains(&rule.page)
    }

    /// True if pages are hidden.
    pub fn hides(&self) -> bool {
        !self.effect.hidden.is_empty()
    }

    /// Number of pages that aren't shown as themselves, or are in no list.
    pub fn moved(&self) -> usize {
        self.effect.shown.len() + self.effect.hidden.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(page: &str, kind: &str, value: Option<&str>, given_ms: i64) -> EditorRule {
        EditorRule::stored(page, kind, value, given_ms).unwrap_or_else(|| panic!("{page} {kind} {value:?}"))
    }

    fn title(rules: &EditorRules, page: &str) -> Option<String> {
        rules.title(&PageAddress::from_stored(page)).map(|title| title.as_str().to_owned())
    }

    #[test]
    fn the_last_write_holds_and_of_two_at_once_the_greater_value() {
        let rules = EditorRules::of([rule("/a", "title", Some("A"), 5)]);
        assert_eq!(rules.with([rule("/a", "title", Some("Z"), 4), rule("/a", "title", None, 5)]), None);
        let rules = rules.with([rule("/a", "title", Some("B"), 5)]).unwrap();
        assert_eq!(title(&rules, "/a").as_deref(), Some("B"));
        let undone = rules.with([rule("/a", "title", None, 6)]).unwrap();
        assert_eq!((title(&undone, "/a"), undone.live().count(), undone.all().count()), (None, 0, 1));
        assert!(!undone.lacks(&rule("/a", "title", Some("B"), 5)) && undone.lacks(&rule("/a", "hide", None, 1)));
        assert_eq!(undone.with(rules.all()), None, "an older copy brings nothing back");
    }

    #[test]
    fn what_no_version_writes_is_no_rule() {
        for (page, kind, value, given_ms) in [
            ("", "title", Some("A"), 1),
            ("(other)", "hide", Some("1"), 1),
            ("/a", "paint", Some("1"), 1),
            ("/a", "hide", Some("2"), 1),
            ("/a", "hide", Some("1"), -1),
            ("/a", "hide", Some("1"), GIVEN_MAX + 1),
            ("/a", "title", Some(""), 1),
            ("/a", "title", Some("a\nb"), 1),
            ("/a", "title", Some("a\u{202e}b"), 1),
            ("/a", "merge", Some("https://evil.example/"), 1),
        ] {
            assert_eq!(EditorRule::stored(page, kind, value, given_ms), None, "{page} {kind} {value:?}");
        }
        let long = format!("/{}", "a".repeat(VALUE_BYTES_MAX));
        assert_eq!(EditorRule::stored(&long, "hide", None, 1), None);
        assert_eq!(EditorRule::stored("/a", "merge", Some(&long), 1), None);
    }

    #[test]
    fn the_number_of_rules_is_bounded_and_known_ones_change_all_the_same() {
        let many = (0..=REGISTERS_MAX).map(|at| rule(&format!("/{at}"), "hide", Some("1"), 1));
        let rules = EditorRules::of(many);
        assert_eq!(rules.all().count(), REGISTERS_MAX);
        assert_eq!(rules.with([rule("/x", "hide", Some("1"), 9)]), None);
        assert!(rules.with([rule("/0", "hide", None, 9)]).is_some());
    }

    proptest! {
        #[test]
        fn rules_end_the_same_in_any_order_and_however_often_they_come(
            writes in prop::collection::vec((0..4_u8, 0..4_u8, 0..4_i64, any::<bool>()), 0..30),
            order in any::<prop::sample::Index>(),
        ) {
            let rules: Vec<_> = writes.iter().map(|(page, to, given_ms, is_undone)| {
                rule(&format!("/{page}"), "merge", (!is_undone).then_some(format!("/{to}")).as_deref(), *given_ms)
            }).collect();
            let at = order.index(rules.len() + 1);
            let (first, last) = rules.split_at(at);
            let one = EditorRules::of(rules.iter().cloned());
            let other = EditorRules::of(last.iter().chain(first).chain(last).cloned());
            prop_assert_eq!(&one, &other);
            // No walk ends at a page that counts elsewhere.
            for (page, shown) in one.merged() {
                prop_assert_eq!(one.shown(shown), Some(shown));
                prop_assert_ne!(page, shown);
            }
        }
    }
}

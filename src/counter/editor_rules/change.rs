//! A rule as an editor asks for it.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{EditorRule, EditorRules, GIVEN_MAX, MERGED_MAX, REGISTERS_MAX, RULES_MAX, RuleKind, VALUE_BYTES_MAX, YES};
use crate::counter::title::CHARS_MAX;
use crate::counter::{PageAddress, PageTitle, Site};

/// A change as it travels from the command to the node. Addresses are urls or paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub page: String,
    pub kind: RuleKind,
    /// The title, or the page into which it is merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A change of a site's pages, with addresses by the site's rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    page: PageAddress,
    /// The text as it is, where that is another address: one of an earlier rule of the site.
    as_written: Option<PageAddress>,
    kind: RuleKind,
    /// None: undo.
    value: Option<Arc<str>>,
}

/// A refused change; the field of the request that is wrong, and the reason in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    pub field: &'static str,
    pub reason: String,
}

impl Change {
    /// The change that sets a rule.
    pub fn set(site: &Site, request: &Request) -> Result<Self, Refused> {
        let page = address(site, "page", &request.page)?;
        let as_written = as_written(&request.page, &page);
        let given = request.value.as_deref().filter(|value| !value.is_empty());
        let value: Arc<str> = match (request.kind, given) {
            (RuleKind::Title, Some(text)) => title(text)?,
            (RuleKind::Merge, Some(text)) => address(site, "value", text)?.as_str().into(),
            (RuleKind::Title, None) => return Err(refused("value", "the title is missing")),
            (RuleKind::Merge, None) => return Err(refused("value", "the page to merge into is missing")),
            (RuleKind::Hide | RuleKind::Delete, None) => YES.into(),
            (kind @ (RuleKind::Hide | RuleKind::Delete), Some(_)) => {
                return Err(refused("value", format!("a rule of kind `{kind}` has no value; leave it out")));
            }
        };
        Ok(Self { page, as_written, kind: request.kind, value: Some(value) })
    }

    /// The change that undoes a rule.
    pub fn undo(site: &Site, page: &str, kind: RuleKind) -> Result<Self, Refused> {
        let text = page;
        let page = address(site, "page", text)?;
        Ok(Self { as_written: as_written(text, &page), page, kind, value: None })
    }

    /// The page as it is written, where it has such a rule, or is to get one and is a page of the file by `is_page`.
    pub fn resolved<E>(
        self,
        rules: &EditorRules,
        is_page: impl FnOnce(&PageAddress) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let Some(written) = &self.as_written else { return Ok(self) };
        let has_rule = rules.value(written, self.kind).is_some();
        let is_meant = has_rule || (self.value.is_some() && is_page(written)?);
        let page = if is_meant { written.clone() } else { self.page };
        Ok(Self { page, as_written: None, ..self })
    }
}

impl EditorRules {
    /// The rule that a change makes at `now_ms`: later than the one before, whatever the clock says.
    pub fn changed(&self, change: Change, now_ms: i64) -> Result<EditorRule, Refused> {
        let Change { page, kind, value, .. } = change;
        let before = self.written.get(&(page.clone(), kind));
        let is_live = before.is_some_and(|(_, value)| value.is_some());
        match &value {
            None if !is_live => {
                return Err(refused("kind", format!("page `{page}` has no rule of kind `{kind}` to undo")));
            }
            None => {}
            Some(_) if !is_live && self.count() >= RULES_MAX => {
                return Err(refused(
                    "page",
                    format!("the site has {RULES_MAX} rules, and no room for more; undo some"),
                ));
            }
            Some(_) if before.is_none() && self.written.len() >= REGISTERS_MAX => {
                let reason = format!(
                    "the site has had {REGISTERS_MAX} rules, those that were undone among them, and no room for more"
                );
                return Err(refused("page", reason));
            }
            Some(target) if kind == RuleKind::Merge => self.check_merge(&page, &PageAddress::from_stored(target))?,
            Some(_) => {}
        }
        let given_ms = before.map_or(now_ms, |(before, _)| now_ms.max(before + 1));
        if !(0..=GIVEN_MAX).contains(&given_ms) {
            return Err(refused("page", format!("the rule of page `{page}` was written at the end of time")));
        }
        Ok(EditorRule { page, kind, value, given_ms })
    }

    fn check_merge(&self, page: &PageAddress, target: &PageAddress) -> Result<(), Refused> {
        if page == target {
            return Err(refused("value", format!("page `{page}` can't be merged into itself")));
        }
        // By the rules as they are written: one without an effect may get it back.
        let (mut seen, mut at) = (HashSet::new(), target.clone());
        while seen.insert(at.clone()) {
            let Some(next) = self.value(&at, RuleKind::Merge) else { break };
            at = PageAddress::from_stored(next);
            if at == *page {
                let reason =
                    format!("page `{target}` is merged into `{page}`, perhaps by way of others; undo that first");
                return Err(refused("value", reason));
            }
        }
        let Some(end) = self.shown(target) else {
            return Err(refused("value", format!("page `{target}` is deleted; undo that first")));
        };
        let moved = |shown: &PageAddress| shown == end || shown == page;
        let others = self.merged().filter(|(merged, shown)| *merged != page && moved(shown)).count();
        if others >= MERGED_MAX {
            let reason = format!("{others} pages are merged into `{end}` or `{page}`, and one page takes {MERGED_MAX}");
            return Err(refused("value", reason));
        }
        Ok(())
    }
}

fn refused(field: &'static str, reason: impl Into<String>) -> Refused {
    Refused { field, reason: reason.into() }
}

/// The page of a url on one of the site's origins, or of a path.
fn address(site: &Site, field: &'static str, text: &str) -> Result<PageAddress, Refused> {
    let text = text.trim();
    let shown: String = text.chars().take(200).collect::<String>().escape_debug().to_string();
    let expected = "expected a path such as `/tin-tuc/bai-1`, or the page's whole address";
    if !text.starts_with('/') {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match url {
            None => return Err(refused(field, format!("`{shown}` is no page; {expected}"))),
            Some(url) if !site.covers(&url) => {
                let reason = format!("`{shown}` is no page of site `{}`: its origin is not among `origins`", site.id);
                return Err(refused(field, reason));
            }
            Some(_) => {}
        }
    }
    let page = PageAddress::from_import(text, &site.page_rules).filter(|page| !page.is_other());
    page.ok_or_else(|| refused(field, format!("`{shown}` is no page; {expected}")))
}

/// The address that a text is by itself, unless it is `page`.
fn as_written(text: &str, page: &PageAddress) -> Option<PageAddress> {
    let text = text.trim();
    let is_address = text.starts_with('/') && text.len() <= VALUE_BYTES_MAX && !text.chars().any(char::is_control);
    is_address.then(|| PageAddress::from_stored(text)).filter(|written| written != page)
}

fn title(text: &str) -> Result<Arc<str>, Refused> {
    let chars = text.trim().chars().count();
    if chars > CHARS_MAX {
        return Err(refused("value", format!("the title has {chars} characters; at most {CHARS_MAX} are shown")));
    }
    let title = PageTitle::of(text).ok_or_else(|| refused("value", "nothing of the title can be seen"))?;
    Ok(title.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site::with_defaults("demo".parse().unwrap(), vec!["https://a.vn".parse().unwrap()])
    }

    fn set(page: &str, kind: RuleKind, value: Option<&str>) -> Result<Change, String> {
        let request = Request { page: page.to_owned(), kind, value: value.map(str::to_owned) };
        Change::set(&site(), &request).map_err(|refused| refused.reason)
    }

    fn merge(rules: &EditorRules, page: &str, target: &str, now_ms: i64) -> Result<EditorRules, String> {
        let change = set(page, RuleKind::Merge, Some(target))?;
        let rule = rules.changed(change, now_ms).map_err(|refused| refused.reason)?;
        Ok(rules.with([rule]).unwrap())
    }

    #[test]
    fn pages_are_named_by_path_or_url_and_stand_under_their_address() {
        for named in ["/tin//bai-1/?utm_source=x", "https://a.vn/tin/bai-1#top", " /tin/bai-1 "] {
            let change = set(named, RuleKind::Merge, Some("https://a.vn/index.html")).unwrap();
            assert_eq!((change.page.as_str(), change.value.as_deref()), ("/tin/bai-1", Some("/")), "{named}");
        }
        for (named, said) in [
            ("https://b.vn/bai-1", "no page of site `demo`"),
            ("javascript:alert(1)", "no page"),
            ("bai-1", "no page"),
            ("", "no page"),
            ("(other)", "no page"),
            ("\u{1b}[2J", "\\u{1b}"),
        ] {
            assert!(set(named, RuleKind::Hide, None).unwrap_err().contains(said), "{named}");
            assert!(set("/a", RuleKind::Merge, Some(named)).is_err(), "{named}");
        }
    }

    #[test]
    fn a_page_as_the_file_or_a_rule_has_it_is_meant_before_what_todays_rule_makes_of_it() {
        let rules = EditorRules::of([EditorRule::stored("/Tin?trang=2#x", "hide", Some("1"), 1).unwrap()]);
        let page = |change: Change, is_page: bool| {
            let resolved = change.resolved(&rules, |_| Ok::<_, ()>(is_page)).unwrap();
            resolved.page.to_string()
        };
        let undo = |text: &str| Change::undo(&site(), text, RuleKind::Hide).unwrap();
        assert_eq!(page(undo("/Tin?trang=2#x"), false), "/Tin?trang=2#x");
        assert!(rules.changed(undo("/Tin?trang=2#x").resolved(&rules, |_| Ok::<_, ()>(false)).unwrap(), 2).is_ok());
        let normalised = undo("/a/#x").page.to_string();
        assert_ne!(normalised, "/a/#x");
        // Nothing is set under it, so there is nothing to undo, whatever the file has.
        assert_eq!(page(undo("/a/#x"), true), normalised);
        let set = || set("/a/#x", RuleKind::Delete, None).unwrap();
        assert_eq!([page(set(), true), page(set(), false)], ["/a/#x".to_owned(), normalised]);
    }

    #[test]
    fn a_title_is_text_in_one_line_of_bounded_length() {
        let title = |text: &str| set("/a", RuleKind::Title, Some(text)).map(|change| change.value.unwrap().to_string());
        assert_eq!(title(" Tin\u{0}\n mới\u{202e}\u{e0041} ").as_deref(), Ok("Tin mới"));
        assert_eq!(title(&"ả".repeat(CHARS_MAX)).unwrap().chars().count(), CHARS_MAX);
        assert!(title(&"a".repeat(CHARS_MAX + 1)).unwrap_err().contains("201 characters; at most 200"));
        assert!(title("\u{200b}\n").unwrap_err().contains("nothing of the title"));
        assert!(title("").unwrap_err().contains("missing"));
        assert!(set("/a", RuleKind::Hide, Some("x")).unwrap_err().contains("has no value"));
    }

    #[test]
    fn merges_in_a_circle_are_refused_and_so_are_merges_into_nothing() {
        let rules = EditorRules::default();
        assert!(merge(&rules, "/a", "/a/", 1).unwrap_err().contains("into itself"));
        let rules = merge(&merge(&rules, "/a", "/b", 1).unwrap(), "/b", "/c", 2).unwrap();
        for of in ["/a", "/b"] {
            assert!(merge(&rules, "/c", of, 3).unwrap_err().contains("undo that first"), "{of}");
        }
        // Another target may take the place of the first.
        let moved = merge(&rules, "/a", "/d", 3).unwrap();
        assert!(merge(&moved, "/c", "/a", 4).is_ok());
        let deleted = rules.with([EditorRule::stored("/c", "delete", Some("1"), 3).unwrap()]).unwrap();
        assert!(merge(&deleted, "/x", "/a", 4).unwrap_err().contains("is deleted"));
    }

    #[test]
    fn one_page_takes_a_bounded_number_of_others() {
        let many = |from: usize, count: usize, to: &str| {
            let to = to.to_owned();
            (from..from + count).map(move |at| EditorRule::stored(&format!("/{at}"), "merge", Some(&to), 1).unwrap())
        };
        let rules = EditorRules::of(many(0, MERGED_MAX - 1, "/a").chain(many(100, 1, "/b")));
        assert!(merge(&rules, "/c", "/a", 2).is_ok());
        assert!(merge(&rules, "/b", "/a", 2).unwrap_err().contains("50 pages"), "it would bring its own");
        assert!(merge(&rules, "/3", "/a", 2).is_ok());
    }

    #[test]
    fn a_rule_is_later_than_the_one_before_whatever_the_clock_says() {
        let hide = || set("/a", RuleKind::Hide, None).unwrap();
        let undo = || Change::undo(&site(), "/a", RuleKind::Hide).unwrap();
        let rules = EditorRules::default();
        assert!(rules.changed(undo(), 5).unwrap_err().reason.contains("no rule of kind `hide` to undo"));
        let rules = rules.with([rules.changed(hide(), 5).unwrap()]).unwrap();
        let undone = rules.changed(undo(), 3).unwrap();
        assert_eq!((undone.given_ms, undone.value.as_deref()), (6, None));
        let rules = rules.with([undone]).unwrap();
        assert!(rules.changed(undo(), 9).is_err());
        assert_eq!(rules.changed(hide(), 9).unwrap().given_ms, 9);
    }

    #[test]
    fn a_site_has_a_bounded_number_of_rules() {
        let hidden = |count: usize, value: Option<&'static str>, from: usize| {
            (from..from + count).map(move |at| EditorRule::stored(&format!("/{at}"), "hide", value, 1).unwrap())
        };
        let hide = || set("/x", RuleKind::Hide, None).unwrap();
        let refused = |rules: EditorRules| rules.changed(hide(), 2).unwrap_err().reason;
        let full = EditorRules::of(hidden(RULES_MAX, Some("1"), 0));
        assert!(full.changed(Change::undo(&site(), "/7", RuleKind::Hide).unwrap(), 2).is_ok());
        assert!(refused(full).contains("10000 rules"));
        assert!(refused(EditorRules::of(hidden(REGISTERS_MAX, None, 0))).contains("20000 rules"));
    }
}

//! Page titles.

use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;

use super::{PageAddress, SiteNumber};

/// Longest title in characters; the rest is cut off.
pub const CHARS_MAX: usize = 200;

/// A title as a hit gave it: text in one line, whatever it looks like. Who shows it must show it as
/// text. Beside it the page's real address, where the folded one may not open.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageTitle {
    text: Arc<str>,
    link: Option<Arc<str>>,
}

impl PageTitle {
    /// None if nothing is left that could be seen.
    pub fn of(text: &str) -> Option<Self> {
        let mut title = String::new();
        let mut chars = 0;
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
            // What is hidden goes first: it may stand between marks that are composed without it.
            for (at, c) in word.chars().filter(|c| !is_hidden(*c)).nfc().enumerate() {
                if at == 0 && !title.is_empty() {
                    title.push(' ');
                    chars += 1;
                }
                if chars >= CHARS_MAX {
                    return Self::trimmed(&title);
                }
                title.push(c);
                chars += 1;
            }
        }
        Self::trimmed(&title)
    }

    fn trimmed(title: &str) -> Option<Self> {
        let title = title.trim_end();
        (!title.is_empty()).then(|| Self { text: title.into(), link: None })
    }

    /// The title with the page's link. A text that leads off the site is none.
    pub fn with_link(self, link: Option<&str>) -> Self {
        let is_path = |link: &&str| link.starts_with('/') && !link[1..].starts_with(['/', '\\']);
        Self { link: link.filter(is_path).map(Into::into), ..self }
    }

    /// The title that a page shows: an editor's before the readers', with the link that came with theirs.
    pub fn shown(editors: Option<Self>, readers: Option<Self>) -> Option<Self> {
        match editors {
            Some(title) => Some(title.with_link(readers.as_ref().and_then(Self::link))),
            None => readers,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Path, query and route of the page's real address; none if that is the page's address.
    pub fn link(&self) -> Option<&str> {
        self.link.as_deref()
    }
}

/// A title with the time it was given: of several the latest holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenTitle {
    pub title: PageTitle,
    /// Unix milliseconds.
    pub given_ms: i64,
}

/// A page's new title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedTitle {
    pub site: SiteNumber,
    pub page: PageAddress,
    pub title: PageTitle,
    /// Unix milliseconds.
    pub given_ms: i64,
}

/// Marks that reorder the text around them, that can't be seen at all, or that stand for what was no
/// text, such as half of an emoji at which a title was cut.
fn is_hidden(c: char) -> bool {
    matches!(c, char::REPLACEMENT_CHARACTER | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn title(text: &str) -> Option<String> {
        PageTitle::of(text).map(|title| title.as_str().to_owned())
    }

    #[test]
    fn a_title_is_one_line_of_text() {
        assert_eq!(title(" Tin\t\n tức  mới ").as_deref(), Some("Tin tức mới"));
        assert_eq!(title("<b>Tin</b> & \"mới\"").as_deref(), Some("<b>Tin</b> & \"mới\""));
        assert_eq!(title("Ti\u{302}n").as_deref(), Some("Tîn"));
        assert_eq!(title("a\u{202e}b\u{0}c").as_deref(), Some("ab c"));
        assert_eq!(title(" \u{200b}\n"), None);
        assert_eq!(title("T\u{e0041}i\u{fff9}n\u{fffb}").as_deref(), Some("Tin"));
        assert_eq!(title("Ti\u{200b}\u{302}n").as_deref(), Some("Tîn"));
        assert_eq!(title("Tin \u{fffd}\u{fffd}").as_deref(), Some("Tin"));
        assert_eq!(title(&"ả".repeat(1_000)).unwrap().chars().count(), CHARS_MAX);
    }

    #[test]
    fn a_link_stays_on_the_site() {
        let title = |link| PageTitle::of("Tin").unwrap().with_link(Some(link));
        assert_eq!(title("/Tin/1.aspx?ItemID=5").link(), Some("/Tin/1.aspx?ItemID=5"));
        for elsewhere in ["//evil.example/x", "/\\evil.example", "https://evil.example/", "javascript:1", ""] {
            assert_eq!(title(elsewhere).link(), None, "{elsewhere}");
        }
    }

    proptest! {
        #[test]
        fn a_title_is_its_own_title_and_bounded(text in "\\PC{0,300}") {
            if let Some(title) = PageTitle::of(&text) {
                prop_assert!(title.as_str().chars().count() <= CHARS_MAX);
                prop_assert_eq!(PageTitle::of(title.as_str()), Some(title));
            }
        }
    }
}

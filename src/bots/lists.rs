//! Bots by their User-Agent, as public lists know them.
//!
//! The engine is linear, so no text can make it slow, and a text is cut first. What the lists cost
//! is paid where they are asked: they are compiled at the first question, in memory that a node
//! without bots to recognise never takes.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexSet, RegexSetBuilder};

use super::Kind;

/// Kind and pattern, by line.
const LISTS: &str = include_str!("lists.tsv");

/// More than any browser's; what stands beyond it is not read.
pub const USER_AGENT_BYTES_MAX: usize = 512;

/// People's browsers of which a part reads like a bot: that part is left out.
const NO_BOTS: &str = r"(?i)\bcu-?bot(?:[ _/-]|\b)|\bmozilla/5\.0 \(compatible; (?:msie|konqueror)\b";

/// Compiled: about 40 ms once.
#[derive(Debug)]
pub struct Lists {
    /// In the order of `kinds`.
    patterns: RegexSet,
    kinds: Vec<Kind>,
    no_bots: Regex,
}

static LISTS_COMPILED: LazyLock<Lists> = LazyLock::new(Lists::compile);

/// A program's memory limit for one compiled form, and for its working memory.
const BYTES_MAX: usize = 32 << 20;

impl Lists {
    /// The lists of this program, compiled by whoever asks first.
    pub fn get() -> &'static Self {
        &LISTS_COMPILED
    }

    #[expect(clippy::expect_used, reason = "the lists are part of the program, and a test compiles them")]
    fn compile() -> Self {
        let mut by_kind: std::collections::BTreeMap<Kind, Vec<&str>> = std::collections::BTreeMap::new();
        for (kind, pattern) in rows() {
            by_kind.entry(kind).or_default().push(pattern);
        }
        let one_each = by_kind.values().map(|patterns| patterns.join("|"));
        // Bytes, not characters: smaller, and nothing that the lists name needs more than ASCII's case.
        let patterns = RegexSetBuilder::new(one_each).unicode(false).size_limit(BYTES_MAX).build();
        let patterns = patterns.expect("the lists are well-formed");
        Self {
            patterns,
            kinds: by_kind.into_keys().collect(),
            no_bots: Regex::new(NO_BOTS).expect("it is well-formed"),
        }
    }

    /// Whose User-Agent it is; none: a reader's, as far as the lists know.
    pub fn recognise(&self, user_agent: &str) -> Option<Kind> {
        let text = self.no_bots.replace_all(cut(user_agent).as_bytes(), &b""[..]);
        let first = self.patterns.matches(&text).iter().next()?;
        self.kinds.get(first).copied()
    }
}

fn rows() -> impl Iterator<Item = (Kind, &'static str)> {
    LISTS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (kind, pattern) = line.split_once('\t')?;
        // A kind that a newer list brings.
        Some((Kind::named(kind).unwrap_or(Kind::Other), pattern))
    })
}

/// As much of a User-Agent as is looked at.
pub fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(USER_AGENT_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognise(text: &str) -> Option<Kind> {
        Lists::get().recognise(text)
    }

    #[test]
    fn every_row_is_of_a_known_kind_and_a_pattern_of_its_own() {
        let mut count = 0;
        for line in LISTS.lines().filter(|line| !line.starts_with('#')) {
            let (kind, pattern) = line.split_once('\t').unwrap();
            assert!(Kind::named(kind).is_some(), "{kind}");
            // By itself, so that no bracket of one row closes another's.
            assert!(Regex::new(pattern).is_ok(), "{pattern}");
            assert!(!Regex::new(pattern).unwrap().is_match(b""), "{pattern}");
            count += 1;
        }
        assert!(count > 1_000, "{count}");
    }

    #[test]
    fn bots_are_told_apart_by_kind() {
        for (text, kind) in [
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Kind::SearchEngine),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
                Kind::AiCrawler,
            ),
            ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", Kind::SocialPreview),
            ("curl/8.5.0", Kind::HttpLibrary),
            ("python-requests/2.32.3", Kind::HttpLibrary),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
                Kind::BrowserAutomation,
            ),
        ] {
            assert_eq!(recognise(text), Some(kind), "{text}");
        }
        // Nobody lists it by name.
        assert!(recognise("xa-suoi-may-crawler/0.1").is_some());
    }

    #[test]
    fn what_people_browse_with_is_no_bot() {
        for text in [
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) coc_coc_browser/126.0.0 Chrome/120.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 14; SM-A155F Build/UP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/125.0.6422.165 Mobile Safari/537.36 Zalo android/24050503 ZaloTheme/light ZaloLanguage/vi",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/466.0.0.35.93;FBLC/vi_VN]",
            "Mozilla/5.0 (Linux; Android 12; CUBOT NOTE 20 PRO) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15",
            "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.1; Trident/6.0)",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
        ] {
            assert_eq!(recognise(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_a_character_is_not() {
        let long = format!("{} Googlebot/2.1", "ế".repeat(400));
        assert_eq!(recognise(&long), None);
        assert!(cut(&long).len() <= USER_AGENT_BYTES_MAX);
        assert!(cut(&long).chars().all(|c| c == 'ế'));
        assert_eq!(cut("short"), "short");
    }
}

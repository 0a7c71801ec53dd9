//! Recognition of bots by public lists of User-Agents.
//!
//! Nine patterns in ten are plain texts, which one automaton finds in a single pass; the others go
//! to the linear regex engine. So no User-Agent makes a search slow, and a long one is cut first. The lists
//! are compiled at the first search: a node that filters no bots never holds them in memory.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexSet, RegexSetBuilder};
use regex_syntax::hir::{HirKind, Look};

use super::Kind;
use super::browser::Bearing;
use crate::counter::visitor::USER_AGENT_BYTES_MAX;

/// A line each: kind, `i` if case doesn't matter, pattern.
const LISTS: &str = include_str!("lists.tsv");

/// Parts of people's User-Agents that look like a bot's name; they are left out.
const NO_BOTS: &str = r"(?i)\bcu-?bot(?:[ _/-]|\b)";

/// A regex's memory limit.
const BYTES_MAX: usize = 8 << 20;

#[derive(Debug)]
pub struct Lists {
    texts: AhoCorasick,
    /// Readings of `texts`, in the same order.
    readings: Vec<Reading>,
    /// One of all that are no plain texts, in the order of `kinds`.
    patterns: RegexSet,
    kinds: Vec<Kind>,
    no_bots: Regex,
    bearing: Bearing,
}

/// A plain text with its meaning.
#[derive(Debug)]
struct Reading {
    text: Box<[u8]>,
    kind: Kind,
    ignores_case: bool,
    begins: bool,
}

struct Row {
    kind: Kind,
    ignores_case: bool,
    pattern: &'static str,
}

static LISTS_COMPILED: LazyLock<Lists> = LazyLock::new(Lists::compile);

impl Lists {
    /// The program's lists, compiled at the first call.
    pub fn get() -> &'static Self {
        &LISTS_COMPILED
    }

    fn compile() -> Self {
        let mut readings: Vec<Reading> = Vec::new();
        let mut others: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
        for Row { kind, ignores_case, pattern } in rows() {
            if let Some((text, begins)) = plain(pattern) {
                readings.push(Reading { text, kind, ignores_case, begins });
            } else {
                let case = if ignores_case { "i" } else { "-i" };
                others.entry(kind).or_default().push(format!("(?{case}:{pattern})"));
            }
        }
        let patterns = others.values().map(|patterns| patterns.join("|"));
        // Bytes, not characters: smaller, and nothing that the lists name needs more than ASCII's case.
        let patterns = RegexSetBuilder::new(patterns).unicode(false).size_limit(BYTES_MAX).build();
        let texts = readings.iter().map(|reading| &reading.text);
        Self {
            texts: AhoCorasick::builder().ascii_case_insensitive(true).build(texts).expect("the lists are short"),
            readings,
            patterns: patterns.expect("the lists are well-formed"),
            kinds: others.into_keys().collect(),
            no_bots: Regex::new(NO_BOTS).expect("it is well-formed"),
            bearing: Bearing::compile().expect("they are too"),
        }
    }

    /// The kind of a User-Agent that is not empty; None for a reader's.
    pub fn recognise(&self, user_agent: &str) -> Option<Kind> {
        let text = self.no_bots.replace_all(cut(user_agent).as_bytes(), &b""[..]);
        let by_text = self.texts.find_overlapping_iter(&*text).filter_map(|found| {
            let reading = self.readings.get(found.pattern().as_usize())?;
            let is_meant = (!reading.begins || found.start() == 0)
                && (reading.ignores_case || text.get(found.range()) == Some(&*reading.text));
            is_meant.then_some(reading.kind)
        });
        let by_pattern = self.patterns.matches(&text).iter().next().and_then(|first| self.kinds.get(first).copied());
        let by_bearing = (!self.bearing.is_a_browsers(&text)).then_some(Kind::NoBrowser);
        by_text.chain(by_pattern).chain(by_bearing).min()
    }
}

/// The text that a pattern stands for if it stands for one only, and whether that must come first.
fn plain(pattern: &str) -> Option<(Box<[u8]>, bool)> {
    let hir = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
    match hir.kind() {
        HirKind::Literal(text) => Some((text.0.clone(), false)),
        HirKind::Concat(parts) => match parts.as_slice() {
            [first, rest] => match (first.kind(), rest.kind()) {
                (HirKind::Look(Look::Start), HirKind::Literal(text)) => Some((text.0.clone(), true)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn rows() -> impl Iterator<Item = Row> {
    LISTS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.splitn(3, '\t');
        // A kind that a newer list brings.
        let kind = Kind::named(fields.next()?).unwrap_or(Kind::Other);
        Some(Row { kind, ignores_case: fields.next()? == "i", pattern: fields.next()? })
    })
}

/// The beginning of a User-Agent that the lists read.
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
            assert!(Kind::named(line.split('\t').next().unwrap()).is_some(), "{line}");
            count += 1;
        }
        assert_eq!(rows().count(), count);
        for Row { pattern, .. } in rows() {
            // By itself, so that no bracket of one row closes another's.
            assert!(!Regex::new(pattern).unwrap().is_match(b""), "{pattern}");
        }
        assert!(rows().filter(|row| plain(row.pattern).is_none()).count() < count / 5);
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
            ("Mozilla/5.0 (compatible; Cham Diem/0.3)", Kind::NoBrowser),
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
        let long = format!("Safari {} Googlebot/2.1", "ế".repeat(400));
        assert_eq!(recognise(&long), None);
        assert!(cut(&long).len() <= USER_AGENT_BYTES_MAX);
        assert!(cut(&long).ends_with('ế'));
        assert_eq!(cut("short"), "short");
    }
}

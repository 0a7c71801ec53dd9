//! Recognition of bots by public lists of User-Agents.
//!
//! Nearly all patterns are plain texts, which one automaton finds in a single pass; another finds the rest. So
//! no User-Agent makes a search slow, and a long one is cut first. What looks like a bot's is read again
//! without the parts that are [exceptions](Exceptions). The lists are compiled at the first search: a node
//! that filters no bots never holds them in memory.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::Kind;
use super::automaton::Automaton;
use super::browser::{self, Browsers};
use super::exceptions::Exceptions;
use crate::counter::visitor::USER_AGENT_BYTES_MAX;

/// A line each: kind, `i` if case doesn't matter, pattern.
const LISTS: &str = include_str!("lists.tsv");

/// Marks a pattern with any number of characters before or between its texts.
const OPEN: &str = "]*";

/// Most texts that stand for one pattern.
const TEXTS_MAX: usize = 64;

#[derive(Debug)]
pub struct Lists {
    texts: AhoCorasick,
    /// Readings of `texts`, in the same order.
    readings: Vec<Reading>,
    /// Patterns that are searched one by one: together they would multiply each other's states.
    lone: Vec<(Kind, Automaton)>,
    /// All other patterns that are no plain texts. Readers' User-Agents match none.
    joined: Automaton,
    /// The same by kind.
    by_kind: Vec<(Kind, Automaton)>,
    browsers: Browsers,
    exceptions: Exceptions,
}

/// A plain text with its meaning.
#[derive(Debug)]
struct Reading {
    text: Box<[u8]>,
    meaning: Meaning,
    ignores_case: bool,
    begins: bool,
}

#[derive(Debug, Clone, Copy)]
enum Meaning {
    Bot(Kind),
    /// A browser's, a system's or a device's name.
    Browser,
}

pub(super) struct Row {
    kind: Kind,
    ignores_case: bool,
    pub(super) pattern: &'static str,
}

static LISTS_COMPILED: LazyLock<Lists> = LazyLock::new(Lists::compile);

impl Lists {
    /// The program's lists, compiled at the first call.
    pub fn get() -> &'static Self {
        &LISTS_COMPILED
    }

    fn compile() -> Self {
        let mut readings: Vec<Reading> = Vec::new();
        let mut lone = Vec::new();
        let mut others: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
        for Row { kind, ignores_case, pattern } in rows() {
            if let Some((texts, begins)) = texts_of(pattern) {
                let meaning = Meaning::Bot(kind);
                readings.extend(texts.map(|text| Reading { text, meaning, ignores_case, begins }));
                continue;
            }
            let case = if ignores_case { "i" } else { "-i" };
            let pattern = format!("(?{case}:{pattern})");
            if pattern.contains(OPEN) {
                lone.push((kind, compiled(&pattern)));
            } else {
                others.entry(kind).or_default().push(pattern);
            }
        }
        let mut names = Vec::new();
        for name in browser::NAMES {
            if let Some((texts, begins)) = texts_of(name) {
                readings.extend(texts.map(|text| Reading {
                    text,
                    meaning: Meaning::Browser,
                    ignores_case: true,
                    begins,
                }));
            } else {
                names.push(*name);
            }
        }
        let texts = readings.iter().map(|reading| &reading.text);
        // The list that names no kinds has most of them.
        lone.extend(others.remove(&Kind::Other).map(|patterns| (Kind::Other, compiled(&patterns.join("|")))));
        let joined: Vec<_> = others.values().flatten().map(String::as_str).collect();
        Self {
            texts: AhoCorasick::builder().ascii_case_insensitive(true).build(texts).expect("the lists are short"),
            readings,
            joined: compiled(&joined.join("|")),
            by_kind: others.iter().map(|(kind, patterns)| (*kind, compiled(&patterns.join("|")))).collect(),
            lone,
            browsers: Browsers::compile(&names).expect("its patterns are well-formed"),
            exceptions: Exceptions::compile().expect("they are too"),
        }
    }

    /// The kind of a User-Agent that is not empty; None for a reader's.
    pub fn recognise(&self, user_agent: &str) -> Option<Kind> {
        let text = cut(user_agent).as_bytes();
        let kind = self.kind(text)?;
        self.exceptions.without(text).map_or(Some(kind), |rest| self.kind(&rest))
    }

    /// The kind by the lists alone, without exceptions.
    pub(super) fn kind(&self, text: &[u8]) -> Option<Kind> {
        let mut names_a_browser = false;
        let mut kind: Option<Kind> = None;
        let mut note = |found| kind = Some(kind.map_or(found, |kind| kind.min(found)));
        for found in self.texts.find_overlapping_iter(text) {
            let Some(reading) = self.readings.get(found.pattern().as_usize()) else { continue };
            let is_meant = (!reading.begins || found.start() == 0)
                && (reading.ignores_case || text.get(found.range()) == Some(&*reading.text));
            match reading.meaning {
                Meaning::Bot(kind) if is_meant => note(kind),
                Meaning::Browser => names_a_browser |= is_meant,
                Meaning::Bot(_) => {}
            }
        }
        let by_kind = if self.joined.is_match(text) { self.by_kind.as_slice() } else { &[] };
        for (kind, pattern) in self.lone.iter().chain(by_kind) {
            if pattern.is_match(text) {
                note(*kind);
            }
        }
        if !self.browsers.has_written(text, names_a_browser) {
            note(Kind::NoBrowser);
        }
        kind
    }
}

fn compiled(pattern: &str) -> Automaton {
    Automaton::compile(pattern).expect("the lists are well-formed and small")
}

/// The few texts that a pattern stands for, if there are no others, and whether they must come first.
fn texts_of(pattern: &str) -> Option<(impl Iterator<Item = Box<[u8]>>, bool)> {
    let hir = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
    let (hir, begins) = match hir.kind() {
        HirKind::Concat(parts) => match parts.split_first()? {
            (first, rest) if *first.kind() == HirKind::Look(Look::Start) => (Hir::concat(rest.to_vec()), true),
            _ => (hir, false),
        },
        _ => (hir, false),
    };
    let texts = Extractor::new().limit_total(TEXTS_MAX).extract(&hir);
    let is_plain = hir.properties().look_set().is_empty() && texts.is_exact();
    let texts = texts.literals().filter(|texts| is_plain && texts.iter().all(|text| !text.is_empty()))?.to_vec();
    Some((texts.into_iter().map(|text| text.into_bytes().into()), begins))
}

pub(super) fn rows() -> impl Iterator<Item = Row> {
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
            assert!(!regex::bytes::Regex::new(pattern).unwrap().is_match(b""), "{pattern}");
        }
        assert!(rows().filter(|row| texts_of(row.pattern).is_none()).count() < count / 5);
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
            "Mozilla/5.0 (Linux; Android 15; RMX5131 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/130.0.6723.58 Mobile Safari/537.36 Zalo android/24050503",
            "Mozilla/5.0 (Linux; U; Android 15; zh-cn; PKC110 Build/AP3A.240617.008) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/115.0.5790.168 Mobile Safari/537.36 HeyTapBrowser/40.9.0.1",
            "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/142.0.7444.142 Mobile Safari/537.36 Instagram 406.0.0.58.159 Android (35/15; 480dpi; 1080x2400; OPPO; CPH2557; OP573DL1; mt6833; en_MY; 822918295; IABMV/1) NV/1",
            "Mozilla/5.0 (Linux; Android 6.0; VR BOT 552 PLUS) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/78.0.3904.96 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 7.0; C Bot Tab 100) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/74.0.3729.157 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 8.1.0; Fever_Plus_J) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/95.0.4638.50 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 8.0.0; Expanse) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/86.0.4240.99 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 7.0; JMM-AL00 Build/HONORJMM-AL00; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/62.0.3202.84 Mobile Safari/537.36 SogouSearch Android1.0 version3.0 AppVersion/6002",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) WhatsApp/2.2134.10 Chrome/87.0.4280.141 Electron/11.4.3 Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Code/1.115.0 Chrome/142.0.7444.265 Electron/39.8.5 Safari/537.36",
            "OPR/19.0.1325.0 OMI/4.1.4.54, KreaTV/15.99.2.1 (ARRIS, IPC1100P2, wired)",
            "[FBAN/FB4A;FBAV/79.0.0.0.52;FBLC/vi_VN;FBMF/TECNO;FBPN/com.facebook.katana;FBSV/6.0;FBOP/1]",
            "AIRNESS-AIR99/REV 2.2.1/Teleca Q03B1",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
        ] {
            assert_eq!(recognise(text), None, "{text}");
        }
    }

    #[test]
    fn no_row_is_a_build_of_android() {
        // A maker's build is in the User-Agents of all its phones.
        let build = regex::Regex::new(r"[A-Z][A-Z0-9]{3}(?:\\?\.\d{6}){1,2}|[A-Z]{3}\d{2}[A-Z]").unwrap();
        assert!(build.is_match(r"AP3A\.240617\.008") && build.is_match("LMY47V"));
        rows().for_each(|row| assert!(!build.is_match(row.pattern), "{}", row.pattern));
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

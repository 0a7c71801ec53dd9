//! Exceptions to the lists: parts of readers' User-Agents that look like a bot's.

use std::borrow::Cow;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// Fields of a line: verb, pattern, replacement, a reader's User-Agent, reason.
const EXCEPTIONS: &str = include_str!("exceptions.tsv");

/// Parts of a User-Agent that are not read.
#[derive(Debug)]
pub struct Exceptions {
    ignored: Regex,
}

impl Exceptions {
    pub fn compile() -> Result<Self, regex::Error> {
        let patterns = rows().filter(|row| row.verb == "ignore").map(|row| format!("(?:{})", row.pattern));
        let pattern = patterns.collect::<Vec<_>>().join("|");
        // Without Unicode: the engine for its word boundaries is a thousand times slower.
        Ok(Self { ignored: RegexBuilder::new(&pattern).unicode(false).case_insensitive(true).build()? })
    }

    /// The User-Agent without its exceptions; None if it has none.
    pub fn without<'t>(&self, text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
        let rest = self.ignored.replace_all(text, |found: &Captures<'_>| {
            let whole = found.get(0).map_or(&b""[..], |whole| whole.as_bytes());
            let start = found.get(0).map_or(0, |whole| whole.start());
            let part = found.iter().skip(1).flatten().next().map(|part| part.start() - start..part.end() - start);
            let part = part.unwrap_or_default();
            let kept = [whole.get(..part.start), whole.get(part.end..)];
            kept.into_iter().flatten().flatten().copied().collect::<Vec<u8>>()
        });
        matches!(rest, Cow::Owned(_)).then_some(rest)
    }
}

/// A line of the table.
struct Row {
    verb: &'static str,
    pattern: &'static str,
    #[cfg(test)]
    replacement: &'static str,
    #[cfg(test)]
    reader: &'static str,
    #[cfg(test)]
    reason: &'static str,
}

fn rows() -> impl Iterator<Item = Row> {
    EXCEPTIONS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut fields = line.split('\t');
        let mut field = || fields.next().unwrap_or_default();
        Row {
            verb: field(),
            pattern: field(),
            #[cfg(test)]
            replacement: field(),
            #[cfg(test)]
            reader: field(),
            #[cfg(test)]
            reason: field(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::Lists;
    use super::*;

    #[test]
    fn every_exception_has_a_reason_and_lets_its_reader_pass() {
        assert!(rows().count() > 30);
        for row in rows() {
            assert!(row.reason.len() > 5, "{}", row.pattern);
            assert_eq!(row.replacement == "-", row.verb != "replace", "{}", row.pattern);
            assert_eq!(Lists::get().recognise(row.reader), None, "{}", row.pattern);
        }
    }

    #[test]
    fn the_lists_follow_the_exceptions() {
        let listed: Vec<&str> = super::super::lists::rows().map(|row| row.pattern).collect();
        for row in rows() {
            match row.verb {
                "drop" => assert!(!listed.contains(&row.pattern), "{}", row.pattern),
                "replace" => {
                    assert!(!listed.contains(&row.pattern), "{}", row.pattern);
                    assert!(listed.contains(&row.replacement), "{}", row.pattern);
                }
                "ignore" => {}
                verb => panic!("{verb}"),
            }
        }
    }

    #[test]
    fn no_exception_is_idle() {
        for row in rows() {
            let regex = RegexBuilder::new(row.pattern).unicode(false).case_insensitive(true).build().unwrap();
            assert!(regex.is_match(row.reader.as_bytes()), "{}", row.pattern);
            if row.verb == "ignore" {
                assert_eq!(regex.captures_len(), 2, "{}", row.pattern);
                assert!(Lists::get().kind(row.reader.as_bytes()).is_some(), "{}", row.pattern);
            }
        }
    }

    #[test]
    fn a_bot_beside_an_exception_is_a_bot() {
        for text in [
            "Mozilla/5.0 (Linux; Android 7.0; M bot 60) AppleWebKit/537.36 Chrome/81.0 Mobile Safari/537.36 (compatible; Googlebot/2.1)",
            "Mozilla/5.0 (Linux; Android 10; SogouMSE) SogouMobileBrowser/6.1.5 Sogou web spider/4.0",
            "Mozilla/5.0 (Linux; Android 6.0; http://bot.example.com/bot)",
            "WhatsApp/2.19.175 A",
        ] {
            assert!(Lists::get().recognise(text).is_some(), "{text}");
        }
    }
}

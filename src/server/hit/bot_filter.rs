//! Bot filter: classifies a hit by its request's headers and the bot lists.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::bots::{Kind, Lists, cut};
use crate::counter::site::FilteredBots;

use super::text_cache::TextCache;
use crate::server::http::{Field, HeaderFields};

/// Headers in which browsers mark a prefetch: the standard's first, then older ones, the last of which is Safari's.
const PURPOSES: [Field; 4] = [Field::SecPurpose, Field::Purpose, Field::XMoz, Field::XPurpose];

/// One worker's bot filter.
#[derive(Default)]
pub struct BotFilter {
    /// The lists' result for each recent User-Agent.
    agents: RefCell<TextCache<Option<Kind>>>,
}

impl BotFilter {
    /// The kind of machine that sent a hit; none for a reader. `is_steered`: the page's script reports
    /// that a program drives the browser.
    pub fn classify(&self, filtered_bots: FilteredBots, headers: &impl HeaderFields, is_steered: bool) -> Option<Kind> {
        if filtered_bots == FilteredBots::None {
            return None;
        }
        self.kind(headers, is_steered).filter(|kind| filtered_bots == FilteredBots::All || !kind.is_tool())
    }

    fn kind(&self, headers: &impl HeaderFields, is_steered: bool) -> Option<Kind> {
        if PURPOSES.iter().any(|field| headers.first(*field).is_some_and(fetches_ahead)) {
            return Some(Kind::Prefetch);
        }
        if headers.first(Field::SecFetchMode) == Some(b"navigate") {
            return Some(Kind::Navigation);
        }
        let user_agent = headers.first(Field::UserAgent).map(readable);
        let user_agent = user_agent.as_deref().unwrap_or_default().trim();
        if user_agent.is_empty() {
            return Some(Kind::NoUserAgent);
        }
        self.recognise(cut(user_agent)).or(is_steered.then_some(Kind::Webdriver))
    }

    fn recognise(&self, user_agent: &str) -> Option<Kind> {
        let mut agents = self.agents.borrow_mut();
        if let Some(known) = agents.get(user_agent) {
            return known;
        }
        let kind = Lists::get().recognise(user_agent);
        agents.insert(user_agent, kind);
        kind
    }
}

/// The text of a value. Nearly all are right, and `from_utf8` finds that sooner.
fn readable(value: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed)
}

/// True for `prefetch`, `prefetch;prerender`, `preview`, `instant` and the like.
fn fetches_ahead(purpose: &[u8]) -> bool {
    let begins = |word: &[u8]| purpose.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    begins(b"prefetch") || begins(b"prerender") || begins(b"preview") || begins(b"instant")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderMap;

    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

    fn classify(filtered_bots: FilteredBots, fields: &[(&'static str, &str)], is_steered: bool) -> Option<Kind> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let filter = BotFilter::default();
        let first = filter.classify(filtered_bots, &headers, is_steered);
        // The second time from the cache.
        assert_eq!(filter.classify(filtered_bots, &headers, is_steered), first);
        first
    }

    #[test]
    fn headers_tell_that_a_hit_is_no_readers() {
        let by = |field| classify(FilteredBots::All, &[("user-agent", CHROME), field], false);
        assert_eq!(by(("accept", "*/*")), None);
        assert_eq!(by(("sec-fetch-mode", "cors")), None);
        assert_eq!(by(("sec-fetch-mode", "navigate")), Some(Kind::Navigation));
        assert_eq!(by(("sec-purpose", "prefetch;prerender")), Some(Kind::Prefetch));
        assert_eq!(by(("purpose", "prefetch")), Some(Kind::Prefetch));
        assert_eq!(by(("purpose", "preview")), Some(Kind::Prefetch));
        assert_eq!(by(("x-purpose", "preview")), Some(Kind::Prefetch));
        assert_eq!(by(("x-purpose", "instant")), Some(Kind::Prefetch));
        assert_eq!(by(("x-moz", "Prefetch")), Some(Kind::Prefetch));
        assert_eq!(by(("sec-purpose", "")), None);
        assert_eq!(classify(FilteredBots::All, &[("user-agent", CHROME)], true), Some(Kind::Webdriver));
        assert_eq!(classify(FilteredBots::All, &[], false), Some(Kind::NoUserAgent));
        assert_eq!(classify(FilteredBots::All, &[("user-agent", " ")], false), Some(Kind::NoUserAgent));
    }

    #[test]
    fn a_site_may_let_tools_pass_or_everything() {
        let bot = [("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")];
        let tool = [("user-agent", "curl/8.5.0")];
        assert_eq!(classify(FilteredBots::All, &tool, false), Some(Kind::HttpLibrary));
        assert_eq!(classify(FilteredBots::ExceptTools, &tool, false), None);
        assert_eq!(classify(FilteredBots::ExceptTools, &[], true), None);
        assert_eq!(classify(FilteredBots::ExceptTools, &bot, false), Some(Kind::SearchEngine));
        assert_eq!(classify(FilteredBots::None, &bot, false), None);
    }
}

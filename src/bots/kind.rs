//! Kinds of uncounted hits.

/// Result of most kinds in answers and metrics.
pub const BOT: &str = "bot";

/// The reason why a hit is not counted. If several patterns match, the first in this order wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    SearchEngine,
    AiCrawler,
    SocialPreview,
    Seo,
    Monitoring,
    Advertising,
    FeedReader,
    Archiver,
    Academic,
    Scanner,
    BrowserAutomation,
    HttpLibrary,
    /// From the list that names no kinds.
    Other,
    /// The User-Agent names no browser, device or system, or holds a program's words.
    NoBrowser,
    /// No User-Agent, or an empty one.
    NoUserAgent,
    /// The beacon's URL was opened as a page.
    Navigation,
    /// The script reports that a program steers the browser.
    Webdriver,
    /// The browser fetched the page ahead and may never show it.
    Prefetch,
    /// A visitor's reload.
    Repeat,
    /// The client's address is one that the site excludes.
    Excluded,
}

impl Kind {
    /// All kinds with their names, in their order.
    pub const ALL: [(Self, &'static str); 20] = [
        (Self::SearchEngine, "search-engine"),
        (Self::AiCrawler, "ai-crawler"),
        (Self::SocialPreview, "social-preview"),
        (Self::Seo, "seo"),
        (Self::Monitoring, "monitoring"),
        (Self::Advertising, "advertising"),
        (Self::FeedReader, "feed-reader"),
        (Self::Archiver, "archiver"),
        (Self::Academic, "academic"),
        (Self::Scanner, "scanner"),
        (Self::BrowserAutomation, "browser-automation"),
        (Self::HttpLibrary, "http-library"),
        (Self::Other, "other"),
        (Self::NoBrowser, "no-browser"),
        (Self::NoUserAgent, "no-user-agent"),
        (Self::Navigation, "navigation"),
        (Self::Webdriver, "webdriver"),
        (Self::Prefetch, "prefetch"),
        (Self::Repeat, "repeat"),
        (Self::Excluded, "excluded"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.get(self as usize).map_or("", |(_, name)| name)
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(kind, _)| kind)
    }

    /// The result in answers and metrics.
    pub fn result(self) -> &'static str {
        match self {
            Self::Prefetch => "prefetch",
            Self::Repeat => "repeat",
            Self::Excluded => "excluded",
            _ => BOT,
        }
    }

    /// True for tools with which developers try a page or an interface.
    pub fn is_tool(self) -> bool {
        matches!(
            self,
            Self::BrowserAutomation | Self::HttpLibrary | Self::NoBrowser | Self::NoUserAgent | Self::Webdriver
        )
    }
}

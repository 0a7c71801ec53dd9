//! What a page view can be other than a reader's new one.

use serde::Serialize;

/// What the answer and the metrics call hits of most kinds.
pub const BOT: &str = "bot";

/// Why a hit is not counted. Kinds that several patterns name are told apart in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
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
    /// By the list that names no kinds.
    Other,
    /// By the bearing of its User-Agent: it names no browser, device or system, or says what programs say.
    NoBrowser,
    /// No User-Agent, or an empty one.
    NoUserAgent,
    /// The beacon's address was opened as if it were a page.
    Navigation,
    /// The script says that a program steers the browser.
    Webdriver,
    /// Fetched ahead, by a browser that may never show it.
    Prefetch,
    /// A visitor's reload.
    Repeat,
}

impl Kind {
    pub const ALL: [Self; 19] = [
        Self::SearchEngine,
        Self::AiCrawler,
        Self::SocialPreview,
        Self::Seo,
        Self::Monitoring,
        Self::Advertising,
        Self::FeedReader,
        Self::Archiver,
        Self::Academic,
        Self::Scanner,
        Self::BrowserAutomation,
        Self::HttpLibrary,
        Self::Other,
        Self::NoBrowser,
        Self::NoUserAgent,
        Self::Navigation,
        Self::Webdriver,
        Self::Prefetch,
        Self::Repeat,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::SearchEngine => "search-engine",
            Self::AiCrawler => "ai-crawler",
            Self::SocialPreview => "social-preview",
            Self::Seo => "seo",
            Self::Monitoring => "monitoring",
            Self::Advertising => "advertising",
            Self::FeedReader => "feed-reader",
            Self::Archiver => "archiver",
            Self::Academic => "academic",
            Self::Scanner => "scanner",
            Self::BrowserAutomation => "browser-automation",
            Self::HttpLibrary => "http-library",
            Self::Other => "other",
            Self::NoBrowser => "no-browser",
            Self::NoUserAgent => "no-user-agent",
            Self::Navigation => "navigation",
            Self::Webdriver => "webdriver",
            Self::Prefetch => "prefetch",
            Self::Repeat => "repeat",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What the answer and the metrics call it.
    pub fn result(self) -> &'static str {
        match self {
            Self::Prefetch => "prefetch",
            Self::Repeat => "repeat",
            _ => BOT,
        }
    }

    /// Whether it is what a developer tries a page or an interface with.
    pub fn is_tool(self) -> bool {
        matches!(
            self,
            Self::BrowserAutomation | Self::HttpLibrary | Self::NoBrowser | Self::NoUserAgent | Self::Webdriver
        )
    }
}

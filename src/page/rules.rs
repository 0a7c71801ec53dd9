//! A site's own say in its pages' addresses.

use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use super::pattern::Pattern;

/// As configured: `page_params`, `page_params_ignored`, `page_case`, and the site's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRules {
    pub params: PageParams,
    /// `page_params_ignored`: noise of this site's own.
    pub ignored: Arc<[Pattern]>,
    pub case: PageCase,
    /// The site's language as a tag, `vi`: a parameter that names it names nothing.
    pub language: &'static str,
}

/// Parameters that name a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageParams {
    /// All but noise.
    AllButNoise,
    /// `page_params`: these alone, as the site says so whatever their values look like.
    Only(Arc<[Pattern]>),
}

/// `page_case`: how paths compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PageCase {
    /// `auto`: with case, but for `.aspx` and its like.
    #[default]
    Auto,
    /// `keep`: with case, always.
    Keep,
    /// `fold`: without case, always.
    Fold,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no way to compare paths: expected auto, keep or fold")]
pub struct PageCaseError(String);

impl FromStr for PageCase {
    type Err = PageCaseError;

    fn from_str(text: &str) -> Result<Self, PageCaseError> {
        match text {
            "auto" => Ok(Self::Auto),
            "keep" => Ok(Self::Keep),
            "fold" => Ok(Self::Fold),
            _ => Err(PageCaseError(text.chars().take(40).collect())),
        }
    }
}

impl PageRules {
    pub fn with_defaults(language: &'static str) -> Self {
        static NONE: LazyLock<Arc<[Pattern]>> = LazyLock::new(|| [].into());
        Self { params: PageParams::AllButNoise, ignored: Arc::clone(&NONE), case: PageCase::Auto, language }
    }
}

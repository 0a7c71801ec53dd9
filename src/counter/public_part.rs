//! Public parts: those of a site's answers that everyone may read.

use std::fmt;
use std::str::FromStr;

/// A kind of answer that a site may close to everyone but its operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicPart {
    /// The site's figures.
    Figures,
    /// Views of pages.
    Page,
    /// Lists of the most read pages.
    Top,
    /// Hits by day, month or year.
    History,
    /// The same as a picture.
    Chart,
}

/// The public parts of a site; by default all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicParts(u8);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a public part; expected figures, page, top, history or chart")]
pub struct PublicPartError(String);

impl PublicPart {
    pub const ALL: [Self; 5] = [Self::Figures, Self::Page, Self::Top, Self::History, Self::Chart];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Figures => "figures",
            Self::Page => "page",
            Self::Top => "top",
            Self::History => "history",
            Self::Chart => "chart",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl PublicParts {
    pub fn contains(self, part: PublicPart) -> bool {
        self.0 & part.bit() != 0
    }
}

impl Default for PublicParts {
    fn default() -> Self {
        PublicPart::ALL.into_iter().collect()
    }
}

impl FromIterator<PublicPart> for PublicParts {
    fn from_iter<I: IntoIterator<Item = PublicPart>>(parts: I) -> Self {
        Self(parts.into_iter().fold(0, |bits, part| bits | part.bit()))
    }
}

impl FromStr for PublicPart {
    type Err = PublicPartError;

    fn from_str(text: &str) -> Result<Self, PublicPartError> {
        let named = Self::ALL.into_iter().find(|part| part.as_str() == text);
        named.ok_or_else(|| PublicPartError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for PublicPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_the_parts_that_it_was_made_of_and_no_others() {
        let parts: PublicParts = [PublicPart::Page, PublicPart::Chart].into_iter().collect();
        let held: Vec<_> = PublicPart::ALL.into_iter().filter(|part| parts.contains(*part)).collect();
        assert_eq!(held, [PublicPart::Page, PublicPart::Chart]);
        assert!(PublicPart::ALL.into_iter().all(|part| PublicParts::default().contains(part)));
        assert!(PublicPart::ALL.into_iter().all(|part| part.as_str().parse() == Ok(part)));
        assert!("Page".parse::<PublicPart>().is_err() && "".parse::<PublicPart>().is_err());
    }
}

//! Sources of counts: runs and imports.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A source of counts: one run of one node, or an import.
///
/// A run is a random number drawn at each start and never used again, so that a copied or restored
/// data directory can neither lose nor repeat a hit (G-Counter: one writer per source).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    Run(u64),
    Import(ImportName),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImportName(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error(
        "`{0}` is not a name for an import: expected 1 to 63 of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit"
    )]
    ImportName(String),
    #[error("`{0}` is not a source: expected a run's 16 hexadecimal digits or `import:NAME`")]
    Source(String),
}

/// Name of the source that sets a site's figures to zero; no operator's import has it.
const RESET: &str = "(reset)";

/// Prefix of an import's name among sources.
pub const IMPORT: &str = "import:";

impl ImportName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the source that takes from each figure what it was at a site's reset.
    pub fn reset() -> Self {
        Self(RESET.into())
    }

    pub fn is_reset(&self) -> bool {
        &*self.0 == RESET
    }

    /// Parses `NAME`, or `import:NAME` as lists of sources show it.
    pub fn from_shown(text: &str) -> Result<Self, SourceError> {
        text.strip_prefix(IMPORT).unwrap_or(text).parse()
    }
}

impl FromStr for ImportName {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let first_is_right = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest_is_right =
            text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
        if first_is_right && rest_is_right && text.len() <= 63 {
            Ok(Self(text.into()))
        } else {
            Err(SourceError::ImportName(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "{run:016x}"),
            Self::Import(name) => write!(f, "{IMPORT}{}", name.0),
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some(name) = text.strip_prefix(IMPORT) {
            return if name == RESET { Ok(Self::Import(ImportName::reset())) } else { name.parse().map(Self::Import) };
        }
        let digits_are_right =
            text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        u64::from_str_radix(text, 16)
            .ok()
            .filter(|_| digits_are_right)
            .map(Self::Run)
            .ok_or_else(|| SourceError::Source(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_as_it_is_written() {
        for text in ["00000000000000ff", "import:vinaora-2019.csv", "import:(reset)"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for text in ["", "ff", "00000000000000FF", "import:", "import:A", "import:a b", "+0000000000000ff", "import:.a"]
        {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_import_has_its_name() {
        assert_eq!("old-counter.2".parse::<ImportName>().unwrap().as_str(), "old-counter.2");
        for shown in ["old", "import:old"] {
            assert_eq!(ImportName::from_shown(shown).unwrap().as_str(), "old");
        }
        assert!(ImportName::from_shown("import:import:old").is_err());
        assert!(ImportName::from_shown("import:(reset)").is_err() && "(reset)".parse::<ImportName>().is_err());
        assert!(ImportName::reset().is_reset());
    }
}

//! Patterns of parameters' names: exact, or with a `*` that costs no more than a prefix and a suffix.

use std::fmt;
use std::str::FromStr;

/// A name, or part of one, in lower case: `id`, `utm_*`, `*_id`, `_*_title`, `*redirect*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    Exact(Box<str>),
    /// `a*b`; either may be empty.
    Affix(Box<str>, Box<str>),
    /// `*a*`.
    Contains(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("a pattern is empty; expected a name such as `id` or a pattern such as `utm_*`")]
    Empty,
    #[error("`{0}` is no pattern: expected at most one `*`, or one at each end")]
    Stars(String),
}

impl Pattern {
    /// `name` is in lower case.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Affix(prefix, suffix) => {
                name.len() >= prefix.len() + suffix.len() && name.starts_with(&**prefix) && name.ends_with(&**suffix)
            }
            Self::Contains(part) => {
                part.len() <= name.len() && name.as_bytes().windows(part.len()).any(|window| window == part.as_bytes())
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let text = super::text::canonical(text, super::text::Part::Name).into_owned();
        match text.split('*').collect::<Vec<_>>()[..] {
            [""] => Err(PatternError::Empty),
            [exact] => Ok(Self::Exact(exact.into())),
            [prefix, suffix] => Ok(Self::Affix(prefix.into(), suffix.into())),
            ["", part, ""] if !part.is_empty() => Ok(Self::Contains(part.into())),
            _ => Err(PatternError::Stars(text)),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => f.write_str(exact),
            Self::Affix(prefix, suffix) => write!(f, "{prefix}*{suffix}"),
            Self::Contains(part) => write!(f, "*{part}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_at_the_ends_or_once_inside() {
        for (pattern, yes, no) in [
            ("id", "id", "ids"),
            ("ID", "id", "i"),
            ("utm_*", "utm_source", "utm"),
            ("*_id", "page_id", "id"),
            ("_*_urltitle", "_101_urltitle", "_urltitle"),
            ("*redirect*", "login_redirect_to", "redirec"),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            assert!(parsed.matches(yes) && !parsed.matches(no), "{pattern}");
        }
        assert!("*".parse::<Pattern>().unwrap().matches("anything"));
    }

    #[test]
    fn other_patterns_are_refused() {
        for pattern in ["", "**", "a*b*c", "*a*b", "***"] {
            assert!(pattern.parse::<Pattern>().is_err(), "{pattern}");
        }
    }
}

//! Rights of editors: which sites a token opens, and what it may do there.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

use super::SiteId;

/// Rights on the sites that a token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    View,
    /// Also the named actions: notes, rules of pages, undoing an import.
    Edit,
}

/// A site id, or the beginning of ids and `*`: `xa-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePattern(SmolStr);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a site id nor the beginning of ids with a `*` behind it, such as `xa-*`")]
pub struct SitePatternError(String);

/// Rights of a person at the editors' page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The token's name, for the log; empty for an operator.
    pub name: SmolStr,
    pub right: Right,
    pub sites: Vec<SitePattern>,
}

impl Access {
    /// The operator's: everything.
    pub fn operator() -> Self {
        Self { name: SmolStr::default(), right: Right::Edit, sites: vec![SitePattern("*".into())] }
    }

    pub fn may_view(&self, site: &SiteId) -> bool {
        self.sites.iter().any(|pattern| pattern.is_match(site))
    }

    pub fn may_edit(&self, site: &SiteId) -> bool {
        self.right == Right::Edit && self.may_view(site)
    }
}

impl SitePattern {
    pub fn is_match(&self, site: &SiteId) -> bool {
        match self.0.strip_suffix('*') {
            Some(begin) => site.as_str().starts_with(begin),
            None => site.as_str() == self.0,
        }
    }
}

impl FromStr for SitePattern {
    type Err = SitePatternError;

    fn from_str(text: &str) -> Result<Self, SitePatternError> {
        let begin = text.strip_suffix('*').unwrap_or(text);
        let is_valid = begin.parse::<SiteId>().is_ok() || text == "*";
        if is_valid { Ok(Self(text.into())) } else { Err(SitePatternError(text.to_owned())) }
    }
}

impl fmt::Display for SitePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_opens_the_sites_that_begin_with_it_and_an_id_only_itself() {
        let access = |right, pattern: &str| Access { name: "lan".into(), right, sites: vec![pattern.parse().unwrap()] };
        let opened = |pattern, site: &str| access(Right::View, pattern).may_view(&site.parse().unwrap());
        assert!(opened("xa-*", "xa-lan") && opened("*", "xa-lan") && opened("xa-lan", "xa-lan"));
        assert!(!opened("xa-*", "xa") && !opened("xa", "xa-lan") && !opened("xa-lan", "xa-lan2"));
        let site = "xa-lan".parse().unwrap();
        assert!(access(Right::Edit, "xa-*").may_edit(&site) && !access(Right::View, "xa-*").may_edit(&site));
        assert!(!access(Right::Edit, "xb-*").may_edit(&site));
        assert!(Access::operator().may_edit(&site));
    }

    #[test]
    fn other_texts_are_refused_as_patterns() {
        for text in ["", "*-xa", "x*a", "XA-*", "xa-**", "-*", "xa *"] {
            assert!(text.parse::<SitePattern>().is_err(), "{text}");
        }
    }
}

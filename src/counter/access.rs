//! Rights of editors: which sites a token opens, and what it may do there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{Site, SiteId};

/// Rights on the sites that a token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `view` or `edit`")]
pub struct RightError;

/// Rights of a person at the editors' page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The token's name, for the log; empty for an operator.
    pub name: SmolStr,
    pub right: Right,
    pub sites: Vec<SitePattern>,
    /// Sites that a share link opens beside those, to be viewed.
    pub viewed: Vec<SitePattern>,
}

impl Right {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Edit => "edit",
        }
    }
}

impl FromStr for Right {
    type Err = RightError;

    fn from_str(text: &str) -> Result<Self, RightError> {
        [Self::View, Self::Edit].into_iter().find(|right| right.as_str() == text).ok_or(RightError)
    }
}

impl Access {
    /// The operator's: everything.
    pub fn operator() -> Self {
        Self::everywhere(Right::Edit)
    }

    /// That of the operator's token for reading.
    pub fn reader() -> Self {
        Self::everywhere(Right::View)
    }

    fn everywhere(right: Right) -> Self {
        Self { name: SmolStr::default(), right, sites: vec![SitePattern("*".into())], viewed: Vec::new() }
    }

    pub fn may_view(&self, site: &Site) -> bool {
        self.has(site) || self.viewed.iter().any(|pattern| pattern.is_match_of(site))
    }

    pub fn may_edit(&self, site: &Site) -> bool {
        self.right == Right::Edit && self.has(site)
    }

    fn has(&self, site: &Site) -> bool {
        self.sites.iter().any(|pattern| pattern.is_match_of(site))
    }
}

impl SitePattern {
    /// True for the beginning of ids.
    pub fn is_open(&self) -> bool {
        self.0.ends_with('*')
    }

    /// True for the site's id, and for that which it had before it was renamed: it is the same site. Ids of sites that were
    /// merged into it open nothing.
    pub fn is_match_of(&self, site: &Site) -> bool {
        self.is_match(&site.id) || self.is_match(&site.counted_as)
    }

    fn is_match(&self, site: &SiteId) -> bool {
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
        let access = |right, pattern: &str| {
            let sites = vec![pattern.parse().unwrap()];
            Access { name: "lan".into(), right, sites, viewed: Vec::new() }
        };
        let site = |id: &str| Site::with_defaults(id.parse().unwrap(), Vec::new());
        let opened = |pattern, id: &str| access(Right::View, pattern).may_view(&site(id));
        assert!(opened("xa-*", "xa-lan") && opened("*", "xa-lan") && opened("xa-lan", "xa-lan"));
        assert!(!opened("xa-*", "xa") && !opened("xa", "xa-lan") && !opened("xa-lan", "xa-lan2"));
        let (other, site) = (site("xb-a"), site("xa-lan"));
        assert!(access(Right::Edit, "xa-*").may_edit(&site) && !access(Right::View, "xa-*").may_edit(&site));
        assert!(!access(Right::Edit, "xb-*").may_edit(&site));
        assert!(Access::operator().may_edit(&site));
        assert!(Access::reader().may_view(&site) && !Access::reader().may_edit(&site));
        let linked = Access { viewed: vec!["xa-lan".parse().unwrap()], ..access(Right::Edit, "xb-*") };
        assert!(linked.may_view(&site) && !linked.may_edit(&site) && linked.may_edit(&other));
    }

    #[test]
    fn a_renamed_site_is_opened_by_its_former_id_and_a_merged_one_is_not() {
        let mut site = Site::with_defaults("phuong-a".parse().unwrap(), Vec::new());
        site.counted_as = "xa-a".parse().unwrap();
        site.aliases = ["xa-a", "xa-b"].map(|id| id.parse().unwrap()).into();
        let may_edit = |pattern: &str| {
            let sites = vec![pattern.parse().unwrap()];
            Access { name: "lan".into(), right: Right::Edit, sites, viewed: Vec::new() }.may_edit(&site)
        };
        assert!(may_edit("phuong-a") && may_edit("xa-a") && may_edit("xa-*"));
        assert!(!may_edit("xa-b"));
    }

    #[test]
    fn other_texts_are_refused_as_patterns() {
        for text in ["", "*-xa", "x*a", "XA-*", "xa-**", "-*", "xa *"] {
            assert!(text.parse::<SitePattern>().is_err(), "{text}");
        }
    }
}

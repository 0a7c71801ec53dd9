//! All tokens that open something: those of the file, and those of the configuration.

use std::collections::{BTreeMap, HashMap};

use super::{EditorTokens, Grant, TokenHash, TokenName};
use crate::counter::{Access, Site, SiteId};

/// A live token, with the time of its making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    pub grant: Grant,
    /// Unix milliseconds; none: it stands in the configuration.
    pub given_ms: Option<i64>,
}

/// Live tokens.
#[derive(Debug, Default)]
pub struct Grants {
    by_name: BTreeMap<TokenName, Granted>,
    /// Each process has its own key, so that the time of a look-up says nothing about the hashes.
    by_hash: HashMap<TokenHash, TokenName>,
}

impl Grants {
    /// A token of the configuration takes the place of one of that name in the file.
    pub fn of(tokens: &EditorTokens, configured: &BTreeMap<TokenName, Grant>) -> Self {
        let of_file = tokens.written.iter().filter_map(|(name, (given_ms, grant))| {
            let grant = Grant::parse(grant.as_deref()?)?;
            Some((name.clone(), Granted { grant, given_ms: Some(*given_ms) }))
        });
        let configured =
            configured.iter().map(|(name, grant)| (name.clone(), Granted { grant: grant.clone(), given_ms: None }));
        let by_name: BTreeMap<_, _> = of_file.chain(configured).collect();
        let by_hash = by_name.iter().map(|(name, granted)| (granted.grant.hash, name.clone())).collect();
        Self { by_name, by_hash }
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&TokenName, &Granted)> {
        self.by_name.iter()
    }

    pub fn get(&self, name: &str) -> Option<&Granted> {
        self.by_name.get(&name.parse::<TokenName>().ok()?)
    }

    /// The token of this hash, unless it is over.
    pub fn find(&self, hash: &TokenHash, now_s: i64) -> Option<(&TokenName, &Grant)> {
        let name = self.by_hash.get(hash)?;
        let granted = self.by_name.get(name)?;
        (!granted.grant.is_over(now_s)).then_some((name, &granted.grant))
    }

    /// The token of this name, unless it is over.
    pub fn named(&self, name: &str, now_s: i64) -> Option<&Grant> {
        self.get(name).map(|granted| &granted.grant).filter(|grant| !grant.is_over(now_s))
    }

    /// Links that open the site, by name.
    pub fn shares_of<'a>(&'a self, site: &'a Site) -> impl Iterator<Item = (&'a TokenName, &'a Granted)> {
        let is_of = |grant: &Grant| grant.names(&site.id) || grant.names(&site.counted_as);
        self.by_name.iter().filter(move |(_, granted)| granted.grant.is_share && is_of(&granted.grant))
    }
}

impl Grant {
    /// True for the grant of this one site.
    pub fn names(&self, site: &SiteId) -> bool {
        matches!(&self.sites[..], [only] if only.to_string() == site.as_str())
    }

    pub fn access(&self, name: &str) -> Access {
        Access { name: name.into(), right: self.right, sites: self.sites.clone(), viewed: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::EditorToken;
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_until_it_is_over_or_revoked() {
        let of = |grant: &Grant, given_ms| EditorToken::stored("lan", Some(&grant.text()), given_ms).unwrap();
        let grant = Grant { expires: Some(100), ..Grant::viewing("demo", [1; 32]) };
        let tokens = EditorTokens::of([of(&grant, 1)]);
        let grants = Grants::of(&tokens, &BTreeMap::new());
        let found = |grants: &Grants, byte: u8, now_s| grants.find(&[byte; 32].into(), now_s).is_some();
        assert!(found(&grants, 1, 99) && !found(&grants, 1, 100) && !found(&grants, 2, 99));
        assert!(grants.named("lan", 99).is_some() && grants.named("lan", 100).is_none());
        let revoked = tokens.with([EditorToken::stored("lan", None, 2).unwrap()]).unwrap();
        assert!(!found(&Grants::of(&revoked, &BTreeMap::new()), 1, 99));
    }

    #[test]
    fn a_configured_token_takes_the_place_of_one_in_the_file() {
        let file = EditorToken::stored("lan", Some(&Grant::viewing("a", [1; 32]).text()), 1).unwrap();
        let configured = BTreeMap::from([("lan".parse().unwrap(), Grant::viewing("b", [2; 32]))]);
        let grants = Grants::of(&EditorTokens::of([file]), &configured);
        assert!(grants.find(&[1; 32].into(), 0).is_none());
        assert_eq!(grants.find(&[2; 32].into(), 0).unwrap().1.sites[0].to_string(), "b");
        assert_eq!(grants.get("lan").unwrap().given_ms, None);
    }
}
